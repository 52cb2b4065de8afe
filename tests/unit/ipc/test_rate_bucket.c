/* A burst, then the rate; debts; waits that are neither too short nor too long. */
#include "play.h"

#include "ipc/rate_bucket.h"

#define SECOND ((int64_t)1000000)

static const struct rate rate = {.per_s = 200, .burst = 400};

static void test_full_when_new(void **state) {
    struct rate_bucket bucket = {0};
    (void)state;
    assert_int_equal(rate_bucket_left(&bucket, &rate, 0), 400);
    assert_int_equal(rate_bucket_left(&bucket, &rate, 77 * SECOND), 400);
    assert_int_equal(rate_bucket_wait_us(&bucket, &rate, 0, 400), 0);
}

static void test_a_burst_then_the_rate(void **state) {
    const int64_t now = 1000 * SECOND;
    struct rate_bucket bucket = {0};
    (void)state;
    for (unsigned i = 0; i < 400; i++) {
        assert_int_equal(rate_bucket_left(&bucket, &rate, now), 400 - i);
        rate_bucket_take(&bucket, &rate, now, 1);
    }
    assert_int_equal(rate_bucket_left(&bucket, &rate, now), 0);
    assert_int_equal(rate_bucket_wait_us(&bucket, &rate, now, 1), 5000);
    assert_int_equal(rate_bucket_left(&bucket, &rate, now + 4999), 0);
    assert_int_equal(rate_bucket_left(&bucket, &rate, now + 5000), 1);
    assert_int_equal(rate_bucket_wait_us(&bucket, &rate, now + 5000, 20), 19 * 5000);
    assert_int_equal(rate_bucket_left(&bucket, &rate, now + SECOND), 200);
    /* a long rest fills it, and no more */
    assert_int_equal(rate_bucket_left(&bucket, &rate, now + 2 * SECOND), 400);
    assert_int_equal(rate_bucket_left(&bucket, &rate, now + 100 * SECOND), 400);
}

static void test_debts_come_first(void **state) {
    struct rate_bucket bucket = {0};
    (void)state;
    rate_bucket_take(&bucket, &rate, 0, 399);
    rate_bucket_take(&bucket, &rate, 0, 65);
    assert_int_equal(rate_bucket_left(&bucket, &rate, 0), 0);
    assert_int_equal(rate_bucket_wait_us(&bucket, &rate, 0, 1), 65 * 5000);
    assert_int_equal(rate_bucket_left(&bucket, &rate, 64 * 5000), 0);
    assert_int_equal(rate_bucket_left(&bucket, &rate, 65 * 5000), 1);
}

static void test_whoever_waits_as_told_finds_them(void **state) {
    static const struct rate rates[] = {{1, 1}, {3, 7}, {200, 400}, {999983, 5}};
    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct rate_bucket bucket = {0};
        int64_t now = 123456789;
        for (unsigned count = 1; count <= rates[i].burst; count++) {
            rate_bucket_take(&bucket, &rates[i], now, rates[i].burst);
            int64_t wait = rate_bucket_wait_us(&bucket, &rates[i], now, count);
            assert_true(wait > 0);
            assert_true(rate_bucket_left(&bucket, &rates[i], now + wait) >= count);
            assert_true(rate_bucket_left(&bucket, &rates[i], now + wait - 1) < count);
            now += 1000 * SECOND;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_when_new),
        cmocka_unit_test(test_a_burst_then_the_rate),
        cmocka_unit_test(test_debts_come_first),
        cmocka_unit_test(test_whoever_waits_as_told_finds_them),
    };
    return cmocka_run_group_tests_name("rate_bucket", tests, NULL, NULL);
}
