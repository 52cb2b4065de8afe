/* Quantiles against the sorted truth, the edges of the buckets, and what the window forgets. */
#include "common/histogram.h"

#include "unit.h"

static void assert_close(int64_t found, int64_t truth) {
    if (found < truth || found - truth > truth / 8)
        fail_msg("%lld stands for %lld", (long long)found, (long long)truth);
}

static void test_empty(void **state) {
    struct histogram histogram = {0};
    (void)state;
    assert_int_equal(histogram_quantile(&histogram, 500), 0);
    assert_int_equal(histogram_quantile(&histogram, 1000), 0);
}

static void test_a_single_value_is_exact(void **state) {
    static const int64_t values[] = {0,    1,     15,    16,        17,        31,       32,
                                     1000, 65535, 65536, 268435455, 268435456, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct histogram histogram = {0};
        histogram_record(&histogram, values[i]);
        for (unsigned permille = 0; permille <= 1000; permille += 250)
            assert_int_equal(histogram_quantile(&histogram, permille), values[i]);
    }
    struct histogram histogram = {0};
    histogram_record(&histogram, -5);
    assert_int_equal(histogram_quantile(&histogram, 1000), 0);
}

static void test_every_value_within_an_eighth(void **state) {
    (void)state;
    for (int64_t value = 0; value < 268435456; value += 1 + value / 100) {
        struct histogram histogram = {0};
        histogram_record(&histogram, value);
        histogram_record(&histogram, INT64_MAX); /* else the largest is told as it is */
        assert_close(histogram_quantile(&histogram, 500), value);
    }
}

static void test_quantiles_of_a_slope(void **state) {
    struct histogram histogram = {0};
    (void)state;
    for (int64_t value = 1; value <= 10000; value++)
        histogram_record(&histogram, value);
    assert_int_equal(histogram.count, 10000);
    assert_int_equal(histogram_quantile(&histogram, 0), 1);
    for (unsigned permille = 1; permille < 1000; permille++)
        assert_close(histogram_quantile(&histogram, permille), permille * 10);
    assert_int_equal(histogram_quantile(&histogram, 1000), 10000);
}

static void test_what_the_last_bucket_holds(void **state) {
    struct histogram histogram = {0};
    (void)state;
    for (int i = 0; i < 3; i++)
        histogram_record(&histogram, (int64_t)1 << (40 + i));
    assert_int_equal(histogram_quantile(&histogram, 100), (int64_t)1 << 42);
}

static void test_the_window_forgets(void **state) {
    const int64_t minute = HISTOGRAM_WINDOW_US, begin = 5 * minute + 17;
    struct histogram_window window = {0};
    (void)state;
    histogram_window_record(&window, begin, 900);
    histogram_window_record(&window, begin + minute - 1, 10);
    assert_int_equal(histogram_window_quantile(&window, begin + minute - 1, 1000), 900);
    /* a minute later both are still in it, with what is new */
    histogram_window_record(&window, begin + minute, 11);
    assert_int_equal(window.before.count, 2);
    assert_int_equal(histogram_window_quantile(&window, begin + 2 * minute - 1, 1000), 900);
    /* another minute, and the first two are gone */
    assert_int_equal(histogram_window_quantile(&window, begin + 2 * minute, 1000), 11);
    assert_int_equal(histogram_window_quantile(&window, begin + 3 * minute, 1000), 0);
    /* after a long rest the window begins anew */
    histogram_window_record(&window, begin + 100 * minute + 5, 12);
    assert_int_equal(histogram_window_quantile(&window, begin + 101 * minute + 4, 1000), 12);
    assert_int_equal(window.now.count, 1);
    assert_int_equal(histogram_window_quantile(&window, begin + 200 * minute, 1000), 0);
    assert_int_equal(window.now.count + window.before.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_a_single_value_is_exact),
        cmocka_unit_test(test_every_value_within_an_eighth),
        cmocka_unit_test(test_quantiles_of_a_slope),
        cmocka_unit_test(test_what_the_last_bucket_holds),
        cmocka_unit_test(test_the_window_forgets),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
