/* The list of checks: its words, its escapes, and what happens when it is full. */
#include "tests/unit/daemon/found.h"

static void members(void **state) {
    struct checks checks = {0};
    (void)state;
    const struct check check = {
        .id = "store",
        .user = "alice",
        .subject = "/home/alice",
        .result = CHECK_FAILURE,
        .reason = REASON_STORE_FULL,
        .detail = "400 KiB",
    };
    checks_add(&checks, &check);
    struct found found = found_one(&checks);
    assert_string_equal(found.user, "alice");
    assert_string_equal(found.subject, "/home/alice");
    assert_string_equal(found.code, "store-full");
    assert_string_equal(found.text, "No space is left for the store. (400 KiB)");
    assert_string_equal(found.remedy, "Free space in the home directory.");
}

static void what_is_well_has_no_code(void **state) {
    struct checks checks = {0};
    (void)state;
    const struct check check = {.id = "clock", .text = "It is right."};
    checks_add(&checks, &check);
    struct found found = found_one(&checks);
    assert_string_equal(found.result, "ok");
    assert_string_equal(found.code, "");
    assert_string_equal(found.remedy, "");
    assert_string_equal(found.user, "");
    assert_string_equal(found.subject, "");
}

static void a_warning_always_has_a_code(void **state) {
    struct checks checks = {0};
    (void)state;
    const struct check check = {.id = "clock", .result = CHECK_WARNING};
    checks_add(&checks, &check);
    assert_string_equal(found_one(&checks).code, "internal");
}

static void foreign_text_is_escaped(void **state) {
    struct checks checks = {0};
    (void)state;
    const struct check check = {
        .id = "policy",
        .subject = "a\033[31mb\n",
        .result = CHECK_WARNING,
        .reason = REASON_POLICY_BROKEN_FILE,
        .detail = "\xff\t",
    };
    checks_add(&checks, &check);
    assert_true(checks_has(&checks, "policy", "a\033[31mb\n"));
    assert_false(checks_has(&checks, "policy", "a"));
    assert_false(checks_has(&checks, "store", "a\033[31mb\n"));
    struct found found = found_one(&checks);
    assert_string_equal(found.subject, "a\\x1b[31mb\\x0a");
    assert_non_null(strstr(found.text, "(\\xff\\x09)"));
}

static void an_empty_list_is_an_empty_array(void **state) {
    struct checks checks = {0};
    (void)state;
    CLEANUP_JSON struct json_object *array = checks_take(&checks);
    assert_int_equal(json_object_array_length(array), 0);
}

/* What is well makes room for what is not, and that something is missing is said. */
static void a_full_list_keeps_what_is_not_well(void **state) {
    struct checks checks = {0};
    char text[1001];
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct check check = {.id = "store", .text = text};
    for (size_t i = 0; i < CHECKS_MAX_GOOD / 1000 + 10; i++)
        checks_add(&checks, &check);
    assert_true(checks.left_out > 0);
    assert_true(checks.bytes <= CHECKS_MAX_GOOD);
    check.result = CHECK_FAILURE;
    check.reason = REASON_STORE_FULL;
    unsigned before = checks.left_out;
    checks_add(&checks, &check);
    assert_int_equal(checks.left_out, before);
    for (size_t i = 0; i < CHECKS_MAX / 1000; i++)
        checks_add(&checks, &check);
    assert_true(checks.left_out > before);
    assert_true(checks.bytes <= CHECKS_MAX);
    unsigned left_out = checks.left_out;
    CLEANUP_JSON struct json_object *array = checks_take(&checks);
    size_t length = json_object_array_length(array), size = 0;
    const char *last = json_object_to_json_string_ext(
        json_object_array_get_idx(array, length - 1), JSON_C_TO_STRING_PLAIN);
    char expected[64];
    snprintf(expected, sizeof(expected), "(%u left out)", left_out);
    assert_non_null(strstr(last, "\"checks-left-out\""));
    assert_non_null(strstr(last, expected));
    json_object_to_json_string_length(array, JSON_C_TO_STRING_PLAIN, &size);
    assert_true(size < (size_t)1024 * 1024); /* VARLINK_REPLY_MAX */
    assert_int_equal(checks.left_out, 0);
}

/* As many as the shortest checks can be: a few hundred users' */
static void a_full_list_is_read_by_the_tool(void **state) {
    const struct check check = {.id = "store-key", .user = "u", .subject = "/s", .text = "Good."};
    struct checks checks = {0};
    (void)state;
    while (checks.left_out == 0)
        checks_add(&checks, &check);
    CLEANUP_JSON struct json_object *array = checks_take(&checks);
    assert_true(json_object_array_length(array) > 4000);
    size_t size = 0;
    const char *text = json_object_to_json_string_length(array, JSON_C_TO_STRING_PLAIN, &size);
    assert_int_equal(json_gate_check(text, size, NULL), 0);
}

static void results_have_names(void **state) {
    (void)state;
    for (enum check_result i = CHECK_OK; i <= CHECK_NOT_APPLICABLE; i++)
        assert_int_equal(check_result_from_name(check_result_name(i)), i);
    assert_int_equal(check_result_from_name("of-the-future"), CHECK_WARNING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members),
        cmocka_unit_test(what_is_well_has_no_code),
        cmocka_unit_test(a_warning_always_has_a_code),
        cmocka_unit_test(foreign_text_is_escaped),
        cmocka_unit_test(an_empty_list_is_an_empty_array),
        cmocka_unit_test(a_full_list_keeps_what_is_not_well),
        cmocka_unit_test(a_full_list_is_read_by_the_tool),
        cmocka_unit_test(results_have_names),
    };
    return cmocka_run_group_tests_name("checks", tests, NULL, NULL);
}
