/* Ten thousand devices in virtual time: the spread of renewals, outages that all of them share,
 * restarts and clocks that jump. The generator's seed is fixed and the bounds are many deviations
 * wide, so that only another plan makes them fail. */
#include "fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define EARLIEST_S (FLEET_RENEW_AFTER_S * 9 / 10)
#define LATEST_S (FLEET_RENEW_AFTER_S * 11 / 10)
#define BARS 20

static int tear_down(void **unused) {
    (void)unused;
    fleet_free();
    return 0;
}

/* A line for each part of a time: how many, and a bar. */
static void draw(const char *title, const unsigned counts[BARS], const char *unit, double width) {
    unsigned most = 1;
    for (size_t i = 0; i < BARS; i++)
        most = counts[i] > most ? counts[i] : most;
    print_message("%s\n", title);
    for (size_t i = 0; i < BARS; i++)
        print_message(
            "%6.1f %s %6u %.*s\n", (double)i * width, unit, counts[i], (int)(counts[i] * 50 / most),
            "##################################################");
}

/* ---- the spread ---- */

static unsigned first_wave[BARS], all_waves[61 * 24];

static void on_spread(struct fleet *all, const struct fleet_device *device) {
    const int64_t age_s = true_s() - all->count_begin_s;
    all_waves[age_s / HOUR]++;
    if (device->issued == 2)
        first_wave[(age_s - EARLIEST_S) * BARS / (LATEST_S - EARLIEST_S + HOUR)]++;
}

/* All on one morning, the worst that can be: over ± 10 % the first renewals are spread evenly, and
 * each further one adds to that. */
static void a_fleet_from_one_image_spreads(void **unused) {
    (void)unused;
    fleet_make(FLEET_SIZE, 100);
    fleet_give_all();
    fleet_count();
    fleet.on_issued = on_spread;
    fleet_run(60 * DAY);
    draw("first renewals of 10,000 devices, by age", first_wave, "h after 12.6 d", 67.2 / BARS);
    for (size_t i = 0; i + 1 < BARS; i++) /* the last bar is a little short */
        assert_in_range(first_wave[i], FLEET_SIZE / BARS * 7 / 10, FLEET_SIZE / BARS * 13 / 10);
    unsigned peak = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(all_waves); i++)
        peak = all_waves[i] > peak ? all_waves[i] : peak;
    assert_true(peak < FLEET_SIZE / 67 * 3 / 2); /* an hour's part of the 67 */
    assert_true(fleet.shortest_s >= EARLIEST_S && fleet.longest_s <= LATEST_S + 1);
    assert_true(fleet.issued >= 3 * FLEET_SIZE && fleet.issued <= 4 * FLEET_SIZE);
    assert_int_equal(fleet.refused, 0);
}

/* ---- outages ---- */

static void draw_minutes(const char *title, const unsigned loads[FLEET_COUNT_S], int64_t begin_s) {
    unsigned minutes[BARS];
    for (size_t i = 0; i < BARS; i++)
        minutes[i] = fleet_sum(loads, begin_s + (int64_t)i * 60, begin_s + (int64_t)i * 60 + 60);
    draw(title, minutes, "min", 1);
}

/* All lose their streams at once and find the server back: they come one by one over the longest
 * back-off, five minutes, and nothing is asked of the server that was not due. */
static void an_outage_in_the_first_wave(void **unused) {
    (void)unused;
    fleet_make(FLEET_SIZE, 100);
    fleet_give_all();
    fleet_run(14 * DAY);
    fleet_count();
    fleet_server(false);
    fleet_run(HOUR);
    const unsigned waiting = fleet_in_state(USER_SIGNING);
    assert_in_range(waiting, 100, 200); /* an hour's part of the wave */
    fleet_server(true);
    fleet_run(HOUR);
    draw_minutes("streams opened after an hour's outage", fleet.connects, HOUR);
    assert_int_equal(fleet_sum(fleet.connects, HOUR, 2 * HOUR), FLEET_SIZE);
    const unsigned even = FLEET_SIZE / (PUSH_STREAM_RETRY_CAP_MS / 1000);
    /* what is left of a full jitter is at most twice as dense as an even spread; and noise */
    assert_true(fleet_peak(fleet.connects, HOUR, 2 * HOUR) < even * 4);
    assert_true(fleet_peak(fleet.posts, HOUR, 2 * HOUR) <= 20);
    assert_true(fleet_sum(fleet.posts, HOUR, HOUR + 600) >= waiting); /* and soon */
    assert_int_equal(fleet.refused, 0);
    assert_true(fleet.shortest_s >= EARLIEST_S);
    /* while it was away: a few tries a minute for all of them, not more and more */
    assert_true(fleet_sum(fleet.connects, HOUR - 60, HOUR) < FLEET_SIZE);
    assert_true(fleet_peak(fleet.connects, HOUR / 2, HOUR) < even * 4);
}

/* The server is only restarted: all come back over the splay that it names, not in one second. */
static void a_restart_of_the_server(void **unused) {
    (void)unused;
    const unsigned rate =
        1000; /* what the server takes for its splay unless it is told otherwise */
    const int64_t splay_s = FLEET_SIZE * 10 / (rate * 7); /* server/fleet.c: fleet_splay_for() */
    fleet_make(FLEET_SIZE, rate);
    fleet_give_all();
    fleet.event_splay_s = splay_s;
    fleet_run(DAY);
    fleet_count();
    fleet_server(false);
    fleet_run(1);
    fleet_server(true);
    fleet_run(HOUR);
    assert_true(fleet_sum(fleet.connects, 0, 1) < FLEET_SIZE / 4);
    assert_true(fleet_peak(fleet.connects, 1, HOUR) < rate * 3 / 2);
    assert_in_range(fleet_sum(fleet.connects, 1, HOUR), FLEET_SIZE, FLEET_SIZE + 100);
}

/* Distribution is switched on: nobody is told to wait longer than the server needs for all. */
static void the_first_distribution_is_splayed(void **unused) {
    (void)unused;
    const unsigned rate = 100;
    const int64_t splay_s = FLEET_SIZE * 10 / (rate * 7); /* server/fleet.c: fleet_splay_for() */
    fleet_make(FLEET_SIZE, rate);
    fleet_switch_on(splay_s);
    fleet_run(splay_s + 120);
    assert_int_equal(fleet_in_state(USER_INSTALLED), FLEET_SIZE);
    assert_true(fleet_peak(fleet.posts, 0, HOUR) < rate * 3 / 2);
    assert_true(fleet.refused < FLEET_SIZE / 50);
}

/* Distribution is switched on, and the server dies under it with most requests on their way. */
static void an_outage_in_the_middle_of_the_first_distribution(void **unused) {
    (void)unused;
    const unsigned rate = 100;
    fleet_make(FLEET_SIZE, rate);
    fleet_switch_on(FLEET_SIZE * 10 / (rate * 7)); /* server/fleet.c: fleet_splay_for() */
    fleet_run(30);
    fleet_server(false);
    fleet_run(HOUR);
    fleet_count();
    const unsigned waiting = fleet_in_state(USER_SIGNING);
    assert_true(waiting > FLEET_SIZE / 2);
    fleet_server(true);
    fleet_run(HOUR);
    draw_minutes("requests after an hour's outage", fleet.posts, 0);
    assert_int_equal(fleet_in_state(USER_INSTALLED), FLEET_SIZE);
    assert_int_equal(fleet.issued, waiting); /* one each, though each was posted again and again */
    assert_true(fleet_sum(fleet.posts, 0, 600) > waiting * 9 / 10);
    /* the jitter keeps them within what the server can do */
    assert_true(fleet_peak(fleet.posts, 0, HOUR) < rate * 3 / 2);
    assert_true(fleet.refused < waiting / 20);
}

/* ---- restarts, clocks, failures ---- */

static void restarts_change_no_plan(void **unused) {
    (void)unused;
    fleet_make(FLEET_SIZE, 100);
    fleet_give_all();
    fleet_run(12 * DAY);
    for (unsigned i = 0; i < 10; i++) {
        fleet_run(8 * HOUR);
        fleet_restart();
    }
    fleet_run(2 * DAY);
    assert_int_equal(fleet_in_state(USER_INSTALLED), FLEET_SIZE);
    assert_true(fleet.shortest_s >= EARLIEST_S && fleet.longest_s <= LATEST_S + 1);
}

/* The whole fleet believes a wrong time server. */
static void a_year_ahead_and_back_costs_one_certificate(void **unused) {
    (void)unused;
    fleet_make(FLEET_SIZE, 100);
    fleet_give_all();
    fleet_run(5 * DAY);
    fleet_count();
    fleet_set_clocks(365 * DAY);
    fleet_run(HOUR);
    assert_int_equal(fleet.issued, FLEET_SIZE);
    assert_int_equal(fleet_in_state(USER_INSTALLED), FLEET_SIZE);
    fleet_run(10 * DAY);
    assert_int_equal(fleet.issued, FLEET_SIZE);
    fleet_set_clocks(0);
    fleet_run(12 * DAY);
    assert_int_equal(fleet.issued, FLEET_SIZE); /* it is not due yet, */
    fleet_run(4 * DAY);
    assert_int_equal(fleet.issued, 2 * FLEET_SIZE); /* and not due in a year */
}

/* A year back while an hour's outage keeps everybody waiting, and for good. */
static void a_year_back_holds_nobody_up(void **unused) {
    (void)unused;
    fleet_make(FLEET_SIZE, 100);
    fleet_switch_on(600);
    fleet_run(300);
    fleet_set_clocks(-365 * DAY);
    fleet_run(HOUR);
    assert_int_equal(fleet_in_state(USER_INSTALLED), FLEET_SIZE);
    fleet_count();
    fleet_run(16 * DAY);
    assert_int_equal(fleet.issued, FLEET_SIZE);
    assert_true(fleet.shortest_s >= EARLIEST_S);
}

/* Sixty days in a cupboard: expired, and renewed like any other as soon as they are switched on. */
static void switched_off_for_sixty_days(void **unused) {
    (void)unused;
    fleet_make(FLEET_SIZE, 100);
    fleet_give_all();
    fleet_run(DAY);
    for (size_t i = 0; i < FLEET_SIZE; i++) /* nothing of theirs runs */
        fleet.devices[i].due_ms += 60 * DAY * 1000;
    fleet.now_ms += 60 * DAY * 1000;
    fleet_count();
    fleet_restart();
    fleet_run(HOUR);
    assert_int_equal(fleet.issued, FLEET_SIZE);
    assert_int_equal(fleet_in_state(USER_INSTALLED), FLEET_SIZE);
}

/* Each certificate is issued and then cannot be installed: the worst for the server. Agent and
 * daemon both want another one all the time. */
static void failures_do_not_run_wild(void **unused) {
    (void)unused;
    const size_t size = 300;
    fleet_make(size, (unsigned)size);
    fleet_give_all();
    fleet_run(13 * DAY);
    fleet.installation_fails = true;
    fleet.shortest_ask_s = INT64_MAX;
    fleet_run(3 * DAY);
    assert_true(fleet.shortest_ask_s >= RENEWAL_MIN_INTERVAL_S);
    /* the limit counts whole minutes */
    assert_true(fleet.shortest_hour_s > HOUR - 60);
    fleet.installation_fails = false;
    fleet_run(12 * HOUR);
    assert_int_equal(fleet_in_state(USER_INSTALLED), size);
}

int main(void) {
#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_fleet_from_one_image_spreads),
        TEST(an_outage_in_the_first_wave),
        TEST(a_restart_of_the_server),
        TEST(the_first_distribution_is_splayed),
        TEST(an_outage_in_the_middle_of_the_first_distribution),
        TEST(restarts_change_no_plan),
        TEST(a_year_ahead_and_back_costs_one_certificate),
        TEST(a_year_back_holds_nobody_up),
        TEST(switched_off_for_sixty_days),
        TEST(failures_do_not_run_wild),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
