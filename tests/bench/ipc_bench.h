/* What the parts of the IPC benchmark share. A side is one way in which two processes speak: a
 * service in a child process that gives back the text it was sent, and a client in this one. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define IPC_BENCH_WINDOW 16 /* calls in flight: as many as the product's server takes */

/* How many more to send, with so many in flight: all at once, when half of them are answered. */
#define IPC_BENCH_REFILL(in_flight_)                                                               \
    ((in_flight_) > IPC_BENCH_WINDOW / 2 ? 0 : IPC_BENCH_WINDOW - (in_flight_))

/* How the two processes of a side reach each other; made before the fork. */
struct ipc_bench_link {
    int client_fd, server_fd; /* -1: the client connects to `path` */
    char path[64];
};

struct ipc_bench_side {
    const char *name;
    void (*open)(struct ipc_bench_link *link);
    void (*serve)(const struct ipc_bench_link *link, size_t size); /* in the child, until killed */
    void *(*connect)(const struct ipc_bench_link *link);
    void (*call)(void *peer, const char *text); /* one round trip */
    /* `calls` of them with IPC_BENCH_WINDOW in flight; NULL: has no such thing */
    void (*pipeline)(void *peer, const char *text, unsigned calls);
};

extern const struct ipc_bench_side ipc_bench_raw, ipc_bench_sdbus, ipc_bench_bare;
extern const struct ipc_bench_side ipc_bench_varlink;    /* the blocking client */
extern const struct ipc_bench_side ipc_bench_varlink_uv; /* the client on a loop */

/** A socket pair; what most sides use. */
void ipc_bench_open_pair(struct ipc_bench_link *link);

/** A measurement that goes wrong measures nothing. */
#define IPC_BENCH_CHECK(condition)                                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "ipc_bench: %s:%d: %s\n", __FILE__, __LINE__, #condition);             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
