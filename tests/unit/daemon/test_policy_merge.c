/* The contents of our policy file: ours, the administrator's, and nothing that crashes a browser.
 */
#include "daemon/policy_merge.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <json-c/json_tokener.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char portal[] = "https://portal.example.com", check[] = "https://[*.]check.example.com:8443";
static char *patterns[] = {portal, check};
static const struct policy_rules rules = {"Example \"Trust\" CA\\1", patterns, 2};

#define ADMIN "{\\\"pattern\\\":\\\"https://x.example\\\",\\\"filter\\\":{}}"

static void add(struct policy_merge *merge, const char *name, const char *text) {
    assert_int_equal(policy_merge_add(merge, name, text, strlen(text)), 0);
}

/* The array of the rendered file. */
static struct json_object *render(const struct policy_merge *merge, struct json_object **ret_root) {
    char *text CLEANUP_FREE = NULL;
    struct json_object *array = NULL;
    assert_int_equal(policy_merge_render(merge, &rules, &text), 0);
    assert_int_equal(json_gate_parse(text, strlen(text), ret_root), 0);
    assert_int_equal(json_object_object_length(*ret_root), 1);
    assert_true(json_object_object_get_ex(*ret_root, POLICY_MERGE_KEY, &array));
    for (size_t i = 0; i < json_object_array_length(array); i++)
        assert_true(json_object_is_type(json_object_array_get_idx(array, i), json_type_string));
    assert_true(policy_merge_has_rules(text, strlen(text), &rules));
    return array;
}

static const char *element(struct json_object *array, size_t index) {
    return json_object_get_string(json_object_array_get_idx(array, index));
}

static void only_ours(void **unused) {
    (void)unused;
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    struct json_object *root CLEANUP_JSON = NULL;
    struct json_object *array = render(&merge, &root), *rule = NULL, *filter, *issuer;
    assert_int_equal(json_object_array_length(array), 2);
    assert_int_equal(json_gate_parse(element(array, 1), strlen(element(array, 1)), &rule), 0);
    assert_string_equal(json_object_get_string(json_object_object_get(rule, "pattern")), check);
    filter = json_object_object_get(rule, "filter");
    issuer = json_object_object_get(filter, "ISSUER");
    assert_int_equal(json_object_object_length(filter), 1);
    assert_string_equal(
        json_object_get_string(json_object_object_get(issuer, "CN")), rules.issuer_cn);
    json_object_put(rule);
}

static void the_effective_file_is_merged_in_front(void **unused) {
    (void)unused;
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    struct json_object *root CLEANUP_JSON = NULL;
    add(&merge, "10.json", "{\"" POLICY_MERGE_KEY "\":[\"overridden\"]}");
    add(&merge, "20.json", "{\"" POLICY_MERGE_KEY "\":[\"" ADMIN "\",\"b\",\"" ADMIN "\"]}");
    add(&merge, "30.json", "{\"HomepageLocation\":\"x\"}");
    struct json_object *array = render(&merge, &root);
    assert_int_equal(json_object_array_length(array), 4);
    assert_string_equal(element(array, 0), "{\"pattern\":\"https://x.example\",\"filter\":{}}");
    assert_string_equal(element(array, 1), "b");
    assert_string_equal(merge.broken_file, "");
    assert_string_equal(merge.conflict_file, "");
}

static void what_crashes_a_browser_is_dropped(void **unused) {
    (void)unused;
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    struct json_object *root CLEANUP_JSON = NULL;
    add(&merge, "a.json",
        "{\"" POLICY_MERGE_KEY "\":[{\"pattern\":\"x\"},7,null,[\"a\"],\"good\"]}");
    struct json_object *array = render(&merge, &root);
    assert_int_equal(json_object_array_length(array), 3);
    assert_string_equal(element(array, 0), "good");
}

static void broken_files_are_named(void **unused) {
    (void)unused;
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "{\"" POLICY_MERGE_KEY "\":\"x\"}",
        "{\"" POLICY_MERGE_KEY "\":[\"a\"]} {}",
        "{\"" POLICY_MERGE_KEY "\":{}}",
        "\xff",
        "{/**/\"" POLICY_MERGE_KEY
        "\":[\"\xed\xb5\xb5\"]}"}; /* a surrogate: json-c alone takes it */
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
        struct json_object *root CLEANUP_JSON = NULL;
        add(&merge, "0.json", "{\"" POLICY_MERGE_KEY "\":[\"kept\"]}");
        add(&merge, "bad\n.json", broken[i]);
        if (strcmp(merge.broken_file, "bad\\x0a.json") != 0 &&
            strcmp(merge.broken_file, "bad\\x0A.json") != 0)
            fail_msg("%zu: %s", i, merge.broken_file);
        assert_int_equal(json_object_array_length(render(&merge, &root)), 3);
    }
}

static void what_chromium_forgives_is_taken(void **unused) {
    (void)unused;
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    struct json_object *root CLEANUP_JSON = NULL;
    add(&merge, "a.json",
        "{ // a comment\n\"" POLICY_MERGE_KEY "\": [\"a\", \"b\",], /* more */ }\n");
    assert_string_equal(merge.broken_file, "");
    assert_int_equal(json_object_array_length(render(&merge, &root)), 4);
}

static void a_file_behind_ours_is_a_conflict(void **unused) {
    (void)unused;
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    add(&merge, "zz-later-without.json", "{}");
    assert_string_equal(merge.conflict_file, "");
    add(&merge, "zzz.json", "{\"" POLICY_MERGE_KEY "\":[]}");
    assert_string_equal(merge.conflict_file, "zzz.json");
}

static void bounds(void **unused) {
    (void)unused;
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    struct json_object *root CLEANUP_JSON = json_object_new_object(), *rendered CLEANUP_JSON = NULL;
    struct json_object *array = json_object_new_array();
    char text[32], longest[POLICY_MERGE_MAX_ELEMENT + 2];
    memset(longest, 'x', sizeof(longest));
    json_object_array_add(array, json_object_new_string_len(longest, POLICY_MERGE_MAX_ELEMENT + 1));
    json_object_array_add(array, json_object_new_string_len(longest, POLICY_MERGE_MAX_ELEMENT));
    for (int i = 0; i < POLICY_MERGE_MAX_ELEMENTS + 5; i++) {
        snprintf(text, sizeof(text), "%d", i);
        json_object_array_add(array, json_object_new_string(text));
    }
    json_object_object_add(root, POLICY_MERGE_KEY, array);
    add(&merge, "a.json", json_object_to_json_string(root));
    assert_int_equal(json_object_array_length(merge.elements), POLICY_MERGE_MAX_ELEMENTS);
    assert_int_equal(strlen(element(merge.elements, 0)), POLICY_MERGE_MAX_ELEMENT);
    assert_int_equal(
        json_object_array_length(render(&merge, &rendered)), POLICY_MERGE_MAX_ELEMENTS + 2);
}

static void told_from_the_text(void **unused) {
    (void)unused;
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    char *text CLEANUP_FREE = NULL;
    char *more[] = {portal, check, (char[]){"https://third.example.com"}};
    const struct policy_rules other = {"Another CA", patterns, 2},
                              third = {rules.issuer_cn, more, 3};
    assert_int_equal(policy_merge_render(&merge, &rules, &text), 0);
    assert_true(policy_merge_has_rules(text, strlen(text), &rules));
    assert_false(policy_merge_has_rules(text, strlen(text), &other));
    assert_false(policy_merge_has_rules(text, strlen(text), &third));
    assert_false(policy_merge_has_rules(text, strlen(text) / 2, &rules));
    /* what another tool wrote is compared by meaning */
    assert_false(policy_merge_others_have_rules(&merge, &rules));
    add(&merge, "tool.json", text);
    assert_true(policy_merge_others_have_rules(&merge, &rules));
    assert_false(policy_merge_others_have_rules(&merge, &other));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_ours),
        cmocka_unit_test(the_effective_file_is_merged_in_front),
        cmocka_unit_test(what_crashes_a_browser_is_dropped),
        cmocka_unit_test(broken_files_are_named),
        cmocka_unit_test(what_chromium_forgives_is_taken),
        cmocka_unit_test(a_file_behind_ours_is_a_conflict),
        cmocka_unit_test(bounds),
        cmocka_unit_test(told_from_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
