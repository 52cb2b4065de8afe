/* `status` of root word for word: the tables in the common cases, and the exit status of each. What
 * a person reads who asks for himself: test_person.c. */
#include "scripted.h"

#define URL "\"url\":\"https://devices.example.com\""
#define ENROLLED                                                                                   \
    "\"enrolment\":{\"state\":\"enrolled\"," URL ",\"device_uuid\":"                               \
    "\"2b1e3c1a-0000-4000-8000-000000000001\",\"not_after\":1802776000}"
#define PUSH "\"push\":{\"connected\":true,\"last_event_s\":1794999988}"
#define DESIRED(distribution_)                                                                     \
    "\"desired\":{\"epoch\":\"e\",\"generation\":12,\"distribution\":\"" distribution_             \
    "\",\"organisation\":\"Example\"}"
#define POLICIES                                                                                   \
    "\"policies\":[{\"family\":\"chromium\",\"path\":"                                             \
    "\"/etc/chromium/policies/managed/zz-devtrust.json\",\"installed\":true}]"
#define ALICE                                                                                      \
    "{\"id\":\"u1\",\"name\":\"alice\",\"uid\":1000,\"state\":\"installed\","                      \
    "\"agent_attached\":true,\"serial\":\"5f3c9a10aabbccdd\",\"not_after\":1797505600,"            \
    "\"renew_at\":1796209600,\"stores\":[{\"kind\":\"nss_chromium\",\"path\":\"/home/alice/.pki/"  \
    "nssdb\",\"ok\":true}]}"
#define BOB                                                                                        \
    "{\"id\":\"u2\",\"name\":\"bob\",\"state\":\"waiting\",\"agent_attached\":false,"              \
    "\"stores\":[],\"retry_at\":1795000090}"
#define STATUS(enrolment_, push_, desired_, policies_, users_)                                     \
    "{\"version\":\"0.1.0\",\"now\":1795000000," enrolment_ "," push_ "," desired_ "," policies_   \
    ",\"users\":[" users_ "]}"

static const char good[] = STATUS(ENROLLED, PUSH, DESIRED("on"), POLICIES, ALICE);

static struct result status_of(const char *answer) {
    scripted.answer = answer;
    struct result result = run("status --socket @");
    assert_fits(result.out);
    return result;
}

static void test_all_is_well(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = status_of(good);
    assert_string_equal(result.err, "");
    assert_string_equal(
        result.out, "Device        enrolled\n"
                    "              2b1e3c1a-0000-4000-8000-000000000001\n"
                    "Identity      valid\n"
                    "  until       2027-02-16 12:06 CET (in 90 days)\n"
                    "Server        https://devices.example.com\n"
                    "              connected\n"
                    "              last event 12 seconds ago\n"
                    "Organisation  Example\n"
                    "Distribution  on\n"
                    "Browsers      chromium: installed\n"
                    "              /etc/chromium/policies/managed/zz-devtrust.json\n"
                    "\n"
                    "USER   STATE      SERIAL    EXPIRES                            RENEWS\n"
                    "alice  installed  5f3c9a10  2026-12-17 12:06 CET (in 29 days)  in 14 days\n");
    assert_int_equal(result.status, 0);
}

static void test_json_is_the_daemons_answer(void **state) {
    (void)state;
    scripted.answer = good;
    struct result CLEANUP_RESULT result = run("status --json --socket @");
    assert_int_equal(result.status, 0);
    struct json_object CLEANUP_JSON *printed = parsed(result.out);
    struct json_object CLEANUP_JSON *expected = parsed(good);
    assert_true(json_object_equal(printed, expected));
    assert_string_equal(strchr(result.out, '\n'), "\n");
}

static void test_not_enrolled(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = status_of(STATUS(
        "\"enrolment\":{\"state\":\"none\",\"code\":\"not-enrolled\","
        "\"text\":\"This device is not enrolled.\",\"remedy\":\"Run: devtrustctl "
        "enroll URL --token-file FILE (as root).\"}",
        "\"push\":{\"connected\":false}", "\"desired\":{}",
        "\"policies\":[{\"family\":\"chromium\",\"path\":\"/p\",\"installed\":false}]", ""));
    assert_string_equal(
        result.out, "Device        not enrolled\n"
                    "              Run: devtrustctl enroll URL --token-file FILE (as root).\n");
    assert_int_equal(result.status, CTL_NO);
}

static void test_a_user_who_waits(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result =
        status_of(STATUS(ENROLLED, PUSH, DESIRED("on"), "\"policies\":[]", ALICE "," BOB));
    assert_non_null(strstr(
        result.out, "USER   STATE      SERIAL    EXPIRES                            RENEWS\n"
                    "alice  installed  5f3c9a10  2026-12-17 12:06 CET (in 29 days)  in 14 days\n"
                    "bob    waiting    -         -                                  -\n"
                    "bob           No agent of this user is attached. [no-agent]\n"
                    "              The user signs in, or starts devtrust-agent.\n"
                    "              next try in 90 seconds\n"));
    assert_int_equal(result.status, CTL_NO);
}

static void test_exit_statuses(void **state) {
#define USER(members_)                                                                             \
    "{\"id\":\"u1\",\"name\":\"alice\",\"state\":\"refused\",\"agent_attached\":true,"             \
    "\"stores\":[]" members_ "}"
    static const struct {
        const char *answer;
        int status;
        const char *says;
    } cases[] = {
        {STATUS(
             ENROLLED, "\"push\":{\"connected\":false,\"code\":\"server-unreachable\"}",
             DESIRED("on"), POLICIES, ALICE),
         CTL_GOOD, "not connected; certificates stay good\n"},
        {STATUS(ENROLLED, PUSH, DESIRED("paused"), POLICIES, ALICE), CTL_NO, "paused: this device"},
        {STATUS(ENROLLED, PUSH, DESIRED("off"), POLICIES, ""), CTL_NO, "off: this device"},
        {STATUS(ENROLLED, PUSH, DESIRED("on"), POLICIES, ""), CTL_NO,
         "No user is managed on this device."},
        {STATUS(ENROLLED, PUSH, DESIRED("on"), POLICIES, USER(",\"code\":\"server-refused\"")),
         CTL_REFUSED, "The server refuses this request."},
        {STATUS(ENROLLED, PUSH, DESIRED("on"), POLICIES, USER(",\"code\":\"server-unreachable\"")),
         CTL_NO, "The server cannot be reached."},
        {STATUS(
             ENROLLED, PUSH, DESIRED("on"), POLICIES,
             USER(",\"serial\":\"aa\",\"not_after\":1795000000")),
         CTL_NO, "(now)"},
        {STATUS(
             ENROLLED, PUSH, DESIRED("on"), POLICIES,
             USER(",\"serial\":\"aa\",\"not_after\":1795000001,\"code\":\"server-refused\"")),
         CTL_GOOD, "(in 1 second)"},
        {STATUS(
             "\"enrolment\":{\"state\":\"enrolled\"," URL ",\"code\":\"device-suspended\"}", PUSH,
             DESIRED("on"), POLICIES, ALICE),
         CTL_REFUSED, "The server has suspended this device."},
        {STATUS(
             "\"enrolment\":{\"state\":\"enrolling\"," URL ",\"code\":\"token-refused\"}",
             "\"push\":{\"connected\":false}", "\"desired\":{}", "\"policies\":[]", ""),
         CTL_REFUSED, "being enrolled\n"},
        {STATUS(
             "\"enrolment\":{\"state\":\"cloned\"}", "\"push\":{\"connected\":false}",
             "\"desired\":{}", "\"policies\":[]", ""),
         CTL_NO, "a copy of another machine"},
        {STATUS(
             "\"enrolment\":{\"state\":\"of_the_future\"}", "\"push\":{\"connected\":false}",
             "\"desired\":{}", "\"policies\":[]", ""),
         CTL_NO, "of_the_future"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct result CLEANUP_RESULT result = status_of(cases[i].answer);
        print_message("%s\n", cases[i].says);
        assert_int_equal(result.status, cases[i].status);
        assert_non_null(strstr(result.out, cases[i].says));
    }
}

static void test_a_store_and_a_policy_that_are_not_well(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = status_of(STATUS(
        ENROLLED, PUSH, DESIRED("on"),
        "\"policies\":[{\"family\":\"chrome\",\"path\":\"/etc/opt/chrome/policies/managed/"
        "zz-devtrust.json\",\"installed\":false,\"code\":\"policy-directory\"}]",
        "{\"id\":\"u1\",\"name\":\"alice\",\"state\":\"installed\",\"agent_attached\":true,"
        "\"serial\":\"5f\",\"not_after\":1797505600,\"stores\":[{\"kind\":\"nss_chromium\","
        "\"path\":\"/home/alice/.pki/nssdb\",\"ok\":false,\"code\":\"store-password\"}]}"));
    assert_non_null(strstr(result.out, "chrome: not installed\n"));
    assert_non_null(strstr(result.out, "A browser policy directory is missing"));
    assert_non_null(strstr(
        result.out,
        "alice         /home/alice/.pki/nssdb\n"
        "              The store is locked with a master password; it was left as it is.\n"
        "              [store-password]\n"
        "              Remove the master password of this certificate database; then run:\n"
        "              devtrustctl repair.\n"));
    assert_int_equal(result.status, 0);
}

static void test_foreign_text_cannot_steer_the_terminal(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = status_of(STATUS(
        ENROLLED, PUSH, "\"desired\":{\"organisation\":\"E\\u001b[2J\\u202eX\"}", "\"policies\":[]",
        ALICE));
    assert_null(strchr(result.out, 27));
    assert_non_null(strstr(result.out, "E\\x1b[2J\\u{202e}X"));
}

static void test_colour_only_where_it_is_wanted(void **state) {
    (void)state;
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid();
    ctl.colour = true;
    scripted.answer = good;
    struct result CLEANUP_RESULT result = run_with(&ctl, "status --socket @");
    assert_non_null(strstr(result.out, "Device        \033[32menrolled\033[0m\n"));
    assert_int_equal(result.status, 0);
}

static void test_long_names_are_cut_to_the_screen(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = status_of(STATUS(
        ENROLLED, PUSH, DESIRED("on"), POLICIES,
        "{\"id\":\"u1\",\"name\":\"a-very-long-user-name-of-thirtytwo\",\"state\":\"requested\","
        "\"agent_attached\":true,\"serial\":\"5f3c9a10aabbccdd\",\"not_after\":1797505600,"
        "\"renew_at\":1796209600,\"stores\":[]}"));
    assert_non_null(strstr(result.out, "…"));
    assert_non_null(strstr(result.out, "5f3c9a10"));
    assert_int_equal(result.status, 0);
}

static void test_answers_of_another_shape(void **state) {
    static const char *const answers[] = {
        "{}",
        "{\"version\":1}",
        STATUS("\"enrolment\":{}", PUSH, DESIRED("on"), POLICIES, ""),
        STATUS("\"enrolment\":[]", PUSH, DESIRED("on"), POLICIES, ""),
        STATUS(ENROLLED, "\"push\":{}", DESIRED("on"), POLICIES, ""),
        STATUS(ENROLLED, PUSH, DESIRED("on"), POLICIES, "7"),
        STATUS(ENROLLED, PUSH, DESIRED("on"), POLICIES, "{}")};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        struct result CLEANUP_RESULT result = status_of(answers[i]);
        assert_int_equal(result.status, CTL_NO);
        assert_string_equal(result.out, "");
        assert_non_null(strstr(result.err, "does not know"));
    }
}

static void test_unknown_fields_are_ignored(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result =
        status_of(STATUS(ENROLLED, PUSH ",\"new\":{\"a\":[1]}", DESIRED("on"), POLICIES, ALICE));
    assert_int_equal(result.status, 0);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_all_is_well),
        TEST(test_json_is_the_daemons_answer),
        TEST(test_not_enrolled),
        TEST(test_a_user_who_waits),
        TEST(test_exit_statuses),
        TEST(test_a_store_and_a_policy_that_are_not_well),
        TEST(test_foreign_text_cannot_steer_the_terminal),
        TEST(test_colour_only_where_it_is_wanted),
        TEST(test_long_names_are_cut_to_the_screen),
        TEST(test_answers_of_another_shape),
        TEST(test_unknown_fields_are_ignored),
    };
    return cmocka_run_group_tests_name("ctl status", tests, NULL, NULL);
}
