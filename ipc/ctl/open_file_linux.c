/* Opens a file as the desktop would: xdg-open, with an argument vector and without a shell. It is
 * not waited for, since some of them end with the browser. */
#include "ipc/ctl/ctl.h"

#include <spawn.h>
#include <unistd.h>

#define XDG_OPEN "/usr/bin/xdg-open"

int ctl_open_file(const char *path) {
    static char program[] = XDG_OPEN;
    char *const argv[] = {program, (char *)(uintptr_t)path, NULL}; /* execve(2) changes none */
    pid_t pid;
    return -posix_spawn(&pid, XDG_OPEN, NULL, NULL, argv, environ);
}
