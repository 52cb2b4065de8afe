/* The two clocks, behind a table so that tests can run years in a moment. */
#pragma once

#include <stdint.h>

struct clock_source {
    int64_t (*wall_s)(void *userdata);       /* seconds since 1970, may jump */
    int64_t (*monotonic_ms)(void *userdata); /* never goes back, goes on while suspended */
    void *userdata;
};

/** The machine's own clocks. */
extern const struct clock_source clock_system;

static inline int64_t clock_wall_s(const struct clock_source *clock) {
    return clock->wall_s(clock->userdata);
}

static inline int64_t clock_monotonic_ms(const struct clock_source *clock) {
    return clock->monotonic_ms(clock->userdata);
}
