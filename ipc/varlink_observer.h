/* What goes on in a server: each connection and message as it happens, and what has been counted.
 * For io.devtrust.Debug; costs next to nothing while nobody looks. */
#pragma once

#include "ipc/varlink_server.h"

enum varlink_event_kind {
    VARLINK_EVENT_OPENED,
    VARLINK_EVENT_CLOSED,
    VARLINK_EVENT_REFUSED, /* a connection that was not taken */
    VARLINK_EVENT_CALL,
    VARLINK_EVENT_REPLY,
};

struct varlink_event {
    enum varlink_event_kind kind;
    uint64_t connection;
    uid_t uid;
    pid_t pid;
    const char *method;       /* as called; NULL: none */
    const struct method *row; /* NULL: not in the table */
    const char *error;        /* REPLY: the error's name, NULL: a good one */
    bool more, oneway, continues;
    size_t size; /* bytes of the message, NUL included; 0: an answer that is not sent, for its call
                    was oneway or its peer is gone */
    int64_t latency_us;             /* REPLY: since its call was taken; else -1 */
    struct json_object *parameters; /* borrowed, may be NULL; read only */
    int reason;                     /* CLOSED, REFUSED: negative errno, 0: the peer left */
};

/** A CALL is seen before its handler runs. The observer runs on anybody's stack: it may notify a
 * stream (what it causes itself is not observed), but must not answer a call or close the server.
 */
typedef void (*varlink_observe)(const struct varlink_event *event, void *userdata);

/** One at a time; NULL: none. */
void varlink_server_set_observer(
    struct varlink_server *server, varlink_observe observe, void *userdata);

/* Latencies: from a call's arrival to its first answer, over the last one to two minutes, within
 * an eighth; 0: none. */
struct varlink_method_info {
    const char *method;
    uint64_t calls, errors;
    unsigned open; /* calls not yet answered to the end */
    int64_t p50_us, p90_us, p99_us, max_us;
};

/** Calls `visit` for each method of the table, by name. */
void varlink_server_each_method(
    struct varlink_server *server, void (*visit)(const struct varlink_method_info *, void *),
    void *userdata);

/* What a uid uses of its limits now, and what it was refused or made to wait for so far. */
struct varlink_uid_info {
    uid_t uid;
    unsigned connections, outstanding;
    size_t bytes;
    unsigned messages_left; /* before its next message waits; root's never do */
    uint64_t refused, delayed;
};

/** Calls `visit` for each uid that has, or lately had, a connection. */
void varlink_server_each_uid(
    struct varlink_server *server, void (*visit)(const struct varlink_uid_info *, void *),
    void *userdata);
