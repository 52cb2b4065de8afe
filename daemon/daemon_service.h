/* What devtrustd offers on a socket, and how it comes by one: made by itself, passed on by the
 * service manager, or already connected (the exec: way of Varlink). */
#pragma once

#include "ipc/varlink_server.h"

/** Tables, names and limits; connections as many as this process may have descriptors for. The
 * caller adds `is_managed` and `userdata`. */
struct varlink_server_options daemon_service_options(void);

/** A listening descriptor: the one that was passed on, or one made at `path`. Returns it, or a
 * negative errno, logged with what to do. */
int daemon_service_listen(const char *path);

/** Whether somebody has passed on a connection instead of a listening socket (LISTEN_FDS, as
 * varlinkctl does for exec:). */
bool daemon_service_is_exec(void);

/** Serves that connection until it ends: who this is and its interfaces. Every other method answers
 * MethodNotImplemented, since nothing of the device is touched. Returns 0 or a negative errno. */
int daemon_service_exec(void);
