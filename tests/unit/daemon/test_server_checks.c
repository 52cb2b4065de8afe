/* How a diagnosis judges the device certificate, the server, the clock, the push channel and the
 * desired state. */
#include "daemon/server_checks.h"
#include "daemon/server_link.h"

#include "tests/unit/daemon/found.h"

#define NOW 1795000000
#define DAY 86400
#define EPOCH "0c6d2f6e-51a4-4d4b-9a3f-0d2f1c9b7a11"
#define OTHER_EPOCH "1c6d2f6e-51a4-4d4b-9a3f-0d2f1c9b7a11"

static struct desired_state current;

/* Everything well: a certificate of 90 days that is due in 50, a stream that pings every 30 s. */
static struct server_facts good(void) {
    current = (struct desired_state){
        .epoch = EPOCH, .generation = 12, .enrolled = true, .distribution = DISTRIBUTION_ON};
    return (struct server_facts){
        .state = ENROLMENT_ENROLLED,
        .url = "https://trust.example.com",
        .device_uuid = "2b1e3c1a-0000-4000-8000-000000000001",
        .has_pin = true,
        .now = NOW,
        .not_before = NOW - 10 * DAY,
        .not_after = NOW + 80 * DAY,
        .renew_at = NOW + 50 * DAY,
        .push_used = true,
        .push_connected = true,
        .push_silent_ms = 12000,
        .push_ping_s = 30,
        .current = &current,
    };
}

static struct probe_facts good_probe(void) {
    return (struct probe_facts){
        .was_asked = true,
        .answer = {.status = 200, .date_s = NOW, .wall_s = NOW, .latency_ms = 7},
        .has_state = true,
        .enrolled = true,
        .distribution = DISTRIBUTION_ON,
        .epoch = EPOCH,
        .here_epoch = EPOCH,
        .generation = 12,
        .here_generation = 12,
    };
}

static struct found certificate_of(const struct server_facts *facts) {
    struct checks checks = {0};
    server_checks_certificate(facts, &checks);
    return found_one(&checks);
}

static struct found server_of(const struct server_facts *facts, const struct probe_facts *probe) {
    struct checks checks = {0};
    server_checks_server(facts, probe, &checks);
    return found_one(&checks);
}

static struct found clock_of(const struct probe_facts *probe) {
    struct checks checks = {0};
    server_checks_clock(probe, &checks);
    return found_one(&checks);
}

static struct found push_with(const struct server_facts *facts, const struct probe_facts *probe) {
    struct checks checks = {0};
    server_checks_push(facts, probe, &checks);
    return found_one(&checks);
}

static struct found push_of(const struct server_facts *facts) {
    struct probe_facts probe = good_probe();
    return push_with(facts, &probe);
}

static struct found state_of(const struct server_facts *facts, const struct probe_facts *probe) {
    struct checks checks = {0};
    server_checks_state(facts, probe, &checks);
    return found_one(&checks);
}

static void the_certificate(void **state) {
    (void)state;
    struct server_facts facts = good();
    struct found found = certificate_of(&facts);
    EXPECT_FOUND(found, "device-certificate", "ok", "");
    assert_string_equal(found.text, "Good until 2027-02-06, for another 80 days.");

    /* due is not overdue; a tenth of what is left for it is */
    facts.renew_at = NOW - 8 * DAY;
    EXPECT_FOUND(certificate_of(&facts), "device-certificate", "ok", "");
    facts.renew_at = NOW - 9 * DAY;
    EXPECT_FOUND(certificate_of(&facts), "device-certificate", "warning", "renewal-overdue");
    facts.renewal_reason = REASON_SERVER_REFUSED;
    assert_non_null(strstr(certificate_of(&facts).text, "The server refuses this request."));

    facts.not_after = NOW;
    found = certificate_of(&facts);
    EXPECT_FOUND(found, "device-certificate", "failure", "expired");
    assert_non_null(strstr(found.text, "The server refuses this request."));
    facts.not_after = NOW + 1;
    facts.renew_at = NOW;
    EXPECT_FOUND(certificate_of(&facts), "device-certificate", "ok", "");
    facts.not_before = NOW + 1;
    EXPECT_FOUND(certificate_of(&facts), "device-certificate", "failure", "not-yet-valid");
}

static void no_certificate(void **state) {
    static const struct {
        enum enrolment_state state;
        enum reason reason;
        const char *result, *code;
    } cases[] = {
        {ENROLMENT_NONE, REASON_NONE, "failure", "not-enrolled"},
        {ENROLMENT_NONE, REASON_BROKEN_STATE, "failure", "broken-state"},
        {ENROLMENT_CLONED, REASON_CLONED, "failure", "cloned"},
        {ENROLMENT_REMOVED, REASON_DEVICE_REMOVED, "failure", "device-removed"},
        {ENROLMENT_HELD, REASON_HELD, "failure", "held"},
        {ENROLMENT_ENROLLING, REASON_NONE, "warning", "enrolling"},
        {ENROLMENT_ENROLLING, REASON_SERVER_TLS, "failure", "server-tls"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct server_facts facts = good();
        facts.state = cases[i].state;
        facts.reason = cases[i].reason;
        EXPECT_FOUND(certificate_of(&facts), "device-certificate", cases[i].result, cases[i].code);
    }
}

static void the_server(void **state) {
    (void)state;
    struct server_facts facts = good();
    struct probe_facts probe = good_probe();
    struct found found = server_of(&facts, &probe);
    EXPECT_FOUND(found, "server", "ok", "");
    assert_string_equal(found.subject, "https://trust.example.com");
    assert_string_equal(
        found.text, "Answers after 7 ms; its TLS certificate is good (CA as pinned).");
    facts.has_pin = false;
    assert_non_null(strstr(server_of(&facts, &probe).text, "by the CAs of the system"));

    probe.answer.reason = REASON_SERVER_TLS;
    snprintf(probe.answer.detail, sizeof(probe.answer.detail), "self-signed certificate");
    found = server_of(&facts, &probe);
    EXPECT_FOUND(found, "server", "failure", "server-tls");
    assert_non_null(strstr(found.text, "(self-signed certificate)"));
    probe.answer.reason = REASON_SERVER_TIMEOUT;
    EXPECT_FOUND(server_of(&facts, &probe), "server", "failure", "server-timeout");
    probe.answer.reason = REASON_DEVICE_SUSPENDED;
    EXPECT_FOUND(server_of(&facts, &probe), "server", "failure", "device-suspended");

    probe = (struct probe_facts){0};
    EXPECT_FOUND(server_of(&facts, &probe), "server", "not_applicable", "");
}

static void the_clock(void **state) {
    static const struct {
        int64_t ahead;
        const char *result, *says;
    } cases[] = {
        {0, "ok", "agree"},
        {60, "ok", "agree"},
        {-60, "ok", "agree"},
        {61, "warning", "61 seconds ahead of the server's"},
        {-300, "warning", "5 minutes behind the server's"},
        {301, "failure", "5 minutes ahead of the server's"},
        {-7200, "failure", "2 hours behind the server's"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct probe_facts probe = good_probe();
        probe.answer.wall_s = NOW + cases[i].ahead;
        struct found found = clock_of(&probe);
        EXPECT_FOUND(
            found, "clock", cases[i].result, strcmp(cases[i].result, "ok") == 0 ? "" : "clock");
        assert_non_null(strstr(found.text, cases[i].says));
    }
    /* a refusal has a Date, too: whatever else is wrong, the clock is judged */
    struct probe_facts probe = good_probe();
    probe.answer.reason = REASON_SERVER_REFUSED;
    probe.answer.wall_s = NOW + 1000;
    EXPECT_FOUND(clock_of(&probe), "clock", "failure", "clock");
    probe.answer.date_s = 0;
    EXPECT_FOUND(clock_of(&probe), "clock", "not_applicable", "");
    probe.was_asked = false;
    EXPECT_FOUND(clock_of(&probe), "clock", "not_applicable", "");
}

static void the_push_channel(void **state) {
    (void)state;
    struct server_facts facts = good();
    struct found found = push_of(&facts);
    EXPECT_FOUND(found, "push", "ok", "");
    assert_string_equal(found.text, "Open; the server was last heard 12 seconds ago.");
    facts.push_silent_ms = 45000;
    EXPECT_FOUND(push_of(&facts), "push", "ok", "");
    facts.push_silent_ms = 45001;
    EXPECT_FOUND(push_of(&facts), "push", "warning", "push-silent");
    facts.push_connected = false;
    facts.push_silent_ms = -1;
    EXPECT_FOUND(push_of(&facts), "push", "failure", "push-down");
    facts.push_reason = REASON_SERVER_TLS;
    found = push_of(&facts);
    EXPECT_FOUND(found, "push", "failure", "push-down");
    assert_non_null(strstr(found.text, "TLS certificate does not verify"));
    assert_non_null(strstr(found.remedy, "devtrustctl repair"));
    /* nothing can be repaired here while the server does not answer */
    struct probe_facts probe = good_probe();
    probe.answer.reason = REASON_SERVER_TLS;
    found = push_with(&facts, &probe);
    EXPECT_FOUND(found, "push", "failure", "push-down");
    assert_null(strstr(found.remedy, "devtrustctl repair"));
    facts.push_used = false;
    EXPECT_FOUND(push_of(&facts), "push", "not_applicable", "");
    facts.state = ENROLMENT_REMOVED;
    EXPECT_FOUND(push_of(&facts), "push", "not_applicable", "");
}

static void the_state(void **state) {
    (void)state;
    struct server_facts facts = good();
    struct probe_facts probe = good_probe();
    struct found found = state_of(&facts, &probe);
    EXPECT_FOUND(found, "state", "ok", "");
    assert_string_equal(found.text, "Generation 12, the newest; distribution is on.");

    probe.generation = 13;
    found = state_of(&facts, &probe);
    EXPECT_FOUND(found, "state", "warning", "state-behind");
    assert_non_null(strstr(found.text, "(here 12, there 13)"));
    /* fetched while the rest was looked at */
    current.generation = 13;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "ok", "");
    current.generation = 14;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "ok", "");

    probe = good_probe();
    current.generation = 12;
    probe.generation = 11;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "failure", "state-ahead");
    snprintf(probe.epoch, sizeof(probe.epoch), OTHER_EPOCH);
    found = state_of(&facts, &probe);
    EXPECT_FOUND(found, "state", "warning", "state-behind");
    assert_non_null(strstr(found.text, "of another epoch"));
    facts.current = NULL;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "warning", "state-behind");
}

static void the_state_by_which_we_act(void **state) {
    (void)state;
    struct server_facts facts = good();
    struct probe_facts probe = good_probe();
    current.distribution = DISTRIBUTION_OFF;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "failure", "distribution-off");
    current.distribution = DISTRIBUTION_PAUSED;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "failure", "distribution-paused");
    /* the server's newer one comes first: it may be on again */
    probe.generation = 13;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "warning", "state-behind");

    facts = good();
    probe = good_probe();
    facts.sync_reason = REASON_STORAGE;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "failure", "storage");
    facts.sync_reason = REASON_NEWER_STATE;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "failure", "newer-state");

    /* without the server nothing can be compared, and that is the server's failure, not this one */
    facts = good();
    probe.has_state = false;
    probe.answer.reason = REASON_SERVER_UNREACHABLE;
    facts.sync_reason = REASON_SERVER_UNREACHABLE;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "not_applicable", "");
    facts.current = NULL;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "not_applicable", "");
    probe.answer.reason = REASON_STATE_INVALID;
    snprintf(probe.answer.detail, sizeof(probe.answer.detail), "users");
    struct found found = state_of(&facts, &probe);
    EXPECT_FOUND(found, "state", "failure", "state-invalid");
    assert_non_null(strstr(found.text, "(users)"));

    facts.state = ENROLMENT_REMOVED;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "not_applicable", "");
    facts.state = ENROLMENT_NONE;
    facts.device_uuid = NULL;
    EXPECT_FOUND(state_of(&facts, &probe), "state", "not_applicable", "");
}

static void a_probe_is_kept(void **state) {
    (void)state;
    struct server_facts facts = good();
    struct desired_state there = {
        .epoch = OTHER_EPOCH, .generation = 3, .enrolled = true, .distribution = DISTRIBUTION_OFF};
    const struct server_probe_answer answer = {.status = 200, .date_s = 5, .state = &there};
    struct probe_facts probe;
    probe_facts_take(&probe, &answer, facts.current);
    assert_true(probe.was_asked && probe.has_state && probe.enrolled);
    assert_null(probe.answer.state);
    assert_int_equal(probe.generation, 3);
    assert_int_equal(probe.here_generation, 12);
    assert_string_equal(probe.epoch, OTHER_EPOCH);
    assert_string_equal(probe.here_epoch, EPOCH);
    assert_int_equal(probe.distribution, DISTRIBUTION_OFF);
    const struct server_probe_answer bad = {.reason = REASON_SERVER_TLS};
    probe_facts_take(&probe, &bad, NULL);
    assert_false(probe.has_state);
    assert_string_equal(probe.here_epoch, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_certificate),
        cmocka_unit_test(no_certificate),
        cmocka_unit_test(the_server),
        cmocka_unit_test(the_clock),
        cmocka_unit_test(the_push_channel),
        cmocka_unit_test(the_state),
        cmocka_unit_test(the_state_by_which_we_act),
        cmocka_unit_test(a_probe_is_kept),
    };
    return cmocka_run_group_tests_name("server checks", tests, NULL, NULL);
}
