/* So many requests an hour, whatever the clock does. */
#include "daemon/rate_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <json-c/json_tokener.h>

#define NOON 1700000000

static void six_then_no_more(void **unused) {
    (void)unused;
    struct rate_limit limit = {.used = 0};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(rate_limit_wait(&limit, 6, NOON + i * 60), 0);
        rate_limit_count(&limit, NOON + i * 60);
    }
    int64_t wait = rate_limit_wait(&limit, 6, NOON + 360);
    assert_true(wait > 0 && wait <= 3600);
    assert_true(rate_limit_wait(&limit, 6, NOON + 360 + wait - 1) > 0);
    assert_int_equal(rate_limit_wait(&limit, 6, NOON + 360 + wait), 0);
    assert_int_equal(rate_limit_wait(&limit, 7, NOON + 360), 0);
}

static void never_more_than_the_limit_in_any_hour(void **unused) {
    (void)unused;
    struct rate_limit limit = {.used = 0};
    int64_t taken[400];
    size_t count = 0;
    for (int64_t now = NOON; now < NOON + 3 * 86400 && count < 400; now += 97)
        if (rate_limit_wait(&limit, 6, now) == 0) {
            rate_limit_count(&limit, now);
            taken[count++] = now;
        }
    assert_true(count > 400 / 2);
    for (size_t i = 6; i < count; i++)
        assert_true(taken[i] - taken[i - 6] > 3600 - 60);
}

static void a_large_limit_needs_no_more_room(void **unused) {
    (void)unused;
    struct rate_limit limit = {.used = 0};
    for (int64_t i = 0; i < 100000; i++) {
        assert_int_equal(rate_limit_wait(&limit, 1000000, NOON + i), 0);
        rate_limit_count(&limit, NOON + i);
        assert_true(limit.used <= RATE_LIMIT_MINUTES);
    }
}

static void a_clock_set_back_costs_an_hour_at_most(void **unused) {
    (void)unused;
    struct rate_limit limit = {.used = 0};
    for (int i = 0; i < 6; i++)
        rate_limit_count(&limit, NOON + (int64_t)i * 120);
    int64_t then = NOON - (int64_t)365 * 86400;
    assert_true(rate_limit_settle(&limit, then));
    assert_false(rate_limit_settle(&limit, then + 60));
    int64_t wait = rate_limit_wait(&limit, 6, then);
    assert_true(wait > 0 && wait <= 3600);
    assert_true(rate_limit_wait(&limit, 6, then + wait - 1) > 0);
    assert_int_equal(rate_limit_wait(&limit, 6, then + wait), 0);
    /* and forward again: the hour is over for all of them */
    assert_int_equal(rate_limit_wait(&limit, 6, NOON), 0);
    rate_limit_count(&limit, then);
    assert_int_equal(limit.used, 1);
    assert_int_equal(limit.slots[0].count, 7);
}

static void kept_in_a_file(void **unused) {
    (void)unused;
    struct rate_limit limit = {.used = 0}, read = {.used = 9};
    for (int i = 0; i < 90; i++)
        rate_limit_count(&limit, NOON + (int64_t)i * 60);
    struct json_object *array = rate_limit_to_json(&limit);
    rate_limit_from_json(array, &read);
    json_object_put(array);
    assert_int_equal(read.used, limit.used);
    assert_memory_equal(read.slots, limit.slots, limit.used * sizeof(limit.slots[0]));
    static const char *const nonsense[] = {
        "{}", "[1,[1],[1,2,3],[-1,1],[5,0],[5,\"x\"]]", "[[9,1],[8,1]]"};
    static const size_t kept[] = {0, 0, 1};
    for (size_t i = 0; i < 3; i++) {
        array = json_tokener_parse(nonsense[i]);
        rate_limit_from_json(array, &read);
        assert_int_equal(read.used, kept[i]);
        json_object_put(array);
    }
    rate_limit_from_json(NULL, &read);
    assert_int_equal(read.used, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_then_no_more),
        cmocka_unit_test(never_more_than_the_limit_in_any_hour),
        cmocka_unit_test(a_large_limit_needs_no_more_room),
        cmocka_unit_test(a_clock_set_back_costs_an_hour_at_most),
        cmocka_unit_test(kept_in_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
