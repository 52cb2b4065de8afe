/* `status` of a person word for word, in every state. */
#include "scripted.h"

#include "ipc/ctl/person.h"

#define ENROLLED                                                                                   \
    "{\"state\":\"enrolled\",\"url\":\"https://devices.example.com\",\"device_uuid\":"             \
    "\"2b1e3c1a-0000-4000-8000-000000000001\",\"not_after\":1802776000}"
#define ONLINE "{\"connected\":true,\"last_event_s\":1794999988}"
#define DESIRED(distribution_)                                                                     \
    "{\"generation\":12,\"distribution\":\"" distribution_ "\",\"organisation\":\"Example\"}"
#define CHROMIUM "{\"kind\":\"nss_chromium\",\"path\":\"/home/alice/.pki/nssdb\",\"ok\":true}"
#define FIREFOX(ok_)                                                                               \
    "{\"kind\":\"nss_firefox\",\"path\":\"/home/alice/.mozilla/firefox/1a2b.work\",\"ok\":" ok_ "}"
#define USER(state_, members_, stores_)                                                            \
    "{\"id\":\"u1\",\"name\":\"alice\",\"uid\":1000,\"state\":\"" state_                           \
    "\",\"agent_attached\":true," members_ "\"stores\":[" stores_ "]}"
#define CERTIFICATE                                                                                \
    "\"serial\":\"5f3c9a10aabbccdd\",\"not_after\":1797505600,\"renew_at\":1796209600,"
#define STATUS(enrolment_, push_, desired_, policies_, users_)                                     \
    "{\"version\":\"0.1.0\",\"now\":1795000000,\"enrolment\":" enrolment_ ",\"push\":" push_       \
    ",\"desired\":" desired_ ",\"policies\":[" policies_ "],\"users\":[" users_ "]}"
#define ON(users_) STATUS(ENROLLED, ONLINE, DESIRED("on"), "", users_)

static bool as_on_debian(const struct browser_family *family) {
    return strcmp(family->id, "chromium") == 0 || strcmp(family->id, "firefox-esr") == 0;
}

static struct result person_of(const char *answer) {
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid();
    ctl.own_uid = 1000;
    ctl.browser_installed = as_on_debian;
    scripted.answer = answer;
    struct result result = run_with(&ctl, "status --socket @");
    assert_fits(result.out);
    return result;
}

static void expect(const char *answer, int status, const char *text) {
    struct result CLEANUP_RESULT result = person_of(answer);
    assert_string_equal(result.out, text);
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, status);
}

/* The headline, and what to do. */
static void expect_parts(const char *answer, int status, const char *first, const char *to_do) {
    struct result CLEANUP_RESULT result = person_of(answer);
    print_message("%s", result.out);
    assert_int_equal(result.status, status);
    assert_memory_equal(result.out, first, strlen(first));
    const char *found = strstr(result.out, "What to do    ");
    assert_non_null(found);
    assert_string_equal(found + 14, to_do);
}

static void test_trusted(void **state) {
    (void)state;
    expect(
        ON(USER("installed", CERTIFICATE, CHROMIUM "," FIREFOX("true"))), CTL_GOOD,
        "Trusted until 2026-12-17 12:06 CET (in 29 days).\n"
        "\n"
        "For           alice (u1)\n"
        "Certificate   its name ends in 5f3c9a10\n"
        "Renewal       by itself, in 14 days\n"
        "Organisation  Example\n"
        "Server        connected\n"
        "Browsers      Chromium: installed\n"
        "              Firefox ESR, profile work: installed\n"
        "What to do    Nothing.\n");
}

static void test_one_store_failed(void **state) {
    (void)state;
    expect(
        ON(USER(
            "installed", CERTIFICATE, CHROMIUM "," FIREFOX("false,\"code\":\"store-password\""))),
        CTL_GOOD,
        "Trusted until 2026-12-17 12:06 CET (in 29 days).\n"
        "\n"
        "For           alice (u1)\n"
        "Certificate   its name ends in 5f3c9a10\n"
        "Renewal       by itself, in 14 days\n"
        "Organisation  Example\n"
        "Server        connected\n"
        "Browsers      Chromium: installed\n"
        "              Firefox ESR, profile work: not installed. The store is locked with\n"
        "              a master password; it was left as it is. [store-password]\n"
        "What to do    Firefox ESR, profile work: Remove the master password of this\n"
        "              certificate database; then run: devtrustctl repair.\n");
}

static void test_offline(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = person_of(STATUS(
        ENROLLED, "{\"connected\":false,\"code\":\"server-unreachable\"}", DESIRED("on"), "",
        USER("installed", CERTIFICATE, CHROMIUM)));
    assert_int_equal(result.status, CTL_GOOD);
    assert_non_null(strstr(result.out, "Trusted until 2026-12-17"));
    assert_non_null(
        strstr(result.out, "Server        not reached at the moment; what is trusted stays so\n"));
    assert_non_null(strstr(result.out, "What to do    Nothing.\n"));
}

static void test_on_its_way(void **state) {
    static const struct {
        const char *answer, *first;
    } cases[] = {
        {ON(USER("waiting", "\"retry_at\":1795000090,", "")),
         "Not trusted yet: your certificate is on its way.\n\n"},
        {ON(USER("requested", "", "")), "Not trusted yet: your key is being made.\n\n"},
        {ON(USER("signing", "", "")), "Not trusted yet: the server is asked for your"},
        {ON(USER("delivered", "", "")), "Not trusted yet: your certificate is being installed.\n"},
        {ON(USER("removing", CERTIFICATE, CHROMIUM)),
         "Not trusted any more: your certificate is being removed.\n"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        expect_parts(
            cases[i].answer, i == 4 ? CTL_GOOD : CTL_NO, cases[i].first,
            "Nothing; it goes on by itself.\n");
    struct result CLEANUP_RESULT waiting = person_of(cases[0].answer);
    assert_non_null(strstr(waiting.out, "Next try      in 90 seconds\n"));
    assert_non_null(strstr(waiting.out, "Browsers      none\n"));
    struct result CLEANUP_RESULT removing = person_of(cases[4].answer);
    assert_non_null(strstr(removing.out, "Chromium: being removed\n"));
}

static void test_not_trusted(void **state) {
    static const struct {
        const char *answer;
        int status;
        const char *first, *to_do;
    } cases[] = {
        {ON(USER("absent", "", "")), CTL_NO, "Not trusted: you have no certificate.\n",
         "See what devtrustctl doctor finds.\n"},
        {ON(USER("refused", "\"code\":\"server-refused\",", "")), CTL_REFUSED,
         "Not trusted: the server refuses a certificate for you.\n"
         "The server refuses this request. [server-refused]\n\n",
         "Check the assignment and the switch on the server (devtrust-server\n"
         "              status).\n"},
        {ON(USER(
             "installed", "\"serial\":\"5f3c9a10aabbccdd\",\"not_after\":1794900000,", CHROMIUM)),
         CTL_NO,
         "Not trusted: your certificate expired 2026-11-17 08:20 CET (27 hours ago).\n"
         "The certificate has expired. [expired]\n",
         "Connect to the server; it renews by itself.\n"},
        {ON(""), CTL_NO,
         "Not trusted: you are not managed on this device.\n"
         "This user is not managed on this device. [not-managed]\n"
         "\n"
         "Organisation  Example\n",
         "Ask the administrator for an assignment of user, device and local\n"
         "              user name.\n"},
        {STATUS(ENROLLED, ONLINE, DESIRED("paused"), "", USER("installed", CERTIFICATE, CHROMIUM)),
         CTL_NO, "Not trusted at the moment: certificate distribution is paused.\n",
         "The administrator switches it on again: devtrust-server\n"
         "              distribution on.\n"},
        {STATUS(ENROLLED, ONLINE, DESIRED("off"), "", ""), CTL_NO,
         "Not trusted: certificate distribution is off.\n",
         "The administrator switches it on: devtrust-server distribution on.\n"},
        {STATUS(
             "{\"state\":\"none\",\"code\":\"not-enrolled\"}", "{\"connected\":false}", "{}", "",
             ""),
         CTL_NO,
         "Not trusted: this device is not enrolled.\n"
         "This device is not enrolled. [not-enrolled]\n",
         "Run: devtrustctl enroll URL --token-file FILE (as root).\n"},
        {STATUS("{\"state\":\"enrolling\"}", "{\"connected\":false}", "{}", "", ""), CTL_NO,
         "Not trusted yet: this device is being enrolled.\n", "Nothing; it goes on by itself.\n"},
        {STATUS(
             "{\"state\":\"cloned\",\"code\":\"cloned\"}", "{\"connected\":false}", "{}", "", ""),
         CTL_NO, "Not trusted: this device is a copy of another one.\n",
         "Enrol this machine on its own: devtrustctl enroll URL --token-file\n"
         "              FILE.\n"},
        {STATUS(
             "{\"state\":\"removed\",\"code\":\"device-removed\"}", "{\"connected\":false}", "{}",
             "", ""),
         CTL_NO, "Not trusted: the server has removed this device.\n",
         "Enrol it again if it should be managed.\n"},
        {STATUS("{\"state\":\"held\",\"code\":\"held\"}", "{\"connected\":false}", "{}", "", ""),
         CTL_NO, "Not trusted: root has removed devtrust's certificates here.\n",
         "Run: devtrustctl renew (as root), or enrol again.\n"},
        {STATUS("{\"state\":\"of_the_future\"}", "{\"connected\":false}", "{}", "", ""), CTL_NO,
         "Not trusted: of_the_future.\n", "See what devtrustctl doctor finds.\n"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        expect_parts(cases[i].answer, cases[i].status, cases[i].first, cases[i].to_do);
}

/* The certificate is good; what renews it is away, or something else is wrong besides. */
static void test_trusted_with_trouble(void **state) {
    (void)state;
    expect_parts(
        ON("{\"id\":\"alice\",\"name\":\"alice\",\"state\":\"installed\",\"agent_attached\":"
           "false," CERTIFICATE "\"stores\":[" CHROMIUM "]}"),
        CTL_GOOD,
        "Trusted until 2026-12-17 12:06 CET (in 29 days).\n"
        "No agent of this user is attached. [no-agent]\n"
        "\n"
        "For           alice\n",
        "The user signs in, or starts devtrust-agent.\n");
    expect_parts(
        STATUS(
            ENROLLED, ONLINE, DESIRED("on"),
            "{\"family\":\"chrome\",\"path\":\"/"
            "p\",\"installed\":false,\"code\":\"policy-directory\"}",
            USER("installed", CERTIFICATE, CHROMIUM)),
        CTL_GOOD, "Trusted until",
        "Google Chrome: Make it root-owned, mode 0755; it is tried again by\n"
        "              itself. Where it is new: systemctl restart devtrustd.\n");
}

/* Sixteen stores, each of them in trouble, and more policies than there are families. */
/* Of a newer daemon: shown as they are. */
static void test_states_that_are_not_known(void **state) {
    (void)state;
    struct result CLEANUP_RESULT switched = person_of(
        STATUS(ENROLLED, ONLINE, DESIRED("staged"), "", USER("installed", CERTIFICATE, CHROMIUM)));
    assert_int_equal(switched.status, CTL_NO);
    assert_memory_equal(
        switched.out, "Not trusted: certificate distribution is staged.\n",
        strlen("Not trusted: certificate distribution is staged.\n"));
    struct result CLEANUP_RESULT user = person_of(ON(USER("dormant", CERTIFICATE, CHROMIUM)));
    assert_int_equal(user.status, CTL_GOOD);
    assert_non_null(strstr(user.out, "Trusted until 2026-12-17"));
    assert_non_null(strstr(user.out, "State         dormant\n"));
    struct result CLEANUP_RESULT none = person_of(ON(USER("dormant", "", "")));
    assert_non_null(strstr(none.out, "Not trusted: dormant.\n"));
}

static void test_the_most_of_everything(void **state) {
    char answer[16384], stores[4096] = "", policies[8192] = "";
    (void)state;
    for (int i = 0; i < 16; i++)
        snprintf(
            stores + strlen(stores), sizeof stores - strlen(stores),
            "%s{\"kind\":\"nss_firefox\",\"path\":\"/home/a/.mozilla/firefox/x.p%d\",\"ok\":false,"
            "\"code\":\"store-corrupt\"}",
            i ? "," : "", i);
    for (int i = 0; i < 60; i++)
        snprintf(
            policies + strlen(policies), sizeof policies - strlen(policies),
            "%s{\"family\":\"f%d\",\"path\":\"/"
            "p\",\"installed\":false,\"code\":\"policy-conflict\"}",
            i ? "," : "", i);
    snprintf(
        answer, sizeof answer,
        STATUS(ENROLLED, ONLINE, DESIRED("on"), "%s", USER("installed", CERTIFICATE, "%s")),
        policies, stores);
    struct result CLEANUP_RESULT result = person_of(answer);
    assert_int_equal(result.status, CTL_GOOD);
    assert_non_null(strstr(result.out, "profile p15: not installed."));
    assert_non_null(strstr(result.out, "profile p15: Move the certificate database away"));
}

static void test_foreign_text_cannot_steer_the_terminal(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = person_of(ON(USER(
        "installed", CERTIFICATE,
        "{\"kind\":\"nss_firefox\",\"path\":\"/x/a.\\u001b[2J\",\"ok\":true}")));
    assert_null(strchr(result.out, 27));
    assert_non_null(strstr(result.out, "Firefox, profile \\x1b[2J: installed\n"));
}

static void test_the_daemon_is_away(void **state) {
    struct ctl ctl = scripted_ctl;
    (void)state;
    ctl.own_uid = 1000;
    struct result CLEANUP_RESULT result = run_with(&ctl, "status --socket /nowhere/at/all");
    assert_int_equal(result.status, CTL_UNREACHABLE);
    assert_string_equal(result.out, "");
    assert_non_null(strstr(result.err, "devtrustctl status: "));
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_trusted),
        TEST(test_one_store_failed),
        TEST(test_offline),
        TEST(test_on_its_way),
        TEST(test_not_trusted),
        TEST(test_trusted_with_trouble),
        TEST(test_states_that_are_not_known),
        TEST(test_the_most_of_everything),
        TEST(test_foreign_text_cannot_steer_the_terminal),
        TEST(test_the_daemon_is_away),
    };
    return cmocka_run_group_tests_name("ctl status of a person", tests, NULL, NULL);
}
