/* One call to the daemon, and what its failures mean for a person. */
#pragma once

#include "ipc/ctl/ctl.h"

#include "ipc/varlink_client.h"

#include "common/cleanup.h"
#include "common/secret.h"

/** Connects to the daemon and checks who it is; or starts the program of --bridge, behind which
 * nothing can be checked from here. Returns CTL_GOOD and *ret, or an exit status after having said
 * why. */
int ctl_connect(struct ctl *ctl, struct varlink_stream **ret);

/** Starts the program of --bridge. Returns CTL_GOOD and a descriptor that stands for the daemon's
 * socket, or an exit status after having said why. */
int ctl_open_bridge(struct ctl *ctl, int *ret_fd);

/** Says why there is no connection (what varlink_stream_open() or varlink_client_connect()
 * returned). Returns the exit status. */
int ctl_explain_connect(struct ctl *ctl, int r);

/** Connects, calls, waits for the one answer. Owns `parameters` (NULL: none). Returns CTL_GOOD and
 * *ret (json_object_put), or an exit status after having said why. */
int ctl_call(
    struct ctl *ctl, const char *method, struct json_object *parameters, struct json_object **ret);

/** The same for a method that takes --user, or nobody in particular. */
int ctl_call_with_user(
    struct ctl *ctl, const char *method, const struct ctl_arguments *arguments,
    struct json_object **ret);

/** The same over a connection that is there already, for commands of several calls. */
int ctl_call_on(
    struct ctl *ctl, struct varlink_stream *stream, const char *method,
    struct json_object *parameters, struct json_object **ret);

/** The same as ctl_call() with the text of a whole message, which holds a secret. */
int ctl_call_secret(struct ctl *ctl, const struct secret *message, struct json_object **ret);

/** Says what an error of the daemon means. Returns the exit status. */
int ctl_explain_error(struct ctl *ctl, const char *error, struct json_object *parameters);

/** Says why no answer came (what varlink_stream_send() or _receive() returned). Returns the exit
 * status. */
int ctl_explain_loss(struct ctl *ctl, int r);

DEFINE_CLEANUP(struct varlink_stream *, varlink_stream_free);
DEFINE_CLEANUP(struct secret *, secret_free);
#define CLEANUP_STREAM CLEANUP(varlink_stream_free_ptr)
#define CLEANUP_SECRET_LOCAL CLEANUP(secret_free_ptr)
