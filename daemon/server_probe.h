/* Asks the server once, as this device and over a connection of its own, whether all is well on the
 * way: reachable, TLS, pin, identity, clock, and which desired state it has. What it finds changes
 * nothing. Whoever asks while a probe runs gets its answer; and two probes begin half a second
 * apart at least, so that a local user who asks in a loop is no burden to the server. */
#pragma once

#include "daemon/desired_state.h"
#include "daemon/http_client.h"

#include "common/clock.h"

#include <uv.h>

#define SERVER_PROBE_DEADLINE_MS 10000
#define SERVER_PROBE_REST_MS 500
#define SERVER_PROBE_MAX_DETAIL 257 /* bytes, with NUL */

struct server_probe;

struct server_probe_answer {
    enum reason reason; /* NONE: the server gave a desired state; SERVER_TIMEOUT: nothing in time */
    int status;         /* HTTP's; 0: no answer */
    char detail[SERVER_PROBE_MAX_DETAIL]; /* more on the reason, escaped; may be empty */
    int64_t date_s;                       /* the server's Date; 0: none */
    int64_t wall_s;                       /* this machine's clock at that moment */
    int64_t latency_ms;
    const struct desired_state *state; /* NONE: the server's; borrowed by the callback */
};
typedef void (*server_probe_done)(const struct server_probe_answer *answer, void *userdata);

/** `clock` outlives it. `deadline_ms`: 0: SERVER_PROBE_DEADLINE_MS. Returns 0 or a negative errno.
 */
int server_probe_new(
    uv_loop_t *loop, const struct clock_source *clock, uint64_t deadline_ms,
    struct server_probe **ret);

/** Cancels what runs, without callbacks; `closed` runs when the loop holds nothing of it. NULL is
 * fine. */
void server_probe_close(struct server_probe *probe, void (*closed)(void *), void *userdata);

/** Answers `done` once, from the loop, within SERVER_PROBE_REST_MS + SERVER_PROBE_DEADLINE_MS.
 * `options`: the identity and the trust, whose loop and callbacks are not used; `url`: the
 * server's; `device`: whose the state must be; both copied. A probe that runs under another
 * certificate is begun anew under this one. Returns 0, -EBUSY (SERVER_PROBE_MAX_WAITING ask
 * already), or another negative errno. */
#define SERVER_PROBE_MAX_WAITING 64
int server_probe_ask(
    struct server_probe *probe, const struct http_client_options *options, const char *url,
    const char *device, server_probe_done done, void *userdata);

/** The device has another identity now: a probe that runs is begun anew under it, so that nobody is
 * told what the server says to the old one. */
void server_probe_identity_changed(
    struct server_probe *probe, const struct http_client_options *options, const char *url,
    const char *device);

/** Whoever asked with `userdata` is answered no more. */
void server_probe_cancel(struct server_probe *probe, const void *userdata);
