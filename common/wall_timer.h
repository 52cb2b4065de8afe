/* A descriptor that becomes readable when the wall clock reaches a time, and also when somebody
 * sets the clock (timerfd with cancel-on-set; it counts time spent in suspend). The loop polls it;
 * nothing wakes before. */
#pragma once

#include <stdint.h>

struct wall_timer;

/** Returns 0 or a negative errno. Release with wall_timer_free(). */
int wall_timer_new(struct wall_timer **ret);
struct wall_timer *wall_timer_free(struct wall_timer *timer);

/** The descriptor to poll for reading; owned by the timer. */
int wall_timer_fd(const struct wall_timer *timer);

/** Arms for `wall_s` seconds since 1970; 0 watches for clock changes only. Returns 0 or a negative
 * errno. */
int wall_timer_set(struct wall_timer *timer, int64_t wall_s);

enum wall_timer_event { WALL_TIMER_NOTHING, WALL_TIMER_DUE, WALL_TIMER_CLOCK_SET };

/** Reads what happened, after the descriptor became readable; a clock change must be followed by
 * wall_timer_set(). */
enum wall_timer_event wall_timer_read(struct wall_timer *timer);
