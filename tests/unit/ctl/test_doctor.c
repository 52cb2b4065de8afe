/* `doctor` word for word: what a person reads, what a help desk is told, the exit status of each;
 * and what it says where nobody answers. */
#include "scripted.h"

#include "common/version.h"
#include "ipc/ctl/daemon_checks.h"

#include <sys/stat.h>

#define STATUS "{\"version\":\"" DEVTRUST_VERSION "\",\"users\":[]}"
#define OK(id_, text_) "{\"id\":\"" id_ "\",\"result\":\"ok\",\"text\":\"" text_ "\"}"
#define CHECKS(list_) "{\"checks\":[" list_ "]}"
#define SERVER_DOWN                                                                                \
    "{\"id\":\"server\",\"subject\":\"https://trust.example.com\",\"result\":\"failure\","         \
    "\"code\":\"server-unreachable\",\"text\":\"The server cannot be reached. (timed out)\","      \
    "\"remedy\":\"Check the network.\"}"
#define PUSH_DOWN                                                                                  \
    "{\"id\":\"push\",\"result\":\"failure\",\"code\":\"push-down\",\"text\":\"It is closed.\","   \
    "\"remedy\":\"Run: devtrustctl repair.\"}"
#define POLICY_GONE                                                                                \
    "{\"id\":\"policy\",\"subject\":\"/etc/"                                                       \
    "x\",\"result\":\"failure\",\"code\":\"policy-missing\","                                      \
    "\"text\":\"It is not there.\",\"remedy\":\"Run: devtrustctl repair (as root).\"}"
#define AGENT_OLD                                                                                  \
    "{\"id\":\"agent\",\"user\":\"alice\",\"result\":\"warning\",\"code\":\"version-mismatch\","   \
    "\"text\":\"Versions differ.\",\"remedy\":\"Restart it.\"}"
#define FIREFOX                                                                                    \
    "{\"id\":\"browser\",\"subject\":\"Firefox\",\"result\":\"not_applicable\",\"text\":\"It "     \
    "asks.\"}"

static void answer_with(const char *checks) {
    scripted.of[0].method = "GetStatus";
    scripted.of[0].answer = STATUS;
    scripted.of[1].method = "Diagnose";
    scripted.of[1].answer = checks;
}

static struct result doctor_of(const char *checks, const char *more, uid_t uid) {
    struct ctl ctl = scripted_ctl;
    char line[256];
    ctl.daemon_uid = geteuid();
    ctl.own_uid = uid;
    answer_with(checks);
    snprintf(line, sizeof line, "doctor%s --socket @", more);
    struct result result = run_with(&ctl, line);
    if (!strstr(more, "--json"))
        assert_fits(result.out);
    return result;
}

static void test_all_is_well(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = doctor_of(
        CHECKS(OK("device-certificate", "Good until 2027-02-06, for another 80 days.") "," OK(
            "clock", "The clocks agree.") "," FIREFOX ",{\"id\":\"user\",\"user\":\"alice\","
                                          "\"result\":\"ok\",\"text\":\"Certificate "
                                          "5f3c9a10 is good until 2026-12-08.\"}"),
        "", 1000);
    assert_string_equal(result.err, "");
    assert_string_equal(
        result.out,
        "Device\n"
        "ok       daemon              devtrustd " DEVTRUST_VERSION " answers, and runs as root.\n"
        "ok       versions            devtrustctl and devtrustd are both " DEVTRUST_VERSION ".\n"
        "ok       device-certificate  Good until 2027-02-06, for another 80 days.\n"
        "\n"
        "Server\n"
        "ok       clock               The clocks agree.\n"
        "\n"
        "Browsers\n"
        "n/a      browser             Firefox: It asks.\n"
        "\n"
        "User alice\n"
        "ok       user                Certificate 5f3c9a10 is good until 2026-12-08.\n"
        "\n"
        "5 ok, 0 warnings, 0 failures, 1 not applicable.\n");
    assert_int_equal(result.status, 0);
    assert_string_equal(scripted.method, "io.devtrust.Device.Diagnose");
    assert_string_equal(scripted.parameters, "{}");
}

static void test_a_failure_has_its_code_and_what_to_do(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result =
        doctor_of(CHECKS(SERVER_DOWN "," PUSH_DOWN "," AGENT_OLD), "", 1000);
    assert_int_equal(result.status, CTL_NO);
    assert_non_null(strstr(
        result.out, "Server\n"
                    "FAILURE  server              https://trust.example.com: The server cannot be\n"
                    "                             reached. (timed out) [server-unreachable]\n"
                    "                             Check the network.\n"
                    "FAILURE  push                It is closed. [push-down]\n"
                    "                             Run: devtrustctl repair.\n"
                    "\n"
                    "User alice\n"
                    "warning  agent               Versions differ. [version-mismatch]\n"
                    "                             Restart it.\n"
                    "\n"
                    "2 ok, 1 warning, 2 failures.\n"
                    "Codes:   server-unreachable, push-down, version-mismatch\n"
                    "Next:    devtrustctl repair\n"));
}

static void test_a_warning_is_no_failure(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = doctor_of(CHECKS(AGENT_OLD), "", 1000);
    assert_int_equal(result.status, CTL_GOOD);
    assert_non_null(strstr(result.out, "2 ok, 1 warning, 0 failures.\n"));
    assert_non_null(strstr(result.out, "Next:    Do what stands under each"));
}

static void test_what_needs_root_is_said_so(void **state) {
    (void)state;
    struct result CLEANUP_RESULT user = doctor_of(CHECKS(POLICY_GONE), "", 1000);
    assert_non_null(strstr(user.out, "Next:    sudo devtrustctl repair\n"));
    struct result CLEANUP_RESULT root = doctor_of(CHECKS(POLICY_GONE), "", 0);
    assert_non_null(strstr(root.out, "Next:    devtrustctl repair\n"));
    assert_non_null(strstr(root.out, "Users:   not looked at."));
    struct result CLEANUP_RESULT all = doctor_of(CHECKS(POLICY_GONE), " --all-users", 0);
    assert_null(strstr(all.out, "not looked at"));
    assert_string_equal(scripted.parameters, "{\"all\":true}");
    struct result CLEANUP_RESULT one = doctor_of(CHECKS(POLICY_GONE), " --user bob", 0);
    assert_string_equal(scripted.parameters, "{\"user\":\"bob\"}");
    struct result CLEANUP_RESULT both = doctor_of(CHECKS(""), " --user bob --all-users", 0);
    assert_int_equal(both.status, CTL_USAGE);
}

/* One whom nobody manages has no name there. */
static void test_groups(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = doctor_of(
        CHECKS("{\"id\":\"user\",\"result\":\"failure\",\"code\":\"not-managed\",\"text\":\"No.\"},"
               "{\"id\":\"user\",\"user\":\"b\",\"result\":\"ok\",\"text\":\"B.\"},"
               "{\"id\":\"novel\",\"result\":\"ok\",\"text\":\"Of the future.\"},"
               "{\"id\":\"user\",\"user\":\"c\",\"result\":\"ok\",\"text\":\"C.\"},"
               "{\"id\":\"agent\",\"user\":\"c\",\"result\":\"puzzled\",\"text\":\"?\"}"),
        "", 1000);
    assert_non_null(strstr(
        result.out, "ok       novel               Of the future.\n"
                    "\n"
                    "You\n"
                    "FAILURE  user                No. [not-managed]\n"
                    "\n"
                    "User b\n"
                    "ok       user                B.\n"
                    "\n"
                    "User c\n"
                    "ok       user                C.\n"
                    "warning  agent               ?\n"));
}

static void test_many_codes_are_counted(void **state) {
    char checks[4096] = "", list[4200];
    (void)state;
    for (int i = 0; i < 10; i++) {
        char one[256];
        snprintf(
            one, sizeof one,
            "%s{\"id\":\"x\",\"result\":\"failure\",\"code\":\"code-%d\",\"text\":\"t\"}",
            i > 0 ? "," : "", i);
        strcat(checks, one);
    }
    snprintf(list, sizeof list, "{\"checks\":[%s]}", checks);
    struct result CLEANUP_RESULT result = doctor_of(list, "", 1000);
    assert_non_null(strstr(
        result.out,
        "Codes:   code-0, code-1, code-2, code-3, code-4, code-5, code-6, code-7 and 2\n"
        "         more\n"));
}

static void test_json(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result =
        doctor_of(CHECKS(SERVER_DOWN "," AGENT_OLD "," FIREFOX), " --json", 1000);
    assert_int_equal(result.status, CTL_NO);
    assert_string_equal(strchr(result.out, '\n'), "\n");
    struct json_object CLEANUP_JSON *object = parsed(result.out);
    static const struct {
        const char *member;
        int count;
    } counts[] = {{"ok", 2}, {"warnings", 1}, {"failures", 1}, {"not_applicable", 1}};
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++)
        assert_int_equal(
            json_object_get_int(json_object_object_get(object, counts[i].member)), counts[i].count);
    struct json_object *checks = json_object_object_get(object, "checks");
    assert_int_equal(json_object_array_length(checks), 5);
    struct json_object *third = json_object_array_get_idx(checks, 2);
    struct json_object CLEANUP_JSON *expected = parsed(SERVER_DOWN);
    assert_true(json_object_equal(third, expected)); /* as the daemon says it */
}

static void test_versions(void **state) {
    (void)state;
    answer_with(CHECKS(""));
    scripted.of[0].answer = "{\"version\":\"99.1\",\"users\":[]}";
    struct result CLEANUP_RESULT result = run("doctor --socket @");
    assert_non_null(strstr(result.out, "warning  versions"));
    assert_non_null(strstr(result.out, "devtrustd 99.1"));
    assert_non_null(strstr(result.out, "[version-mismatch]"));
    assert_int_equal(result.status, 0);
}

static void test_refusals(void **state) {
    static const char failed[] = "io.devtrust.Device.Failed";
    (void)state;
    answer_with(NULL);
    scripted.of[1].error = failed;
    scripted.of[1].answer = "{\"code\":\"not-permitted\",\"text\":\"This needs "
                            "root.\",\"remedy\":\"Run it with sudo.\"}";
    struct result CLEANUP_RESULT result = run("doctor --user bob --socket @");
    assert_int_equal(result.status, CTL_NOT_PERMITTED);
    assert_string_equal(result.out, "");
    assert_string_equal(
        result.err, "devtrustctl doctor: This needs root. [not-permitted]\nRun it with sudo.\n");
}

/* A daemon that knows no doctor: what can be seen without it is shown. */
static void test_an_older_daemon(void **state) {
    (void)state;
    answer_with("{\"method\":\"Diagnose\"}");
    scripted.of[0].answer = "{\"version\":\"0.0.9\",\"users\":[]}";
    scripted.of[1].error = "org.varlink.service.MethodNotFound";
    struct result CLEANUP_RESULT result = run("doctor --socket @");
    assert_int_equal(result.status, CTL_NO);
    assert_non_null(strstr(result.out, "ok       daemon              devtrustd 0.0.9 answers"));
    assert_non_null(strstr(result.out, "warning  versions"));
    assert_non_null(strstr(result.out, "1 ok, 1 warning, 0 failures.\n"));
    assert_non_null(strstr(result.err, "does not know the method Diagnose"));
    assert_non_null(strstr(result.err, "Install the same version"));
    struct result CLEANUP_RESULT json = run("doctor --json --socket @");
    assert_int_equal(json.status, CTL_NO);
    struct json_object CLEANUP_JSON *object = parsed(json.out);
    assert_int_equal(json_object_array_length(json_object_object_get(object, "checks")), 2);
    assert_string_equal(json.err, "");
}

static void test_answers_of_another_shape(void **state) {
    static const char *const answers[] = {
        "{}",
        "{\"checks\":7}",
        "{\"checks\":[7]}",
        "{\"checks\":[{}]}",
        "{\"checks\":[{\"id\":\"x\",\"result\":\"ok\"}]}",
        "{\"checks\":[{\"id\":\"x\",\"text\":\"t\"}]}",
        "{\"checks\":[{\"id\":\"x\",\"text\":\"t\",\"result\":\"ok\",\"code\":1}]}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        struct result CLEANUP_RESULT result = doctor_of(answers[i], "", 1000);
        assert_int_equal(result.status, CTL_NO);
        assert_non_null(strstr(result.err, "A reason that this version does not know."));
    }
}

static void test_foreign_text_cannot_steer_the_terminal(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = doctor_of(
        CHECKS("{\"id\":\"x\\u001b[2J\",\"user\":\"a\\u001b[2J\",\"subject\":\"\\u001b[2J\","
               "\"result\":\"failure\",\"code\":\"c\\u001b\",\"text\":\"\\u202e\",\"remedy\":"
               "\"\\u001b\"}"),
        "", 1000);
    assert_null(strchr(result.out, '\033'));
    assert_null(strstr(result.out, "\xe2\x80\xae"));
}

/* ---- nobody answers ---- */

static void test_nobody_answers(void **state) {
    (void)state;
    struct result CLEANUP_RESULT away = run("doctor --socket /nowhere/at/all");
    assert_int_equal(away.status, CTL_UNREACHABLE);
    assert_string_equal(away.err, "");
    assert_fits(away.out);
    assert_non_null(strstr(away.out, "[daemon-unreachable]"));
    assert_non_null(strstr(away.out, "0 ok, 0 warnings, 1 failure.\n"));
    struct result CLEANUP_RESULT json = run("doctor --json --socket /nowhere/at/all");
    assert_int_equal(json.status, CTL_UNREACHABLE);
    struct json_object CLEANUP_JSON *object = parsed(json.out);
    assert_int_equal(json_object_get_int(json_object_object_get(object, "failures")), 1);
    scripted.silent = true;
    struct result CLEANUP_RESULT silent = run("doctor --timeout 1 --socket @");
    assert_int_equal(silent.status, CTL_UNREACHABLE);
    assert_non_null(strstr(silent.out, "did not answer in time"));
}

static void test_an_impostor(void **state) {
    (void)state;
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid() + 1;
    struct result CLEANUP_RESULT result = run_with(&ctl, "doctor --socket @");
    assert_int_equal(result.status, CTL_NOT_PERMITTED);
    assert_non_null(strstr(result.out, "[daemon-not-root]"));
    assert_non_null(strstr(result.out, "who listens, not root."));
    assert_string_equal(scripted.method, ""); /* nothing was said to it */
}

static void test_what_is_around_the_socket(void **state) {
    static const struct {
        struct socket_facts facts;
        enum reason reason;
        const char *says;
    } cases[] = {
        {{.error = 0}, REASON_NONE, ""},
        {{.error = -EPERM, .has_peer = true, .peer = 54321},
         REASON_DAEMON_NOT_ROOT,
         "It is uid 54321 who listens, not root."},
        {{.error = -ENOENT, .directory_error = -ENOENT},
         REASON_DAEMON_UNREACHABLE,
         "/run/devtrust: No such file or directory. devtrustd has not been started."},
        {{.error = -ENOENT, .directory_is_link = true},
         REASON_SOCKET_DIRECTORY,
         "/run/devtrust is a symbolic link."},
        {{.error = -ENOENT, .directory_owner = 54321},
         REASON_SOCKET_DIRECTORY,
         "/run/devtrust belongs to uid 54321, not to root."},
        {{.error = -ENOENT, .directory_mode = S_IFDIR | 0777},
         REASON_SOCKET_DIRECTORY,
         "Others may write in /run/devtrust: its mode is 0777."},
        {{.error = -ENOENT, .directory_mode = S_IFDIR | 0755, .socket_error = -ENOENT},
         REASON_DAEMON_UNREACHABLE,
         "There is no such socket."},
        {{.error = -ENOENT, .socket_error = -ENOENT, .process = 17},
         REASON_DAEMON_UNREACHABLE,
         "A devtrustd runs (pid 17), but not on this socket"},
        {{.error = -ECONNREFUSED, .socket_mode = S_IFREG | 0644},
         REASON_DAEMON_UNREACHABLE,
         "It is no socket."},
        {{.error = -ECONNREFUSED, .socket_mode = S_IFSOCK | 0666},
         REASON_DAEMON_UNREACHABLE,
         "Nobody listens on it: devtrustd has ended."},
        {{.error = -EACCES, .socket_mode = S_IFSOCK | 0600},
         REASON_DAEMON_UNREACHABLE,
         "This user may not reach it."},
        {{.error = -ETIMEDOUT, .socket_mode = S_IFSOCK, .has_peer = true},
         REASON_DAEMON_UNREACHABLE,
         "did not answer in time"},
        {{.error = -EBADMSG, .socket_mode = S_IFSOCK, .has_peer = true},
         REASON_DAEMON_UNREACHABLE,
         "does not speak Varlink"},
        {{.error = -ECONNRESET, .socket_mode = S_IFSOCK},
         REASON_DAEMON_UNREACHABLE,
         "Connection reset by peer"},
    };
    char text[512];
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct socket_facts facts = cases[i].facts;
        facts.path = "/run/devtrust/io.devtrust";
        facts.directory = "/run/devtrust";
        text[0] = '\0';
        assert_int_equal(daemon_checks_judge(&facts, 0, text, sizeof text), cases[i].reason);
        if (!strstr(text, cases[i].says))
            fail_msg("%s", text);
    }
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_all_is_well),
        TEST(test_a_failure_has_its_code_and_what_to_do),
        TEST(test_a_warning_is_no_failure),
        TEST(test_what_needs_root_is_said_so),
        TEST(test_groups),
        TEST(test_many_codes_are_counted),
        TEST(test_json),
        TEST(test_versions),
        TEST(test_refusals),
        TEST(test_an_older_daemon),
        TEST(test_answers_of_another_shape),
        TEST(test_foreign_text_cannot_steer_the_terminal),
        TEST(test_nobody_answers),
        TEST(test_an_impostor),
        TEST(test_what_is_around_the_socket),
    };
    return cmocka_run_group_tests_name("ctl doctor", tests, NULL, NULL);
}
