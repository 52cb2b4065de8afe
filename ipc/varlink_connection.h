/* What server, connection and call know of each other; nobody else includes it. */
#pragma once

#include "ipc/quota.h"
#include "ipc/varlink_message.h"
#include "ipc/varlink_observer.h"
#include "ipc/varlink_server.h"

#include "common/histogram.h"
#include "common/log_limit.h"

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
    bool is_running;                /* its message is still there */
    struct json_object *parameters; /* NULL: nobody has asked for them */
    char *room;                     /* of strings of the parameters; NULL: none was read */
    struct json_object *unsent;     /* the newest reply of a stream that found the peer slow */
    bool more, oneway;
    bool streaming; /* counted as a stream of its uid */
    void (*cancelled)(struct varlink_call *, void *);
    void *cancel_userdata;
    void (*drained)(struct varlink_call *, void *);
    void *drained_userdata;
    struct varlink_call_parts parts; /* what `name` is borrowed from; the last member */
};

struct varlink_connection {
    uv_pipe_t pipe; /* .data: the connection */
    struct varlink_server *server;
    TAILQ_ENTRY(varlink_connection) all;
    TAILQ_ENTRY(varlink_connection)
    waiting; /* in its account's list, or in the server's `ending` */
    uint64_t id;
    uid_t uid;
    pid_t pid;
    struct quota_account *account;
    unsigned outstanding_counted; /* what of the account is this connection's */
    size_t bytes_counted;
    uint64_t calls, bytes_in, bytes_out;
    uint64_t opened,
        active; /* on the loop's clock: since when, and when last a call began or ended */
    struct varlink_reader reader;
    struct varlink_call *call; /* the one whose handler has not answered yet */
    varlink_deadline message_deadline, call_deadline, idle_deadline;
    int broken;   /* a negative errno: to be ended as soon as no handler is on the stack */
    bool closing; /* uv_close() was called */
    bool reading, is_waiting, is_ending;
    bool taking; /* calls are being taken: an answer need not ask for the next one */
};

struct varlink_listener {
    uv_poll_t poll; /* .data: the listener */
    struct varlink_server *server;
    int fd;
    varlink_deadline resume_deadline; /* set: it pauses */
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
    /* varlink_turn.c */
    TAILQ_HEAD(, varlink_connection) ending; /* broken ones */
    TAILQ_HEAD(, quota_account) ring;        /* those with connections that wait for their turn */
    size_t at_once; /* bytes that may still be handled without a turn before the loop polls again */
    uv_idle_t turn; /* active only while somebody waits */
    uv_prepare_t before; /* .data: the server */
    /* varlink_deadline.c */
    uv_timer_t timer; /* active only while there are deadlines */
    varlink_deadline timer_due;
    size_t deadline_count;
    uint64_t next_id;
    int64_t now_us; /* of the last varlink_server_tick() */
    varlink_observe observe;
    void *observe_userdata;
    bool observing;
    struct log_limit refusals;
    bool closing;
    unsigned open_handles; /* uv handles whose close callback is yet to run */
    void (*closed)(void *);
    void *closed_userdata;
    struct buffer message; /* that is being sent: no other is made meanwhile */
    struct buffer held;    /* answers of the connection that takes calls, to go out together */
    char
        chunk[VARLINK_READ_CHUNK]; /* of whoever reads now: libuv hands it out and back in one go */
};

/* ---- varlink_server.c ---- */

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

/* ---- varlink_deadline.c ---- */

/** Sets it anew, or again. The parts of the server that have one look after it when it is due. */
void varlink_server_set_deadline(
    struct varlink_server *server, varlink_deadline *deadline, uint64_t after_ms);
void varlink_server_clear_deadline(struct varlink_server *server, varlink_deadline *deadline);

/** The timer's callback. */
void varlink_server_check_deadlines(uv_timer_t *timer);

/* ---- varlink_listener.c ---- */

void varlink_listener_close(struct varlink_listener *listener);

/** Listens again after a pause, if that is over at `now`. */
void varlink_listener_check_deadline(struct varlink_listener *listener, uint64_t now);

/* ---- varlink_turn.c ---- */

void varlink_turn_init(struct varlink_server *server);
void varlink_turn_close(struct varlink_server *server);

/** Has varlink_connection_run() called for it from the loop when it is its uid's turn; a broken
 * one is ended from the loop instead, out of turn. */
void varlink_turn_wait(struct varlink_connection *connection);
void varlink_turn_leave(struct varlink_connection *connection);

/** Whether what came just now, `size` bytes of it, may be handled at once. */
bool varlink_turn_is_free(struct varlink_connection *connection, size_t size);

/** Whether its turn goes on, after it began at `began_us` of the server's clock. */
bool varlink_turn_goes_on(const struct varlink_connection *connection, int64_t began_us);

/** Whether the uid may have one more message handled; if not, it pauses. */
bool varlink_turn_has_tokens(struct varlink_connection *connection);

/** Takes what a message of `size` bytes costs. */
void varlink_turn_pay(struct varlink_connection *connection, size_t size);

/** Takes what it costs besides, once it is known to be a call of this method. */
void varlink_turn_pay_method(struct varlink_connection *connection, const struct method *method);

bool varlink_turn_is_paused(const struct varlink_connection *connection);

/** Ends the pause of a uid, if it is over at `now`. */
void varlink_turn_check_deadline(
    struct varlink_server *server, struct quota_account *account, uint64_t now);

/* ---- varlink_usage.c ---- */

/** Calls that are not answered yet: the open one and those behind it. */
unsigned varlink_connection_outstanding(const struct varlink_connection *connection);

/** Brings the account of its uid up to date with what it uses. Where the uid has too many bytes in
 * flight, the connection of it that has most is broken. */
void varlink_usage_count(struct varlink_connection *connection);

/** Whether so many calls are open that no more may be read: of all connections of its uid, or of
 * either. */
bool varlink_usage_uid_is_full(const struct varlink_connection *connection);
bool varlink_usage_is_full(const struct varlink_connection *connection);

/** A call begins or is over. */
void varlink_usage_is_active(struct varlink_connection *connection);

/** A stream of this uid begins (1) or is over (-1): while it has one, its connections may be idle.
 */
void varlink_usage_count_stream(struct varlink_connection *connection, int change);

/** Sets the deadline for its first message or its next one, where it may not be idle for ever. */
void varlink_usage_watch_idle(struct varlink_connection *connection);

/** Returns 0, or a negative errno where it has been idle for too long at `now`. */
int varlink_usage_check_idle(struct varlink_connection *connection, uint64_t now);

/* ---- varlink_connection.c ---- */

/** Serves a connected descriptor. Adopts it. Returns 0; -EDQUOT, -EUSERS or -EBUSY, logged, where
 * the peer has its share; another negative errno. */
int varlink_connection_open(struct varlink_server *server, int fd);

/** Takes the next calls. Never on a handler's stack. */
void varlink_connection_run(struct varlink_connection *connection);

/** Cuts the peer off, says why, once no handler is on the stack. */
void varlink_connection_break(struct varlink_connection *connection, int error);

/** Ends a broken one. Never on a handler's stack. */
void varlink_connection_end_broken(struct varlink_connection *connection);

/** Cancels the open call and closes. Never on a handler's stack, but for varlink_server_close(). */
void varlink_connection_end(struct varlink_connection *connection);

/** Ends whatever is overdue at `now`. */
void varlink_connection_check_deadlines(struct varlink_connection *connection, uint64_t now);

/* ---- varlink_writer.c ---- */

/** Sends a reply without waiting, and queues the rest; while more calls are there to be taken, it
 * may be held until they are. `error` NULL: a good one. Never runs a
 * callback. Returns the message's size, NUL included; 0 where it is not sent. */
size_t varlink_connection_send(
    struct varlink_connection *connection, const char *error,
    const struct varlink_parameters *parameters, bool continues);

/** Sends the answers that were held while calls were taken: whoever has sent some at once is woken
 * once. */
void varlink_connection_send_held(struct varlink_connection *connection);

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
    struct varlink_server *server, enum varlink_event_kind kind, uint64_t id, uid_t uid, pid_t pid,
    int reason);
void varlink_statistics_show_call(
    const struct varlink_call *call, struct json_object *parameters, size_t size);
void varlink_statistics_show_reply(
    const struct varlink_call *call, const char *error, struct json_object *parameters,
    bool continues, size_t size, int64_t latency_us);

/* ---- varlink_service.c ---- */

extern const struct varlink_interface varlink_service_interface;
extern const struct method *const varlink_service_methods[];
extern const size_t varlink_service_method_count;
