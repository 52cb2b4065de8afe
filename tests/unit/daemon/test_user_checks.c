/* How a diagnosis judges a managed user, his agent, and what the agent says. */
#include "daemon/agent_answers.h"
#include "daemon/user_checks.h"

#include "common/version.h"
#include "tests/unit/daemon/found.h"

#include <errno.h>

#define NOW 1795000000
#define DAY 86400

/* Installed, good for another 20 days, renewed in 4. */
static struct user_facts good(void) {
    return (struct user_facts){
        .name = "alice",
        .state = USER_INSTALLED,
        .serial = "5f3c9a10aabbccdd",
        .now = NOW,
        .not_after = NOW + 20 * DAY,
        .renew_at = NOW + 4 * DAY,
        .outcome = INSPECTION_ANSWERED,
        .agent_version = DEVTRUST_VERSION,
        .has_checks = true,
    };
}

static struct found user_of(const struct user_facts *facts) {
    struct checks checks = {0};
    user_checks_user(facts, &checks);
    struct found found = found_one(&checks);
    assert_string_equal(found.user, "alice");
    return found;
}

static struct found agent_of(const struct user_facts *facts) {
    struct checks checks = {0};
    user_checks_agent(facts, &checks);
    return found_at(&checks, 0);
}

static void a_user_with_a_certificate(void **state) {
    (void)state;
    struct user_facts facts = good();
    struct found found = user_of(&facts);
    EXPECT_FOUND(found, "user", "ok", "");
    assert_string_equal(found.text, "Certificate 5f3c9a10 is good until 2026-12-08.");
    /* the last renewal failed: not well, and no failure yet */
    facts.reason = REASON_SERVER_ERROR;
    found = user_of(&facts);
    EXPECT_FOUND(found, "user", "warning", "server-error");
    assert_non_null(strstr(found.text, "good until"));
    facts.state = USER_SIGNING;
    facts.reason = REASON_NONE;
    EXPECT_FOUND(user_of(&facts), "user", "ok", "");
    facts.renew_at = NOW - 2 * DAY;
    EXPECT_FOUND(user_of(&facts), "user", "ok", "");
    facts.renew_at = NOW - 3 * DAY;
    EXPECT_FOUND(user_of(&facts), "user", "warning", "renewal-overdue");
}

static void no_certificate_makes_up_for_these(void **state) {
    static const enum reason final[] = {
        REASON_USER_CHANGED, REASON_USER_REFUSED,   REASON_USER_UNKNOWN,
        REASON_NEWER_STATE,  REASON_SERVER_REFUSED, REASON_NOT_MANAGED,
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(final); i++) {
        struct user_facts facts = good();
        facts.reason = final[i];
        EXPECT_FOUND(user_of(&facts), "user", "failure", reason_code(final[i]));
    }
}

static void a_user_without(void **state) {
    static const struct {
        enum user_state state;
        enum reason reason;
        int64_t due;
        const char *result, *code, *says;
    } cases[] = {
        {USER_WAITING, REASON_NONE, NOW + 90, "warning", "user-waiting",
         "turn comes in 90 seconds"},
        {USER_WAITING, REASON_NONE, NOW - 1, "warning", "user-waiting", "on its way"},
        {USER_REQUESTED, REASON_NONE, 0, "warning", "user-waiting", "agent has been asked"},
        {USER_SIGNING, REASON_NONE, 0, "warning", "user-waiting", "at the server"},
        {USER_DELIVERED, REASON_NONE, 0, "warning", "user-waiting", "installing"},
        {USER_WAITING, REASON_NO_AGENT, 0, "failure", "no-agent", ""},
        {USER_WAITING, REASON_NOT_SIGNED_IN, 0, "warning", "not-signed-in", ""},
        {USER_WAITING, REASON_STORE_FULL, 0, "failure", "store-full", ""},
        {USER_WAITING, REASON_RATE_LIMITED, 0, "failure", "rate-limited", ""},
        {USER_INSTALLED, REASON_EXPIRED, 0, "failure", "expired", ""},
        {USER_REFUSED, REASON_SERVER_REFUSED, 0, "failure", "server-refused", ""},
        {USER_SIGNING, REASON_SERVER_UNREACHABLE, 0, "failure", "server-unreachable", ""},
        {USER_REMOVING, REASON_DISTRIBUTION_OFF, 0, "warning", "removing", ""},
        {USER_REMOVING, REASON_NO_AGENT, 0, "warning", "removing", "No agent of this user"},
        {USER_REMOVING, REASON_NOT_SIGNED_IN, 0, "warning", "removing", "not signed in"},
        {USER_REMOVING, REASON_STORE_READ_ONLY, 0, "failure", "store-read-only", ""},
        {USER_ABSENT, REASON_DISTRIBUTION_OFF, 0, "not_applicable", "distribution-off", ""},
        {USER_ABSENT, REASON_NOT_ENROLLED, 0, "not_applicable", "not-enrolled", ""},
        {USER_INSTALLED, REASON_DISTRIBUTION_PAUSED, 0, "not_applicable", "distribution-paused",
         ""},
        {USER_ABSENT, REASON_HELD, 0, "not_applicable", "held", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct user_facts facts = good();
        facts.state = cases[i].state;
        facts.reason = cases[i].reason;
        facts.serial = "";
        facts.not_after = facts.renew_at = 0;
        facts.due = cases[i].due;
        struct found found = user_of(&facts);
        EXPECT_FOUND(found, "user", cases[i].result, cases[i].code);
        assert_non_null(strstr(found.text, cases[i].says));
    }
    /* the hold of this one user is no word of the device's */
    struct user_facts facts = good();
    facts.state = USER_ABSENT;
    facts.reason = REASON_HELD;
    facts.is_held = true;
    EXPECT_FOUND(user_of(&facts), "user", "failure", "held");
}

static void a_stranger(void **state) {
    struct checks checks = {0};
    (void)state;
    user_checks_stranger(NULL, REASON_NONE, &checks);
    EXPECT_FOUND(found_one(&checks), "user", "failure", "not-managed");
    user_checks_stranger("carol", REASON_DISTRIBUTION_OFF, &checks);
    EXPECT_FOUND(found_one(&checks), "user", "not_applicable", "distribution-off");
}

static void agents(void **state) {
    (void)state;
    struct user_facts facts = good();
    struct found found = agent_of(&facts);
    EXPECT_FOUND(found, "agent", "ok", "");
    assert_non_null(strstr(found.text, DEVTRUST_VERSION));
    assert_int_equal(found.count, 1);
    facts.agent_version = "0.0.1";
    found = agent_of(&facts);
    EXPECT_FOUND(found, "agent", "warning", "version-mismatch");
    assert_non_null(strstr(found.text, "agent 0.0.1, devtrustd " DEVTRUST_VERSION));
    facts.outcome = INSPECTION_TIMEOUT;
    EXPECT_FOUND(agent_of(&facts), "agent", "failure", "agent-timeout");

    /* away: his own doctor says failure; root's, who may look at somebody who has gone home, a
     * warning as long as nothing is due */
    facts.outcome = INSPECTION_NO_AGENT;
    facts.agent_version = NULL;
    EXPECT_FOUND(agent_of(&facts), "agent", "warning", "no-agent");
    facts.is_own = true;
    EXPECT_FOUND(agent_of(&facts), "agent", "failure", "no-agent");
    facts.is_own = false;
    facts.renew_at = NOW - 10 * DAY;
    EXPECT_FOUND(agent_of(&facts), "agent", "failure", "no-agent");
    facts.state = USER_WAITING;
    facts.serial = "";
    EXPECT_FOUND(agent_of(&facts), "agent", "failure", "no-agent");
    facts.state = USER_ABSENT;
    facts.reason = REASON_DISTRIBUTION_OFF;
    EXPECT_FOUND(agent_of(&facts), "agent", "not_applicable", "no-agent");

    /* where the login manager says that he is not here, nothing is missing; unless he asks himself
     */
    facts.login = LOGIN_NO;
    EXPECT_FOUND(agent_of(&facts), "agent", "not_applicable", "not-signed-in");
    facts.state = USER_WAITING;
    EXPECT_FOUND(agent_of(&facts), "agent", "not_applicable", "not-signed-in");
    facts.is_own = true;
    EXPECT_FOUND(agent_of(&facts), "agent", "failure", "no-agent");
    facts.is_own = false;
    facts.login = LOGIN_YES;
    EXPECT_FOUND(agent_of(&facts), "agent", "failure", "no-agent");
}

static void an_older_agent_is_said_to_be_one(void **state) {
    struct checks checks = {0};
    (void)state;
    struct user_facts facts = good();
    facts.has_checks = false;
    user_checks_agent(&facts, &checks);
    struct found found = found_at(&checks, 1);
    assert_int_equal(found.count, 2);
    EXPECT_FOUND(found, "store", "not_applicable", "");
    assert_non_null(strstr(found.text, "agent is older"));
}

/* ---- what an agent says ---- */

static struct json_object *answer_of(const char *text) {
    struct json_object *answer = NULL;
    assert_int_equal(json_gate_parse(text, strlen(text), &answer), 0);
    return answer;
}

static struct found said(const char *text) {
    CLEANUP_JSON struct json_object *answer = answer_of(text);
    struct checks checks = {0};
    assert_int_equal(agent_answers_validate(answer), 0);
    agent_answers_add(answer, "alice", &checks);
    struct found found = found_one(&checks);
    assert_string_equal(found.user, "alice");
    return found;
}

static void answers_get_words(void **state) {
    static const char *const ids[] = {
        "store",         "store-certificate", "store-key",        "store-single", "store-expiry",
        "browser-store", "browser-restart",   "home-permissions", "home-disk",    "agent-record",
    };
    char text[256];
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(ids); i++) {
        snprintf(
            text, sizeof(text), "[{\"id\":\"%s\",\"subject\":\"/s\",\"result\":\"ok\"}]", ids[i]);
        struct found good = said(text);
        EXPECT_FOUND(good, ids[i], "ok", "");
        assert_string_equal(good.subject, "/s");
        snprintf(
            text, sizeof(text), "[{\"id\":\"%s\",\"subject\":\"\",\"result\":\"not_applicable\"}]",
            ids[i]);
        struct found nothing = said(text);
        EXPECT_FOUND(nothing, ids[i], "not_applicable", "");
        assert_string_not_equal(good.text, nothing.text);
        assert_string_not_equal(good.text, "The agent finds it in order.");
    }
}

static void answers_get_the_reasons_words(void **state) {
    (void)state;
    struct found found =
        said("[{\"id\":\"store\",\"subject\":\"/home/alice/.pki/nssdb\",\"result\":\"failure\","
             "\"code\":\"store-corrupt\",\"detail\":\"key4.db\"}]");
    EXPECT_FOUND(found, "store", "failure", "store-corrupt");
    assert_string_equal(
        found.text, "The store's files are broken; they were left as they are. (key4.db)");
    assert_string_equal(found.remedy, reason_remedy(REASON_STORE_CORRUPT));
    /* not applicable, and why */
    found = said("[{\"id\":\"store-key\",\"subject\":\"/s\",\"result\":\"not_applicable\","
                 "\"code\":\"no-certificate\"}]");
    EXPECT_FOUND(found, "store-key", "not_applicable", "no-certificate");
    /* an alarm without a code has one all the same */
    found = said("[{\"id\":\"store\",\"subject\":\"/s\",\"result\":\"warning\"}]");
    EXPECT_FOUND(found, "store", "warning", "other");
}

/* What a newer agent says is shown as it is: code and check can be looked up in its manual. */
static void a_newer_agent(void **state) {
    (void)state;
    struct found found = said("[{\"id\":\"store-colour\",\"subject\":\"/s\",\"result\":\"failure\","
                              "\"code\":\"store-too-blue\",\"more\":1}]");
    EXPECT_FOUND(found, "store-colour", "failure", "store-too-blue");
    assert_string_equal(found.remedy, reason_remedy(REASON_OTHER));
    found = said("[{\"id\":\"store-colour\",\"subject\":\"\",\"result\":\"ok\"}]");
    EXPECT_FOUND(found, "store-colour", "ok", "");
    assert_string_equal(found.subject, "");
    found = said("[{\"id\":\"store\",\"subject\":\"\",\"result\":\"puzzled\"}]");
    EXPECT_FOUND(found, "store", "warning", "other");
}

static void a_browser_gets_its_name(void **state) {
    (void)state;
    assert_string_equal(
        said("[{\"id\":\"browser-store\",\"subject\":\"chrome\",\"result\":\"ok\"}]").subject,
        "Google Chrome");
    assert_string_equal(
        said("[{\"id\":\"browser-store\",\"subject\":\"lynx\",\"result\":\"ok\"}]").subject,
        "lynx");
    assert_string_equal(
        said("[{\"id\":\"store\",\"subject\":\"chrome\",\"result\":\"ok\"}]").subject, "chrome");
}

static bool knows(const char *text) {
    CLEANUP_JSON struct json_object *answer = answer_of(text);
    return agent_answers_knows_stores(answer);
}

/* What cannot be looked into may hold what seems to be missing. */
static void what_an_agent_could_look_into(void **state) {
    (void)state;
#define STORE(result_) "{\"id\":\"store\",\"subject\":\"/s\",\"result\":\"" result_ "\""
    assert_false(agent_answers_knows_stores(NULL));
    assert_true(knows("[]"));
    assert_true(knows("[" STORE("ok") "}," STORE("warning") ",\"code\":\"other\"}]"));
    assert_true(knows("[" STORE("failure") ",\"code\":\"store-missing\"}]"));
    assert_false(knows("[" STORE("ok") "}," STORE("failure") ",\"code\":\"store-busy\"}]"));
    assert_false(knows("[" STORE("failure") ",\"code\":\"of-the-future\"}]"));
    assert_false(knows("[" STORE("failure") "}]"));
    assert_true(knows("[{\"id\":\"store-key\",\"subject\":\"/"
                      "s\",\"result\":\"failure\",\"code\":\"store-key\"}]"));
}

static void answers_of_another_shape_are_refused(void **state) {
    static const char *const cases[] = {
        "[1]",
        "[null]",
        "[{}]",
        "[{\"id\":\"store\",\"subject\":\"/s\"}]",
        "[{\"id\":\"store\",\"result\":\"ok\"}]",
        "[{\"id\":\"\",\"subject\":\"/s\",\"result\":\"ok\"}]",
        "[{\"id\":\"sto re\",\"subject\":\"/s\",\"result\":\"ok\"}]",
        "[{\"id\":\"store\\u001b\",\"subject\":\"/s\",\"result\":\"ok\"}]",
        "[{\"id\":\"store\",\"subject\":7,\"result\":\"ok\"}]",
        "[{\"id\":\"store\",\"subject\":\"/s\",\"result\":\"failure\",\"code\":\"A B\"}]",
        "[{\"id\":\"store-with-a-name-that-is-far-too-long\",\"subject\":\"\",\"result\":\"ok\"}]",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP_JSON struct json_object *answer = answer_of(cases[i]);
        assert_int_equal(agent_answers_validate(answer), -EINVAL);
    }
}

static void the_longest_answers(void **state) {
    char detail[258], text[512];
    (void)state;
    memset(detail, 'd', sizeof(detail));
    detail[256] = '\0';
    snprintf(
        text, sizeof(text),
        "[{\"id\":\"store\",\"subject\":\"/s\",\"result\":\"ok\",\"detail\":\"%s\"}]", detail);
    assert_non_null(strstr(said(text).text, "dddddd"));
    detail[256] = 'd';
    detail[257] = '\0';
    snprintf(
        text, sizeof(text),
        "[{\"id\":\"store\",\"subject\":\"/s\",\"result\":\"ok\",\"detail\":\"%s\"}]", detail);
    CLEANUP_JSON struct json_object *answer = answer_of(text);
    assert_int_equal(agent_answers_validate(answer), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_with_a_certificate),
        cmocka_unit_test(no_certificate_makes_up_for_these),
        cmocka_unit_test(a_user_without),
        cmocka_unit_test(a_stranger),
        cmocka_unit_test(agents),
        cmocka_unit_test(an_older_agent_is_said_to_be_one),
        cmocka_unit_test(answers_get_words),
        cmocka_unit_test(answers_get_the_reasons_words),
        cmocka_unit_test(a_newer_agent),
        cmocka_unit_test(a_browser_gets_its_name),
        cmocka_unit_test(what_an_agent_could_look_into),
        cmocka_unit_test(answers_of_another_shape_are_refused),
        cmocka_unit_test(the_longest_answers),
    };
    return cmocka_run_group_tests_name("user checks", tests, NULL, NULL);
}
