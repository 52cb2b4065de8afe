/* The machine's own clocks as a clock_source; all other code takes the table, so that tests bring
 * their own time. */
#include "common/clock.h"

#include <time.h>

static int64_t system_wall_s(void *userdata) {
    (void)userdata;
    struct timespec now;
    /* cannot fail: the clock exists and the pointer is good (clock_gettime(2)) */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static int64_t system_monotonic_ms(void *userdata) {
    (void)userdata;
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const struct clock_source clock_system = {
    .wall_s = system_wall_s,
    .monotonic_ms = system_monotonic_ms,
    .userdata = NULL,
};
