/* A relay between two descriptors and the daemon's socket, so that whatever carries standard input
 * and output (ssh, systemd-run, varlink --bridge) carries Varlink. It does not look into what it
 * carries. */
#pragma once

#include <stddef.h>

#define BRIDGE_BUFFER_SIZE ((size_t)64 * 1024) /* of each direction */

/** Copies from `in` to `socket` and from `socket` to `out` until the socket ends and all that it
 * said is written, or nobody reads `out` any more. The end of `in` is passed on by shutting the
 * socket down for writing: the other side then decides when to end. `socket` is non-blocking; the
 * flags of `in` and `out`, which others may share, are left alone. Returns 0, or a negative errno
 * where a descriptor fails in another way than by ending. */
int bridge_relay(int in, int out, int socket);
