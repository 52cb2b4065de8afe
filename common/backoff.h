/* Retry delays: full jitter, rand(0, min(cap, base·2ⁿ)), with a server's Retry-After as the floor
 * (facts: the shape that survived a million devices). */
#pragma once

#include "random.h"

#include <stdint.h>

struct backoff {
    int64_t base_ms; /* > 0 */
    int64_t cap_ms;  /* ≥ base_ms */
    unsigned attempt;
};

/** The next delay in ms, and counts the attempt. `floor_ms` (≥ 0): a Retry-After; the jitter is
 * added above it. */
int64_t backoff_next(struct backoff *backoff, const struct random_source *random, int64_t floor_ms);

/** After a success. */
void backoff_reset(struct backoff *backoff);
