/* Managed users while the wall clock jumps: a year back or forward in the middle of every wait, and
 * restarts in between. No wait grows by a jump, nothing is given up, and what was drawn stays
 * drawn. */
#include "tests/unit/daemon/user_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HOUR INT64_C(3600)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)

static void expect_state(enum user_state state) {
    const struct user *user = world_user(1000);
    assert_non_null(user);
    if (user->record.state != state)
        fail_msg("%s instead of %s", user_state_name(user->record.state), user_state_name(state));
}

static void alice(void) {
    world_assign(0, "u1", "alice");
    world_say();
    world_attach(1000);
}

/* Lets the time pass that the timer says, as often as it takes, but no longer than `longest_s`. */
static void expect_within(int64_t longest_s, bool (*condition)(void)) {
    const int64_t end = virtual_now + longest_s;
    while (!condition()) {
        int64_t due = users_next_due(world.users);
        int64_t step = due <= virtual_now ? 1 : due - virtual_now;
        if (due == INT64_MAX || virtual_now + step > end)
            fail_msg("not within %lld s", (long long)longest_s);
        world_wait(step);
    }
}

static bool is_requested(void) {
    return world_user(1000)->record.state == USER_REQUESTED;
}

static bool is_removing(void) {
    return world_user(1000)->record.state == USER_REMOVING;
}

static size_t posts_before;
static bool has_posted(void) {
    return world.post_count > posts_before;
}

static int answers_before;
static bool has_answered(void) {
    return world.answers > answers_before;
}

static bool may_renew(void) {
    struct user_answer answer = {.kind = ANSWER_RETRY};
    const char *id;
    return user_renew(world_user(1000), REQUEST_DUE, &id, &answer) == 1;
}

static void a_splay_ends(void **unused) {
    (void)unused;
    world.state.splay_s = DESIRED_STATE_MAX_SPLAY_S;
    alice();
    expect_state(USER_WAITING);
    world_wait(-YEAR);
    expect_within(DAY, is_requested);
}

static void a_request_times_out(void **unused) {
    (void)unused;
    char id[37];
    alice();
    expect_state(USER_REQUESTED);
    memcpy(id, world_user(1000)->record.request.id, sizeof(id));
    world_wait(-YEAR);
    expect_state(USER_WAITING); /* the deadline of a minute cannot be a year away */
    expect_within(60, is_requested);
    assert_string_not_equal(world_user(1000)->record.request.id, id);
}

static void a_little_is_no_jump(void **unused) {
    (void)unused;
    char id[37];
    alice();
    memcpy(id, world_user(1000)->record.request.id, sizeof(id));
    world_wait(-5);
    expect_state(USER_REQUESTED);
    world_submit(1000, NULL);
    world_answer_issued(NULL);
    world_wait(-5);
    expect_state(USER_DELIVERED);
    assert_string_equal(world_user(1000)->record.request.id, id);
}

static void a_delivery_times_out_and_its_late_report_counts(void **unused) {
    (void)unused;
    char id[37], serial[X509_SERIAL_HEX_SIZE];
    alice();
    world_submit(1000, NULL);
    world_answer_issued(NULL);
    expect_state(USER_DELIVERED);
    memcpy(id, world_user(1000)->record.request.id, sizeof(id));
    memcpy(serial, world_user(1000)->record.request.serial, sizeof(serial));
    world_wait(-YEAR);
    expect_state(USER_WAITING);
    assert_int_equal(world_report_outcome(1000, OUTCOME_INSTALLED, id, serial), 1);
    expect_state(USER_INSTALLED);
}

static void a_post_is_repeated(void **unused) {
    (void)unused;
    alice();
    world_submit(1000, NULL);
    world_answer(SIGN_RETRY, 6 * HOUR * 1000, REASON_SERVER_ERROR);
    posts_before = world.post_count;
    world_wait(-YEAR);
    expect_within(7 * HOUR, has_posted);
    world_answer_issued(NULL);
    expect_state(USER_DELIVERED);
}

static void a_link_that_was_not_there_is_asked_again(void **unused) {
    (void)unused;
    alice();
    world.sign_error = -ENOTCONN;
    world_submit(1000, NULL);
    expect_state(USER_SIGNING);
    world.sign_error = 0;
    posts_before = world.post_count;
    world_wait(-YEAR);
    expect_within(60, has_posted);
}

static void a_waiting_submit_is_answered(void **unused) {
    (void)unused;
    alice();
    world_submit(1000, NULL);
    answers_before = world.answers;
    world_wait(-YEAR);
    expect_within(USER_SUBMIT_WAIT_S, has_answered);
    assert_int_equal(world.answer.kind, ANSWER_RETRY);
}

static void what_could_not_be_stored_is_tried_again(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    assert_int_equal(unlinkat(world.dir.fd, "users/u1.json", 0), 0);
    assert_int_equal(mkdirat(world.dir.fd, "users/u1.json", 0700), 0);
    world.state.distribution = DISTRIBUTION_OFF;
    world_say();
    expect_state(USER_INSTALLED);
    assert_int_equal(unlinkat(world.dir.fd, "users/u1.json", AT_REMOVEDIR), 0);
    world_wait(-YEAR);
    expect_within(60, is_removing);
}

static void an_account_is_looked_up_again(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    world_lookup_error = -EIO;
    world_restart();
    assert_int_not_equal(world_user(1000)->account, ACCOUNT_FOUND);
    virtual_now -= YEAR;
    assert_true(users_next_due(world.users) <= virtual_now + 11 * 60);
}

/* The requests of the last hour are in the future now: they cost an hour, not a year. */
static void a_limit_costs_an_hour(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    for (int i = 1; i < 6; i++) {
        assert_true(may_renew());
        world_install(1000);
    }
    assert_false(may_renew());
    world_wait(-YEAR);
    assert_false(may_renew());
    world_wait(HOUR / 2);
    assert_false(may_renew());
    world_restart(); /* the count is on disk */
    world_wait(0);
    assert_false(may_renew());
    world_wait(HOUR);
    assert_true(may_renew());
}

/* Whatever the clock says, an installed certificate stays, and nothing is asked for: renewal is the
 * agent's. */
static void jumps_change_nothing_that_is_installed(void **unused) {
    (void)unused;
    static const int64_t jumps[] = {-YEAR, 2 * YEAR, -YEAR, 60 * DAY, -60 * DAY};
    alice();
    world_install(1000);
    size_t reports = world.report_count;
    for (size_t i = 0; i < ARRAY_LENGTH(jumps); i++) {
        world_wait(jumps[i]);
        expect_state(USER_INSTALLED);
        world_restart();
        expect_state(USER_INSTALLED);
    }
    assert_int_equal(world.report_count, reports);
    assert_true(world.policy_there);
}

/* Suspended through every wait, or the clock was set forward: what is due is done at once, once. */
static void a_year_later_everything_is_due(void **unused) {
    (void)unused;
    world.state.splay_s = DESIRED_STATE_MAX_SPLAY_S;
    alice();
    expect_state(USER_WAITING);
    world_wait(YEAR);
    expect_state(USER_REQUESTED);
    world_submit(1000, NULL);
    world_answer(SIGN_RETRY, 6 * HOUR * 1000, REASON_SERVER_ERROR);
    posts_before = world.post_count;
    world_wait(YEAR);
    assert_int_equal(world.post_count, posts_before + 1);
    world.clock_agrees = false; /* as the server's Date shows */
    world_answer_issued(NULL);
    expect_state(USER_DELIVERED);
    world_wait(YEAR); /* the agent was suspended while it installed */
    expect_state(USER_WAITING);
    expect_within(60, is_requested);
}

/* What was drawn before a restart is not drawn again: a daemon that restarts often comes no
 * earlier. */
static void a_restart_does_not_draw_again(void **unused) {
    (void)unused;
    world.state.splay_s = DESIRED_STATE_MAX_SPLAY_S;
    alice();
    const int64_t splay = world_user(1000)->record.due;
    for (int i = 0; i < 3; i++) {
        world_restart();
        assert_int_equal(world_user(1000)->record.due, splay);
        assert_int_equal(users_next_due(world.users), splay);
    }
    world_wait(splay - virtual_now);
    world_submit(1000, NULL);
    world_answer(SIGN_RETRY, HOUR * 1000, REASON_SERVER_ERROR);
    const int64_t ordered = world_user(1000)->record.due;
    assert_true(ordered >= virtual_now + HOUR);
    posts_before = world.post_count;
    for (int i = 0; i < 3; i++) {
        world_restart();
        posts_before = world.post_count;
        assert_int_equal(world_user(1000)->record.due, ordered);
        assert_int_equal(users_next_due(world.users), ordered);
        assert_int_equal(world.post_count, posts_before);
    }
    world_wait(ordered - virtual_now);
    assert_int_equal(world.post_count, posts_before + 1);
    world_answer(SIGN_FAILED, 0, REASON_BUNDLE_INVALID);
    expect_state(USER_WAITING);
    const int64_t back_off = world_user(1000)->record.due;
    world_restart();
    assert_int_equal(world_user(1000)->record.due, back_off);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_splay_ends),
        TEST(a_request_times_out),
        TEST(a_little_is_no_jump),
        TEST(a_delivery_times_out_and_its_late_report_counts),
        TEST(a_post_is_repeated),
        TEST(a_link_that_was_not_there_is_asked_again),
        TEST(a_waiting_submit_is_answered),
        TEST(what_could_not_be_stored_is_tried_again),
        TEST(an_account_is_looked_up_again),
        TEST(a_limit_costs_an_hour),
        TEST(jumps_change_nothing_that_is_installed),
        TEST(a_year_later_everything_is_due),
        TEST(a_restart_does_not_draw_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
