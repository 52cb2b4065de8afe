/* The plan of the next renewal while the wall clock jumps and the agent restarts: with a real
 * store, and a clock of the test's own. Nothing is ever deleted for what a clock says. */
#include "work_fixture.h"

#include "common/cleanup.h"

#define HOUR INT64_C(3600)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)
#define RENEW_AFTER (14 * DAY)

static int64_t offset_s;

static int64_t shifted_wall_s(void *unused) {
    (void)unused;
    return time(NULL) + offset_s;
}

static const struct clock_source shifted = {.wall_s = shifted_wall_s};

static int64_t now_s(void) {
    return shifted_wall_s(NULL);
}

static void check_wants(struct fixture *fixture, const char *wanted) {
    struct agent_work *work = &fixture->work;

    work->clock = &shifted;
    assert_int_equal(agent_work_check(work), AGENT_EVENT_CHECKED);
    if (wanted)
        assert_string_equal(work->wanted, wanted);
    else
        assert_null(work->wanted);
}

/* Stopped, and started with what is on disk. */
static void start_anew(struct fixture *fixture) {
    struct user_dirs dirs = fixture->work.dirs;
    enum agent_event event;

    agent_work_deinit(&fixture->work);
    begin(fixture, &dirs);
    fixture->work.clock = &shifted;
    assert_int_equal(agent_work_recover(&fixture->work, &event), 0);
    assert_int_equal(event, AGENT_EVENT_RECOVERED);
}

static void install_at(struct fixture *fixture, int64_t offset, const char *request_id) {
    offset_s = offset;
    fixture->work.clock = &shifted;
    complete(fixture, request_id);
}

/* Within the ± 10 % after a moment of the test's clock. */
static void expect_renewal_after(const struct fixture *fixture, int64_t begin_s) {
    const int64_t renew_at = fixture->work.record.renew_at;

    assert_in_range(
        renew_at - begin_s + YEAR, YEAR + RENEW_AFTER * 9 / 10 - HOUR,
        YEAR + RENEW_AFTER * 11 / 10 + HOUR);
}

static void test_restarts_do_not_draw_again(void **state) {
    struct fixture *fixture = *state;

    install_at(fixture, 0, "request-1");
    const int64_t drawn = fixture->work.record.renew_at;
    expect_renewal_after(fixture, now_s());
    for (unsigned i = 0; i < 5; i++) {
        offset_s += DAY;
        start_anew(fixture);
        check_wants(fixture, NULL);
        assert_int_equal(fixture->work.record.renew_at, drawn);
    }
    offset_s = drawn - time(NULL); /* suspended over the moment, or switched off */
    start_anew(fixture);
    check_wants(fixture, "due");
    assert_int_equal(fixture->work.record.renew_at, drawn);
}

static void test_expired_is_due_and_stays(void **state) {
    struct fixture *fixture = *state;

    install_at(fixture, 0, "request-1");
    offset_s = 60 * DAY;
    start_anew(fixture);
    check_wants(fixture, "due");
    expect_in_store(fixture, 1, 1);
    complete(fixture, "request-2");
    check_wants(fixture, NULL);
    expect_in_store(fixture, 1, 1);
}

/* A year back, for good: the renewal comes after as long as it always does. */
static void test_set_back_for_good(void **state) {
    struct fixture *fixture = *state;

    install_at(fixture, 0, "request-1");
    offset_s = -YEAR;
    check_wants(fixture, NULL);
    expect_renewal_after(fixture, now_s());
    const int64_t drawn = fixture->work.record.renew_at;
    offset_s += 10 * DAY;
    start_anew(fixture);
    check_wants(fixture, NULL);
    assert_int_equal(fixture->work.record.renew_at, drawn);
    offset_s += 6 * DAY;
    check_wants(fixture, "due");
    expect_in_store(fixture, 1, 1);
}

/* A machine whose battery is dead starts in the past each morning until the network sets its clock:
 * that is no reason for a certificate a day. */
static void test_set_back_and_right_again(void **state) {
    struct fixture *fixture = *state;

    install_at(fixture, 0, "request-1");
    const int64_t installed = now_s();
    for (unsigned day = 0; day < 10; day++) {
        offset_s = -YEAR;
        start_anew(fixture);
        check_wants(fixture, NULL);
        offset_s = day * DAY;
        check_wants(fixture, NULL);
        expect_renewal_after(fixture, installed);
    }
    offset_s = 16 * DAY;
    start_anew(fixture);
    check_wants(fixture, "due");
    expect_in_store(fixture, 1, 1);
}

/* A year ahead: renewed once, not again and again; and not a year late when it is set right. */
static void test_set_ahead_and_right_again(void **state) {
    struct fixture *fixture = *state;

    install_at(fixture, 0, "request-1");
    offset_s = YEAR;
    check_wants(fixture, "due");
    install_at(fixture, YEAR, "request-2");
    check_wants(fixture, NULL);
    expect_renewal_after(fixture, now_s());
    start_anew(fixture);
    check_wants(fixture, NULL);
    offset_s = 0;
    check_wants(fixture, NULL);
    expect_renewal_after(fixture, now_s());
    expect_in_store(fixture, 1, 1);
}

/* The certificate begins in a year by this clock: it is installed and kept all the same, and the
 * clock's being set right does not make it old. */
static void test_not_valid_yet(void **state) {
    struct fixture *fixture = *state;

    install_at(fixture, -YEAR, "request-1");
    check_wants(fixture, NULL);
    expect_renewal_after(fixture, now_s());
    offset_s = 0;
    check_wants(fixture, NULL);
    expect_renewal_after(fixture, now_s());
    expect_in_store(fixture, 1, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_restarts_do_not_draw_again), TEST(test_expired_is_due_and_stays),
        TEST(test_set_back_for_good),          TEST(test_set_back_and_right_again),
        TEST(test_set_ahead_and_right_again),  TEST(test_not_valid_yet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
