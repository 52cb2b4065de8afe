/* How long things took. Counts in buckets whose width is at most an eighth of what they hold (the
 * smallest are exact), so that a quantile is never below the truth and at most an eighth above it.
 * Two of them, changed over when they are used, make a window of the last one to two minutes
 * without a timer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* up to 2^28 µs, four and a half minutes; the last one holds the rest */
#define HISTOGRAM_BUCKETS 209
#define HISTOGRAM_WINDOW_US ((int64_t)60 * 1000 * 1000)

/* Empty when zeroed. */
struct histogram {
    uint64_t count;
    int64_t max;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

/** `us`: below zero counts as zero. */
void histogram_record(struct histogram *histogram, int64_t us);

/** The value that `permille` (0–1000) of what was recorded do not exceed; 0 for an empty one. */
int64_t histogram_quantile(const struct histogram *histogram, unsigned permille);

/* Empty when zeroed. */
struct histogram_window {
    int64_t since_us; /* when `now` began */
    struct histogram now, before;
};

/** `now_us`: of a clock that never goes back. */
void histogram_window_record(struct histogram_window *window, int64_t now_us, int64_t us);

/** As histogram_quantile(), of what was recorded in the last one to two minutes before `now_us`;
 * 1000 is the largest value. */
int64_t histogram_window_quantile(
    struct histogram_window *window, int64_t now_us, unsigned permille);
