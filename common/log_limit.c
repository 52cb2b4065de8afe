/* Whole minutes: who has used one up waits for the next. */
#include "common/log_limit.h"

#include <stddef.h>

#define MINUTE_MS 60000

bool log_limit_take(struct log_limit *limit, int64_t now_ms, unsigned *ret_left_out) {
    unsigned left_out = 0;
    if (now_ms - limit->since_ms >= MINUTE_MS) {
        if (limit->lines > LOG_LIMIT_PER_MINUTE)
            left_out = limit->lines - LOG_LIMIT_PER_MINUTE;
        *limit = (struct log_limit){.since_ms = now_ms};
    }
    if (ret_left_out)
        *ret_left_out = left_out;
    return ++limit->lines <= LOG_LIMIT_PER_MINUTE;
}
