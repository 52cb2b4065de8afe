/* See watchdog.h; sd_watchdog_enabled(3). */
#include "daemon/watchdog.h"

#include <systemd/sd-daemon.h>

static void watchdog_due(uv_timer_t *timer __attribute__((unused))) {
    sd_notify(0, "WATCHDOG=1");
}

int watchdog_start(uv_loop_t *loop, uv_timer_t *timer) {
    uint64_t interval_us = 0;
    int r = sd_watchdog_enabled(0, &interval_us);
    if (r <= 0)
        return r;
    uint64_t half_ms = interval_us / 2000;
    if (half_ms == 0)
        half_ms = 1;
    r = uv_timer_init(loop, timer);
    if (r < 0)
        return r;
    uv_unref((uv_handle_t *)timer);
    return uv_timer_start(timer, watchdog_due, half_ms, half_ms);
}
