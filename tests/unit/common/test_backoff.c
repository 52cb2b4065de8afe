/* The retry delays: the ceiling doubles to its cap, the jitter fills it from 0, a floor is always
 * kept. */
#include "common/backoff.h"

#include "unit.h"

/* A source whose draw is the largest (or the smallest) accepted one. */
static int largest_bytes(void *ret, size_t size, void *userdata) {
    (void)userdata;
    memset(ret, 0xff, size);
    return 0;
}

static uint64_t fixed;
static int fixed_bytes(void *ret, size_t size, void *userdata) {
    (void)userdata;
    memcpy(ret, &fixed, size);
    return 0;
}

static const struct random_source largest = {largest_bytes, NULL};
static const struct random_source scripted = {fixed_bytes, NULL};

static void test_ceiling_doubles_to_the_cap(void **state) {
    (void)state;
    /* with a ceiling of 2ⁿ−1 the largest draw gives the ceiling itself */
    struct backoff backoff = {.base_ms = 1023, .cap_ms = 4000};
    assert_int_equal(backoff_next(&backoff, &largest, 0), 1023);
    assert_int_equal(backoff.attempt, 1);
    for (int i = 0; i < 1000; i++) {
        struct backoff copy = {.base_ms = 1000, .cap_ms = 4000, .attempt = (unsigned)i};
        int64_t ceiling = i == 0 ? 1000 : i == 1 ? 2000 : 4000;
        int64_t delay = backoff_next(&copy, &random_system, 0);
        assert_in_range(delay, 0, ceiling);
        assert_int_equal(copy.attempt, i + 1);
    }
    struct backoff capped = {.base_ms = 1000, .cap_ms = 4095, .attempt = 40};
    assert_int_equal(backoff_next(&capped, &largest, 0), 4095);
}

static void test_jitter_reaches_zero_and_the_ceiling(void **state) {
    (void)state;
    struct backoff backoff = {.base_ms = 1023, .cap_ms = 1023};
    fixed = 0;
    assert_int_equal(backoff_next(&backoff, &scripted, 0), 0);
    fixed = 1023;
    assert_int_equal(backoff_next(&backoff, &scripted, 0), 1023);
    fixed = 1024;
    assert_int_equal(backoff_next(&backoff, &scripted, 0), 0);
}

static void test_floor(void **state) {
    (void)state;
    struct backoff backoff = {.base_ms = 1023, .cap_ms = 1023};
    fixed = 500;
    assert_int_equal(backoff_next(&backoff, &scripted, 120000), 120500);
    assert_int_equal(backoff_next(&backoff, &scripted, -5), 500);
    assert_int_equal(backoff_next(&backoff, &scripted, INT64_MAX), INT64_MAX);
    assert_int_equal(backoff_next(&backoff, &scripted, INT64_MAX - 500), INT64_MAX);
    assert_int_equal(backoff_next(&backoff, &scripted, INT64_MAX - 501), INT64_MAX - 1);
}

static void test_extremes(void **state) {
    (void)state;
    struct backoff backoff = {.base_ms = INT64_MAX, .cap_ms = INT64_MAX, .attempt = UINT32_MAX};
    assert_true(backoff_next(&backoff, &largest, 0) >= 0);
    assert_int_equal(backoff.attempt, UINT32_MAX); /* stays there instead of starting over */

    struct backoff odd = {.base_ms = INT64_MAX / 2 + 1, .cap_ms = INT64_MAX, .attempt = 3};
    assert_true(backoff_next(&odd, &largest, 0) >= 0);
}

static void test_reset(void **state) {
    (void)state;
    struct backoff backoff = {.base_ms = 1023, .cap_ms = 100000, .attempt = 9};
    backoff_reset(&backoff);
    assert_int_equal(backoff_next(&backoff, &largest, 0), 1023);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ceiling_doubles_to_the_cap),
        cmocka_unit_test(test_jitter_reaches_zero_and_the_ceiling),
        cmocka_unit_test(test_floor),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
