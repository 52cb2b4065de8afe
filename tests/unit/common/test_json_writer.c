/* The writer gives byte for byte what json-c gives, of all texts of the corpus and of what only a
 * program can build. */
#include "common/json_gate.h"
#include "common/json_writer.h"

#include "json_corpus.h"

#include <errno.h>
#include <json-c/json.h>

#define FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

/* The buffer is as small as it can be: what does not fit would be noticed. */
static void check_same(const char *name, struct json_object *object) {
    size_t size;
    const char *expected = json_object_to_json_string_length(object, FLAGS, &size);
    CLEANUP_BUFFER struct buffer written = BUFFER_INIT(size);
    if (json_write(&written, object) < 0 || written.size != size ||
        memcmp(written.data, expected, size) != 0)
        fail_msg("%s: %s instead of %s", name, (char *)written.data, expected);
    CLEANUP_BUFFER struct buffer small = BUFFER_INIT(size - 1);
    assert_int_equal(json_write(&small, object), -EMSGSIZE);
}

static void visit(const char *name, const char *text, size_t size) {
    CLEANUP_JSON struct json_object *object = NULL;
    if (json_gate_parse(text, size, &object) == 0)
        check_same(name, object);
}

static void test_corpus(void **state) {
    (void)state;
    json_corpus_each("accept", visit);
    json_corpus_each("either", visit);
}

static void test_every_byte_of_a_string(void **state) {
    (void)state;
    for (int byte = 0; byte < 256; byte++) { /* NUL and bad UTF-8 too: json-c lets them through */
        const char text[4] = {'a', (char)byte, (char)byte, 'b'};
        CLEANUP_JSON struct json_object *string = json_object_new_string_len(text, sizeof(text));
        check_same("byte", string);
    }
}

static void test_integers(void **state) {
    (void)state;
    static const int64_t values[] = {
        0,
        1,
        -1,
        9,
        10,
        -10,
        99,
        100,
        4294967296,
        INT64_MAX,
        INT64_MAX - 1,
        INT64_MIN,
        INT64_MIN + 1,
    };
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++) {
        CLEANUP_JSON struct json_object *number = json_object_new_int64(values[i]);
        check_same("int64", number);
    }
    CLEANUP_JSON struct json_object *small = json_object_new_int(-7);
    check_same("int", small);
    CLEANUP_JSON struct json_object *large = json_object_new_uint64(UINT64_MAX);
    check_same("uint64", large);
    CLEANUP_JSON struct json_object *above = json_object_new_uint64((uint64_t)INT64_MAX + 1);
    check_same("uint64 above int64", above);
}

static void test_doubles(void **state) {
    (void)state;
    static const double values[] = {0, -0.0, 0.1, 1, 1e300, -2.5e-7};
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++) {
        CLEANUP_JSON struct json_object *number = json_object_new_double(values[i]);
        check_same("double", number);
    }
}

/* Text that stands for an object is written as it stands, wherever it is. */
static void test_own_serialiser(void **state) {
    (void)state;
    struct json_object *string = json_object_new_string("placeholder");
    json_object_set_serializer(
        string, json_object_userdata_to_json_string, strdup("[{\"a\":1}]"),
        json_object_free_userdata);
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    json_object_object_add(object, "before", json_object_new_int(1));
    json_object_object_add(object, "text", string);
    check_same("own serialiser", object);
    CLEANUP_BUFFER struct buffer written = BUFFER_INIT(64);
    assert_int_equal(json_write(&written, object), 0);
    assert_string_equal((char *)written.data, "{\"before\":1,\"text\":[{\"a\":1}]}");
}

static void test_null(void **state) {
    (void)state;
    CLEANUP_BUFFER struct buffer written = BUFFER_INIT(4);
    assert_int_equal(json_write(&written, NULL), 0);
    assert_string_equal((char *)written.data, "null");
}

static void test_appends(void **state) {
    (void)state;
    CLEANUP_BUFFER struct buffer written = BUFFER_INIT(64);
    assert_int_equal(buffer_append_string(&written, "{\"k\":"), 0);
    assert_int_equal(json_write_string(&written, "a\"\n"), 0);
    assert_int_equal(buffer_append_string(&written, "}"), 0);
    assert_string_equal((char *)written.data, "{\"k\":\"a\\\"\\n\"}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),         cmocka_unit_test(test_every_byte_of_a_string),
        cmocka_unit_test(test_integers),       cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_own_serialiser), cmocka_unit_test(test_null),
        cmocka_unit_test(test_appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
