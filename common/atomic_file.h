/* Files that are either the old or the new contents, never anything between: temp, write, fsync,
 * rename, fsync of the directory, every step checked; success is reported after the last one. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/** Opens a directory for the functions below: O_DIRECTORY | O_CLOEXEC, no symbolic link as its last
 * part. Returns a descriptor or a negative errno. */
int atomic_file_open_dir(const char *path);

/** Writes `name` (no slash) in `dir_fd`. `mode` is exact (not cut by umask). On any error the old
 * file stands and no temp file is left. Returns 0 or a negative errno. */
int atomic_file_write(int dir_fd, const char *name, const void *data, size_t size, mode_t mode);

/** Reads a whole regular file, O_NOFOLLOW, at most `maximum` bytes, NUL-terminated. Returns 0,
 * -ENOENT, -EMSGSIZE, -ELOOP, -EISDIR or another negative errno. free() the result. */
int atomic_file_read(int dir_fd, const char *name, size_t maximum, char **ret, size_t *ret_size);

/** Unlinks and fsyncs the directory. An absent file counts as done. */
int atomic_file_remove(int dir_fd, const char *name);

/** Removes temp files (".name.XXXXXX.tmp") that a killed writer left in the directory. Returns 0 or
 * a negative errno. */
int atomic_file_sweep(int dir_fd);

/** mkdir -p, each new part with `mode`, parents fsynced. Returns 0 or a negative errno. */
int atomic_file_make_dirs(const char *path, mode_t mode);
