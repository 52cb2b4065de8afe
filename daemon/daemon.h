/* devtrustd as a whole: owns every part and ties them together on one loop. The IPC handlers get it
 * as their userdata. */
#pragma once

#include "daemon/agents.h"
#include "daemon/daemon_config.h"
#include "daemon/inspections.h"
#include "daemon/log_ring.h"
#include "daemon/machine_events.h"
#include "daemon/monitor.h"
#include "daemon/policy.h"
#include "daemon/server_link.h"
#include "daemon/user_store.h"
#include "daemon/users.h"

#include "ipc/varlink_server.h"

#include <uv.h>

struct daemon {
    const struct daemon_config *config;
    uv_loop_t *loop;
    int state_dir_fd, lock_fd;
    struct varlink_server *server;
    struct server_link *link; /* NULL once it closes */
    struct policy *policy;
    struct user_store *store;
    struct agents *agents;
    struct users *users;
    struct inspections *inspections;
    struct log_ring *log_ring;
    struct monitor *monitor;
    struct machine_events *events;    /* NULL: nobody tells */
    struct varlink_call *enroll_call; /* waits for the enrolment; NULL: none does */
    int64_t started_ms;               /* on the monotonic clock */
    uv_thread_t thread;               /* the loop's */
    uv_timer_t quiet;                 /* gives memory back when a burst is over */
    bool quiet_open;
    bool connected;            /* the push stream, when last looked */
    int64_t unreachable_since; /* seconds since 1970; 0: it is connected, or not enrolled */
    char enrolled_as[37];      /* the device's UUID, when last looked; empty: none */
    bool clock_differs;
    bool closing;
};

/** Opens the state, starts to listen, then connects to the server. `directory_owner`: who must own
 * policy directories (0). Returns 0 or a negative errno, logged; daemon_close() in both cases. */
int daemon_open(
    struct daemon *daemon, uv_loop_t *loop, const struct daemon_config *config,
    uid_t directory_owner);

/** Closes everything; the loop runs empty. */
void daemon_close(struct daemon *daemon);

/** After the loop has run empty. */
void daemon_free(struct daemon *daemon);

/** The hold has been set or ended, or the device enrolled anew: looks again. */
void daemon_refresh_hold(struct daemon *daemon);
