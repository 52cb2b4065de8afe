/* Every row of the managed user's table, and every pair of state and event that has none. */
#include "daemon/user_machine.h"

#include "tests/unit/daemon/virtual_time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ID "0b6f6c0e-5b0d-4b57-9d44-7a3f0a1c2b3d"
#define OLD_ID "1b6f6c0e-5b0d-4b57-9d44-7a3f0a1c2b3d"

static const uint8_t key[SHA256_SIZE] = {1, 2, 3}, other_key[SHA256_SIZE] = {9};

static struct user_input input_for(enum user_event event) {
    struct user_input input = {
        .clock = &virtual_clock,
        .random = &virtual_random,
        .requests_per_hour = 6,
        .request_deadline_s = 60,
        .key_type = KEY_TYPE_P384,
        .request_reason = REQUEST_DUE,
        .uid_name = "alice",
        .uid = 1000,
        .issuer_spki = "issuer",
        .root_spki = "root",
        .device_uuid = "device",
        .csr = "Q1NS",
        .spki = other_key,
        .root = "Uk9PVA==",
        .intermediate = "SU5U",
        .leaf = "TEVBRg==",
        .serial = "abcd",
        .not_after = VIRTUAL_START_S + 1000,
        .renew_at = VIRTUAL_START_S + 500,
        .request_id = ID,
        .reason = REASON_SERVER_ERROR,
        .epoch = "e",
        .generation = 7};
    if (event == USER_EVENT_REPORT_INSTALLED)
        input.serial = "0ffe";
    return input;
}

/* A record as it stands in a state: with an installed certificate from before, as after a renewal's
 * beginning. */
static void record_in(enum user_state state, struct user_record *ret) {
    user_record_init(ret, "u1");
    ret->state = state;
    if (state == USER_ABSENT)
        return;
    strcpy(ret->name, "alice");
    ret->uid = 1000;
    strcpy(ret->installed.serial, "01d");
    strcpy(ret->installed.request_id, OLD_ID);
    ret->delivered = true;
    strcpy(ret->request.id, ID);
    ret->request.reason = REQUEST_DUE;
    ret->request.key_type = KEY_TYPE_P256;
    if (state == USER_SIGNING || state == USER_DELIVERED) {
        ret->request.csr = strdup("b2xk");
        memset(ret->request.spki, 'a', 64);
        user_record_add_key(ret, key);
    }
    if (state == USER_DELIVERED) {
        ret->request.root = strdup("r");
        ret->request.intermediate = strdup("i");
        ret->request.leaf = strdup("l");
        strcpy(ret->request.serial, "0ffe");
        ret->request.not_after = VIRTUAL_START_S + 1000;
    }
}

#define NONE USER_STATE_COUNT_

/* What follows; NONE: the event means nothing in the state. */
static const enum user_state expected[USER_STATE_COUNT_][USER_EVENT_COUNT_] = {
#define ALL(                                                                                       \
    managed, unmanaged, due, submit, deadline, restart, issued, retry, bad, forbidden, installed,  \
    failed, removed, renew, changed, generation)                                                   \
    {                                                                                              \
        managed, unmanaged, due, submit, deadline, restart, issued, retry, bad, forbidden,         \
            installed, failed, removed, renew, changed, generation                                 \
    }
    [USER_ABSENT] =
        ALL(USER_WAITING, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
            NONE, NONE, NONE),
    [USER_WAITING] =
        ALL(NONE, USER_REMOVING, USER_REQUESTED, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
            NONE, NONE, USER_REQUESTED, NONE, NONE),
    [USER_REQUESTED] =
        ALL(NONE, USER_REMOVING, NONE, USER_SIGNING, USER_WAITING, NONE, NONE, NONE, NONE, NONE,
            NONE, USER_WAITING, NONE, NONE, USER_WAITING, NONE),
    [USER_SIGNING] =
        ALL(NONE, USER_REMOVING, NONE, USER_SIGNING, NONE, USER_SIGNING, USER_DELIVERED,
            USER_SIGNING, USER_WAITING, USER_REFUSED, NONE, USER_WAITING, NONE, NONE, NONE, NONE),
    [USER_DELIVERED] =
        ALL(NONE, USER_REMOVING, NONE, USER_SIGNING, USER_WAITING, NONE, NONE, NONE, NONE, NONE,
            USER_INSTALLED, USER_WAITING, NONE, NONE, NONE, NONE),
    [USER_INSTALLED] =
        ALL(NONE, USER_REMOVING, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
            USER_REQUESTED, USER_WAITING, NONE),
    [USER_REFUSED] =
        ALL(NONE, USER_REMOVING, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
            NONE, NONE, USER_WAITING),
    [USER_REMOVING] =
        ALL(NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, USER_REMOVING,
            USER_ABSENT, NONE, NONE, NONE),
};

static void every_pair(void **unused) {
    (void)unused;
    for (int state = 0; state < USER_STATE_COUNT_; state++)
        for (int event = 0; event < USER_EVENT_COUNT_; event++) {
            struct user_record record;
            struct user_input input = input_for(event);
            enum user_state next = expected[state][event];
            record_in(state, &record);
            int r = user_machine_step(&record, event, &input);
            if (r != (next == NONE ? 0 : 1) ||
                record.state != (next == NONE ? (enum user_state)state : next))
                fail_msg(
                    "%s, %s: %d, %s", user_state_name(state), user_event_name(event), r,
                    user_state_name(record.state));
            if (r == 1)
                assert_true(user_machine_has_row(state, event));
            user_record_deinit(&record);
        }
}

static int step(struct user_record *record, enum user_event event) {
    struct user_input input = input_for(event);
    return user_machine_step(record, event, &input);
}

static void the_whole_way(void **unused) {
    (void)unused;
    struct user_record record;
    char first_id[37];
    user_record_init(&record, "u1");
    assert_int_equal(step(&record, USER_EVENT_MANAGED), 1);
    assert_string_equal(record.name, "alice");
    assert_int_equal(record.uid, 1000);
    assert_int_equal(record.due, virtual_now);
    assert_int_equal(step(&record, USER_EVENT_DUE), 1);
    assert_true(random_uuid_is_valid(record.request.id));
    assert_int_equal(record.request.reason, REQUEST_FIRST);
    assert_int_equal(record.request.key_type, KEY_TYPE_P384);
    assert_int_equal(record.request.deadline, virtual_now + 60);
    assert_false(record.delivered);
    strcpy(first_id, record.request.id);
    assert_int_equal(step(&record, USER_EVENT_SUBMIT), 1);
    assert_string_equal(record.request.csr, "Q1NS");
    assert_true(user_record_knows_key(&record, other_key));
    assert_string_equal(record.device_uuid, "device");
    assert_int_equal(step(&record, USER_EVENT_ISSUED), 1);
    assert_true(record.delivered);
    assert_string_equal(record.request.leaf, "TEVBRg==");
    struct user_input input = input_for(USER_EVENT_REPORT_INSTALLED);
    input.serial = "abcd";
    assert_int_equal(
        user_machine_step(&record, USER_EVENT_REPORT_INSTALLED, &input), 0); /* not this request */
    input.request_id = first_id;
    input.serial = "abce";
    assert_int_equal(
        user_machine_step(&record, USER_EVENT_REPORT_INSTALLED, &input), 0); /* not this serial */
    input.serial = "abcd";
    assert_int_equal(user_machine_step(&record, USER_EVENT_REPORT_INSTALLED, &input), 1);
    assert_int_equal(record.state, USER_INSTALLED);
    assert_string_equal(record.installed.serial, "abcd");
    assert_int_equal(record.installed.key_type, KEY_TYPE_P384);
    assert_int_equal(record.installed.renew_at, VIRTUAL_START_S + 500);
    assert_null(record.request.csr);
    assert_null(record.request.leaf);
    /* the report again, its answer was lost */
    assert_int_equal(user_machine_step(&record, USER_EVENT_REPORT_INSTALLED, &input), 1);
    assert_int_equal(record.state, USER_INSTALLED);
    /* and the next round has another id */
    assert_int_equal(step(&record, USER_EVENT_RENEW), 1);
    assert_string_not_equal(record.request.id, first_id);
    assert_int_equal(record.request.reason, REQUEST_DUE);
    assert_string_equal(record.installed.serial, "abcd");
    user_record_deinit(&record);
}

static void splay_is_drawn_within(void **unused) {
    (void)unused;
    int64_t latest = 0;
    for (int i = 0; i < 200; i++) {
        struct user_record record;
        struct user_input input = input_for(USER_EVENT_MANAGED);
        user_record_init(&record, "u1");
        input.splay_s = 100;
        assert_int_equal(user_machine_step(&record, USER_EVENT_MANAGED, &input), 1);
        assert_true(record.due >= virtual_now && record.due <= virtual_now + 100);
        if (record.due - virtual_now > latest)
            latest = record.due - virtual_now;
    }
    assert_true(latest > 50);
}

static void at_most_so_many_an_hour(void **unused) {
    (void)unused;
    struct user_record record;
    record_in(USER_INSTALLED, &record);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(step(&record, USER_EVENT_RENEW), 1);
        record.state = USER_INSTALLED;
    }
    assert_int_equal(step(&record, USER_EVENT_RENEW), 0);
    record.state = USER_WAITING;
    assert_int_equal(step(&record, USER_EVENT_DUE), 0);
    /* another key for an open request costs a certificate, too; the first one does not wait */
    user_record_deinit(&record);
    struct rate_limit spent = record.rate;
    record_in(USER_SIGNING, &record);
    record.rate = spent;
    assert_int_equal(step(&record, USER_EVENT_SUBMIT), 0);
    assert_string_equal(record.request.csr, "b2xk");
    record.state = USER_REQUESTED;
    assert_int_equal(step(&record, USER_EVENT_SUBMIT), 1);
    user_record_deinit(&record);
}

static void retries_keep_request_and_csr(void **unused) {
    (void)unused;
    struct user_record record;
    char id[37];
    record_in(USER_SIGNING, &record);
    strcpy(id, record.request.id);
    for (int i = 0; i < 40; i++) {
        struct user_input input = input_for(USER_EVENT_RETRY);
        input.retry_after_s = i % 2 ? 300 : 0;
        assert_int_equal(user_machine_step(&record, USER_EVENT_RETRY, &input), 1);
        int64_t wait = record.due - virtual_now;
        assert_true(wait >= (i % 2 ? 300 : 1) && wait <= 900 + 300);
        assert_int_equal(record.due_ordered, i % 2 == 1);
        assert_string_equal(record.request.id, id);
        assert_string_equal(record.request.csr, "b2xk");
    }
    int64_t ordered = record.due;
    assert_int_equal(step(&record, USER_EVENT_RESTART), 1);
    assert_int_equal(record.due, ordered); /* a restart is no way around the server's word */
    record.due_ordered = false;
    assert_int_equal(step(&record, USER_EVENT_RESTART), 1);
    assert_int_equal(record.due, virtual_now);
    user_record_deinit(&record);
}

static void failures_back_off(void **unused) {
    (void)unused;
    struct user_record record;
    record_in(USER_DELIVERED, &record);
    int64_t longest = 0;
    for (int i = 0; i < 100; i++) {
        record.state = USER_DELIVERED;
        assert_int_equal(step(&record, USER_EVENT_DEADLINE), 1);
        int64_t wait = record.due - virtual_now;
        assert_true(wait >= 1 && wait <= 6 * 3600);
        longest = wait > longest ? wait : longest;
        assert_int_equal(record.reason, REASON_SERVER_ERROR);
    }
    assert_true(longest > 3600);
    user_record_deinit(&record);
}

static void a_report_that_comes_late_counts(void **unused) {
    (void)unused;
    struct user_record record;
    record_in(USER_DELIVERED, &record);
    assert_int_equal(step(&record, USER_EVENT_DEADLINE), 1);
    assert_int_equal(record.state, USER_WAITING);
    assert_int_equal(step(&record, USER_EVENT_REPORT_INSTALLED), 1);
    assert_int_equal(record.state, USER_INSTALLED);
    assert_string_equal(record.installed.serial, "0ffe");
    assert_int_equal(record.reason, REASON_NONE);
    user_record_deinit(&record);
}

static void another_key_drops_the_bundle(void **unused) {
    (void)unused;
    struct user_record record;
    record_in(USER_DELIVERED, &record);
    assert_int_equal(step(&record, USER_EVENT_SUBMIT), 1);
    assert_int_equal(record.state, USER_SIGNING);
    assert_null(record.request.leaf);
    assert_string_equal(record.request.serial, "");
    assert_int_equal(record.due, virtual_now);
    assert_true(user_record_knows_key(&record, key) && user_record_knows_key(&record, other_key));
    user_record_deinit(&record);
}

static void a_refusal_remembers_its_state(void **unused) {
    (void)unused;
    struct user_record record;
    record_in(USER_SIGNING, &record);
    assert_int_equal(step(&record, USER_EVENT_FORBIDDEN), 1);
    assert_string_equal(record.refused_epoch, "e");
    assert_int_equal(record.refused_generation, 7);
    assert_int_equal(record.reason, REASON_SERVER_ERROR);
    assert_int_equal(step(&record, USER_EVENT_GENERATION), 1);
    assert_int_equal(record.reason, REASON_NONE);
    user_record_deinit(&record);
}

static void nothing_delivered_needs_no_removal(void **unused) {
    (void)unused;
    struct user_record record;
    record_in(USER_REQUESTED, &record);
    record.delivered = false;
    record.installed.serial[0] = '\0';
    assert_int_equal(step(&record, USER_EVENT_UNMANAGED), 1);
    assert_int_equal(record.state, USER_ABSENT);
    assert_int_equal(record.uid, USER_UID_NONE);
    user_record_deinit(&record);
}

static void a_removal_forgets_the_person_only_at_its_end(void **unused) {
    (void)unused;
    struct user_record record;
    record_in(USER_DELIVERED, &record);
    assert_int_equal(step(&record, USER_EVENT_UNMANAGED), 1);
    assert_string_equal(record.name, "alice");
    assert_int_equal(record.uid, 1000);
    assert_null(record.request.leaf);
    assert_string_equal(record.request.id, ID); /* for the report */
    assert_int_equal(step(&record, USER_EVENT_REPORT_REMOVED), 1);
    assert_string_equal(record.request.id, "");
    assert_int_equal(record.uid, USER_UID_NONE);
    assert_string_equal(record.installed.serial, "");
    assert_false(record.delivered);
    user_record_deinit(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair),
        cmocka_unit_test(the_whole_way),
        cmocka_unit_test(splay_is_drawn_within),
        cmocka_unit_test(at_most_so_many_an_hour),
        cmocka_unit_test(retries_keep_request_and_csr),
        cmocka_unit_test(failures_back_off),
        cmocka_unit_test(a_report_that_comes_late_counts),
        cmocka_unit_test(another_key_drops_the_bundle),
        cmocka_unit_test(a_refusal_remembers_its_state),
        cmocka_unit_test(nothing_delivered_needs_no_removal),
        cmocka_unit_test(a_removal_forgets_the_person_only_at_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
