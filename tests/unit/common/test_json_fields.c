/* Fields by table: exact types, exact bounds, nothing filled on error; builders that survive a
 * missing value. */
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include "unit.h"

#include <errno.h>

struct record {
    const char *name;
    int64_t number;
    bool flag;
    struct json_object *list, *object;
};

static const struct json_field table[] = {
    JSON_FIELD(struct record, name, "name", JSON_FIELD_STRING, true, 2, 5),
    JSON_FIELD(struct record, number, "number", JSON_FIELD_INT, false, -3, 7),
    JSON_FIELD(struct record, flag, "flag", JSON_FIELD_BOOL, false, 0, 0),
    JSON_FIELD(struct record, list, "list", JSON_FIELD_ARRAY, false, 1, 2),
    JSON_FIELD(struct record, object, "object", JSON_FIELD_OBJECT, false, 0, 0),
};

/* Reads the text by the table; *ret_object keeps what the record borrows. */
static int read_record(
    const char *text, const struct json_field *fields, size_t count, struct record *record,
    struct json_object **ret_object, const char **ret_field) {
    assert_int_equal(json_gate_parse(text, strlen(text), ret_object), 0);
    return json_fields_read(*ret_object, fields, count, record, ret_field);
}

static void test_all_types(void **state) {
    (void)state;
    CLEANUP_JSON struct json_object *object = NULL;
    struct record record = {0};
    const char *field = "untouched";
    assert_int_equal(
        read_record(
            "{\"name\":\"alice\",\"number\":-3,\"flag\":true,\"list\":[1],"
            "\"object\":{},\"unknown\":[{}]}",
            table, ARRAY_LENGTH(table), &record, &object, &field),
        0);
    assert_string_equal(record.name, "alice");
    assert_int_equal(record.number, -3);
    assert_true(record.flag);
    assert_int_equal(json_object_array_length(record.list), 1);
    assert_int_equal(json_object_get_type(record.object), json_type_object);
    assert_string_equal(field, "untouched");
}

static void test_absent_and_null_keep_the_preset(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"name\":\"al\"}",
        "{\"name\":\"al\",\"number\":null,\"flag\":null,\"list\":null,\"object\":null}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        CLEANUP_JSON struct json_object *object = NULL;
        struct record record = {.number = 42, .flag = true};
        assert_int_equal(
            read_record(texts[i], table, ARRAY_LENGTH(table), &record, &object, NULL), 0);
        assert_int_equal(record.number, 42);
        assert_true(record.flag);
        assert_null(record.list);
    }
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *text, *field;
    } cases[] = {
        {"{}", "name"},
        {"{\"name\":null}", "name"},
        {"{\"name\":1}", "name"},
        {"{\"name\":true}", "name"},
        {"{\"name\":[\"al\"]}", "name"},
        {"{\"name\":\"a\"}", "name"},
        {"{\"name\":\"alice6\"}", "name"},
        {"{\"name\":\"al\",\"number\":\"5\"}", "number"}, /* json-c's getter would say 5 */
        {"{\"name\":\"al\",\"number\":\"5x\"}", "number"},
        {"{\"name\":\"al\",\"number\":1.0}", "number"},
        {"{\"name\":\"al\",\"number\":true}", "number"},
        {"{\"name\":\"al\",\"number\":-4}", "number"},
        {"{\"name\":\"al\",\"number\":8}", "number"},
        {"{\"name\":\"al\",\"flag\":1}", "flag"},
        {"{\"name\":\"al\",\"flag\":\"true\"}", "flag"},
        {"{\"name\":\"al\",\"list\":{}}", "list"},
        {"{\"name\":\"al\",\"list\":[]}", "list"},
        {"{\"name\":\"al\",\"list\":[1,2,3]}", "list"},
        {"{\"name\":\"al\",\"object\":[]}", "object"},
        {"{\"name\":\"al\",\"object\":\"{}\"}", "object"},
        {"[]", ""},
        {"\"name\"", ""},
        {"null", ""},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP_JSON struct json_object *object = NULL;
        struct record record = {.name = "before", .number = 42};
        const char *field = NULL;
        assert_int_equal(
            read_record(cases[i].text, table, ARRAY_LENGTH(table), &record, &object, &field),
            -EINVAL);
        assert_string_equal(field, cases[i].field);
        assert_string_equal(
            record.name, "before"); /* good fields before the bad one are not filled */
        assert_int_equal(
            json_fields_read(object, table, ARRAY_LENGTH(table), &record, NULL), -EINVAL);
    }
}

static void test_bounds_of_ints(void **state) {
    (void)state;
    static const struct json_field natural[] = {
        JSON_FIELD(struct record, number, "n", JSON_FIELD_INT, true, 0, 0),
    };
    static const struct json_field any[] = {
        JSON_FIELD(struct record, number, "n", JSON_FIELD_INT, true, INT64_MIN, 0),
    };
    static const struct {
        const char *text;
        int natural, any;
        int64_t value;
    } cases[] = {
        {"{\"n\":0}", 0, 0, 0},
        {"{\"n\":9223372036854775807}", 0, 0, INT64_MAX},
        {"{\"n\":-1}", -EINVAL, 0, -1},
        {"{\"n\":-9223372036854775808}", -EINVAL, 0, INT64_MIN},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP_JSON struct json_object *object = NULL;
        struct record record = {.number = 42};
        assert_int_equal(
            read_record(cases[i].text, natural, 1, &record, &object, NULL), cases[i].natural);
        assert_int_equal(record.number, cases[i].natural < 0 ? 42 : cases[i].value);
        assert_int_equal(json_fields_read(object, any, 1, &record, NULL), cases[i].any);
        assert_int_equal(record.number, cases[i].value);
    }
}

static void test_default_maximum(void **state) {
    (void)state;
    static const struct json_field fields[] = {
        JSON_FIELD(struct record, name, "s", JSON_FIELD_STRING, false, 0, 0),
        JSON_FIELD(struct record, list, "l", JSON_FIELD_ARRAY, false, 0, 0),
    };
    char text[1026];
    memset(text, 'x', sizeof(text));
    for (int over = 0; over <= 1; over++) {
        CLEANUP_JSON struct json_object *strings = json_object_new_object();
        CLEANUP_JSON struct json_object *lists = json_object_new_object();
        struct json_object *list = json_object_new_array();
        for (int i = 0; i < 1024 + over; i++)
            json_object_array_add(list, NULL);
        json_object_object_add(lists, "l", list);
        json_object_object_add(strings, "s", json_object_new_string_len(text, 1024 + over));
        struct record record = {0};
        assert_int_equal(json_fields_read(strings, fields, 2, &record, NULL), over ? -EINVAL : 0);
        assert_int_equal(json_fields_read(lists, fields, 2, &record, NULL), over ? -EINVAL : 0);
    }
}

static void test_hidden_nul(void **state) {
    (void)state;
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    json_object_object_add(object, "name", json_object_new_string_len("al\0ice", 5));
    struct record record = {0};
    assert_int_equal(json_fields_read(object, table, ARRAY_LENGTH(table), &record, NULL), -EINVAL);
}

/* ---- from and to text ---- */

/* The first three rows of the table: those without objects. */
#define FLAT 3

/* As from the object, whatever comes of it. */
static void check_text(const char *text) {
    CLEANUP_JSON struct json_object *object = NULL;
    char CLEANUP_FREE *exact = malloc(strlen(text));
    char CLEANUP_FREE *room = malloc(strlen(text));
    struct record of_object = {.name = "before", .number = 42};
    struct record of_text = of_object;
    const char *field_of_object = NULL, *field_of_text = NULL;
    memcpy(exact, text, strlen(text));
    int r = read_record(text, table, FLAT, &of_object, &object, &field_of_object);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(
            json_fields_read_text(exact, strlen(text), table, FLAT, room, &of_text, &field_of_text),
            r);
        if (r < 0)
            assert_string_equal(field_of_text, field_of_object);
        assert_string_equal(of_text.name, of_object.name);
        assert_int_equal(of_text.number, of_object.number);
        assert_int_equal(of_text.flag, of_object.flag);
    }
}

static void test_text_reads_as_its_object_does(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"name\":\"alice\",\"number\":-3,\"flag\":true,\"list\":[1],\"object\":{\"name\":1}}",
        " {\"number\" : 7 , \"n\\u0061me\" : \"\\\"\\u00e4\" } ",
        "{\"name\":\"\\u0061\\u0061\\u0061\\u0061\\u0061\"}", /* five bytes are meant */
        "{\"name\":\"\\ud83d\\ude00\",\"flag\":false,\"number\":0}",
        "{\"name\":\"al\",\"number\":null,\"flag\":null}",
        "{\"name\":\"al\",\"number\":-4}",
        "{\"name\":\"al\",\"number\":8}",
        "{\"name\":\"al\",\"number\":1.0}",
        "{\"name\":\"al\",\"number\":\"5\"}",
        "{\"name\":\"al\",\"number\":true}",
        "{\"name\":\"al\",\"flag\":1}",
        "{\"name\":\"al\",\"flag\":\"true\"}",
        "{\"name\":\"a\"}",
        "{\"name\":\"alice6\"}",
        "{\"name\":[\"al\"]}",
        "{\"name\":{}}",
        "{\"name\":null}",
        "{\"name\":1}",
        "{}",
        "[]",
        "\"name\"",
        "null",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        check_text(texts[i]);
}

static void test_text_is_for_flat_tables_of_few_rows(void **state) {
    (void)state;
    struct json_field rows[JSON_FIELDS_TEXT_MAX + 1];
    struct record record = {0};
    struct buffer CLEANUP_BUFFER written = BUFFER_INIT(100);
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        rows[i] = table[1];
    assert_int_equal(
        json_fields_read_text("{}", 2, rows, JSON_FIELDS_TEXT_MAX, NULL, &record, NULL), 0);
    assert_int_equal(
        json_fields_read_text("{}", 2, rows, JSON_FIELDS_TEXT_MAX + 1, NULL, &record, NULL),
        -ENOTSUP);
    for (size_t i = FLAT; i < ARRAY_LENGTH(table); i++) {
        assert_int_equal(
            json_fields_read_text("{}", 2, &table[i], 1, NULL, &record, NULL), -ENOTSUP);
        assert_int_equal(json_fields_write(&written, &table[i], 1, &record), -ENOTSUP);
    }
}

static void check_written(const struct record *record, size_t count, const char *expected) {
    struct buffer CLEANUP_BUFFER text = BUFFER_INIT(strlen(expected));
    assert_int_equal(json_fields_write(&text, table, count, record), 0);
    assert_string_equal((char *)text.data, expected);
    for (size_t size = 0; size < strlen(expected); size++) {
        struct buffer CLEANUP_BUFFER small = BUFFER_INIT(size);
        assert_int_equal(json_fields_write(&small, table, count, record), -EMSGSIZE);
    }
}

static void test_what_is_written(void **state) {
    (void)state;
    check_written(
        &(struct record){.name = "a\"\n", .number = INT64_MIN, .flag = true}, FLAT,
        "{\"name\":\"a\\\"\\n\",\"number\":-9223372036854775808,\"flag\":true}");
    check_written(
        &(struct record){.name = "", .number = INT64_MAX}, 2,
        "{\"name\":\"\",\"number\":9223372036854775807}");
    check_written(&(struct record){.name = "x"}, FLAT, "{\"name\":\"x\"}");
    check_written(&(struct record){.name = NULL}, 0, "{}");
    struct buffer CLEANUP_BUFFER text = BUFFER_INIT(100);
    assert_int_equal(json_fields_write(&text, &table[1], 2, &(struct record){.flag = true}), 0);
    assert_string_equal((char *)text.data, "{\"flag\":true}");
    static const struct json_field required[] = {
        JSON_FIELD(struct record, number, "n", JSON_FIELD_INT, true, 0, 0),
        JSON_FIELD(struct record, flag, "f", JSON_FIELD_BOOL, true, 0, 0),
    };
    text.size = 0;
    assert_int_equal(json_fields_write(&text, required, 2, &(struct record){.name = NULL}), 0);
    assert_string_equal((char *)text.data, "{\"n\":0,\"f\":false}");
}

static void test_builders(void **state) {
    (void)state;
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    assert_int_equal(json_fields_add_string(object, "s", "text"), 0);
    assert_int_equal(json_fields_add_string(object, "absent", NULL), 0);
    assert_int_equal(json_fields_add_int(object, "i", INT64_MIN), 0);
    assert_int_equal(json_fields_add_bool(object, "b", false), 0);
    assert_int_equal(json_fields_add(object, "l", json_object_new_array()), 0);
    assert_string_equal(
        json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
        "{\"s\":\"text\",\"i\":-9223372036854775808,\"b\":false,\"l\":[]}");

    assert_int_equal(
        json_fields_add(object, "none", NULL), -ENOMEM); /* what a failed constructor gives */
    assert_false(json_object_object_get_ex(object, "none", NULL));
    /* the value is released, or the leak checker speaks */
    assert_int_equal(json_fields_add(NULL, "x", json_object_new_array()), -ENOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_types),
        cmocka_unit_test(test_absent_and_null_keep_the_preset),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bounds_of_ints),
        cmocka_unit_test(test_default_maximum),
        cmocka_unit_test(test_hidden_nul),
        cmocka_unit_test(test_text_reads_as_its_object_does),
        cmocka_unit_test(test_text_is_for_flat_tables_of_few_rows),
        cmocka_unit_test(test_what_is_written),
        cmocka_unit_test(test_builders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
