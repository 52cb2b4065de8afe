/* So many a second, and a burst after a rest: a token bucket that is one number and needs no timer.
 */
#pragma once

#include <stdint.h>

struct rate {
    unsigned per_s; /* > 0 */
    unsigned burst; /* > 0: what a full bucket holds */
};

/* Full when zeroed. */
struct rate_bucket {
    int64_t full_us; /* when it will be full again */
};

/** Tokens that are there, 0 to the burst. `now_us`: of a clock that never goes back. */
unsigned rate_bucket_left(
    const struct rate_bucket *bucket, const struct rate *rate, int64_t now_us);

/** Takes `count`, whether they are there or not: what is owed comes first. */
void rate_bucket_take(
    struct rate_bucket *bucket, const struct rate *rate, int64_t now_us, unsigned count);

/** Microseconds until `count` (at most the burst) are there; 0: they are. */
int64_t rate_bucket_wait_us(
    const struct rate_bucket *bucket, const struct rate *rate, int64_t now_us, unsigned count);
