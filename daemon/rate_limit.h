/* So many requests an hour, remembered across restarts in at most 61 small numbers whatever the
 * limit: requests are counted per minute of the wall clock, and a minute counts until it is an hour
 * old. */
#pragma once

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RATE_LIMIT_MINUTES 60

struct rate_limit {
    struct {
        int64_t minute; /* since 1970 */
        int64_t count;
    } slots[RATE_LIMIT_MINUTES + 1]; /* oldest first */
    size_t used;
};

/** Takes note of a clock that was set back: requests that seem to lie in the future count from now
 * on. Called whenever the limit is looked at, so that such a clock costs an hour and not the time
 * by which it was set back. Returns whether there were any. */
bool rate_limit_settle(struct rate_limit *limit, int64_t now_s);

/** Seconds until one more request is allowed; 0: now. */
int64_t rate_limit_wait(const struct rate_limit *limit, int64_t per_hour, int64_t now_s);

/** Counts one request at `now_s`. */
void rate_limit_count(struct rate_limit *limit, int64_t now_s);

/** [[minute, count], …]; NULL when memory is out. */
struct json_object *rate_limit_to_json(const struct rate_limit *limit);

/** Reads what rate_limit_to_json() made; what does not look like it is left out. */
void rate_limit_from_json(struct json_object *array, struct rate_limit *ret);
