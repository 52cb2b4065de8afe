/* Renewal of the device certificate: at ⅔ of its life by the wall clock, with a fresh key, by
 * simplereenroll. The old key stays until the new one has completed a request. */
#pragma once

#include "daemon/device_identity.h"
#include "daemon/pending_request.h"

#include "common/clock.h"
#include "common/random.h"

#include <uv.h>

struct device_renewal;
struct http_client;

struct device_renewal_options {
    uv_loop_t *loop;
    const struct clock_source *clock;
    const struct random_source *random;
    int dir_fd;          /* state directory; borrowed */
    const char *binding; /* borrowed */
    /** The renewed identity is on disk and proven; the callee owns both. */
    void (*renewed)(struct device_identity *identity, struct http_client *client, void *userdata);
    void (*changed)(void *userdata);
    void (*date_seen)(int64_t server_s, void *userdata);
    void (*clock_set)(void *userdata); /* somebody has set the wall clock */
    void *userdata;
};

/** Returns 0 or a negative errno. */
int device_renewal_new(const struct device_renewal_options *options, struct device_renewal **ret);
void device_renewal_close(struct device_renewal *renewal, void (*closed)(void *), void *userdata);

/** Watches over `identity`, with `client` that presents it; both borrowed until the next call.
 * NULL: nothing to renew. `pending` (owned; may be NULL): a renewal that a stopped daemon left.
 * What runs for another identity is stopped. */
void device_renewal_watch(
    struct device_renewal *renewal, const struct device_identity *identity,
    struct http_client *client, struct pending_request *pending);

/** Tries now what waits for its next attempt, be it that the server has ordered the wait. Returns
 * whether anything did. */
bool device_renewal_hurry(struct device_renewal *renewal);

/** The wall clock is `ahead_s` ahead of the server's (negative: behind it); 0: they agree. What is
 * due is judged by the server's clock, until somebody sets ours. */
void device_renewal_clock_differs(struct device_renewal *renewal, int64_t ahead_s);

/** The same after sleep, or when the network is back: but what the server has ordered to wait waits
 * on. */
void device_renewal_recheck(struct device_renewal *renewal);

bool device_renewal_is_watching(const struct device_renewal *renewal);
enum reason device_renewal_reason(const struct device_renewal *renewal); /* of the last attempt */
