/* What a peer can cause as often as he likes must not fill the log, nor push out of it what others
 * look for: of such events so many are written in a minute, and the rest is left out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LOG_LIMIT_PER_MINUTE 10

struct log_limit { /* zeroed: nothing was written yet */
    int64_t since_ms;
    unsigned count;
};

/** Whether one more may be written at `now_ms` of the monotonic clock; counts it. */
static inline bool log_limit_take(struct log_limit *limit, int64_t now_ms) {
    if (limit->count > 0 && now_ms - limit->since_ms >= 60000)
        limit->count = 0;
    if (limit->count == 0)
        limit->since_ms = now_ms;
    if (limit->count == LOG_LIMIT_PER_MINUTE)
        return false;
    limit->count++;
    return true;
}
