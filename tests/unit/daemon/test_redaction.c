/* What of a message may be shown, and that whatever is written is JSON that our own gate takes. */
#include "daemon/redaction.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char data[64 * 1024];

static const char *redacted(struct json_object *value, const char *const *secrets) {
    struct json_text text = JSON_TEXT_INIT(data, sizeof(data) - 1);
    redaction_write(&text, value, secrets);
    assert_false(text.full);
    data[text.size] = '\0';
    assert_int_equal(json_gate_check(data, text.size, NULL), 0);
    assert_true(text.size <= REDACTION_SIZE_MAX + 1024);
    return data;
}

static const char *redacted_text(const char *json, const char *const *secrets) {
    struct json_object *value CLEANUP_JSON = NULL;
    assert_int_equal(json_gate_parse(json, strlen(json), &value), 0);
    return redacted(value, secrets);
}

static void test_what_is_short_stays(void **state) {
    static const char *const texts[] = {
        "{}",
        "{\"a\":null,\"b\":true,\"c\":false,\"d\":-9223372036854775808,\"e\":9223372036854775807}",
        "{\"a\":1.50,\"b\":[],\"c\":[1,\"x\",{\"d\":{}}]}",
        "{\"q\":\"\\\"\\\\\\u0001\\u001f/é€😀\"}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        assert_string_equal(redacted_text(texts[i], NULL), texts[i]);
}

static void test_secrets_at_any_depth(void **state) {
    static const char *const secrets[] = {"token", "other", NULL};
    (void)state;
    assert_string_equal(
        redacted_text(
            "{\"url\":\"u\",\"token\":\"abc\",\"list\":[{\"token\":{\"x\":1}}],\"other\":7,"
            "\"tokens\":1}",
            secrets),
        "{\"url\":\"u\",\"token\":\"[redacted]\",\"list\":[{\"token\":\"[redacted]\"}],"
        "\"other\":\"[redacted]\",\"tokens\":1}");
}

static void test_strings_at_the_limit_and_one_past(void **state) {
    char json[256], expected[256], fill[128];
    (void)state;
    memset(fill, 'x', sizeof(fill));
    snprintf(json, sizeof(json), "{\"a\":\"%.64s\"}", fill);
    assert_string_equal(redacted_text(json, NULL), json);
    snprintf(json, sizeof(json), "{\"a\":\"%.65s\"}", fill);
    snprintf(expected, sizeof(expected), "{\"a\":\"%.32s… (65 bytes)\"}", fill);
    assert_string_equal(redacted_text(json, NULL), expected);
    /* no character is cut: the 32nd byte would be in the middle of one */
    snprintf(json, sizeof(json), "{\"a\":\"%.31s€%.40s\"}", fill, fill);
    snprintf(expected, sizeof(expected), "{\"a\":\"%.31s… (74 bytes)\"}", fill);
    assert_string_equal(redacted_text(json, NULL), expected);
}

static void test_arrays_at_the_limit_and_one_past(void **state) {
    (void)state;
    assert_string_equal(
        redacted_text("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", NULL),
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]");
    assert_string_equal(
        redacted_text("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]", NULL),
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,\"… (2 more)\"]");
}

static void test_depth_at_the_limit_and_one_past(void **state) {
    (void)state;
    assert_string_equal(redacted_text("{\"a\":[{\"b\":[1]}]}", NULL), "{\"a\":[{\"b\":[1]}]}");
    assert_string_equal(
        redacted_text("{\"a\":[{\"b\":[[1],{\"c\":1}]}]}", NULL),
        "{\"a\":[{\"b\":[\"[…]\",\"{…}\"]}]}");
}

static struct json_object *members(int count) {
    struct json_object *object = json_object_new_object();
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        json_object_object_add(object, name, json_object_new_int(i));
    }
    return object;
}

static void test_members_at_the_limit_and_one_past(void **state) {
    struct json_object *few CLEANUP_JSON = members(REDACTION_MEMBERS_MAX);
    struct json_object *many CLEANUP_JSON = members(REDACTION_MEMBERS_MAX + 3);
    (void)state;
    assert_null(strstr(redacted(few, NULL), "more"));
    const char *text = redacted(many, NULL);
    assert_non_null(strstr(text, "\"k31\":31,\"…\":\"(3 more)\"}"));
}

/* Cut ones could be the same, and then the reader's gate would refuse all. */
static void test_names_that_cannot_be_shown(void **state) {
    char json[512], fill[128];
    (void)state;
    memset(fill, 'x', sizeof(fill));
    snprintf(
        json, sizeof(json), "{\"…\":1,\"%.65s\":2,\"%.66s\":3,\"%.64s\":4,\"a\\\"b\":5}", fill,
        fill, fill);
    const char *text = redacted_text(json, NULL);
    char expected[256];
    snprintf(expected, sizeof(expected), "{\"%.64s\":4,\"a\\\"b\":5,\"…\":\"(3 more)\"}", fill);
    assert_string_equal(text, expected);
}

static void test_a_float_of_many_digits(void **state) {
    char json[1024];
    (void)state;
    memset(json, '1', sizeof(json));
    memcpy(json, "[0.", 3);
    strcpy(json + 900, "]");
    const char *text = redacted_text(json, NULL);
    assert_true(strlen(text) < 80);
    assert_non_null(strstr(text, "bytes)"));
}

/* The largest that gets through the limits one by one is still cut at the end. */
static void test_the_whole_has_a_limit(void **state) {
    struct json_object *outer CLEANUP_JSON = json_object_new_object();
    char value[65];
    (void)state;
    memset(value, '\x01', 64); /* six times as long when escaped */
    value[64] = '\0';
    for (int i = 0; i < REDACTION_MEMBERS_MAX; i++) {
        char name[65];
        struct json_object *array = json_object_new_array();
        for (int k = 0; k < REDACTION_ELEMENTS_MAX; k++) {
            struct json_object *inner = json_object_new_object();
            for (int m = 0; m < REDACTION_MEMBERS_MAX; m++) {
                snprintf(name, sizeof(name), "%062d%02d", 0, m);
                json_object_object_add(inner, name, json_object_new_string(value));
            }
            json_object_array_add(array, inner);
        }
        snprintf(name, sizeof(name), "%062d%02d", 0, i);
        json_object_object_add(outer, name, array);
    }
    const char *text = redacted(outer, NULL);
    assert_true(strlen(text) > REDACTION_SIZE_MAX);
    assert_non_null(strstr(text, "more)"));
}

static void test_what_does_not_fit_is_said(void **state) {
    struct json_object *value CLEANUP_JSON = members(3);
    const char expected[] = "{\"k0\":0,\"k1\":1,\"k2\":2}";
    (void)state;
    struct json_text text = JSON_TEXT_INIT(data, sizeof(expected) - 1);
    redaction_write(&text, value, NULL);
    assert_false(text.full);
    assert_memory_equal(text.data, expected, sizeof(expected) - 1);
    assert_int_equal(text.keys, 3);
    text = (struct json_text)JSON_TEXT_INIT(data, sizeof(expected) - 2);
    redaction_write(&text, value, NULL);
    assert_true(text.full);
}

static void test_text_as_a_value(void **state) {
    struct json_object *reply CLEANUP_JSON = json_object_new_object();
    (void)state;
    json_object_object_add(reply, "list", json_text_to_value(strdup("[1,{\"a\":2}]")));
    assert_string_equal(
        json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN), "{\"list\":[1,{\"a\":2}]}");
    assert_string_equal(redacted(reply, NULL), "{\"list\":[1,{\"a\":2}]}");
    char *large =
        strdup("[\"0123456789012345678901234567890123456789012345678901234567890123456789\"]");
    json_object_object_add(reply, "list", json_text_to_value(large));
    assert_string_equal(
        redacted(reply, NULL), "{\"list\":\"[\\\"012345678901234567890123456789… (74 bytes)\"}");
    assert_null(json_text_to_value(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_short_stays),
        cmocka_unit_test(test_secrets_at_any_depth),
        cmocka_unit_test(test_strings_at_the_limit_and_one_past),
        cmocka_unit_test(test_arrays_at_the_limit_and_one_past),
        cmocka_unit_test(test_depth_at_the_limit_and_one_past),
        cmocka_unit_test(test_members_at_the_limit_and_one_past),
        cmocka_unit_test(test_names_that_cannot_be_shown),
        cmocka_unit_test(test_a_float_of_many_digits),
        cmocka_unit_test(test_the_whole_has_a_limit),
        cmocka_unit_test(test_what_does_not_fit_is_said),
        cmocka_unit_test(test_text_as_a_value),
    };
    return cmocka_run_group_tests_name("redaction", tests, NULL, NULL);
}
