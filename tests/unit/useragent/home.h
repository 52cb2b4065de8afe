/* A home directory for a test, made fresh and removed with everything in it; and what the
 * distribution's own NSS tools say about a database. */
#pragma once

#include "useragent/user_dirs.h"

#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int home_remove_one(
    const char *path, const struct stat *status, int type, struct FTW *where) {
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static inline void home_make(struct user_dirs *dirs) {
    char path[] = "/tmp/devtrust-test-XXXXXX";

    assert(mkdtemp(path));
    memset(dirs, 0, sizeof *dirs);
    snprintf(dirs->home, sizeof dirs->home, "%s", path);
    snprintf(dirs->config, sizeof dirs->config, "%s/.config", path);
    snprintf(dirs->data, sizeof dirs->data, "%s/.local/share", path);
    snprintf(dirs->state, sizeof dirs->state, "%s/.local/state", path);
}

static inline void home_remove(const struct user_dirs *dirs) {
    (void)nftw(dirs->home, home_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Runs a program without a shell; its output (both streams) in `ret`. Returns the exit status. */
static inline int home_run(const char *const argv[], char *ret, size_t size) {
    int out[2];
    int status;
    size_t used = 0;
    pid_t pid;

    assert(pipe(out) == 0);
    pid = fork();
    assert(pid >= 0);
    if (pid == 0) {
        dup2(out[1], 1);
        dup2(out[1], 2);
        close(out[0]);
        close(out[1]);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(out[1]);
    for (;;) {
        ssize_t count = read(out[0], ret + used, size - 1 - used);

        if (count <= 0)
            break;
        used += (size_t)count;
    }
    ret[used] = '\0';
    close(out[0]);
    while (waitpid(pid, &status, 0) < 0)
        assert(errno == EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static inline int home_certutil(const char *option, const char *database, char *ret, size_t size) {
    char spec[USER_DIRS_PATH_MAX + 8];
    char empty[] = "/dev/null";
    const char *argv[] = {"certutil", option, "-d", spec, "-f", empty, NULL};

    snprintf(spec, sizeof spec, "sql:%s", database);
    return home_run(argv, ret, size);
}

static inline unsigned home_count(const char *text, const char *what) {
    unsigned count = 0;

    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        count++;
    return count;
}
