/* One policies.json on disk. Read and written in a directory that chrome_policy_open() has found to
 * be root's alone; the file keeps its mode. */
#pragma once

#include "common/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct firefox_policy_file {
    char *text; /* NUL-terminated; NULL: there is none */
    size_t size;
    mode_t mode; /* 0644 for a new one */
};

void firefox_policy_file_deinit(struct firefox_policy_file *file);
#define CLEANUP_FIREFOX_POLICY_FILE CLEANUP(firefox_policy_file_deinit)

/** Reads it; an absent one is no error. Removes temp files that a killed writer left. Returns 0;
 * -EPERM (not `owner`'s, or writable by others), -ELOOP (a symbolic link), -EISDIR, -EMSGSIZE, or
 * another negative errno. */
int firefox_policy_file_read(int dir_fd, uid_t owner, struct firefox_policy_file *ret);

/** Writes it atomically. */
int firefox_policy_file_write(int dir_fd, const char *text, mode_t mode);
int firefox_policy_file_remove(int dir_fd);

/** Takes our piece out of the file in `directory`; the file goes where nothing else is left.
 * Returns 0 (also when nothing was there) or a negative errno. */
int firefox_policy_file_withdraw(const char *directory, const char *inserted);

/** Whether a file in `directory` would put another one out of effect that some Firefox on this
 * machine reads from its own folder: its path in `ret`, which is empty otherwise. */
bool firefox_policy_file_shadows(const char *directory, char *ret, size_t size);

/** Whether a name in the directory is that of a temp file of ours. */
bool firefox_policy_file_is_temp(const char *name);
