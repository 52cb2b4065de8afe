/* What server, connection and call know of each other; nobody else includes it. */
#pragma once

#include "ipc/quota.h"
#include "ipc/varlink_message.h"
#include "ipc/varlink_observer.h"
#include "ipc/varlink_server.h"

#include "common/histogram.h"

#include <sys/queue.h>

#define VARLINK_READ_CHUNK ((size_t)16 * 1024)

/* A moment on the loop's clock (ms) at which something must be over; 0: none. */
typedef uint64_t varlink_deadline;

/* A row of the table and what was counted for it. */
struct varlink_method {
    const struct method *row;
    uint64_t calls, errors;
    unsigned open;
    struct histogram_window *latency; /* NULL: never answered */
};

struct varlink_call {
    struct varlink_connection *connection;
    const char *name;                  /* as called; NULL: none */
    const struct method *method;       /* NULL: not in the table */
    struct varlink_method *statistics; /* NULL: not in the table */
    int64_t taken_us;
    bool answered;                  /* the first answer was given */
    struct json_object *message;    /* the parts below are borrowed from it */
    struct json_object *parameters; /* NULL: none came, none was asked for yet */
    struct json_object *unsent;     /* the newest reply of a stream that found the peer slow */
    bool more, oneway;
    void (*cancelled)(struct varlink_call *, void *);
    void *cancel_userdata;
    void (*drained)(struct varlink_call *, void *);
    void *drained_userdata;
};

struct varlink_connection {
    uv_pipe_t pipe; /* .data: the connection */
    struct varlink_server *server;
    TAILQ_ENTRY(varlink_connection) all, ready;
    uint64_t id;
    uid_t uid;
    pid_t pid;
    struct quota_account *account; /* NULL: refused */
    unsigned outstanding_counted;  /* what of the account is this connection's */
    size_t bytes_counted;
    uint64_t calls, bytes_in, bytes_out;
    uint64_t opened; /* on the loop's clock */
    struct varlink_reader reader;
    struct varlink_call *call; /* the one whose handler has not answered yet */
    varlink_deadline message_deadline, call_deadline;
    int broken;   /* a negative errno: to be ended as soon as no handler is on the stack */
    bool closing; /* uv_close() was called */
    bool reading, is_ready;
    bool taking; /* calls are being taken: an answer need not ask for the next one */
};

struct varlink_listener {
    uv_pipe_t pipe; /* .data: the server */
    TAILQ_ENTRY(varlink_listener) all;
};

struct varlink_server {
    uv_loop_t *loop;
    struct varlink_server_options options; /* interfaces and methods are the two below */
    struct varlink_interface *interfaces;
    size_t interface_count;
    struct varlink_method *methods; /* sorted by name */
    size_t method_count;
    struct quota quota;
    TAILQ_HEAD(, varlink_listener) listeners;
    TAILQ_HEAD(, varlink_connection) connections;
    TAILQ_HEAD(, varlink_connection)
    ready;               /* have something to do that must not be done on a handler's stack */
    uv_idle_t run_ready; /* active only while `ready` has members */
    uv_timer_t timer;    /* active only while there are deadlines */
    varlink_deadline timer_due;
    size_t deadline_count;
    uint64_t next_id;
    int64_t now_us; /* of the last varlink_server_tick() */
    varlink_observe observe;
    void *observe_userdata;
    bool observing;
    uint64_t refusals_since; /* loop time of the minute whose refusals are counted */
    unsigned refusals;
    bool closing;
    unsigned open_handles; /* uv handles whose close callback is yet to run */
    void (*closed)(void *);
    void *closed_userdata;
    char
        chunk[VARLINK_READ_CHUNK]; /* of whoever reads now: libuv hands it out and back in one go */
};

/* ---- varlink_server.c ---- */

void varlink_server_set_deadline(
    struct varlink_server *server, varlink_deadline *deadline, uint64_t after_ms);
void varlink_server_clear_deadline(struct varlink_server *server, varlink_deadline *deadline);

/** Runs varlink_connection_run() for it from the loop. */
void varlink_server_make_ready(
    struct varlink_server *server, struct varlink_connection *connection);

void varlink_server_remove_ready(
    struct varlink_server *server, struct varlink_connection *connection);

/** One uv handle less; frees the server after the last one. */
void varlink_server_handle_closed(struct varlink_server *server);

/** Says in the log that a peer was refused or cut off; at most a few times a minute, since peers
 * can cause it. */
void varlink_server_log_refusal(
    struct varlink_server *server, const char *text, uid_t uid, pid_t pid, int error);

/** NULL: no such method. */
struct varlink_method *varlink_server_find_method(
    const struct varlink_server *server, const char *name);
const struct varlink_interface *varlink_server_find_interface(
    const struct varlink_server *server, const char *name, size_t length);

/* ---- varlink_connection.c ---- */

/** Takes the connection that waits at a listener. Returns 0; -EDQUOT or -EUSERS, logged, where the
 * peer has its share; another negative errno. */
int varlink_connection_accept(struct varlink_server *server, uv_stream_t *listener);

/** Calls that are not answered yet: the open one and those behind it. */
unsigned varlink_connection_outstanding(const struct varlink_connection *connection);

/** Takes the next calls, or ends a broken connection. Never on a handler's stack. */
void varlink_connection_run(struct varlink_connection *connection);

/** Cancels the open call and closes. Never on a handler's stack, but for varlink_server_close(). */
void varlink_connection_end(struct varlink_connection *connection);

/** Ends whatever is overdue at `now`. */
void varlink_connection_check_deadlines(struct varlink_connection *connection, uint64_t now);

/** Sends without waiting, and queues the rest. Owns `message` (NULL: memory was out). Never runs a
 * callback. Returns the message's size, NUL included; 0 where it is not sent. */
size_t varlink_connection_send(struct varlink_connection *connection, struct json_object *message);

/** Brings the account of its uid up to date with what it uses. */
void varlink_connection_count(struct varlink_connection *connection);

/** Whether bytes wait for the peer to read. */
bool varlink_connection_is_congested(const struct varlink_connection *connection);

/* ---- varlink_call.c ---- */

/** Handles one message: finds the method, checks, and runs the handler. Returns 0, or a negative
 * errno where the peer does not speak the protocol. */
int varlink_call_dispatch(struct varlink_connection *connection, const char *text, size_t size);

/** Tells the handler that nobody waits any more, and frees the call. */
void varlink_call_cancel(struct varlink_call *call);

/** Cancels, then answers VARLINK_ERROR_TIMEOUT. */
void varlink_call_time_out(struct varlink_call *call);

/** The peer has read everything: sends the newest reply of a stream that had to wait, or tells the
 * handler. The call may be over afterwards. */
void varlink_call_drain(struct varlink_call *call);

/* ---- varlink_statistics.c ---- */

/** Reads the clock: microseconds that never go back. The server's `now_us` is then at most one call
 * old. */
int64_t varlink_server_tick(struct varlink_server *server);

void varlink_statistics_begin(struct varlink_method *method);
void varlink_statistics_answer(
    struct varlink_method *method, int64_t now_us, int64_t latency_us, bool first, bool failed);
void varlink_statistics_end(struct varlink_method *method);

/* Only where the server has an observer. */
void varlink_statistics_show_connection(
    const struct varlink_connection *connection, enum varlink_event_kind kind, int reason);
void varlink_statistics_show_call(
    const struct varlink_call *call, struct json_object *parameters, size_t size);
void varlink_statistics_show_reply(
    const struct varlink_call *call, const char *error, struct json_object *parameters,
    bool continues, size_t size, int64_t latency_us);

/* ---- varlink_service.c ---- */

extern const struct varlink_interface varlink_service_interface;
extern const struct method *const varlink_service_methods[];
extern const size_t varlink_service_method_count;
