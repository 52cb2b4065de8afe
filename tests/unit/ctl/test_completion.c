/* `completion`: the scripts name the whole table, and words from the daemon are harmless to a
 * shell. */
#include "scripted.h"

static void test_scripts_name_every_command_and_option(void **state) {
    static const char *const shells[] = {"completion bash", "completion zsh"};
    (void)state;
    for (size_t shell = 0; shell < ARRAY_LENGTH(shells); shell++) {
        struct result CLEANUP_RESULT result = run(shells[shell]);
        assert_int_equal(result.status, CTL_GOOD);
        for (size_t i = 0; i < command_count; i++) {
            char line[64];
            snprintf(line, sizeof line, "    '%s')", command_table[i].name);
            const char *begin = strstr(result.out, line);
            assert_non_null(begin);
            const char *end = strstr(begin, ";;\n");
            for (size_t j = 0; j < CTL_OPTION_COUNT_; j++)
                if (command_table[i].options & CTL_BIT(j)) {
                    const char *at = strstr(begin, option_table[j].name);
                    assert_true(at && at < end);
                }
        }
    }
}

static void test_users(void **state) {
    (void)state;
    scripted.answer = "{\"users\":[{\"name\":\"alice\"},{\"name\":\"bob-2_x.y@z\"}]}";
    struct result CLEANUP_RESULT result = run("completion users --socket @");
    assert_int_equal(result.status, CTL_GOOD);
    assert_string_equal(scripted.method, "io.devtrust.Device.GetStatus");
    assert_string_equal(result.out, "alice\nbob-2_x.y@z\n");
}

/* A shell would run, expand or take for an option what is not a plain word. */
static void test_words_that_a_shell_would_misread_are_left_out(void **state) {
    (void)state;
    scripted.answer =
        "{\"users\":[{\"name\":\"$(touch x)\"},{\"name\":\"`id`\"},{\"name\":\"a b\"},"
        "{\"name\":\"-rf\"},{\"name\":\"\"},{\"name\":\"a\\nb\"},{\"name\":\"a;b\"},"
        "{\"name\":\"*\"},{\"name\":\"a\\u001b[1m\"},{\"name\":\"a'b\"},{\"name\":\"a\\\\b\"},"
        "{\"name\":7},{},{\"name\":\"good\"}]}";
    struct result CLEANUP_RESULT result = run("completion users --socket @");
    assert_string_equal(result.out, "good\n");
}

static void test_interfaces_and_methods(void **state) {
    (void)state;
    struct result CLEANUP_RESULT interfaces = run("completion interfaces --socket @");
    assert_int_equal(interfaces.status, CTL_GOOD);
    assert_non_null(strstr(interfaces.out, "io.devtrust.Device\n"));
    assert_non_null(strstr(interfaces.out, "org.varlink.service\n"));
    struct result CLEANUP_RESULT methods = run("completion methods --socket @");
    assert_int_equal(methods.status, CTL_GOOD);
    assert_non_null(strstr(methods.out, "io.devtrust.Device.GetStatus\n"));
    assert_non_null(strstr(methods.out, "org.varlink.service.GetInfo\n"));
    assert_null(strstr(methods.out, "Failed")); /* an error is no method */
}

static void test_failures(void **state) {
    (void)state;
    struct result CLEANUP_RESULT unknown = run("completion fish");
    assert_int_equal(unknown.status, CTL_USAGE);
    assert_non_null(strstr(unknown.err, "bash, zsh, users, interfaces or methods; not fish"));
    struct result CLEANUP_RESULT missing = run("completion");
    assert_int_equal(missing.status, CTL_USAGE);
    struct result CLEANUP_RESULT away = run("completion users --socket /nonexistent");
    assert_int_equal(away.status, CTL_UNREACHABLE);
    assert_string_equal(away.out, "");
    scripted.answer = "{\"users\":7}";
    struct result CLEANUP_RESULT broken = run("completion users --socket @");
    assert_int_equal(broken.status, CTL_NO);
    assert_string_equal(broken.out, "");
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_scripts_name_every_command_and_option),
        TEST(test_users),
        TEST(test_words_that_a_shell_would_misread_are_left_out),
        TEST(test_interfaces_and_methods),
        TEST(test_failures),
    };
    return cmocka_run_group_tests_name("completion", tests, NULL, NULL);
}
