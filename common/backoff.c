/* Delays between retries: full jitter, so that a fleet that lost its server together does not come
 * back together. */
#include "common/backoff.h"

#include <limits.h>

static int64_t ceiling_of(const struct backoff *backoff) {
    int64_t ceiling = backoff->base_ms;
    for (unsigned i = 0; i < backoff->attempt && ceiling < backoff->cap_ms; i++)
        ceiling = ceiling > INT64_MAX / 2 ? INT64_MAX : ceiling * 2;
    return ceiling < backoff->cap_ms ? ceiling : backoff->cap_ms;
}

int64_t backoff_next(
    struct backoff *backoff, const struct random_source *random, int64_t floor_ms) {
    const int64_t ceiling = ceiling_of(backoff);
    if (backoff->attempt < UINT_MAX)
        backoff->attempt++;

    const int64_t floor = floor_ms > 0 ? floor_ms : 0;
    const int64_t jitter = (int64_t)random_below(random, (uint64_t)ceiling + 1);
    return jitter > INT64_MAX - floor ? INT64_MAX : floor + jitter;
}

void backoff_reset(struct backoff *backoff) {
    backoff->attempt = 0;
}
