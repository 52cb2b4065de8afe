/* `explain`, and what counts as similar. */
#include "scripted.h"

#include "ipc/ctl/similar.h"

#include <stdint.h>

static void test_every_code(void **state) {
    (void)state;
    for (int i = 0; i < REASON_COUNT_; i++) {
        char line[64];
        snprintf(line, sizeof line, "explain %s", reason_code((enum reason)i));
        struct result CLEANUP_RESULT text = run(line);
        assert_int_equal(text.status, CTL_GOOD);
        assert_fits(text.out);
        assert_non_null(strstr(text.out, reason_code((enum reason)i)));
        assert_int_equal(strstr(text.out, "What to do") != NULL, i != REASON_NONE);
        snprintf(line, sizeof line, "explain %s --json", reason_code((enum reason)i));
        struct result CLEANUP_RESULT json = run(line);
        struct json_object CLEANUP_JSON *object = parsed(json.out);
        assert_string_equal(
            json_object_get_string(json_object_object_get(object, "code")),
            reason_code((enum reason)i));
        assert_string_equal(
            json_object_get_string(json_object_object_get(object, "text")),
            reason_text((enum reason)i));
        assert_string_equal(
            json_object_get_string(json_object_object_get(object, "remedy")),
            reason_remedy((enum reason)i));
        assert_int_equal(
            json_object_get_int(json_object_object_get(object, "exit_status")),
            reason_exit_status((enum reason)i));
    }
}

static void test_one_as_text(void **state) {
    (void)state;
    struct result CLEANUP_RESULT result = run("explain no-agent");
    assert_string_equal(
        result.out, "Code         no-agent\n"
                    "Meaning      No agent of this user is attached.\n"
                    "What to do   The user signs in, or starts devtrust-agent.\n"
                    "Exit status  1\n");
}

static void test_reference(void **state) {
    (void)state;
    struct result CLEANUP_RESULT text = run("explain dt-04-9999997");
    assert_int_equal(text.status, CTL_GOOD);
    assert_string_equal(
        text.out, "Reference    DT-04-9999997\n"
                  "Code         expired\n"
                  "Meaning      The certificate has expired.\n"
                  "What to do   Connect to the server; it renews by itself.\n"
                  "             If it stays so, give this reference to your help desk; the server\n"
                  "             knows more of it (devtrust-server explain REFERENCE).\n"
                  "Exit status  1\n");
    struct result CLEANUP_RESULT json = run("explain DT-04-9999997 --json");
    struct json_object CLEANUP_JSON *object = parsed(json.out);
    assert_string_equal(
        json_object_get_string(json_object_object_get(object, "reference")), "DT-04-9999997");
    assert_string_equal(json_object_get_string(json_object_object_get(object, "code")), "expired");
    struct result CLEANUP_RESULT newer = run("explain DT-ZZ-999999H");
    assert_int_equal(newer.status, CTL_GOOD);
    assert_non_null(strstr(newer.out, "Code         other\n"));
}

static void test_misread_reference(void **state) {
    (void)state;
    struct result CLEANUP_RESULT slip = run("explain DT-04-9999998");
    assert_int_equal(slip.status, CTL_NO);
    assert_string_equal(
        slip.err,
        "devtrustctl explain: A character is wrong, or in the wrong place: DT-04-9999998\n"
        "Read it once more from the page; O is 0, I and L are 1.\n");
    struct result CLEANUP_RESULT half = run("explain DT-04");
    assert_int_equal(half.status, CTL_NO);
    assert_non_null(strstr(half.err, "this is none: DT-04\n"));
}

static void test_all(void **state) {
    (void)state;
    struct result CLEANUP_RESULT text = run("explain");
    assert_int_equal(text.status, CTL_GOOD);
    assert_fits(text.out);
    assert_memory_equal(text.out, "CODE ", 5);
    for (int i = 0; i < REASON_COUNT_; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n%s ", reason_code((enum reason)i));
        assert_int_equal(strstr(text.out, line) != NULL, i != REASON_NONE);
    }
    struct result CLEANUP_RESULT json = run("explain --json");
    struct json_object CLEANUP_JSON *object = parsed(json.out);
    assert_int_equal(
        json_object_array_length(json_object_object_get(object, "reasons")), REASON_COUNT_);
}

static void test_unknown_names_similar_ones(void **state) {
    (void)state;
    struct result CLEANUP_RESULT typo = run("explain no-agnt");
    assert_int_equal(typo.status, CTL_NO);
    assert_string_equal(typo.out, "");
    assert_string_equal(
        typo.err, "devtrustctl explain: This version knows no such code: no-agnt\n"
                  "Did you mean: no-agent? All of them: devtrustctl explain.\n");
    struct result CLEANUP_RESULT part = run("explain agent --json");
    assert_int_equal(part.status, CTL_NO);
    struct json_object CLEANUP_JSON *object = parsed(part.out);
    const char *remedy = json_object_get_string(
        json_object_object_get(json_object_object_get(object, "error"), "remedy"));
    assert_non_null(strstr(remedy, "Did you mean: no-agent, agent-timeout"));
    struct result CLEANUP_RESULT nothing = run("explain qqqqqq");
    assert_non_null(strstr(nothing.err, ": qqqqqq\nAll of them: devtrustctl explain.\n"));
}

static void test_distance(void **state) {
    (void)state;
    assert_int_equal(similar_distance("", ""), 0);
    assert_int_equal(similar_distance("", "abc"), 3);
    assert_int_equal(similar_distance("abc", ""), 3);
    assert_int_equal(similar_distance("kitten", "sitting"), 3);
    assert_int_equal(similar_distance("statsu", "status"), 1);
    assert_int_equal(similar_distance("ab", "ba"), 1);
    char longest[SIMILAR_MAX_LENGTH + 2];
    memset(longest, 'a', sizeof longest);
    longest[SIMILAR_MAX_LENGTH + 1] = '\0';
    assert_true(similar_distance(longest, "a") == SIZE_MAX);
    assert_true(similar_distance("a", longest) == SIZE_MAX);
    longest[SIMILAR_MAX_LENGTH] = '\0';
    assert_int_equal(similar_distance(longest, "a"), SIMILAR_MAX_LENGTH - 1);
}

static void test_similar(void **state) {
    (void)state;
    assert_true(similar_is("agent", "agent-timeout"));
    assert_true(similar_is("enrol", "enroll"));
    assert_false(similar_is("ag", "agent-timeout"));
    assert_false(similar_is("", "a"));
    assert_false(similar_is("a", "b"));
    assert_false(similar_is("status", "renew"));
    struct similar similar = {0};
    for (int i = 0; i < 20; i++)
        similar_consider(&similar, "word", "word");
    assert_int_equal(similar.count, 8);
    struct similar full = {0}; /* nothing is cut in the middle */
    static const char sixty[] = "aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbb";
    for (int i = 0; i < 8; i++)
        similar_consider(&full, sixty, sixty);
    assert_int_equal(full.count, 4);
    assert_int_equal(strlen(full.list), 4 * 60 + 3 * 2);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_code),
        TEST(test_one_as_text),
        TEST(test_reference),
        TEST(test_misread_reference),
        TEST(test_all),
        TEST(test_unknown_names_similar_ones),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_similar),
    };
    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
