/* A Varlink client on a libuv loop, and a blocking one for command-line tools. */
#pragma once

#include "common/json_fields.h"
#include "common/secret.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

struct varlink_client;

/** `error` NULL: a reply with `parameters`; `continues`: more will come. `error`
 * "io.devtrust.Local.Disconnected": the connection ended before the answer (parameters NULL).
 * `parameters` is borrowed. */
#define VARLINK_ERROR_DISCONNECTED "io.devtrust.Local.Disconnected"
typedef void (*varlink_reply)(
    struct varlink_client *client, struct json_object *parameters, const char *error,
    bool continues, void *userdata);

/** Connects to a Unix socket (non-blocking). Ignores SIGPIPE in this process (unless somebody
 * handles it). Refuses a peer whose uid is not `peer_uid` with -EPERM. `disconnected` runs once
 * when the connection ends, after the callbacks of all open calls; then the client is closed with
 * varlink_client_close(). Returns 0 or a negative errno (-ENOENT, -ECONNREFUSED, -EPERM, -EAGAIN:
 * the server's backlog is full …). */
int varlink_client_connect(
    uv_loop_t *loop, const char *path, uid_t peer_uid,
    void (*disconnected)(struct varlink_client *, void *), void *userdata,
    struct varlink_client **ret);

/** The same over a descriptor that is connected already, whoever is at its other end: owns `fd`
 * from the call on. Returns 0 or a negative errno. */
int varlink_client_open_fd(
    uv_loop_t *loop, int fd, void (*disconnected)(struct varlink_client *, void *), void *userdata,
    struct varlink_client **ret);

/** Sends a call; replies come in call order, never from inside this function. Owns `parameters`
 * (NULL: none). Returns 0, -ENOTCONN, -EMSGSIZE (over VARLINK_CALL_MAX), -ENOMEM, -EBUSY
 * (VARLINK_CLIENT_MAX_CALLS are open). */
#define VARLINK_CLIENT_MAX_CALLS 64
int varlink_client_call(
    struct varlink_client *client, const char *method, struct json_object *parameters, bool more,
    varlink_reply reply, void *userdata);

/** Closes without callbacks, also from inside one; `client` must not be used again. NULL is
 * allowed. */
void varlink_client_close(struct varlink_client *client);

/* ---- blocking ---- */
struct varlink_stream;

/** Connects; `timeout_ms` bounds every wait, this one too (-1: none). Errors as above, and
 * -ETIMEDOUT. */
int varlink_stream_open(
    const char *path, uid_t peer_uid, int timeout_ms, struct varlink_stream **ret);
struct varlink_stream *varlink_stream_free(struct varlink_stream *stream);

/** The same over a descriptor that is connected already, whoever is at its other end: owns `fd`,
 * a socket, from the call on, and lets it block. Returns 0 or a negative errno. */
int varlink_stream_open_fd(int fd, int timeout_ms, struct varlink_stream **ret);

/** Its descriptor, which blocks, for who carries bytes and not messages; it stays the stream's. */
int varlink_stream_fd(const struct varlink_stream *stream);

/** Sends one call. Owns `parameters`. Returns 0, -EMSGSIZE, -ENOMEM, -ETIMEDOUT, -ECONNRESET. */
int varlink_stream_send(
    struct varlink_stream *stream, const char *method, struct json_object *parameters, bool more,
    bool oneway);

/** The same with the object that a table makes of a struct (see json_fields_write()). */
int varlink_stream_send_fields(
    struct varlink_stream *stream, const char *method, const struct json_field *table, size_t count,
    const void *fields);

/** Sends the text of a whole call, without its NUL, that no copy is made of: it holds a secret.
 * Errors as above. */
int varlink_stream_send_secret(struct varlink_stream *stream, const struct secret *message);

/** Waits for one reply. *ret_error is NULL for a good one. Both outputs are the caller's
 * (json_object_put, free). Returns 0, -ETIMEDOUT, -ECONNRESET (the connection ended), -EBADMSG,
 * -EMSGSIZE (over VARLINK_REPLY_MAX), -ENOMEM. */
int varlink_stream_receive(
    struct varlink_stream *stream, struct json_object **ret_parameters, char **ret_error,
    bool *ret_continues);

/** Waits for the one reply to a call and reads it by a table into a struct, without making objects
 * (see json_fields_read_text()). *ret_error is NULL for a good one; for another the struct is
 * untouched. It and the strings are good until the stream receives again. Errors as above, -EBADMSG
 * for what the table does not read and for a reply that others follow, -ENOTSUP. */
int varlink_stream_receive_fields(
    struct varlink_stream *stream, const struct json_field *table, size_t count, void *ret_struct,
    const char **ret_error);
