/* What is missing is counted in the time that it takes to come back. */
#include "ipc/rate_bucket.h"

static int64_t rate_time_us(const struct rate *rate, unsigned count) {
    return (int64_t)count * 1000000 / rate->per_s;
}

static int64_t bucket_missing_us(const struct rate_bucket *bucket, int64_t now_us) {
    return bucket->full_us > now_us ? bucket->full_us - now_us : 0;
}

unsigned rate_bucket_left(
    const struct rate_bucket *bucket, const struct rate *rate, int64_t now_us) {
    int64_t missing = (bucket_missing_us(bucket, now_us) * rate->per_s + 999999) / 1000000;
    return missing < rate->burst ? rate->burst - (unsigned)missing : 0;
}

int64_t rate_bucket_wait_us(
    const struct rate_bucket *bucket, const struct rate *rate, int64_t now_us, unsigned count) {
    int64_t may_miss = count < rate->burst ? rate_time_us(rate, rate->burst - count) : 0;
    int64_t missing = bucket_missing_us(bucket, now_us);
    return missing > may_miss ? missing - may_miss : 0;
}

void rate_bucket_take(
    struct rate_bucket *bucket, const struct rate *rate, int64_t now_us, unsigned count) {
    bucket->full_us = now_us + bucket_missing_us(bucket, now_us) + rate_time_us(rate, count);
}
