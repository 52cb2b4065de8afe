/* Runs the program beside this one as a user: a child that can never be root again. */
#include "ipc/ctl/ctl.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATH_SIZE 512
#define EXIT_NOT_RUN 127

/* Everything that the child needs, made before the fork. */
struct plan {
    char program[PATH_SIZE];
    char home[PATH_SIZE], user[PATH_SIZE], logname[PATH_SIZE], runtime[PATH_SIZE];
    char *argv[CTL_RUN_AS_ARGUMENTS + 2], *environment[7];
    uid_t uid;
    gid_t gid;
    const char *name;
};

static int plan_program(struct plan *plan, const char *program) {
    ssize_t size = readlink("/proc/self/exe", plan->program, sizeof plan->program - 1);
    if (size < 0)
        return -errno;
    plan->program[size] = '\0';
    char *slash = strrchr(plan->program, '/');
    if (!slash)
        return -ENOENT;
    size_t left = sizeof plan->program - (size_t)(slash + 1 - plan->program);
    int length = snprintf(slash + 1, left, "%s", program);
    return length < 0 || (size_t)length >= left ? -ENAMETOOLONG : 0;
}

static int set(char target[PATH_SIZE], const char *name, const char *value) {
    int length = snprintf(target, PATH_SIZE, "%s=%s", name, value);
    return length < 0 || length >= PATH_SIZE ? -ENAMETOOLONG : 0;
}

/* A session's runtime directory holds the lock of its agent: this one must see it. */
static bool plan_runtime(struct plan *plan) {
    char path[64];
    struct stat status;
    snprintf(path, sizeof path, "/run/user/%u", (unsigned)plan->uid);
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == plan->uid &&
           set(plan->runtime, "XDG_RUNTIME_DIR", path) == 0;
}

static int plan_make(
    struct plan *plan, const char *user, uid_t uid, const char *program,
    const char *const *arguments) {
    errno = 0;
    const struct passwd *account = getpwnam(user);
    if (!account)
        return errno ? -errno : -ESTALE;
    if (account->pw_uid != uid || uid == 0)
        return -ESTALE;
    plan->uid = uid;
    plan->gid = account->pw_gid;
    plan->name = user;
    int r = plan_program(plan, program);
    if (r == 0)
        r = set(plan->home, "HOME", account->pw_dir);
    if (r == 0)
        r = set(plan->user, "USER", user);
    if (r == 0)
        r = set(plan->logname, "LOGNAME", user);
    if (r < 0)
        return r;
    static char path[] = "PATH=/usr/bin:/bin", language[] = "LANG=C.UTF-8";
    size_t count = 0;
    char *const environment[] = {path, language, plan->home, plan->user, plan->logname};
    for (; count < ARRAY_LENGTH(environment); count++)
        plan->environment[count] = environment[count];
    if (plan_runtime(plan))
        plan->environment[count] = plan->runtime;
    plan->argv[0] = plan->program;
    for (size_t i = 0; i < CTL_RUN_AS_ARGUMENTS && arguments[i]; i++)
        plan->argv[i + 1] = (char *)(uintptr_t)arguments[i]; /* execve(2) does not change them */
    return 0;
}

/* Nothing that root has open goes along, its terminal least of all: whoever is that user may take
 * hold of the process before it has protected itself. Package managers leave descriptors open. */
static bool child_streams(int said_fd) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    return setsid() >= 0 && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
           dup2(null, STDOUT_FILENO) >= 0 && dup2(said_fd, STDERR_FILENO) >= 0 &&
           close_range(STDERR_FILENO + 1, UINT_MAX, 0) == 0;
}

/* Root's session keyring would go along, and whoever holds it reads root's keys in it
 * (session-keyring(7)). Made while it still counts as root's: a user's own limit may be used up. */
static bool child_keyring(void) {
    return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0 ||
           errno == ENOSYS || /* no keys in this kernel */
           errno == EPERM;    /* or not for this container, where nobody reads any */
}

static void child(const struct plan *plan, int said_fd) {
    if (!child_streams(said_fd) || !child_keyring() || initgroups(plan->name, plan->gid) < 0 ||
        setresgid(plan->gid, plan->gid, plan->gid) < 0 ||
        setresuid(plan->uid, plan->uid, plan->uid) < 0 || setuid(0) == 0 || chdir("/") < 0)
        _exit(EXIT_NOT_RUN);
    execve(plan->program, plan->argv, plan->environment);
    _exit(EXIT_NOT_RUN);
}

/* ---- the parent's side ---- */

struct said {
    char *text;
    size_t size, used;
};

/* Reads one piece; what does not fit is read all the same, so that the child can go on. One piece
 * at a time: whoever never stops talking must not keep the caller from its deadline. Returns as
 * read(2). */
static ssize_t said_take(struct said *said, int fd) {
    char piece[4096];
    ssize_t size = read(fd, piece, sizeof piece);
    if (size <= 0)
        return size;
    size_t room = said->size - 1 - said->used;
    size_t taken = (size_t)size < room ? (size_t)size : room;
    memcpy(said->text + said->used, piece, taken);
    said->used += taken;
    said->text[said->used] = '\0';
    return size;
}

/* What the child has left in the pipe, as far as it fits: others may write there for ever. */
static void said_take_rest(struct said *said, int fd) {
    while (said->used < said->size - 1 && said_take(said, fd) > 0)
        ;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Returns 0 once it has ended, -ETIMEDOUT, or another negative errno. */
static int wait_end(int pid_fd, int said_fd, int timeout_ms, struct said *said) {
    int64_t end = now_ms() + timeout_ms;
    for (bool more = true;;) {
        struct pollfd wait[] = {
            {.fd = pid_fd, .events = POLLIN},
            {.fd = more ? said_fd : -1, .events = POLLIN},
        };
        int64_t left = end - now_ms();
        int r = left > 0 ? poll(wait, ARRAY_LENGTH(wait), (int)left) : 0;
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r == 0)
            return -ETIMEDOUT;
        if (more) {
            ssize_t size = said_take(said, said_fd);
            more = size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR));
        }
        if (r > 0 && wait[0].revents)
            return 0;
    }
}

static int wait_child(pid_t pid, int said_fd, int timeout_ms, struct said *said) {
    int CLEANUP_CLOSE pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    int r = pid_fd < 0 ? -errno : wait_end(pid_fd, said_fd, timeout_ms, said);
    if (r < 0)
        kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (r < 0)
        return r;
    said_take_rest(said, said_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}

int ctl_run_as(
    const char *user, uid_t uid, const char *program, const char *const *arguments, int timeout_ms,
    char *ret_said, size_t said_size) {
    struct plan plan = {0};
    struct said said = {.text = ret_said, .size = said_size};
    int pipe_fds[2];
    ret_said[0] = '\0';
    int r = plan_make(&plan, user, uid, program, arguments);
    if (r < 0)
        return r;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -errno;
    int CLEANUP_CLOSE ours = pipe_fds[0];
    int CLEANUP_CLOSE theirs = pipe_fds[1];
    if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        child(&plan, theirs);
    close(TAKE_FD(theirs));
    return wait_child(pid, ours, timeout_ms, &said);
}
