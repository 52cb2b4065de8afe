/* Eight buckets to each power of two; below sixteen each value has its own. */
#include "common/histogram.h"

#define EXACT 16
#define EXACT_BITS 4
#define PER_OCTAVE 8
#define PER_OCTAVE_BITS 3

static size_t histogram_bucket(uint64_t us) {
    if (us < EXACT)
        return us;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(us);
    size_t step = (us >> (exponent - PER_OCTAVE_BITS)) % PER_OCTAVE;
    size_t bucket = EXACT + (size_t)(exponent - EXACT_BITS) * PER_OCTAVE + step;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value that the bucket holds. */
static int64_t histogram_bucket_end(size_t bucket) {
    if (bucket < EXACT)
        return (int64_t)bucket;
    if (bucket == HISTOGRAM_BUCKETS - 1)
        return INT64_MAX;
    size_t octave = (bucket - EXACT) / PER_OCTAVE;
    size_t step = (bucket - EXACT) % PER_OCTAVE;
    return (int64_t)((PER_OCTAVE + step + 1) << (octave + EXACT_BITS - PER_OCTAVE_BITS)) - 1;
}

void histogram_record(struct histogram *histogram, int64_t us) {
    if (us < 0)
        us = 0;
    if (us > histogram->max)
        histogram->max = us;
    histogram->count++;
    histogram->buckets[histogram_bucket((uint64_t)us)]++;
}

static int64_t histogram_quantile_of_two(
    const struct histogram *a, const struct histogram *b, unsigned permille) {
    uint64_t count = a->count + b->count;
    int64_t max = a->max > b->max ? a->max : b->max;
    uint64_t rank = (count * permille + 999) / 1000; /* how many must not exceed the value */
    uint64_t seen = 0;
    if (count == 0)
        return 0;
    if (rank == 0)
        rank = 1;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += (uint64_t)a->buckets[i] + b->buckets[i];
        if (seen < rank)
            continue;
        int64_t end = histogram_bucket_end(i);
        return end < max && rank < count ? end : max;
    }
    return max;
}

int64_t histogram_quantile(const struct histogram *histogram, unsigned permille) {
    static const struct histogram empty;
    return histogram_quantile_of_two(histogram, &empty, permille);
}

static void histogram_window_turn(struct histogram_window *window, int64_t now_us) {
    int64_t age = now_us - window->since_us;
    if (window->now.count + window->before.count == 0) {
        window->since_us = now_us;
    } else if (age >= 2 * HISTOGRAM_WINDOW_US) {
        *window = (struct histogram_window){.since_us = now_us};
    } else if (age >= HISTOGRAM_WINDOW_US) {
        window->before = window->now;
        window->now = (struct histogram){0};
        window->since_us += HISTOGRAM_WINDOW_US;
    }
}

void histogram_window_record(struct histogram_window *window, int64_t now_us, int64_t us) {
    histogram_window_turn(window, now_us);
    histogram_record(&window->now, us);
}

int64_t histogram_window_quantile(
    struct histogram_window *window, int64_t now_us, unsigned permille) {
    histogram_window_turn(window, now_us);
    return histogram_quantile_of_two(&window->now, &window->before, permille);
}
