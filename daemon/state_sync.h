/* The desired state, level-triggered: fetched on every hint and every few hours, taken if it is
 * whole and not older, kept in desired.json so that the daemon knows it without a server. No error
 * and no absence ever changes it. */
#pragma once

#include "daemon/desired_state.h"

#include "common/clock.h"
#include "common/random.h"

#include <uv.h>

struct state_sync;
struct http_client;

struct state_sync_options {
    uv_loop_t *loop;
    const struct clock_source *clock;
    const struct random_source *random;
    int dir_fd; /* borrowed */
    int64_t poll_s;
    void (*taken)(const struct desired_state *state, void *userdata);
    void (*changed)(void *userdata); /* reason */
    void *userdata;
    int64_t retry_base_ms; /* 0: 1 s */
};

/** Reads desired.json; `taken` is told of it from the loop, once state_sync_use() says whose it is.
 * Returns 0 or a negative errno. */
int state_sync_new(const struct state_sync_options *options, struct state_sync **ret);
void state_sync_close(struct state_sync *sync, void (*closed)(void *), void *userdata);

/** Fetches with `client` from `url` for `device`; all borrowed until the next call; NULL client:
 * does not fetch. A stored state of another device is dropped. */
void state_sync_use(
    struct state_sync *sync, struct http_client *client, const char *url, const char *device);

/** Fetches now, or once more when the fetch that runs has ended, unless that brings the named
 * generation (`epoch` NULL: unnamed). */
void state_sync_fetch(struct state_sync *sync, const char *epoch, int64_t generation);

const struct desired_state *state_sync_current(const struct state_sync *sync);
enum reason state_sync_reason(const struct state_sync *sync); /* of the last fetch */
