/* Tells the service manager that the loop still turns, if it wants to know (systemd's
 * WatchdogSec=).
 */
#pragma once

#include <uv.h>

/** Starts to report on this loop, at half of the manager's interval; does nothing where no interval
 * is set. The timer does not keep the loop alive, and stays on it until the loop is closed. `timer`
 * belongs to the caller, who keeps it as long as the loop. Returns 0 or a negative errno. */
int watchdog_start(uv_loop_t *loop, uv_timer_t *timer);
