/* When to ask for the next certificate: bounds of the draw, wrong clocks, refusals. */
#include "useragent/renewal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DAY INT64_C(86400)
#define NOW INT64_C(1800000000)

static int fixed_bytes(void *ret, size_t size, void *userdata) {
    memset(ret, *(const unsigned char *)userdata, size);
    return 0;
}

static struct random_source fixed(unsigned char *byte) {
    return (struct random_source){.bytes = fixed_bytes, .userdata = byte};
}

static void test_draw_is_within_ten_percent(void **state) {
    int64_t low = INT64_MAX, high = 0;

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        int64_t due = renewal_draw(NOW, 14 * DAY, NOW - 300, NOW + 30 * DAY, &random_system);

        assert_true(due >= NOW + 14 * DAY - 14 * DAY / 10);
        assert_true(due <= NOW + 14 * DAY + 14 * DAY / 10);
        low = due < low ? due : low;
        high = due > high ? due : high;
    }
    /* spread over most of the width: a fleet must not come at once */
    assert_true(high - low > 14 * DAY / 6);
}

static void test_draw_at_the_extremes(void **state) {
    unsigned char byte = 0;
    struct random_source random = fixed(&byte);

    (void)state;
    assert_int_equal(renewal_draw(NOW, 1000, NOW, NOW + 10000, &random), NOW + 900);
    assert_int_equal(renewal_draw(NOW, 0, NOW, NOW + 10000, &random), NOW + RENEWAL_MIN_INTERVAL_S);
    assert_int_equal(renewal_draw(NOW, 1, NOW, NOW + 10000, &random), NOW + 1);
    /* ten years do not overflow */
    assert_true(renewal_draw(NOW, 3660 * DAY, NOW, NOW + 7320 * DAY, &random) > NOW + 3000 * DAY);
}

static void test_draw_stays_before_the_end_of_life(void **state) {
    (void)state;
    for (unsigned i = 0; i < 200; i++)
        assert_true(
            renewal_draw(NOW, 29 * DAY, NOW, NOW + 30 * DAY, &random_system) <= NOW + 27 * DAY);
}

/* The clock is a year ahead of the server's: by the life, every new certificate would be due at
 * once, and again, and again. */
static void test_wrong_clock_does_not_spin(void **state) {
    int64_t ahead = NOW + 365 * DAY;
    int64_t due = renewal_draw(ahead, 14 * DAY, NOW, NOW + 30 * DAY, &random_system);

    (void)state;
    assert_int_equal(due, ahead + 14 * DAY);
}

static void test_due(void **state) {
    struct renewal renewal;

    (void)state;
    renewal_init(&renewal);
    assert_false(renewal_is_due(&renewal, NOW));
    assert_int_equal(renewal_wake_at(&renewal, NOW, false), 0);
    renewal_plan(&renewal, NOW);
    assert_false(renewal_is_due(&renewal, NOW - 1));
    assert_true(renewal_is_due(&renewal, NOW));
    assert_int_equal(renewal_wake_at(&renewal, NOW, false), NOW);
}

static void test_never_twice_at_once(void **state) {
    struct renewal renewal;
    int64_t now = NOW, last = NOW;

    (void)state;
    renewal_init(&renewal);
    assert_true(renewal_may_ask(&renewal, now));
    for (unsigned i = 0; i < 50; i++) {
        renewal_asked(&renewal, now, 0, &random_system);
        assert_false(renewal_may_ask(&renewal, now));
        assert_true(renewal.not_before_s >= now + RENEWAL_MIN_INTERVAL_S);
        assert_true(
            renewal.not_before_s <= now + RENEWAL_MAX_INTERVAL_S + RENEWAL_MIN_INTERVAL_S + 1);
        now = renewal_wake_at(&renewal, now, true);
        assert_true(now > last);
        assert_true(renewal_may_ask(&renewal, now));
        last = now;
    }
}

static void test_too_soon_is_obeyed(void **state) {
    struct renewal renewal;

    (void)state;
    renewal_init(&renewal);
    renewal_asked(&renewal, NOW, 1800, &random_system);
    assert_false(renewal_may_ask(&renewal, NOW + 1799));
    assert_true(renewal.not_before_s >= NOW + 1800);
    /* a daemon that says "in a year" is not believed */
    renewal_asked(&renewal, NOW, 365 * DAY, &random_system);
    assert_true(renewal.not_before_s <= NOW + 2 * RENEWAL_MAX_INTERVAL_S + 1);
}

static void test_clock_set_back_does_not_hold_up(void **state) {
    struct renewal renewal;

    (void)state;
    renewal_init(&renewal);
    renewal_asked(&renewal, NOW, 0, &random_system);
    assert_true(renewal_may_ask(&renewal, NOW - 365 * DAY));
    assert_int_equal(renewal_wake_at(&renewal, NOW - 365 * DAY, true), 1);
    /* nor does the moment of the last success, by the clock of then */
    renewal_succeeded(&renewal, NOW, NOW + 14 * DAY);
    renewal_plan(&renewal, NOW - 351 * DAY);
    assert_int_equal(renewal_wake_at(&renewal, NOW - 365 * DAY, false), NOW - 351 * DAY);
    assert_true(renewal_may_ask(&renewal, NOW - 351 * DAY));
}

static void test_jumps_of_the_clock_correct_the_installation(void **state) {
    const struct {
        int64_t now_s, not_before_s, installed_s, corrected_s;
    } cases[] = {
        {NOW, NOW - DAY, NOW - DAY, NOW - DAY},
        {NOW, NOW - DAY, NOW + 3600, NOW + 3600}, /* a little is no jump */
        {NOW, NOW - DAY, NOW + 3601, NOW},
        {NOW, NOW - DAY, NOW + 365 * DAY, NOW},
        {NOW, NOW - DAY, NOW - 365 * DAY, NOW - DAY},
        {NOW, NOW - DAY, NOW - DAY - 3600, NOW - DAY - 3600},
        {NOW - 365 * DAY, NOW, NOW - 365 * DAY, NOW - 365 * DAY}, /* behind, still */
        {NOW, 0, NOW - 365 * DAY, NOW - 365 * DAY},               /* of an unknown beginning */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t installed = cases[i].installed_s;
        bool corrected =
            renewal_correct_installed(cases[i].now_s, cases[i].not_before_s, &installed);

        assert_int_equal(installed, cases[i].corrected_s);
        assert_int_equal(corrected, cases[i].corrected_s != cases[i].installed_s);
    }
}

static void test_success_starts_anew(void **state) {
    struct renewal renewal;

    (void)state;
    renewal_init(&renewal);
    for (unsigned i = 0; i < 20; i++)
        renewal_asked(&renewal, NOW, 0, &random_system);
    renewal_succeeded(&renewal, NOW, NOW + 14 * DAY);
    assert_false(renewal_may_ask(&renewal, NOW));
    assert_true(renewal_may_ask(&renewal, NOW + RENEWAL_MIN_INTERVAL_S));
    assert_int_equal(renewal_wake_at(&renewal, NOW, false), NOW + 14 * DAY);
    assert_int_equal(renewal.backoff.attempt, 0);
}

static void test_postponed_is_spread_over_hours(void **state) {
    struct renewal renewal;

    (void)state;
    renewal_init(&renewal);
    renewal_postpone(&renewal, NOW, &random_system);
    assert_true(renewal.not_before_s >= NOW + 3600);
    assert_true(renewal.not_before_s <= NOW + RENEWAL_MAX_INTERVAL_S);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draw_is_within_ten_percent),
        cmocka_unit_test(test_draw_at_the_extremes),
        cmocka_unit_test(test_draw_stays_before_the_end_of_life),
        cmocka_unit_test(test_wrong_clock_does_not_spin),
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_never_twice_at_once),
        cmocka_unit_test(test_too_soon_is_obeyed),
        cmocka_unit_test(test_clock_set_back_does_not_hold_up),
        cmocka_unit_test(test_jumps_of_the_clock_correct_the_installation),
        cmocka_unit_test(test_success_starts_anew),
        cmocka_unit_test(test_postponed_is_spread_over_hours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
