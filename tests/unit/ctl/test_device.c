/* `enroll`, `renew`, `remove`: what is sent, what is said. */
#include "scripted.h"

#include <fcntl.h>

#define TOKEN "tok-1:secret_VALUE"
#define PIN "0123456789abcdef0123456789abcdef0123456789ABCDEF0123456789abcdef"

static const char enrolled[] = "{\"device_uuid\":\"2b1e3c1a-0000-4000-8000-000000000001\"}";

static void write_token(const char *text, size_t size) {
    char path[256];
    snprintf(path, sizeof path, "%s/token", scripted.directory);
    int CLEANUP_CLOSE fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
}

static int setup(void **state) {
    scripted_setup(state);
    write_token(TOKEN "\n", strlen(TOKEN) + 1);
    return 0;
}

static int teardown(void **state) {
    char path[256];
    snprintf(path, sizeof path, "%s/token", scripted.directory);
    (void)unlink(path);
    return scripted_teardown(state);
}

static struct result enroll(const char *more) {
    char line[1024];
    snprintf(
        line, sizeof line,
        "enroll https://devices.example.com:8443 --token-file %s/token --socket @%s",
        scripted.directory, more);
    return run(line);
}

static void test_enroll(void **state) {
    (void)state;
    scripted.answer = enrolled;
    struct result CLEANUP_RESULT text = enroll("");
    assert_int_equal(text.status, 0);
    assert_string_equal(
        text.out, "Enrolled as device 2b1e3c1a-0000-4000-8000-000000000001.\n"
                  "Managed users get their certificates by themselves; see: devtrustctl status\n");
    assert_string_equal(
        scripted.parameters,
        "{\"url\":\"https://devices.example.com:8443\",\"token\":\"" TOKEN "\"}");
    struct result CLEANUP_RESULT json = enroll(" --json --ca-pin " PIN);
    assert_string_equal(json.out, "{\"device_uuid\":\"2b1e3c1a-0000-4000-8000-000000000001\"}\n");
    assert_string_equal(
        scripted.parameters, "{\"url\":\"https://devices.example.com:8443\","
                             "\"ca_pin\":\"" PIN "\",\"token\":\"" TOKEN "\"}");
}

static void test_a_url_with_anything_in_it_stays_one_string(void **state) {
    (void)state;
    scripted.answer = enrolled;
    char line[512];
    snprintf(
        line, sizeof line, "enroll https://x\"},{\\ --token-file %s/token --socket @",
        scripted.directory);
    struct result CLEANUP_RESULT result = run(line);
    assert_int_equal(result.status, 0);
    assert_string_equal(
        scripted.parameters, "{\"url\":\"https://x\\\"},{\\\\\",\"token\":\"" TOKEN "\"}");
}

static void test_token_from_standard_input(void **state) {
    (void)state;
    int fds[2];
    scripted.answer = enrolled;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], TOKEN "\n", strlen(TOKEN) + 1), strlen(TOKEN) + 1);
    close(fds[1]);
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid();
    ctl.in = fdopen(fds[0], "r");
    struct result CLEANUP_RESULT result =
        run_with(&ctl, "enroll https://x --token-file - --socket @");
    fclose(ctl.in);
    assert_int_equal(result.status, 0);
    assert_string_equal(scripted.parameters, "{\"url\":\"https://x\",\"token\":\"" TOKEN "\"}");
}

static void test_tokens_that_are_none(void **state) {
    char large[514];
    (void)state;
    memset(large, 't', sizeof large);
    static const struct {
        const char *text, *says;
    } cases[] = {{"", "The token file is empty"},      {"\n", "The token file is empty"},
                 {"a b", "one token on one line"},     {"a\nb\n", "one token on one line"},
                 {"a\"b", "one token on one line"},    {"a\\b", "one token on one line"},
                 {"\xc3\xa4", "one token on one line"}};
    scripted.answer = enrolled;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        write_token(cases[i].text, strlen(cases[i].text));
        struct result CLEANUP_RESULT result = enroll("");
        assert_int_equal(result.status, CTL_USAGE);
        assert_non_null(strstr(result.err, cases[i].says));
    }
    write_token(large, 513);
    struct result CLEANUP_RESULT past = enroll("");
    assert_int_equal(past.status, CTL_USAGE);
    assert_string_equal(scripted.method, ""); /* none of them was sent */
    write_token(large, 512);
    struct result CLEANUP_RESULT maximum = enroll("");
    assert_int_equal(maximum.status, 0);
    struct result CLEANUP_RESULT absent =
        run("enroll https://x --token-file /nonexistent/token --socket @");
    assert_int_equal(absent.status, CTL_USAGE);
    assert_non_null(
        strstr(absent.err, "cannot be read: /nonexistent/token: No such file or directory"));
}

static void test_a_refused_token_is_not_repeated_in_the_output(void **state) {
    (void)state;
    scripted.error = "io.devtrust.Device.Failed";
    scripted.answer = "{\"code\":\"token-refused\",\"text\":\"The server does not accept it.\","
                      "\"remedy\":\"Make a new one.\"}";
    struct result CLEANUP_RESULT result = enroll("");
    assert_int_equal(result.status, CTL_REFUSED);
    assert_string_equal(
        result.err,
        "devtrustctl enroll: The server does not accept it. [token-refused]\nMake a new one.\n");
    assert_null(strstr(result.err, "secret"));
}

static void test_renew(void **state) {
    (void)state;
    scripted.answer = "{\"request_ids\":[\"r1\"]}";
    struct result CLEANUP_RESULT one = run("renew --socket @");
    assert_int_equal(one.status, 0);
    assert_string_equal(scripted.method, "io.devtrust.Device.Renew");
    assert_string_equal(scripted.parameters, "{}");
    assert_non_null(strstr(one.out, "Asked for 1 new certificate."));
    scripted.answer = "{\"request_ids\":[\"r1\",\"r2\"]}";
    struct result CLEANUP_RESULT two = run("renew --user alice --socket @");
    assert_string_equal(scripted.parameters, "{\"user\":\"alice\"}");
    assert_non_null(strstr(two.out, "Asked for 2 new certificates."));
    scripted.answer = "{\"request_ids\":[]}";
    struct result CLEANUP_RESULT none = run("renew --socket @");
    assert_int_equal(none.status, 0);
    assert_non_null(strstr(none.out, "No certificate was asked for now"));
    struct result CLEANUP_RESULT json = run("renew --json --socket @");
    assert_int_equal(json.status, 0);
    assert_string_equal(json.out, "{\"request_ids\":[]}\n");
    scripted.answer = "{\"request_ids\":7}";
    struct result CLEANUP_RESULT wrong = run("renew --socket @");
    assert_int_equal(wrong.status, CTL_NO);
}

static void test_remove(void **state) {
    (void)state;
    struct result CLEANUP_RESULT all = run("remove --socket @");
    assert_int_equal(all.status, 0);
    assert_string_equal(scripted.method, "io.devtrust.Device.Remove");
    assert_string_equal(scripted.parameters, "{}");
    assert_non_null(strstr(all.out, "every managed user"));
    struct result CLEANUP_RESULT one = run("remove --user=alice --socket @");
    assert_string_equal(scripted.parameters, "{\"user\":\"alice\"}");
    assert_non_null(strstr(one.out, "devtrustctl renew --user alice"));
    struct result CLEANUP_RESULT json = run("remove --json --socket @");
    assert_string_equal(json.out, "{}\n");
}

static unsigned became;

static int become(
    const char *user, uid_t uid, const char *program, const char *const *arguments, int timeout_ms,
    char *ret_said, size_t said_size) {
    (void)timeout_ms;
    (void)said_size;
    assert_int_equal(strtoul(user + 1, NULL, 10) + 1000, uid);
    assert_string_equal(program, "devtrust-agent");
    assert_string_equal(arguments[0], "--remove");
    ret_said[0] = '\0';
    became++;
    return 0;
}

static char *status_of(unsigned users) {
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);
    fprintf(memory, "{\"users\":[");
    for (unsigned i = 0; i < users; i++)
        fprintf(
            memory,
            "%s{\"name\":\"u%u\",\"state\":\"removing\",\"uid\":%u,\"agent_attached\":false}",
            i > 0 ? "," : "", i, i + 1000);
    fprintf(memory, "]}");
    fclose(memory);
    return text;
}

/* Whoever is left out would be said to be rid of everything. */
static void test_remove_everywhere_leaves_nobody_out(void **state) {
    (void)state;
    static const struct {
        unsigned users;
        int status;
    } cases[] = {{0, CTL_GOOD}, {1, CTL_GOOD}, {1024, CTL_GOOD}, {1025, CTL_NO}};
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid();
    ctl.run_as = become;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char CLEANUP_FREE *answer = status_of(cases[i].users);
        scripted.of[0].method = "GetStatus";
        scripted.of[0].answer = answer;
        became = 0;
        struct result CLEANUP_RESULT done = run_with(&ctl, "remove --everywhere --socket @");
        scripted.of[0].method = NULL;
        assert_int_equal(done.status, cases[i].status);
        assert_int_equal(became, done.status == CTL_GOOD ? cases[i].users : 0);
        assert_true(
            (strstr(done.out, "Everything of ours is gone") != NULL) == (done.status == CTL_GOOD));
    }
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_enroll),
        TEST(test_a_url_with_anything_in_it_stays_one_string),
        TEST(test_token_from_standard_input),
        TEST(test_tokens_that_are_none),
        TEST(test_a_refused_token_is_not_repeated_in_the_output),
        TEST(test_renew),
        TEST(test_remove),
        TEST(test_remove_everywhere_leaves_nobody_out),
    };
    return cmocka_run_group_tests_name("ctl device", tests, NULL, NULL);
}
