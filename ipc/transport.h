/* Where local calls come from: a Unix socket in a root-owned directory (Linux, macOS), a protected
 * named pipe (Windows). Facts: libuv's own bind truncates long paths and unlinks what it does not
 * own, so the socket is made here and handed to uv_pipe_open. */
#pragma once

#include <sys/types.h>

/** Makes the directory (0755) if absent, checks that it is owned by this process's uid, is no
 * symbolic link and is not writable by others, takes a lock file beside the socket (one server per
 * path, held until exit), removes a stale socket, binds 0666 and listens. Returns a CLOEXEC
 * non-blocking descriptor, or a negative errno: -EADDRINUSE (another server runs); of the
 * directory: -ELOOP (a symbolic link), -ENOTDIR, -EPERM (of another owner), -EUCLEAN (others can
 * write to it), -ENOENT (the one above is missing); -EEXIST (what sits there is no socket, or at
 * the lock's place no file); -ENAMETOOLONG; -EINVAL (names no file). */
int transport_listen(const char *path);

/** Takes the next of those who wait at a listening descriptor. Returns a CLOEXEC non-blocking
 * descriptor, or a negative errno: -EAGAIN (nobody waits), -ECONNABORTED (he left), -EMFILE and
 * others that stay until something is closed. */
int transport_accept(int fd);

/** What uv_pipe_init() must be told so that descriptors which a peer sends along are seen. */
extern const int transport_pipe_ipc;

/** Connects without blocking, non-blocking afterwards. Returns a CLOEXEC descriptor or a negative
 * errno: -ENOENT, -ECONNREFUSED, -EAGAIN (the backlog is full: try again), -EACCES, -ENAMETOOLONG.
 */
int transport_connect(const char *path);

/** The peer's uid and pid as the kernel says (SO_PEERCRED; for a client: of whoever listens).
 * Returns 0 or a negative errno. */
int transport_peer(int fd, uid_t *ret_uid, pid_t *ret_pid);
