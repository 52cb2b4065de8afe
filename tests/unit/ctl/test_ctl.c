/* The command line itself: table, options, help, and what failures to reach the daemon look like.
 */
#include "scripted.h"

/* What help, completion and parsing take for granted of the table. */
/* The same word may mean another thing to another command. */
static void assert_no_option_twice(uint64_t set) {
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++)
        for (size_t j = 0; j < i; j++)
            if ((set & CTL_BIT(i)) && (set & CTL_BIT(j)))
                assert_string_not_equal(option_table[i].name, option_table[j].name);
}

static void test_table_is_sound(void **state) {
    (void)state;
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++) {
        const struct option_row *option = &option_table[i];
        assert_non_null(option->name);
        assert_non_null(option->help);
        assert_int_equal(option->argument == NULL, option->kind == ARGUMENT_NONE);
    }
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &command_table[i];
        print_message("%s\n", command->name);
        const char *space = strchr(command->name, ' ');
        assert_null(space ? strchr(space + 1, ' ') : NULL);
        assert_non_null(command->run);
        assert_non_null(command->detail);
        assert_true(strlen(command->help) + (command->root ? strlen(" (root)") : 0) <= 56);
        assert_int_not_equal(command->help[strlen(command->help) - 1], '.');
        assert_true(command->timeout_s > 0);
        assert_int_equal(command->options & command_no_command_options, 0);
        assert_int_equal(command->required & ~command->options, 0);
        assert_no_option_twice(command->options | command_common_options);
        for (size_t j = 0; j < CTL_OPTION_COUNT_; j++)
            if (command->required & CTL_BIT(j))
                assert_non_null(option_table[j].argument);
        for (size_t j = command_min_operands(command); j < command_max_operands(command); j++)
            assert_true(command->operands[j].optional); /* what is needed comes first */
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(command->name, command_table[j].name);
        if (command->examples)
            assert_int_not_equal(command->examples[strlen(command->examples) - 1], '\n');
        /* rows of a group stand together, so that help and the table read alike */
        assert_true(i == 0 || command->group >= command_table[i - 1].group);
    }
}

static void test_help_of_the_program(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = run("--help");
    assert_int_equal(result.status, 0);
    assert_string_equal(result.err, "");
    assert_fits(result.out);
    static const char *const words[] = {
        "\nDevice:\n",   "\nPeople's certificates:\n", "\nLocal interface:\n", "--json",
        "--socket PATH", "--timeout SECONDS",          "Exit status",          "--version\n",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        assert_non_null(strstr(result.out, words[i]));
    for (size_t i = 0; i < command_count; i++) { /* on one line each */
        char line[128];
        snprintf(
            line, sizeof line, "\n  %-22s%s%s\n", command_table[i].name, command_table[i].help,
            command_table[i].root ? " (root)" : "");
        assert_non_null(strstr(result.out, line));
    }
}

static void test_help_of_every_command(void **state) {
    (void)state;
    for (size_t i = 0; i < command_count; i++) {
        char line[64], usage[64];
        snprintf(line, sizeof line, "%s --help", command_table[i].name);
        snprintf(usage, sizeof usage, "Usage: devtrustctl %s", command_table[i].name);
        struct result CLEANUP_RESULT result = run(line);
        assert_int_equal(result.status, 0);
        assert_memory_equal(result.out, usage, strlen(usage));
        assert_fits(result.out);
        assert_null(strstr(result.out, "…")); /* nothing is cut */
        assert_int_equal(strstr(result.out, "Needs root.") != NULL, command_table[i].root);
    }
    struct result CLEANUP_RESULT result = run("enroll --help");
    assert_non_null(strstr(result.out, "devtrustctl enroll URL --token-file FILE|- [OPTIONS]\n"));
    assert_non_null(strstr(result.out, "  --token-file FILE|- "));
    assert_non_null(strstr(result.out, "--ca-pin HEX"));
    assert_non_null(strstr(result.out, "Default: 90."));
    assert_null(strstr(result.out, "--pem"));
    assert_non_null(strstr(result.out, "\nExamples:\n  devtrustctl enroll https://"));
    struct result CLEANUP_RESULT call = run("ipc call --help");
    assert_non_null(strstr(call.out, "Usage: devtrustctl ipc call METHOD [JSON] [OPTIONS]\n"));
}

static void test_help_of_a_family(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = run("ipc --help");
    assert_int_equal(result.status, 0);
    assert_fits(result.out);
    assert_non_null(strstr(result.out, "  ipc introspect "));
    assert_null(strstr(result.out, "status"));
    struct result CLEANUP_RESULT none = run("frobnicate --help");
    assert_int_equal(none.status, CTL_USAGE);
}

static void test_version(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = run("--version");
    assert_int_equal(result.status, 0);
    assert_memory_equal(result.out, "devtrustctl ", 12);
}

static void test_usage_errors(void **state) {
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"frobnicate", "There is no such command: frobnicate"},
        {"cert",
         "devtrustctl cert: Which command?\nDid you mean: cert show? Try: devtrustctl cert --help"},
        {"cert hide", "There is no such command: cert hide\nDid you mean: cert show? "},
        {"cert shwo --json", "cert show"},
        {"statsu", "There is no such command: statsu\nDid you mean: status? Try: "},
        {"enrol https://x", "There is no such command: enrol\nDid you mean: enroll? "},
        {"call", "Did you mean: ipc call? Try: devtrustctl --help\n"},
        {"ipc", "Did you mean: ipc info, ipc introspect, ipc call"},
        {"ipc inof", "There is no such command: ipc inof\nDid you mean: ipc info? "},
        {"-- status", "The command comes first: status"},
        {"--json status", "The command comes first:"},
        {"cert show --usre=x", "There is no such option here: --usre=x\nDid you mean: --user? "},
        {"--frob", "There is no such option here: --frob"},
        {"status --pem", "There is no such option here: --pem"},
        {"status -x", "There is no such option here: -x"},
        {"status extra", "Too many arguments: extra"},
        {"status --socket", "This option needs an argument: --socket"},
        {"status --socket a --socket b", "This option is given twice: --socket"},
        {"status --json=yes", "This option takes no argument: --json=yes"},
        {"status --timeout soon", "--timeout takes whole seconds, 0 to 86400; not soon"},
        {"status --timeout -1", "--timeout takes whole seconds, 0 to 86400; not -1"},
        {"status --timeout 86401", "--timeout takes whole seconds, 0 to 86400; not 86401"},
        {"status --timeout 99999999999999999999", "--timeout takes whole seconds"},
        {"enroll", "This is missing: URL"},
        {"enroll https://x", "This is missing: --token-file FILE|-"},
        {"enroll http://x --token-file f", "The URL must be https://HOST[:PORT]; not http://x"},
        {"enroll https:// --token-file f", "The URL must be https://HOST[:PORT]; not https://"},
        {"enroll https://x --token-file f --ca-pin 12", "--ca-pin takes 64 hex digits; not 12"},
        {"cert show --user a --all-users", "exclude each other"},
        {"cert show --pem --json --all-users", "exclude each other"},
        {"ipc call", "This is missing: METHOD [JSON]"},
        {"ipc call GetStatus", "This is no method name (io.devtrust.Device.GetStatus): GetStatus"},
        {"ipc call a.b.C [] --oneway=", "This option takes no argument"},
        {"ipc call a.b.C []", "The parameters are not a JSON object: []"},
        {"ipc call a.b.C {\"a\":1,\"a\":2}", "The parameters are not a JSON object"},
        {"ipc call a.b.C --more --oneway", "--more and --oneway exclude each other."},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct result CLEANUP_RESULT result = run(cases[i].line);
        print_message("%s\n", cases[i].line);
        assert_int_equal(result.status, CTL_USAGE);
        const char *where = *result.out ? result.out : result.err; /* the former with --json */
        assert_non_null(strstr(where, cases[i].says));
        assert_non_null(strstr(where, "Try: devtrustctl"));
    }
    struct result CLEANUP_RESULT none = run_with(NULL, "--json");
    assert_int_equal(none.status, CTL_USAGE);
    struct json_object CLEANUP_JSON *object = parsed(none.out);
    assert_non_null(object);
}

static void test_usage_error_names_the_command(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = run("cert show --usr x");
    assert_string_equal(
        result.err, "devtrustctl cert show: There is no such option here: --usr\n"
                    "Did you mean: --user? Try: devtrustctl cert show --help\n");
}

static void test_no_daemon(void **state) {
    (void)state;
    struct result CLEANUP_RESULT text = run("status --socket /nonexistent/socket");
    assert_int_equal(text.status, CTL_UNREACHABLE);
    assert_string_equal(text.out, "");
    assert_string_equal(
        text.err, "devtrustctl status: devtrustd cannot be reached. [daemon-unreachable]\n"
                  "Start it: systemctl start devtrustd.\n");
    struct result CLEANUP_RESULT json = run("status --socket=/nonexistent/socket --json");
    assert_int_equal(json.status, CTL_UNREACHABLE);
    assert_string_equal(json.err, "");
    assert_string_equal(
        json.out,
        "{\"error\":{\"code\":\"daemon-unreachable\",\"text\":\"devtrustd cannot be reached.\","
        "\"remedy\":\"Start it: systemctl start devtrustd.\"}}\n");
}

static void test_daemon_that_is_not_root(void **state) {
    (void)state;
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid() + 1;
    struct result CLEANUP_RESULT result = run_with(&ctl, "status --socket @");
    assert_int_equal(result.status, CTL_NOT_PERMITTED);
    assert_non_null(strstr(result.err, "does not run as root"));
    assert_string_equal(scripted.method, "");
}

static void test_no_answer_in_time(void **state) {
    (void)state;
    scripted.silent = true;
    struct result CLEANUP_RESULT result = run("status --timeout 1 --socket @");
    assert_int_equal(result.status, CTL_UNREACHABLE);
    assert_non_null(strstr(result.err, "did not answer in time"));
}

static void test_errors_of_the_daemon(void **state) {
    static const struct {
        const char *error, *parameters;
        int status;
        const char *says;
    } cases[] = {
        {"io.devtrust.Device.Failed",
         "{\"code\":\"token-refused\",\"text\":\"No.\",\"remedy\":\"Ask.\"}", CTL_REFUSED,
         "devtrustctl renew: No. [token-refused]\nAsk.\n"},
        {"io.devtrust.Device.Failed",
         "{\"code\":\"not-managed\",\"text\":\"Not.\",\"remedy\":\"\"}", CTL_NO,
         "devtrustctl renew: Not. [not-managed]\n"},
        {"io.devtrust.Device.Failed",
         "{\"code\":\"of-the-future\",\"text\":\"T\",\"remedy\":\"R\"}", CTL_NO,
         "devtrustctl renew: T [of-the-future]\nR\n"},
        {"io.devtrust.Device.Failed", "{\"code\":7}", CTL_NO, "does not know"},
        {"org.varlink.service.PermissionDenied", NULL, CTL_NOT_PERMITTED, "This needs root."},
        {"org.varlink.service.InvalidParameter", "{\"parameter\":\"user\"}", CTL_USAGE,
         "does not accept this: user"},
        {"org.varlink.service.MethodNotFound", "{\"method\":\"a.b.C\"}", CTL_NO,
         "does not know the method a.b.C\nInstall "},
        {"io.devtrust.Local.Timeout", "{\"deadline_ms\":5}", CTL_NO, "did not finish in its time"},
        {"io.devtrust.Agent.NotManaged", NULL, CTL_NO, "the error io.devtrust.Agent.NotManaged"},
        {"io.devtrust.Device.Failed",
         "{\"code\":\"storage\",\"text\":\"a\\u001b[31mb\\u202ec\",\"remedy\":\"\"}", CTL_NO,
         "a\\x1b[31mb\\u{202e}c [storage]\n"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        scripted.error = cases[i].error;
        scripted.answer = cases[i].parameters;
        struct result CLEANUP_RESULT result = run("renew --socket @");
        print_message("%s %s", cases[i].error, result.err);
        assert_int_equal(result.status, cases[i].status);
        assert_string_equal(result.out, "");
        assert_non_null(strstr(result.err, cases[i].says));
    }
}

static void test_what_goes_wrong_fits_the_screen(void **state) {
    struct ctl ctl = scripted_ctl;
    (void)state;
    ctl.daemon_uid = geteuid();
    ctl.err_is_screen = true;
    scripted.error = "io.devtrust.Device.Failed";
    scripted.answer =
        "{\"code\":\"server-tls\",\"text\":\"The server's TLS certificate does not verify: "
        "another CA, another name, or expired.\",\"remedy\":\"Check the URL; with a private CA "
        "pass its pin (devtrust-server status prints it) as --ca-pin.\"}";
    struct result CLEANUP_RESULT failed = run_with(&ctl, "renew --socket @");
    assert_string_equal(
        failed.err,
        "devtrustctl renew: The server's TLS certificate does not verify: another CA,\n"
        "another name, or expired. [server-tls]\n"
        "Check the URL; with a private CA pass its pin (devtrust-server status prints it)\n"
        "as --ca-pin.\n");
    struct result CLEANUP_RESULT usage = run_with(&ctl, "ipc");
    assert_fits(usage.err);
    struct result CLEANUP_RESULT logged = run("ipc"); /* on two lines, whatever their length */
    assert_string_equal(strchr(strchr(logged.err, '\n') + 1, '\n'), "\n");
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_table_is_sound),
        TEST(test_help_of_the_program),
        TEST(test_help_of_every_command),
        TEST(test_help_of_a_family),
        TEST(test_version),
        TEST(test_usage_errors),
        TEST(test_usage_error_names_the_command),
        TEST(test_no_daemon),
        TEST(test_daemon_that_is_not_root),
        TEST(test_no_answer_in_time),
        TEST(test_errors_of_the_daemon),
        TEST(test_what_goes_wrong_fits_the_screen),
    };
    return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
