/* See bridge_program.h. */
#include "ipc/ctl/bridge_program.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define GRACE_MS 1000 /* to end by itself, and after SIGTERM once more */
#define POLL_MS 5

/* In place. Returns how many, or -EINVAL. */
static int split_words(char *text, char *ret[BRIDGE_PROGRAM_MAX_WORDS + 1]) {
    int count = 0;
    if (strpbrk(text, "'\"\\"))
        return -EINVAL;
    for (char *word, *rest = text; (word = strsep(&rest, " \t\n"));) {
        if (!*word)
            continue;
        if (count == BRIDGE_PROGRAM_MAX_WORDS)
            return -EINVAL;
        ret[count++] = word;
    }
    ret[count] = NULL;
    return count > 0 ? count : -EINVAL;
}

static int spawn(char *const *argv, int fd, pid_t *ret) {
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    r = posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
    if (r == 0)
        r = posix_spawnp(ret, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

int bridge_program_start(struct bridge_program *program, const char *command, int *ret_fd) {
    char text[BRIDGE_PROGRAM_MAX_LENGTH];
    char *argv[BRIDGE_PROGRAM_MAX_WORDS + 1];
    int pair[2];
    if (strlen(command) >= sizeof text)
        return -E2BIG;
    memcpy(text, command, strlen(command) + 1);
    int r = split_words(text, argv);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int CLEANUP_CLOSE ours = pair[0];
    int CLEANUP_CLOSE theirs = pair[1];
    if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    pid_t pid = 0;
    r = spawn(argv, theirs, &pid);
    if (r < 0)
        return r;
    *program = (struct bridge_program){.pid = pid};
    *ret_fd = TAKE_FD(ours);
    return 0;
}

bool bridge_program_has_ended(struct bridge_program *program, int timeout_ms) {
    for (int left = timeout_ms; program->pid > 0; left -= POLL_MS) {
        pid_t pid = waitpid(program->pid, &program->status, WNOHANG);
        if (pid == program->pid || (pid < 0 && errno != EINTR))
            program->pid = 0;
        else if (left <= 0)
            return false;
        else
            (void)poll(NULL, 0, POLL_MS);
    }
    return true;
}

void bridge_program_end(struct bridge_program *program) {
    if (bridge_program_has_ended(program, GRACE_MS))
        return;
    (void)kill(program->pid, SIGTERM);
    if (bridge_program_has_ended(program, GRACE_MS))
        return;
    (void)kill(program->pid, SIGKILL);
    while (waitpid(program->pid, &program->status, 0) < 0 && errno == EINTR)
        ;
    program->pid = 0;
}
