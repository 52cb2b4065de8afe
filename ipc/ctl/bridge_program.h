/* The program that --bridge names: its standard input and output stand in for the daemon's socket.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#define BRIDGE_PROGRAM_MAX_WORDS 32
#define BRIDGE_PROGRAM_MAX_LENGTH 1024 /* bytes of the command, NUL included */

struct bridge_program {
    pid_t pid;  /* 0: none runs */
    int status; /* as waitpid(2) gives it, once it has ended */
};

/** Starts it, found by PATH, its words separated by blanks: no shell reads them. It inherits
 * standard error, so that it can ask and complain. Returns 0 and a descriptor for the other end
 * (CLOEXEC, non-blocking) in *ret_fd, or a negative errno: -EINVAL (no words, or more than
 * BRIDGE_PROGRAM_MAX_WORDS, or a quote or backslash, which would mean nothing), -E2BIG (too long),
 * -ENOENT (no such program), -EACCES. */
int bridge_program_start(struct bridge_program *program, const char *command, int *ret_fd);

/** Waits up to `timeout_ms` for its end. Returns whether it has ended (or never ran). */
bool bridge_program_has_ended(struct bridge_program *program, int timeout_ms);

/** Ends it, once its descriptor is closed: gives it a moment to end by itself, then SIGTERM, then
 * SIGKILL. */
void bridge_program_end(struct bridge_program *program);
