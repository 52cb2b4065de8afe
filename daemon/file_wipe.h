/* Removes a file that held a secret: its bytes are overwritten before its name goes. */
#pragma once

/** Overwrites `name` in `dir_fd` with zeros, fsyncs, unlinks, fsyncs the directory. An absent file
 * counts as done. Symbolic links and anything but regular files are not followed or written:
 * -ELOOP, -EINVAL. Copies that a file system or a disk keeps of its own accord (snapshots, flash)
 * are out of reach. Returns 0 or a negative errno. */
int file_wipe(int dir_fd, const char *name);

/** The same for a path. */
int file_wipe_path(const char *path);
