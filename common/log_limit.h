/* How often a line is written that anybody on the machine can cause: so many times a minute, or he
 * would have the rest of the log dropped. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LOG_LIMIT_PER_MINUTE 10

/* Zeroed: nothing was written yet. */
struct log_limit {
    int64_t since_ms;
    unsigned lines; /* wanted since then */
};

/** Whether one more may be written at `now_ms` of a clock that does not go back. *ret_left_out (may
 * be NULL): how many were not, where a minute has just ended; 0: none. */
bool log_limit_take(struct log_limit *limit, int64_t now_ms, unsigned *ret_left_out);
