/* The command line: what is understood, what is refused and how, what is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/json_gate.h"
#include "server/cli.h"
#include "server/command_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct command serve = {.words = "serve", .name = "serve", .help = "x"};

/* What a function writes to a standard stream, in `ret`. */
static int capture(
    FILE *stream, int (*run)(void *userdata), void *userdata, char *ret, size_t size) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    fflush(stream);
    int saved = dup(fileno(stream));
    dup2(fds[1], fileno(stream));
    int r = run(userdata);
    fflush(stream);
    dup2(saved, fileno(stream));
    close(saved);
    close(fds[1]);
    ssize_t length = read(fds[0], ret, size - 1);
    ret[length > 0 ? length : 0] = '\0';
    close(fds[0]);
    return r;
}

struct parsing {
    const char *words[12];
    struct cli_request request;
};

static int run_parse(void *userdata) {
    struct parsing *parsing = userdata;
    int argc = 0;
    while (parsing->words[argc])
        argc++;
    return cli_parse(argc, (char **)parsing->words, &serve, 1, &parsing->request);
}

static void expect_request(
    struct parsing *parsing, const char *name, const char *arguments, bool json) {
    char errors[512];
    int r = capture(stderr, run_parse, parsing, errors, sizeof(errors));
    if (r != 0)
        fail_msg("%s", errors);
    assert_string_equal(parsing->request.command->name, name);
    assert_string_equal(
        json_object_to_json_string_ext(parsing->request.arguments, JSON_C_TO_STRING_PLAIN),
        arguments);
    assert_int_equal(parsing->request.json, json);
    cli_request_deinit(&parsing->request);
}

#define WORDS(...)                                                                                 \
    &(struct parsing) {                                                                            \
        .words = { "devtrust-server", __VA_ARGS__ }                                                \
    }

static void test_good_lines(void **state) {
    (void)state;
    expect_request(WORDS("status"), "status", "{}", false);
    expect_request(WORDS("--json", "status"), "status", "{}", true);
    expect_request(WORDS("status", "--json"), "status", "{}", true);
    expect_request(WORDS("serve"), "serve", "{}", false);
    expect_request(
        WORDS("token", "create", "--uses", "3", "--expires=2h"), "token-create",
        "{\"uses\":3,\"expires\":7200}", false);
    expect_request(
        WORDS("user", "add", "--name", "Jo Ann", "u1", "--json", "--mail=a@b"), "user-add",
        "{\"name\":\"Jo Ann\",\"id\":\"u1\",\"mail\":\"a@b\"}", true);
    expect_request(
        WORDS("assign", "u1", "d1", "alice"), "assign",
        "{\"user\":\"u1\",\"device\":\"d1\",\"local_name\":\"alice\"}", false);
    expect_request(WORDS("distribution", "off"), "distribution", "{\"value\":\"off\"}", false);
    expect_request(WORDS("distribution", "status"), "distribution-status", "{}", false);
    expect_request(
        WORDS("certificate", "list", "--user", "u1"), "certificate-list", "{\"user\":\"u1\"}",
        false);

    struct parsing *parsing = WORDS("--config", "/x/y", "status");
    assert_int_equal(run_parse(parsing), 0);
    assert_string_equal(parsing->request.config_path, "/x/y");
    cli_request_deinit(&parsing->request);
}

static void expect_usage(struct parsing *parsing, const char *message) {
    char errors[512];
    assert_int_equal(capture(stderr, run_parse, parsing, errors, sizeof(errors)), -EINVAL);
    if (!strstr(errors, message))
        fail_msg("\"%s\" is not in \"%s\"", message, errors);
    cli_request_deinit(&parsing->request);
}

static void test_bad_lines(void **state) {
    (void)state;
    static char long_id[80];
    memset(long_id, 'a', 65);
    expect_usage(&(struct parsing){.words = {"devtrust-server"}}, "name a command");
    expect_usage(WORDS("--json"), "name a command");
    expect_usage(WORDS("nonsense"), "no command \"nonsense\"");
    expect_usage(WORDS("token"), "no command \"token\"");
    expect_usage(WORDS("token", "nonsense"), "no command \"token\"");
    expect_usage(WORDS("--nonsense", "status"), "no command \"--nonsense\"");
    expect_usage(WORDS("status", "--nonsense"), "does not know --nonsense");
    expect_usage(WORDS("status", "more"), "one argument too many");
    expect_usage(WORDS("user", "add"), "needs ID");
    expect_usage(WORDS("assign", "u1", "d1"), "needs LOCALNAME");
    expect_usage(WORDS("user", "add", "u1", "--name"), "--name needs a value");
    expect_usage(WORDS("--config"), "--config needs a value");
    expect_usage(WORDS("token", "create", "--uses", "0"), "--uses 0");
    expect_usage(WORDS("token", "create", "--uses", "1x"), "--uses 1x");
    expect_usage(WORDS("token", "create", "--uses", "99999999999999999999"), "--uses");
    expect_usage(WORDS("token", "create", "--expires", "soon"), "--expires soon");
    expect_usage(WORDS("token", "create", "--expires", "900d"), "--expires 900d");
    expect_usage(WORDS("user", "add", long_id), "ID: ");
    expect_usage(WORDS("user", "add", ""), "ID: ");
}

/* Help needs neither arguments nor a server, and every command has one. */
static int run_help(void *userdata) {
    cli_help(&serve, 1, userdata);
    return 0;
}

static void expect_narrow(const char *text) {
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\n") <= 80 + 2); /* an ellipsis has three bytes */
}

static void test_help(void **state) {
    (void)state;
    char text[16384];
    struct parsing *parsing = WORDS("user", "add", "--help");
    assert_int_equal(run_parse(parsing), 0);
    assert_true(parsing->request.help);
    cli_request_deinit(&parsing->request);
    capture(stdout, run_help, NULL, text, sizeof(text));
    for (size_t i = 0; i < command_count; i++)
        assert_non_null(strstr(text, command_table[i].words));
    expect_narrow(text);
    capture(stdout, run_help, (void *)&init_command, text, sizeof(text));
    expect_narrow(text);
    capture(stdout, run_help, (void *)command_find("user-add"), text, sizeof(text));
    assert_non_null(strstr(text, "devtrust-server user add ID [--name NAME]"));
    assert_non_null(strstr(text, "--mail MAIL"));
}

/* --- output --- */

struct printing {
    struct cli_request request;
    struct json_object *answer;
};

static int run_print(void *userdata) {
    struct printing *printing = userdata;
    cli_print(&printing->request, printing->answer);
    return 0;
}

static void expect_output(const char *name, bool json, const char *answer, const char *expected) {
    char text[4096];
    struct printing printing = {
        .request = {.command = command_find(name), .json = json},
    };
    assert_int_equal(json_gate_parse(answer, strlen(answer), &printing.answer), 0);
    capture(stdout, run_print, &printing, text, sizeof(text));
    assert_string_equal(text, expected);
    json_object_put(printing.answer);
}

static void test_output(void **state) {
    (void)state;
    expect_output("token-create", false, "{\"token\":\"a.b\",\"uses\":1}", "a.b\n");
    expect_output("distribution", false, "{\"distribution\":\"on\"}", "on\n");
    expect_output("user-add", false, "{\"message\":\"Done.\"}", "Done.\n");
    expect_output("user-list", false, "{\"users\":[]}", "There are no users.\n");
    expect_output(
        "user-list", false,
        "{\"users\":[{\"id\":\"u1\",\"name\":\"J\\u00f6rg\",\"devices\":2},"
        "{\"id\":\"longer-id\",\"name\":\"a\\u202eb\",\"devices\":0}]}",
        "ID         NAME        MAIL  DEVICES\n"
        "u1         J\xc3\xb6rg        -     2\n"
        "longer-id  a\\u{202e}b  -     0\n");
    expect_output(
        "token-list", false,
        "{\"tokens\":[{\"id\":\"abcdefgh\",\"state\":\"good\",\"used\":0,\"uses\":1,"
        "\"expires_at\":1800000000}]}",
        "ID        STATE  USED  USES  EXPIRES\n"
        "abcdefgh  good   0     1     2027-01-15 08:00Z\n");
    expect_output("user-list", true, "{\"users\":[]}", "{\n  \"users\":[\n  ]\n}\n");
}

/* --- no server --- */

static int run_send(void *userdata) {
    struct json_object *answer = NULL;
    const struct cli_request request = {
        .command = command_find("status"), .arguments = json_object_new_object()};
    int status = cli_send(userdata, &request, &answer);
    json_object_put(request.arguments);
    assert_null(answer);
    return status;
}

static void test_no_server(void **state) {
    (void)state;
    char errors[512], path[] = "/nonexistent/admin.sock";
    assert_int_equal(capture(stderr, run_send, path, errors, sizeof(errors)), CLI_UNREACHABLE);
    assert_non_null(strstr(errors, "systemctl start devtrust-server"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_lines), cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_help),       cmocka_unit_test(test_output),
        cmocka_unit_test(test_no_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
