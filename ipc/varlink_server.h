/* A Varlink service on a libuv loop: connections, limits, dispatch by method table, replies in call
 * order. Source: varlink.org (Interface Definition, Method Call); the facts about what varlinkctl
 * and python-varlink need. */
#pragma once

#include "method_table.h"
#include "rate_bucket.h"

#include "common/json_fields.h"

#include <json-c/json_object.h>
#include <sys/types.h>
#include <uv.h>

struct varlink_server;
struct varlink_call;

/** The answer to a call whose handler did not answer within method.deadline_ms; parameters:
 * deadline_ms. */
#define VARLINK_ERROR_TIMEOUT "io.devtrust.Local.Timeout"

/** For handlers that cannot build their answer. */
#define VARLINK_ERROR_NO_MEMORY "io.devtrust.Local.NoMemory"

struct varlink_interface {
    const char *name;        /* "io.devtrust.Agent" */
    const char *description; /* the .varlink file as it stands */
};

/* Nothing is lost at a limit that makes a uid wait: it is only not read. root has no rates. */
struct varlink_limits {
    unsigned connections_per_uid; /* 16 */
    unsigned connections;     /* 1024; the last connections_per_uid of them are kept for root, and
                                 the second half for it and who is_managed says */
    size_t message_bytes;     /* 64 KiB */
    size_t write_queue_bytes; /* 1 MiB */
    size_t bytes_per_uid; /* 2 MiB: of all its connections, what is kept of messages and what waits
                             to be read; past it the connection that has most of them ends */
    unsigned outstanding_per_connection; /* 16: calls not yet answered; reading stops there */
    unsigned outstanding_per_uid; /* 64: of all its connections; past it each may have only one */
    struct rate
        messages_per_uid; /* 200 a second after 400; each 256 bytes of one count as one more */
    struct rate connects_per_uid; /* 100 a second after 200; past it they are closed at once */
    unsigned first_message_ms;    /* 10000: a message must have come */
    unsigned partial_message_ms;  /* 5000: a message must be complete */
    unsigned idle_ms; /* 60000: a call must be open, or the uid have a stream on some connection */
};
extern const struct varlink_limits varlink_limits_default;

struct varlink_server_options {
    const char *vendor, *product, *version, *url;
    const struct varlink_interface *interfaces; /* org.varlink.service is added by itself */
    size_t interface_count;
    const struct method *const *methods; /* every method of every interface, checked at start */
    size_t method_count;
    struct varlink_limits limits;
    bool introspection_only; /* every method but org.varlink.service's is MethodNotImplemented */
    /** For METHOD_MANAGED (NULL: nobody but root), and for the share of connections (NULL:
     * everybody). */
    bool (*is_managed)(uid_t uid, void *userdata);
    void *userdata; /* of the handlers and of is_managed */
};

/** Copies what `options` points to, but not the texts and the rows: those must outlive it. Calls of
 * one connection are handled one after the other: the next handler runs when the call before it is
 * answered. Ignores SIGPIPE in this process (unless somebody handles it). Returns 0; -EINVAL where
 * an interface has a method without a row, or a row without a method (logged by name), or a limit
 * is 0. */
int varlink_server_new(
    uv_loop_t *loop, const struct varlink_server_options *options, struct varlink_server **ret);

/** Listens on an already listening descriptor (transport_listen, socket activation). Adopts it. */
int varlink_server_listen_fd(struct varlink_server *server, int fd);

/** Serves one connected descriptor (the exec: style, and tests with socketpair). Adopts it. */
int varlink_server_add_connection_fd(struct varlink_server *server, int fd);

/** Stops listening, cancels every open call, closes every connection; `closed` (may be NULL) runs
 * on the loop when nothing is left and the server is freed. */
void varlink_server_close(struct varlink_server *server, void (*closed)(void *), void *userdata);

/** Calls `visit` for each open connection (io.devtrust.Debug). */
struct varlink_connection_info {
    uint64_t id;
    uid_t uid;
    pid_t pid;
    uint64_t calls, bytes_in, bytes_out;
    unsigned outstanding;
    uint64_t age_ms;
    const char *stream; /* the method of its open stream; NULL: none */
};
void varlink_server_each_connection(
    struct varlink_server *server,
    void (*visit)(const struct varlink_connection_info *info, void *userdata), void *userdata);

/* ---- a call ---- */

/** The kernel's word on the caller. */
uid_t varlink_call_uid(const struct varlink_call *call);
const char *varlink_call_method(const struct varlink_call *call);

/** Reads the parameters by a table into a struct; its strings and objects are borrowed until the
 * call is answered. To be used before the handler returns, since the message is gone then. Returns
 * 0; or a negative errno where it has answered the call: with org.varlink.service.InvalidParameter,
 * or VARLINK_ERROR_NO_MEMORY. Makes no objects where the table has none, as
 * json_fields_read_text(). */
int varlink_call_read_parameters(
    struct varlink_call *call, const struct json_field *table, size_t count, void *ret_struct);

/** The parameters as an object, borrowed until the call is answered. It is made when somebody asks
 * for it, and that must be before the handler returns. NULL: memory is out, or it is too late. */
struct json_object *varlink_call_parameters(struct varlink_call *call);

/** Ends the call with a reply. Owns `parameters` (NULL: {}). A oneway call sends nothing. The call
 * is invalid afterwards. */
void varlink_call_reply(struct varlink_call *call, struct json_object *parameters);

/** The same with the object that a table makes of a struct (see json_fields_write()). */
void varlink_call_reply_fields(
    struct varlink_call *call, const struct json_field *table, size_t count, const void *fields);

/** Ends the call with an error, "io.devtrust.Agent.TooSoon". Owns `parameters` (NULL: {}). */
void varlink_call_error(
    struct varlink_call *call, const char *error, struct json_object *parameters);

/** Ends the call with org.varlink.service.InvalidParameter. */
void varlink_call_invalid_parameter(struct varlink_call *call, const char *parameter);

/** One more reply of a stream (continues: true). Where the peer is slow, only the newest not yet
 * sent is kept. Owns `parameters`. Only for methods with `stream`. Never runs a callback: a peer
 * that is gone is noticed by the loop. */
void varlink_call_notify(struct varlink_call *call, struct json_object *parameters);

/** Called once if the call ends without an answer of the handler: the peer left, the deadline
 * passed, the server closes. The call is invalid afterwards. Every handler that answers later must
 * set it. */
void varlink_call_on_cancel(
    struct varlink_call *call, void (*cancelled)(struct varlink_call *, void *), void *userdata);

/* ---- a stream that must not lose replies ---- */

/** Whether something waits for the peer to read: varlink_call_notify() would put its reply in the
 * place of one that was not sent. */
bool varlink_call_is_congested(const struct varlink_call *call);

/** `drained` is called from the loop each time that nothing waits to be read by the peer any more.
 * It may notify and end the call. NULL: no more. */
void varlink_call_on_drained(
    struct varlink_call *call, void (*drained)(struct varlink_call *, void *), void *userdata);
