/* Listening sockets, bound before anything else is started, so that an address in use is the first
 * thing that is said. */
#pragma once

#include <stddef.h>

#define LISTENER_BACKLOG 4096 /* 128 was lost under a reconnecting fleet */

/** Binds "ADDRESS:PORT" ("0.0.0.0:8443", "[::]:8443", "127.0.0.1:0") and listens: close-on-exec,
 * non-blocking, TCP_NODELAY (accepted sockets inherit it). Returns a descriptor, -EINVAL (not of
 * that form), or a negative errno. */
int listener_open_tcp(const char *address);

/** Binds a Unix socket of mode 0600; a socket file that nobody answers on is replaced. Returns a
 * descriptor, -EADDRINUSE, -ENAMETOOLONG, or another negative errno. */
int listener_open_unix(const char *path);

/** "ADDRESS:PORT" of a bound TCP socket, for the log and for port 0. Returns 0 or a negative errno.
 */
int listener_name(int fd, char *ret, size_t size);
