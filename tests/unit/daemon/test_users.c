/* Managed users as a whole: from the desired state to the installed certificate and back, several
 * of them, with restarts at every state, and whatever agents and servers do wrong. */
#include "tests/unit/daemon/user_world.h"

#include <json-c/json_tokener.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect_state(int64_t uid, enum user_state state) {
    struct user *user = world_user(uid);
    assert_non_null(user);
    if (user->record.state != state)
        fail_msg("%s instead of %s", user_state_name(user->record.state), user_state_name(state));
}

static const char *text_of(struct json_object *object, const char *name) {
    struct json_object *member = NULL;
    return json_object_object_get_ex(object, name, &member) ? json_object_get_string(member) : "";
}

static void expect_mode(int64_t uid, const char *mode, bool request) {
    struct json_object *snapshot CLEANUP_JSON = user_view_snapshot(world_user(uid));
    assert_string_equal(text_of(snapshot, "mode"), mode);
    assert_int_equal(json_object_object_get_ex(snapshot, "request", NULL), request);
}

static void alice(void) {
    world_assign(0, "u1", "alice");
    world_say();
    world_attach(1000);
}

static void installed_and_removed(void **unused) {
    (void)unused;
    world_assign(0, "u1", "alice");
    world_say();
    expect_state(1000, USER_WAITING);
    assert_true(world.policy_there); /* before anybody is asked */
    expect_mode(1000, "certificate", false);
    world_attach(1000);
    expect_state(1000, USER_REQUESTED);
    expect_mode(1000, "certificate", true);
    world_install(1000);
    assert_int_equal(world.answer.kind, ANSWER_BUNDLE);
    assert_int_equal(world.report_count, 1);
    assert_string_equal(text_of(world.reports[0], "user"), "u1");
    assert_string_equal(text_of(world.reports[0], "outcome"), "installed");
    assert_string_equal(text_of(world.reports[0], "code"), "none");
    assert_string_equal(
        text_of(world.reports[0], "serial"), world_user(1000)->record.installed.serial);
    expect_mode(1000, "certificate", false);
    assert_int_equal(user_view_reason(world_user(1000)), REASON_NONE);

    world.state.distribution = DISTRIBUTION_OFF;
    world_say();
    expect_state(1000, USER_REMOVING);
    expect_mode(1000, "remove", false);
    assert_true(world.policy_there); /* until it is done */
    assert_int_equal(world_report_outcome(1000, OUTCOME_REMOVED, NULL, NULL), 1);
    assert_string_equal(text_of(world.reports[1], "outcome"), "removed");
    /* up to which certificate: one that is issued meanwhile is not meant */
    assert_string_equal(
        text_of(world.reports[1], "request_id"), text_of(world.reports[0], "request_id"));
    assert_false(world.policy_there);
    assert_false(state_dir_has(&world.dir, "users/u1.json"));
    expect_mode(1000, "idle", false);
}

static void a_restart_at_every_state(void **unused) {
    (void)unused;
    char id[37], serial[X509_SERIAL_HEX_SIZE];
    alice();
    memcpy(id, world_user(1000)->record.request.id, sizeof(id));
    world_restart();
    expect_state(1000, USER_REQUESTED);
    assert_string_equal(world_user(1000)->record.request.id, id);

    world_submit(1000, NULL);
    expect_state(1000, USER_SIGNING);
    assert_int_equal(world.post_count, 1);
    size_t size = world.posts[0].size;
    uint8_t *csr CLEANUP_FREE = malloc(size);
    memcpy(csr, world.posts[0].csr, size);
    world_restart();
    assert_int_equal(world.post_count, 1); /* the same again */
    assert_int_equal(world.posts[0].size, size);
    assert_memory_equal(world.posts[0].csr, csr, size);

    world_answer_issued(NULL);
    expect_state(1000, USER_DELIVERED);
    memcpy(serial, world_user(1000)->record.request.serial, sizeof(serial));
    world_restart();
    expect_state(1000, USER_DELIVERED);
    assert_int_equal(world_report_outcome(1000, OUTCOME_INSTALLED, id, serial), 1);
    world_restart();
    expect_state(1000, USER_INSTALLED);
    assert_int_equal(world.post_count, 0);

    world.state.user_count = 0;
    world_say();
    world_restart();
    expect_state(1000, USER_REMOVING);
    expect_mode(1000, "remove", false);
    assert_int_equal(world_report_outcome(1000, OUTCOME_REMOVED, NULL, NULL), 1);
    assert_null(world_user(1000));
}

static void a_restart_while_refused_and_waiting(void **unused) {
    (void)unused;
    world.state.splay_s = 1000;
    alice();
    expect_state(1000, USER_WAITING);
    int64_t due = world_user(1000)->record.due;
    assert_true(due > virtual_now);
    assert_int_equal(users_next_due(world.users), due);
    world_restart();
    assert_int_equal(world_user(1000)->record.due, due); /* the draw is kept */
    world_wait(due - virtual_now);
    expect_state(1000, USER_REQUESTED);
    world_submit(1000, NULL);
    world_answer(SIGN_REFUSED, 0, REASON_SERVER_REFUSED);
    expect_state(1000, USER_REFUSED);
    assert_int_equal(world.answer.kind, ANSWER_REFUSED);
    assert_int_equal(user_view_reason(world_user(1000)), REASON_SERVER_REFUSED);
    world_restart();
    expect_state(1000, USER_REFUSED);
    world.state.splay_s = 0;
    world_say(); /* a new generation */
    expect_state(1000, USER_REQUESTED);
}

/* An agent that is there again first, with its key in hand, is told to wait: a refusal would be the
 * end of the request for it. */
static void a_submit_before_the_state_is_known(void **unused) {
    (void)unused;
    alice();
    expect_state(1000, USER_REQUESTED);
    world_stop();
    world_start();
    world_settle();
    world_submit(1000, NULL);
    assert_int_equal(world.answer.kind, ANSWER_RETRY);
    assert_true(world.answer.retry_after_s > 0);
    expect_state(1000, USER_REQUESTED);
    world_lookup_error = -EAGAIN; /* the state is known, but not yet whose account it is */
    users_set_state(world.users, &world.state);
    world_settle();
    world_submit(1000, NULL);
    assert_int_equal(world.answer.kind, ANSWER_RETRY);
    world_lookup_error = 0;
}

static void a_submit_while_paused_is_refused(void **unused) {
    (void)unused;
    alice();
    world.state.distribution = DISTRIBUTION_PAUSED;
    world_say();
    expect_state(1000, USER_REQUESTED);
    world_submit(1000, NULL);
    assert_int_equal(world.answer.kind, ANSWER_REFUSED);
}

static void a_refusal_under_an_older_state_does_not_stop(void **unused) {
    (void)unused;
    alice();
    world_submit(1000, NULL);
    world_say(); /* while the post was on its way */
    world_answer(SIGN_REFUSED, 0, REASON_DISTRIBUTION_OFF);
    expect_state(1000, USER_REQUESTED);
}

static void a_removal_names_what_was_delivered_last(void **unused) {
    (void)unused;
    char id[37];
    struct user_answer answer;
    const char *renewed = NULL;
    alice();
    world_install(1000);
    assert_int_equal(user_renew(world_user(1000), REQUEST_USER, &renewed, &answer), 1);
    world_submit(1000, NULL);
    world_answer_issued(NULL);
    expect_state(1000, USER_DELIVERED);
    memcpy(id, world_user(1000)->record.request.id, sizeof(id));
    world.state.distribution = DISTRIBUTION_OFF;
    world_say();
    world_restart();
    expect_state(1000, USER_REMOVING);
    assert_int_equal(world_report_outcome(1000, OUTCOME_REMOVED, NULL, NULL), 1);
    assert_string_equal(text_of(world.reports[1], "request_id"), id);
}

static void a_removal_that_fails_says_why_and_goes_on(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    world.state.distribution = DISTRIBUTION_OFF;
    world_say();
    assert_int_equal(user_view_reason(world_user(1000)), REASON_DISTRIBUTION_OFF);
    assert_int_equal(world_report_outcome(1000, OUTCOME_FAILED, NULL, NULL), 1);
    expect_state(1000, USER_REMOVING);
    assert_int_equal(user_view_reason(world_user(1000)), REASON_STORE_FULL);
    world_restart();
    assert_int_equal(user_view_reason(world_user(1000)), REASON_STORE_FULL);
    expect_mode(1000, "remove", false);
    assert_int_equal(world_report_outcome(1000, OUTCOME_REMOVED, NULL, NULL), 1);
    assert_false(state_dir_has(&world.dir, "users/u1.json"));
}

/* "off" and "on" again, while the device slept: the server has ended what is installed. */
static void what_an_order_has_ended_is_replaced(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    struct user *user = world_user(1000);
    memcpy(world.assigned[0].revoked[0], "5a", 3);
    memcpy(world.assigned[0].revoked[1], user->record.installed.serial, X509_SERIAL_HEX_SIZE);
    world.assigned[0].revoked_count = 2;
    world_say();
    expect_state(1000, USER_REQUESTED);
    assert_int_equal(user->record.request.reason, REQUEST_CHANGED);
    assert_string_not_equal(user->record.installed.serial, ""); /* kept until the next is there */
    world_install(1000);
    world_say(); /* the list still says so; it is another's serial now */
    expect_state(1000, USER_INSTALLED);
}

static void two_managed_one_not(void **unused) {
    (void)unused;
    world_assign(0, "u1", "alice");
    world_assign(1, "u2", "bob");
    world_say();
    for (int64_t uid = 1000; uid < 1003; uid++)
        world_attach(uid);
    assert_null(world_user(1002));
    expect_mode(1002, "idle", false);
    world_submit(1000, NULL);
    world_submit(1001, NULL);
    assert_int_equal(world.post_count, 2);
    assert_string_not_equal(
        world_user(1000)->record.request.id, world_user(1001)->record.request.id);
    assert_string_equal(world_user(1000)->record.id, "u1");
    assert_string_equal(world_user(1001)->record.id, "u2");
    assert_ptr_equal(users_find_by_name(world.users, "bob"), world_user(1001));
    assert_null(users_find_by_name(world.users, "carol"));
    /* one is unassigned: the other does not notice */
    world.state.user_count = 1;
    world_say();
    expect_state(1000, USER_SIGNING);
    assert_null(world_user(1001)); /* nothing was delivered: nothing is to be removed */
}

static void accounts_that_are_not_served(void **unused) {
    (void)unused;
    world_assign(0, "u1", "dave");
    world_assign(1, "u/2", "alice"); /* no id that could be a file */
    world_say();
    assert_int_equal(users_count(world.users), 1);
    assert_int_equal(user_view_reason(users_get(world.users, 0)), REASON_USER_UNKNOWN);
    assert_int_equal(users_get(world.users, 0)->record.state, USER_ABSENT);
    world_alice = 999;
    world_assign(0, "u1", "alice");
    world.state.user_count = 1;
    world_say();
    assert_int_equal(user_view_reason(users_get(world.users, 0)), REASON_USER_REFUSED);
    assert_false(world.policy_there);
    assert_false(state_dir_has(&world.dir, "users/u1.json"));
}

static void an_account_that_changes_stops_and_shows(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    world_alice = 1003;
    world_restart();
    assert_int_equal(user_view_reason(users_get(world.users, 0)), REASON_USER_CHANGED);
    assert_null(world_user(1003)); /* whoever has the name now gets nothing */
    expect_mode(1000, "idle", false);
    world_say();
    assert_int_equal(users_get(world.users, 0)->record.state, USER_INSTALLED);
    /* another name for the same assignment is a change as well */
    world_alice = 1000;
    world_assign(0, "u1", "bob");
    world_say();
    assert_int_equal(user_view_reason(users_get(world.users, 0)), REASON_USER_CHANGED);
    /* removed and assigned again */
    world.state.user_count = 0;
    world_say();
    expect_state(1000, USER_REMOVING);
    assert_int_equal(world_report_outcome(1000, OUTCOME_REMOVED, NULL, NULL), 1);
    world_assign(0, "u1", "bob");
    world_say();
    expect_state(1001, USER_WAITING);
}

static void a_silent_name_service_removes_nobody(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    world_lookup_error = -EIO;
    world_restart();
    expect_state(1000, USER_INSTALLED);
    expect_mode(1000, "certificate", false);
    struct user_answer answer = {.reason = REASON_NONE};
    const char *id;
    assert_int_equal(
        user_renew(world_user(1000), REQUEST_DUE, &id, &answer), 0); /* not verified: nothing new */
    assert_true(users_next_due(world.users) < virtual_now + 3600);
    world_lookup_error = 0;
    world_say();
    assert_int_equal(user_renew(world_user(1000), REQUEST_DUE, &id, &answer), 1);
}

static void paused_touches_nothing(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    world.state.distribution = DISTRIBUTION_PAUSED;
    world.state.user_count = 0; /* not even this */
    world_say();
    expect_state(1000, USER_INSTALLED);
    expect_mode(1000, "idle", false);
    assert_true(world.policy_there);
    assert_int_equal(users_next_due(world.users), INT64_MAX);
    struct user_answer answer = {.reason = REASON_NONE};
    const char *id;
    assert_int_equal(user_renew(world_user(1000), REQUEST_DUE, &id, &answer), 0);
    assert_int_equal(answer.reason, REASON_DISTRIBUTION_PAUSED);
    world.state.distribution = DISTRIBUTION_ON;
    world.state.user_count = 1;
    world_say();
    expect_state(1000, USER_INSTALLED);
    expect_mode(1000, "certificate", false);
}

static void nothing_known_touches_nothing(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    world_stop();
    world_start();
    users_advance(world.users);
    world_settle();
    expect_state(1000, USER_INSTALLED);
    expect_mode(1000, "idle", false);
}

static void removed_before_managed_again(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    world.state.distribution = DISTRIBUTION_OFF;
    world_say();
    world.state.distribution = DISTRIBUTION_ON;
    world_say();
    expect_state(1000, USER_REMOVING);
    assert_int_equal(world_report_outcome(1000, OUTCOME_REMOVED, NULL, NULL), 1);
    expect_state(1000, USER_REQUESTED);
}

static void the_same_account_under_another_id_waits(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    world_assign(0, "u9", "alice");
    world_say();
    expect_mode(1000, "remove", false);
    assert_string_equal(world_user(1000)->record.id, "u1");
    assert_int_equal(world_report_outcome(1000, OUTCOME_REMOVED, NULL, NULL), 1);
    assert_string_equal(world_user(1000)->record.id, "u9");
    expect_state(1000, USER_REQUESTED);
}

static void held_by_local_root(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    assert_int_equal(user_hold(world_user(1000), true), 0);
    expect_state(1000, USER_REMOVING);
    assert_int_equal(world_report_outcome(1000, OUTCOME_REMOVED, NULL, NULL), 1);
    world_restart();
    assert_int_equal(users_get(world.users, 0)->record.state, USER_ABSENT);
    assert_int_equal(user_view_reason(users_get(world.users, 0)), REASON_HELD);
    assert_int_equal(user_hold(users_get(world.users, 0), false), 0);
    world_settle();
    expect_state(1000, USER_REQUESTED);
    world_install(1000);
    users_set_held(world.users, true);
    expect_state(1000, USER_REMOVING);
}

static void expect_bad_csr(const char *csr, enum reason reason) {
    struct user *user = world_user(1000);
    char id[37];
    memcpy(id, user->record.request.id, sizeof(id));
    world.answer = (struct user_answer){.kind = ANSWER_RETRY};
    user_submit(user, id, csr, world_submitted, &world);
    assert_int_equal(world.answer.kind, ANSWER_BAD_CSR);
    if (world.answer.reason != reason)
        fail_msg("%s instead of %s", reason_code(world.answer.reason), reason_code(reason));
    expect_state(1000, USER_REQUESTED);
    assert_int_equal(world.post_count, 0);
}

static void bad_requests_go_nowhere(void **unused) {
    (void)unused;
    alice();
    struct user *user = world_user(1000);
    EVP_PKEY *key CLEANUP_EVP_PKEY = NULL, *p384 CLEANUP_EVP_PKEY = NULL;
    assert_int_equal(x509_key_generate(KEY_TYPE_P256, &key), 0);
    assert_int_equal(x509_key_generate(KEY_TYPE_P384, &p384), 0);
    char *good CLEANUP_FREE = world_csr(user, key, NULL, NULL);
    char *for_bob CLEANUP_FREE = world_csr(user, key, "u2", NULL);
    char *other_id CLEANUP_FREE = world_csr(user, key, NULL, WORLD_DEVICE);
    char *other_type CLEANUP_FREE = world_csr(user, p384, NULL, NULL);
    char large[9000];
    memset(large, 'A', sizeof(large));
    large[8000] = '\0';
    expect_bad_csr("!!!!", REASON_CSR_INVALID);
    expect_bad_csr("AAAA", REASON_CSR_INVALID);
    expect_bad_csr(large, REASON_CSR_TOO_LARGE);
    expect_bad_csr(for_bob, REASON_CSR_SUBJECT);
    expect_bad_csr(other_id, REASON_CSR_SUBJECT);
    expect_bad_csr(other_type, REASON_CSR_KEY);
    user_submit(user, WORLD_DEVICE, good, world_submitted, &world);
    assert_int_equal(world.answer.kind, ANSWER_STALE);
    assert_string_equal(world.answer_current, user->record.request.id);
    world_submit(1000, key);
    expect_state(1000, USER_SIGNING);
}

static void a_key_is_used_once(void **unused) {
    (void)unused;
    EVP_PKEY *key CLEANUP_EVP_PKEY = NULL;
    struct user_answer answer;
    const char *id;
    char open[37], serial[X509_SERIAL_HEX_SIZE];
    alice();
    assert_int_equal(x509_key_generate(KEY_TYPE_P256, &key), 0);
    world_submit(1000, key);
    world_answer_issued(NULL);
    memcpy(open, world_user(1000)->record.request.id, sizeof(open));
    memcpy(serial, world_user(1000)->record.request.serial, sizeof(serial));
    assert_int_equal(world_report_outcome(1000, OUTCOME_INSTALLED, open, serial), 1);
    assert_int_equal(user_renew(world_user(1000), REQUEST_DUE, &id, &answer), 1);
    world_restart();
    world_submit(1000, key);
    assert_int_equal(world.answer.kind, ANSWER_BAD_CSR);
    assert_int_equal(world.answer.reason, REASON_CSR_KEY_REUSED);
}

static void submitting_again(void **unused) {
    (void)unused;
    EVP_PKEY *key CLEANUP_EVP_PKEY = NULL;
    alice();
    assert_int_equal(x509_key_generate(KEY_TYPE_P256, &key), 0);
    world_submit(1000, key);
    world_submit(1000, key); /* on a new connection: the older is told to come again */
    assert_int_equal(world.answers, 1);
    assert_int_equal(world.answer.kind, ANSWER_RETRY);
    assert_int_equal(world.post_count, 1);
    world_answer_issued(NULL);
    assert_int_equal(world.answer.kind, ANSWER_BUNDLE);
    char *leaf CLEANUP_FREE = strdup(world_user(1000)->record.request.leaf);
    world_submit(1000, key); /* delivered: the same bundle */
    assert_int_equal(world.answers, 3);
    assert_string_equal(world.answer.request->leaf, leaf);
    assert_int_equal(world.post_count, 1);
    world_submit(1000, NULL); /* the agent lost its key */
    expect_state(1000, USER_SIGNING);
    assert_int_equal(world.post_count, 2);
    world_answer_issued(NULL);
    assert_string_not_equal(world_user(1000)->record.request.leaf, leaf);
    world_submit(1000, NULL);
    world_submit(1000, NULL); /* the answer to the first is not waited for any more */
    assert_null(world.posts[2].userdata);
    assert_non_null(world.posts[3].userdata);
}

static void a_submit_does_not_wait_for_ever(void **unused) {
    (void)unused;
    alice();
    world_submit(1000, NULL);
    assert_int_equal(world.answers, 0);
    assert_int_equal(users_next_due(world.users), virtual_now + USER_SUBMIT_WAIT_S);
    world_wait(USER_SUBMIT_WAIT_S);
    assert_int_equal(world.answers, 1);
    assert_int_equal(world.answer.kind, ANSWER_RETRY);
    assert_true(world.answer.retry_after_s > 0);
    world_submit(1000, NULL);
    user_submit_forget(world_user(1000), &world); /* the caller has gone */
    world_answer_issued(NULL);
    assert_int_equal(world.answers, 1);
}

static void the_server_is_slow_or_away(void **unused) {
    (void)unused;
    alice();
    world_submit(1000, NULL);
    world_answer(SIGN_RETRY, 90000, REASON_SERVER_ERROR);
    expect_state(1000, USER_SIGNING);
    assert_int_equal(world.answer.kind, ANSWER_RETRY);
    assert_true(world.answer.retry_after_s >= 90);
    users_server_back(world.users); /* an ordered wait is kept */
    world_wait(60);
    assert_int_equal(world.post_count, 1);
    world_wait(900);
    assert_int_equal(world.post_count, 2);
    world_answer(SIGN_RETRY, 0, REASON_SERVER_UNREACHABLE);
    assert_int_equal(user_view_reason(world_user(1000)), REASON_SERVER_UNREACHABLE);
    users_server_back(world.users);
    world_wait(3);
    assert_int_equal(world.post_count, 3);
    world_answer_issued(NULL);
    expect_state(1000, USER_DELIVERED);
    assert_int_equal(user_view_reason(world_user(1000)), REASON_NONE);
}

static void the_link_takes_no_more(void **unused) {
    (void)unused;
    alice();
    world.sign_error = -EBUSY;
    world_submit(1000, NULL);
    expect_state(1000, USER_SIGNING);
    assert_int_equal(world.answers, 0); /* it is next */
    world_settle();
    assert_int_equal(uv_backend_timeout(&world.loop), -1); /* and nothing spins until then */
    world.sign_error = 0;
    world_settle(); /* a place is free */
    assert_int_equal(world.post_count, 1);
    world_answer_issued(NULL);
    expect_state(1000, USER_DELIVERED);
}

static void bad_answers_are_not_handed_out(void **unused) {
    (void)unused;
    EVP_PKEY *key CLEANUP_EVP_PKEY = NULL;
    assert_int_equal(x509_key_generate(KEY_TYPE_P256, &key), 0);
    const struct {
        struct world_leaf leaf;
        enum reason reason;
    } wrong[] = {
        {{.key = key}, REASON_LEAF_KEY},
        {{.user = "u2"}, REASON_LEAF_NAME},
        {{.device = "1b6f6c0e-5b0d-4b57-9d44-7a3f0a1c2b3d"}, REASON_LEAF_NAME},
        {{.policy = X509_POLICY_DEVICE}, REASON_LEAF_USAGE},
        {{.basic = "critical,CA:TRUE"}, REASON_LEAF_USAGE},
        {{.begin_s = -7200, .end_s = -3600}, REASON_LEAF_LIFETIME},
        {{.begin_s = -300, .end_s = 86400 * 3}, REASON_LEAF_LIFETIME},
        {{.issuer = &world.stranger}, REASON_LEAF_CHAIN},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (i == 0)
            alice();
        else
            world_wait(7 * 3600); /* past the back-off */
        expect_state(1000, USER_REQUESTED);
        char id[37];
        memcpy(id, world_user(1000)->record.request.id, sizeof(id));
        world_submit(1000, NULL);
        /* the clock of the certificates does not move: only the daemon's waits do */
        int64_t now = virtual_now;
        virtual_now = time(NULL);
        world_answer_issued(&wrong[i].leaf);
        virtual_now = now;
        struct user_record *record = &world_user(1000)->record;
        if (record->state != USER_WAITING || record->reason != wrong[i].reason)
            fail_msg("%zu: %s, %s", i, user_state_name(record->state), reason_code(record->reason));
        assert_int_equal(world.answer.kind, ANSWER_STALE);
        assert_false(record->delivered);
        assert_null(record->request.leaf);
    }
}

static void an_unbelievable_clock_is_no_failure(void **unused) {
    (void)unused;
    world.clock_agrees = false;
    virtual_now += 86400LL * 100; /* by it, every certificate of today has expired */
    alice();
    world_submit(1000, NULL);
    world_answer_issued(NULL);
    expect_state(1000, USER_DELIVERED);
}

static void an_agent_that_does_not_answer(void **unused) {
    (void)unused;
    alice();
    char id[37];
    memcpy(id, world_user(1000)->record.request.id, sizeof(id));
    world_wait(60);
    expect_state(1000, USER_WAITING);
    assert_int_equal(user_view_reason(world_user(1000)), REASON_AGENT_TIMEOUT);
    world_wait(6 * 3600);
    expect_state(1000, USER_REQUESTED);
    assert_string_not_equal(world_user(1000)->record.request.id, id);
}

static void a_delivery_waits_for_its_agent(void **unused) {
    (void)unused;
    alice();
    world_submit(1000, NULL);
    world_answer_issued(NULL);
    world_detach(1000);
    world_wait(86400); /* signed out: it may have installed already */
    expect_state(1000, USER_DELIVERED);
    assert_int_equal(users_next_due(world.users), INT64_MAX);
    world_attach(1000);
    expect_state(1000, USER_DELIVERED); /* and gets its time */
    world_wait(60);
    expect_state(1000, USER_WAITING);
}

static void a_failed_installation(void **unused) {
    (void)unused;
    alice();
    world_submit(1000, NULL);
    world_answer_issued(NULL);
    char id[37];
    memcpy(id, world_user(1000)->record.request.id, sizeof(id));
    assert_int_equal(world_report_outcome(1000, OUTCOME_FAILED, id, NULL), 1);
    expect_state(1000, USER_WAITING);
    assert_int_equal(user_view_reason(world_user(1000)), REASON_STORE_FULL);
    assert_string_equal(text_of(world.reports[0], "code"), "store-full");
    assert_int_equal(world_report_outcome(1000, OUTCOME_FAILED, id, NULL), 0); /* once */
    assert_int_equal(world.report_count, 1);
}

static void reports_about_nothing_known(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    char *serial CLEANUP_FREE = strdup(world_user(1000)->record.installed.serial);
    assert_int_equal(world_report_outcome(1000, OUTCOME_INSTALLED, WORLD_DEVICE, "77"), 0);
    assert_int_equal(world_report_outcome(1000, OUTCOME_REMOVED, NULL, NULL), 0);
    assert_int_equal(world.report_count, 1);
    assert_int_equal(
        world_report_outcome(1000, OUTCOME_INSTALLED, WORLD_DEVICE, serial), 1); /* again */
    assert_int_equal(world.report_count, 1);
    expect_state(1000, USER_INSTALLED);
}

static void a_report_that_cannot_be_kept_is_not_acknowledged(void **unused) {
    (void)unused;
    alice();
    world_submit(1000, NULL);
    world_answer_issued(NULL);
    char id[37], serial[X509_SERIAL_HEX_SIZE];
    memcpy(id, world_user(1000)->record.request.id, sizeof(id));
    memcpy(serial, world_user(1000)->record.request.serial, sizeof(serial));
    world.report_error = -ENOSPC;
    assert_int_equal(world_report_outcome(1000, OUTCOME_INSTALLED, id, serial), -ENOSPC);
    expect_state(1000, USER_DELIVERED);
    world.report_error = 0;
    assert_int_equal(world_report_outcome(1000, OUTCOME_INSTALLED, id, serial), 1);
    expect_state(1000, USER_INSTALLED);
}

static void renewals(void **unused) {
    (void)unused;
    struct user_answer answer = {.reason = REASON_NONE};
    const char *id = NULL, *again = NULL;
    alice();
    world_install(1000);
    assert_int_equal(user_renew(world_user(1000), REQUEST_STORE_ADDED, &id, &answer), 1);
    assert_int_equal(user_renew(world_user(1000), REQUEST_DUE, &again, &answer), 1);
    assert_ptr_equal(id, again); /* one open at a time */
    assert_int_equal(world_user(1000)->record.request.reason, REQUEST_STORE_ADDED);
    for (int i = 0; i < 4; i++) {
        world_install(1000);
        assert_int_equal(user_renew(world_user(1000), REQUEST_DUE, &id, &answer), 1);
    }
    world_install(1000);
    world_restart();
    assert_int_equal(user_renew(world_user(1000), REQUEST_DUE, &id, &answer), 0); /* the seventh */
    assert_int_equal(answer.kind, ANSWER_TOO_SOON);
    assert_true(answer.retry_after_s > 0 && answer.retry_after_s <= 3600);
    world_wait(answer.retry_after_s);
    assert_int_equal(user_renew(world_user(1000), REQUEST_DUE, &id, &answer), 1);
}

static void another_key_type_is_a_new_request_once(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    world.state.renew_after_s = 30000; /* matters to nobody's key */
    world_say();
    expect_state(1000, USER_INSTALLED);
    world.state.key_type = KEY_TYPE_P384;
    world_say();
    expect_state(1000, USER_REQUESTED);
    assert_int_equal(world_user(1000)->record.request.reason, REQUEST_CHANGED);
    assert_int_equal(world_user(1000)->record.request.key_type, KEY_TYPE_P384);
    EVP_PKEY *key CLEANUP_EVP_PKEY = NULL;
    assert_int_equal(x509_key_generate(KEY_TYPE_P384, &key), 0);
    world_submit(1000, key);
    world_answer_issued(NULL);
    char id[37], serial[X509_SERIAL_HEX_SIZE];
    memcpy(id, world_user(1000)->record.request.id, sizeof(id));
    memcpy(serial, world_user(1000)->record.request.serial, sizeof(serial));
    assert_int_equal(world_report_outcome(1000, OUTCOME_INSTALLED, id, serial), 1);
    world_say();
    expect_state(1000, USER_INSTALLED);
    world.state.key_type_known = false; /* a newer server's: the old certificate is kept */
    world_say();
    expect_state(1000, USER_INSTALLED);
}

static void no_certificate_before_its_policy(void **unused) {
    (void)unused;
    world.policy_good = false;
    alice();
    expect_state(1000, USER_WAITING);
    assert_int_equal(user_view_reason(world_user(1000)), REASON_POLICY_DIRECTORY);
    assert_int_equal(users_next_due(world.users), INT64_MAX); /* nothing to wake up for */
    world.policy_good = true;
    users_advance(world.users);
    expect_state(1000, USER_REQUESTED);
}

static void what_cannot_be_stored_is_not_done(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    /* a directory in the file's place: no rename onto it succeeds, even for root */
    assert_int_equal(unlinkat(world.dir.fd, "users/u1.json", 0), 0);
    assert_int_equal(mkdirat(world.dir.fd, "users/u1.json", 0700), 0);
    world.state.distribution = DISTRIBUTION_OFF;
    world_say();
    expect_state(1000, USER_INSTALLED);
    expect_mode(1000, "idle", false);
    assert_int_equal(user_view_reason(world_user(1000)), REASON_STORAGE);
    assert_true(users_next_due(world.users) <= virtual_now + 30);
    assert_int_equal(unlinkat(world.dir.fd, "users/u1.json", AT_REMOVEDIR), 0);
    world_wait(30);
    expect_state(1000, USER_REMOVING);
}

static void a_broken_file_is_rebuilt(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    state_dir_write(&world.dir, "written", "{", 1);
    assert_int_equal(renameat(world.dir.fd, "written", world.dir.fd, "users/u1.json"), 0);
    world_restart();
    expect_state(1000, USER_REQUESTED); /* a new one supersedes what the agent has */
    world.state.distribution = DISTRIBUTION_OFF;
    world_say();
    expect_state(1000, USER_REMOVING); /* something may be in a store */
}

static void a_newer_file_is_left_alone(void **unused) {
    (void)unused;
    static const char newer[] = "{\"format\":\"devtrust-user\",\"version\":2}";
    world_stop();
    state_dir_write(&world.dir, "written", newer, strlen(newer));
    assert_int_equal(renameat(world.dir.fd, "written", world.dir.fd, "users/u1.json"), 0);
    world_start();
    alice();
    assert_int_equal(user_view_reason(users_get(world.users, 0)), REASON_NEWER_STATE);
    char text[sizeof(newer) + 1] = "";
    int fd CLEANUP_CLOSE = openat(world.dir.fd, "users/u1.json", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text)), strlen(newer));
    assert_string_equal(text, newer);
}

static void the_snapshot_carries_what_is_ordered(void **unused) {
    (void)unused;
    alice();
    struct json_object *snapshot CLEANUP_JSON = user_view_snapshot(world_user(1000));
    struct json_object *request = json_object_object_get(snapshot, "request");
    struct json_object *settings = json_object_object_get(snapshot, "settings");
    assert_string_equal(text_of(request, "subject_uid"), "u1");
    assert_string_equal(text_of(request, "key_type"), "p256");
    assert_string_equal(text_of(request, "reason"), "first");
    assert_int_equal(
        json_object_get_int64(json_object_object_get(request, "deadline")), virtual_now + 60);
    assert_int_equal(
        json_object_get_int64(json_object_object_get(request, "install_not_before")),
        virtual_now + 10);
    assert_string_equal(text_of(settings, "device_uuid"), WORLD_DEVICE);
    assert_int_equal(strlen(text_of(settings, "issuer_spki_sha256")), 64);
    assert_int_equal(
        json_object_get_int64(json_object_object_get(settings, "renew_after_s")), 40000);
    assert_false(json_object_object_get_ex(settings, "firefox_policy_since", NULL));
    world.firefox_since = 12345;
    struct json_object *with CLEANUP_JSON = user_view_snapshot(world_user(1000));
    settings = json_object_object_get(with, "settings");
    assert_int_equal(
        json_object_get_int64(json_object_object_get(settings, "firefox_policy_since")), 12345);
    /* a removal names what was delivered, even where the device is enrolled no more */
    world_install(1000);
    world.enrolled = false;
    world.state.enrolled = false;
    world.state.user_count = 0;
    world_say();
    struct json_object *removal CLEANUP_JSON = user_view_snapshot(world_user(1000));
    assert_string_equal(text_of(removal, "mode"), "remove");
    assert_string_equal(
        text_of(json_object_object_get(removal, "settings"), "device_uuid"), WORLD_DEVICE);
}

/* What a sign-in and a change of accounts have in common: whoever it may be about is looked up. */
static void accounts_are_looked_up_when_they_may_have_changed(void **unused) {
    (void)unused;
    world_lookup_error = -ENOENT;
    world_assign(0, "u1", "alice");
    world_say();
    struct user *user = users_get(world.users, 0);
    assert_int_equal(user_view_reason(user), REASON_USER_UNKNOWN);
    world_lookup_error = 0;
    virtual_now += 1;
    users_login_changed(world.users, 1000); /* whose name that is, is not known yet */
    world_settle();
    assert_int_equal(user->account, ACCOUNT_FOUND);
    world_alice = 1003;
    users_login_changed(world.users, 1001); /* somebody else */
    world_settle();
    assert_int_equal(user->account_uid, 1000);
    users_accounts_changed(world.users);
    world_settle();
    assert_int_equal(user->account_uid, 1003);
}

/* Agents and sign-ins can be anybody's. What they may be about is not forgotten, but looked at
 * later. */
static void nobody_can_cause_look_ups_without_end(void **unused) {
    (void)unused;
    world_lookup_error = -ENOENT;
    world_assign(0, "u1", "alice");
    world_say();
    unsigned before = world_lookups;
    for (int i = 0; i < 20; i++) {
        world_attach(1005);
        world_detach(1005);
        users_login_changed(world.users, 1005);
        users_accounts_changed(world.users);
        world_settle();
    }
    assert_int_equal(world_lookups, before);
    assert_int_equal(users_next_due(world.users), virtual_now + 1);
    virtual_now += 1;
    world_lookup_error = 0;
    world_attach(1005);
    assert_int_equal(world_lookups, before + 1);
    assert_int_equal(users_get(world.users, 0)->account, ACCOUNT_FOUND);
    assert_int_equal(users_next_due(world.users), INT64_MAX);
}

static unsigned settlings_of(int64_t uid) {
    unsigned before = world_settlings;
    for (int i = 0; i < 5; i++) {
        users_agent_attached(world.users, uid);
        uv_run(&world.loop, UV_RUN_NOWAIT);
        users_agent_detached(world.users, uid);
        uv_run(&world.loop, UV_RUN_NOWAIT);
    }
    return world_settlings - before;
}

/* To settle is to look at all users, and each against each. */
static void agents_of_others_settle_nothing(void **unused) {
    (void)unused;
    virtual_now += 24 * 3600; /* the timer goes by the real clock, and is not to run out here */
    world_assign(0, "u1", "alice");
    world_assign(1, "u2", "nobody-of-here");
    world_say();
    assert_true(settlings_of(1000) >= 5);
    world_settle();
    assert_true(settlings_of(1005) <= 1); /* a look-up that is put off, once */
    world_settle();
}

/* A look-up that is on its way may have passed by what has just changed. */
static void what_changes_during_a_look_up_is_looked_at_after_it(void **unused) {
    (void)unused;
    world_assign(0, "u1", "alice");
    world.state.generation++;
    users_set_state(world.users, &world.state);
    assert_non_null(users_get(world.users, 0)->lookup);
    users_accounts_changed(world.users);
    world_settle();
    assert_int_equal(users_get(world.users, 0)->lookup_retry_at, virtual_now + 1);
    assert_int_equal(users_next_due(world.users), virtual_now + 1);
}

/* Who is held, and is no more assigned, has no name that could be looked up. */
static void nobody_is_looked_up_without_a_name(void **unused) {
    (void)unused;
    world_lookup_error = -EIO;
    world_assign(0, "u1", "alice");
    world_say();
    assert_int_equal(user_hold(users_get(world.users, 0), true), 0);
    assert_true(users_next_due(world.users) < virtual_now + 3600); /* once more, later */
    world.state.user_count = 0;
    world_say();
    assert_int_equal(users_count(world.users), 1);
    assert_int_equal(users_next_due(world.users), INT64_MAX);
    world_attach(1005);
    assert_int_equal(users_next_due(world.users), INT64_MAX);
}

static int report_stores(enum user_outcome outcome, const char *path) {
    char text[128];
    snprintf(text, sizeof(text), "[{\"kind\":\"nss_chromium\",\"path\":\"%s\",\"ok\":true}]", path);
    struct json_object *stores CLEANUP_JSON = json_tokener_parse(text);
    char serial[X509_SERIAL_HEX_SIZE];
    memcpy(serial, world_user(1000)->record.installed.serial, sizeof(serial));
    const struct user_report report = {
        .outcome = outcome, .serial = serial, .code = "store-full", .stores = stores};
    return user_report(world_user(1000), &report);
}

/* Each is written to disk, before anybody else's turn. */
static void reports_that_end_nothing_have_a_limit(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    world.report_error = -ENOTCONN; /* nobody to tell; it is stored all the same */
    for (int i = 0; i < USER_REPEATS_PER_HOUR; i++)
        assert_int_equal(report_stores(OUTCOME_INSTALLED, i % 2 ? "/a" : "/b"), 1);
    assert_int_equal(report_stores(OUTCOME_INSTALLED, "/b"), -EBUSY);
    assert_int_equal(report_stores(OUTCOME_INSTALLED, "/a"), 1); /* as it stands: nothing to do */
    virtual_now += 3600;
    assert_int_equal(report_stores(OUTCOME_INSTALLED, "/b"), 1);
    world.state.distribution = DISTRIBUTION_OFF;
    world_say();
    expect_state(1000, USER_REMOVING);
    for (int i = 1; i < USER_REPEATS_PER_HOUR; i++)
        assert_int_equal(report_stores(OUTCOME_FAILED, "/b"), 1);
    assert_int_equal(report_stores(OUTCOME_FAILED, "/b"), -EBUSY);
    assert_int_equal(report_stores(OUTCOME_REMOVED, "/b"), 1); /* this ends it */
}

static bool tells_expiry(void) {
    struct json_object *snapshot CLEANUP_JSON = user_view_snapshot(world_user(1000));
    struct json_object *expiry = NULL;
    if (!json_object_object_get_ex(snapshot, "expiry", &expiry))
        return false;
    assert_int_equal(
        json_object_get_int64(json_object_object_get(expiry, "unreachable_since")),
        world.unreachable_since);
    assert_int_equal(
        json_object_get_int64(json_object_object_get(expiry, "not_after")),
        world_user(1000)->record.installed.not_after);
    return true;
}

static void an_agent_is_told_that_its_certificate_ends(void **unused) {
    (void)unused;
    alice();
    world_install(1000);
    struct user_installed *installed = &world_user(1000)->record.installed;
    installed->renew_at = virtual_now;
    installed->not_after = virtual_now + 10 * 24 * 3600;
    world.unreachable_since = virtual_now;
    assert_false(tells_expiry()); /* due, but far from its end */
    virtual_now = installed->not_after - USER_VIEW_EXPIRY_S - 1;
    assert_false(tells_expiry());
    virtual_now++;
    assert_true(tells_expiry());
    world.unreachable_since = 0;
    assert_false(tells_expiry()); /* the server is there: it renews */
    world.unreachable_since = virtual_now;
    installed->not_after = virtual_now + 1000;
    installed->renew_at = virtual_now;
    assert_false(tells_expiry()); /* of a short life: half of what is left for it is not over */
    installed->renew_at = virtual_now - 1000;
    assert_true(tells_expiry());
    installed->not_after = virtual_now - 1;
    assert_true(tells_expiry());
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(installed_and_removed),
        TEST(a_restart_at_every_state),
        TEST(a_restart_while_refused_and_waiting),
        TEST(a_submit_before_the_state_is_known),
        TEST(a_submit_while_paused_is_refused),
        TEST(a_refusal_under_an_older_state_does_not_stop),
        TEST(a_removal_names_what_was_delivered_last),
        TEST(a_removal_that_fails_says_why_and_goes_on),
        TEST(what_an_order_has_ended_is_replaced),
        TEST(two_managed_one_not),
        TEST(accounts_that_are_not_served),
        TEST(an_account_that_changes_stops_and_shows),
        TEST(a_silent_name_service_removes_nobody),
        TEST(paused_touches_nothing),
        TEST(nothing_known_touches_nothing),
        TEST(removed_before_managed_again),
        TEST(the_same_account_under_another_id_waits),
        TEST(held_by_local_root),
        TEST(bad_requests_go_nowhere),
        TEST(a_key_is_used_once),
        TEST(submitting_again),
        TEST(a_submit_does_not_wait_for_ever),
        TEST(the_server_is_slow_or_away),
        TEST(the_link_takes_no_more),
        TEST(bad_answers_are_not_handed_out),
        TEST(an_unbelievable_clock_is_no_failure),
        TEST(an_agent_that_does_not_answer),
        TEST(a_delivery_waits_for_its_agent),
        TEST(a_failed_installation),
        TEST(reports_about_nothing_known),
        TEST(a_report_that_cannot_be_kept_is_not_acknowledged),
        TEST(renewals),
        TEST(another_key_type_is_a_new_request_once),
        TEST(no_certificate_before_its_policy),
        TEST(what_cannot_be_stored_is_not_done),
        TEST(a_broken_file_is_rebuilt),
        TEST(a_newer_file_is_left_alone),
        TEST(the_snapshot_carries_what_is_ordered),
        TEST(accounts_are_looked_up_when_they_may_have_changed),
        TEST(nobody_can_cause_look_ups_without_end),
        TEST(agents_of_others_settle_nothing),
        TEST(what_changes_during_a_look_up_is_looked_at_after_it),
        TEST(nobody_is_looked_up_without_a_name),
        TEST(reports_that_end_nothing_have_a_limit),
        TEST(an_agent_is_told_that_its_certificate_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
