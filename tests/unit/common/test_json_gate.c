/* The gate: texts that it must accept (and give as json-c alone would) and must refuse, the bounds,
 * and every prefix of a text. Runs from the root of the repository. */
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/json_gate.h"

#include "json_corpus.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>

/* The text in memory of exactly its size: a read behind it is seen by the sanitizer. */
static int check_exact(const char *text, size_t size, size_t *ret_offset) {
    char *exact = malloc(size ? size : 1);
    memcpy(exact, text, size);
    int r = json_gate_check(exact, size, ret_offset);
    CLEANUP_JSON struct json_object *object = NULL;
    assert_int_equal(json_gate_parse(exact, size, &object), r);
    free(exact);
    return r;
}

static int check_string(const char *text) {
    return check_exact(text, strlen(text), NULL);
}

/* json-c's own reading of a text that the gate has let pass. */
static struct json_object *parse_by_tokener(const char *text, size_t size) {
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *object = json_tokener_parse_ex(tokener, text, (int)size);
    if (!object && json_tokener_get_error(tokener) == json_tokener_continue)
        object = json_tokener_parse_ex(tokener, "", 1); /* the NUL ends a bare number */
    assert_int_equal(json_tokener_get_error(tokener), json_tokener_success);
    json_tokener_free(tokener);
    return object;
}

static const char *plain(struct json_object *object, size_t *ret_size) {
    return json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_size);
}

/* What comes out is what json-c would have read, and passes the gate again when it is written. */
static void check_meaning(const char *name, const char *text, size_t size) {
    CLEANUP_JSON struct json_object *object = NULL;
    assert_int_equal(json_gate_parse(text, size, &object), 0);
    CLEANUP_JSON struct json_object *expected = parse_by_tokener(text, size);
    size_t written_size, expected_size;
    const char *written = plain(object, &written_size);
    const char *expected_written = plain(expected, &expected_size);
    if (!json_object_equal(object, expected) || written_size != expected_size ||
        memcmp(written, expected_written, written_size) != 0)
        fail_msg("%s: json-c reads it otherwise", name);
    CLEANUP_JSON struct json_object *again = NULL;
    if (json_gate_parse(written, written_size, &again) < 0 || !json_object_equal(object, again))
        fail_msg("%s: is not the same when it is written and read again", name);
}

static void visit_accept(const char *name, const char *text, size_t size) {
    if (check_exact(text, size, NULL) != 0)
        fail_msg("%s: refused", name);
    check_meaning(name, text, size);
}

static void visit_reject(const char *name, const char *text, size_t size) {
    size_t offset = SIZE_MAX;
    if (check_exact(text, size, &offset) != -EBADMSG)
        fail_msg("%s: accepted", name);
    if (offset > size)
        fail_msg("%s: offset %zu of %zu", name, offset, size);
}

static void visit_either(const char *name, const char *text, size_t size) {
    if (check_exact(text, size, NULL) == 0)
        check_meaning(name, text, size);
}

static void test_must_accept(void **state) {
    (void)state;
    assert_true(json_corpus_each("accept", visit_accept) >= 180);
}

static void test_must_reject(void **state) {
    (void)state;
    assert_true(json_corpus_each("reject", visit_reject) >= 390);
}

static void test_either(void **state) {
    (void)state;
    assert_true(json_corpus_each("either", visit_either) >= 20);
}

static void test_every_prefix_is_refused(void **state) {
    (void)state;
    static const char text[] = "{\"a\":[1,-2.5e+3,true,false,null,\"x\\u00e9\\ud83d\\ude00\\n\"],"
                               "\"\xc3\xa9\":{\"b\":{}}}";
    size_t size = sizeof(text) - 1;
    assert_int_equal(check_exact(text, size, NULL), 0);
    for (size_t i = 0; i < size; i++) {
        size_t offset = SIZE_MAX;
        assert_int_equal(check_exact(text, i, &offset), -EBADMSG);
        assert_true(offset <= i);
    }
}

static void test_offsets(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
    } cases[] = {
        {"", 0},
        {"  x", 2},
        {"[1,2,x]", 5},
        {"{} {}", 3},
        {"[01]", 1},
        {"[9223372036854775808]", 1},
        {"{\"a\":1,\"b\":2,\"a\":3}", 14},
        {"[\"ab\x01\"]", 4},
        {"[\"ab\\q\"]", 4},
        {"[1", 2},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        size_t offset = SIZE_MAX;
        assert_int_equal(check_exact(cases[i].text, strlen(cases[i].text), &offset), -EBADMSG);
        assert_int_equal(offset, cases[i].offset);
    }
}

/* `before` × count, then `middle`, then `after` × count. */
static int check_nested(const char *before, const char *middle, const char *after, int count) {
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT(1 << 20);
    for (int i = 0; i < count; i++)
        assert_int_equal(buffer_append_string(&text, before), 0);
    assert_int_equal(buffer_append_string(&text, middle), 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(buffer_append_string(&text, after), 0);
    return check_exact((char *)text.data, text.size, NULL);
}

static void test_depth(void **state) {
    (void)state;
    assert_int_equal(check_nested("[", "", "]", JSON_GATE_MAX_DEPTH), 0);
    assert_int_equal(check_nested("[", "", "]", JSON_GATE_MAX_DEPTH + 1), -EBADMSG);
    assert_int_equal(check_nested("{\"a\":", "1", "}", JSON_GATE_MAX_DEPTH), 0);
    assert_int_equal(check_nested("{\"a\":", "1", "}", JSON_GATE_MAX_DEPTH + 1), -EBADMSG);
    assert_int_equal(check_nested("[{\"a\":", "1", "}]", JSON_GATE_MAX_DEPTH / 2), 0);
    assert_int_equal(check_nested("[{\"a\":", "[]", "}]", JSON_GATE_MAX_DEPTH / 2), -EBADMSG);
    assert_int_equal(check_nested("[", "", "", 100000), -EBADMSG);
    /* depth is given back: many siblings are no nesting */
    assert_int_equal(
        check_string("[[[]],[[]],{\"a\":[]},[[[]]],[],[],[],[],[],[],[],[],[],[],[],[]]"), 0);
}

/* An object of `count` keys, all different; with `twice` the last is the first again. */
static int check_keys(int count, bool twice, bool split) {
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT(1 << 20);
    assert_int_equal(buffer_append_string(&text, split ? "[{" : "{"), 0);
    for (int i = 0; i < count; i++) {
        char member[64];
        const char *separator = i == 0 ? "" : split && i == count / 2 ? "},{" : ",";
        snprintf(member, sizeof(member), "%s\"k%d\":0", separator, twice && i == count - 1 ? 0 : i);
        assert_int_equal(buffer_append_string(&text, member), 0);
    }
    assert_int_equal(buffer_append_string(&text, split ? "}]" : "}"), 0);
    return check_exact((char *)text.data, text.size, NULL);
}

static void test_keys(void **state) {
    (void)state;
    assert_int_equal(check_keys(JSON_GATE_MAX_KEYS, false, false), 0);
    assert_int_equal(check_keys(JSON_GATE_MAX_KEYS + 1, false, false), -EBADMSG);
    assert_int_equal(check_keys(JSON_GATE_MAX_KEYS, true, false), -EBADMSG);
    assert_int_equal(check_keys(JSON_GATE_MAX_KEYS, false, true), 0);
    assert_int_equal(check_keys(2 * JSON_GATE_MAX_KEYS, false, true), 0);
    assert_int_equal(check_keys(2 * JSON_GATE_MAX_KEYS + 2, false, true), -EBADMSG);
    assert_int_equal(check_keys(JSON_GATE_MAX_KEYS, true, true), 0); /* twice, but in two objects */
}

/* An object of `count` keys, the last of which holds an object of `inner`. */
static int check_nested_keys(int count, int inner) {
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT(1 << 20);
    char member[64];
    assert_int_equal(buffer_append_string(&text, "{"), 0);
    for (int i = 1; i < count; i++) {
        snprintf(member, sizeof(member), "\"k%d\":0,", i);
        assert_int_equal(buffer_append_string(&text, member), 0);
    }
    assert_int_equal(buffer_append_string(&text, "\"last\":{"), 0);
    for (int i = 0; i < inner; i++) {
        snprintf(member, sizeof(member), "%s\"k%d\":0", i > 0 ? "," : "", i);
        assert_int_equal(buffer_append_string(&text, member), 0);
    }
    assert_int_equal(buffer_append_string(&text, "}}"), 0);
    return check_exact((char *)text.data, text.size, NULL);
}

/* What is kept is bounded, not what has passed: an answer may be long. */
static void test_keys_of_nested_objects(void **state) {
    (void)state;
    assert_int_equal(check_nested_keys(JSON_GATE_MAX_KEYS - 10, 10), 0);
    assert_int_equal(check_nested_keys(JSON_GATE_MAX_KEYS - 10, 11), -EBADMSG);
    assert_int_equal(check_nested_keys(JSON_GATE_MAX_KEYS, 0), 0);
}

/* Each spelling of one character is the same key. */
static void test_keys_by_meaning(void **state) {
    (void)state;
    static const char *const spellings[] = {
        "\"/\"",
        "\"\\/\"",
        "\"\\u002f\"",
        "\"\\u002F\"",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(spellings); i++)
        for (size_t j = 0; j < ARRAY_LENGTH(spellings); j++) {
            char text[64];
            snprintf(text, sizeof(text), "{%s:1,%s:2}", spellings[i], spellings[j]);
            assert_int_equal(check_string(text), -EBADMSG);
        }
    assert_int_equal(check_string("{\"\\n\":1,\"\\u000a\":2}"), -EBADMSG);
    assert_int_equal(check_string("{\"\\n\":1,\"\\u000d\":2}"), 0);
    assert_int_equal(check_string("{\"\\\"\":1,\"\\u0022\":2}"), -EBADMSG);
    assert_int_equal(check_string("{\"\\\\\":1,\"\\u005c\":2}"), -EBADMSG);
}

static void test_numbers_at_the_edge(void **state) {
    (void)state;
    assert_int_equal(check_string("9223372036854775807"), 0);
    assert_int_equal(check_string("9223372036854775808"), -EBADMSG);
    assert_int_equal(check_string("-9223372036854775808"), 0);
    assert_int_equal(check_string("-9223372036854775809"), -EBADMSG);
    assert_int_equal(check_string("99999999999999999999"), -EBADMSG);
    assert_int_equal(check_string("9223372036854775808.0"), 0); /* no integer */
    assert_int_equal(check_string("1e307"), 0);
    assert_int_equal(check_string("1e308"), -EBADMSG); /* finite still, but past the simple bound */
    assert_int_equal(check_string("1e309"), -EBADMSG);
    assert_int_equal(check_string("1e2147483648"), -EBADMSG);
    assert_int_equal(check_string("1e18446744073709551617"), -EBADMSG);
    assert_int_equal(check_string("1e-18446744073709551617"), 0);

    char digits[512];
    memset(digits, '9', sizeof(digits));
    memcpy(digits + 308, ".5", 2); /* 308 digits stay below 10^308 */
    assert_int_equal(check_exact(digits, 310, NULL), 0);
    digits[308] = '9';
    memcpy(digits + 309, ".5", 2);
    assert_int_equal(check_exact(digits, 311, NULL), -EBADMSG);
}

static void test_parse_gives_the_value(void **state) {
    (void)state;
    static const char text[] =
        " {\"n\":-9223372036854775808,\"s\":\"a\\u00e9\xf0\x9f\x98\x80\",\"d\":0.5,"
        "\"l\":[true,null]} ";
    CLEANUP_JSON struct json_object *object = NULL;
    assert_int_equal(json_gate_parse(text, sizeof(text) - 1, &object), 0);
    assert_int_equal(json_object_get_int64(json_object_object_get(object, "n")), INT64_MIN);
    assert_string_equal(
        json_object_get_string(json_object_object_get(object, "s")), "a\xc3\xa9\xf0\x9f\x98\x80");
    assert_true(json_object_get_double(json_object_object_get(object, "d")) == 0.5);
    struct json_object *list = json_object_object_get(object, "l");
    assert_int_equal(json_object_array_length(list), 2);
    assert_null(json_object_array_get_idx(list, 1));
}

/* json-c's own tokener makes U+FFFD of these, and with that two different keys the same. */
static void test_pairs_that_json_c_takes_for_surrogates(void **state) {
    (void)state;
    static const char text[] = "{\"\\ud837\\ude01\":1,\"\\ud836\\udc00\":2}";
    CLEANUP_JSON struct json_object *object = NULL;
    assert_int_equal(json_gate_parse(text, sizeof(text) - 1, &object), 0);
    assert_int_equal(json_object_object_length(object), 2);
    assert_int_equal(json_object_get_int64(json_object_object_get(object, "\xf0\x9d\xb8\x81")), 1);
    assert_int_equal(json_object_get_int64(json_object_object_get(object, "\xf0\x9d\xa0\x80")), 2);
}

static void test_parse_scalars(void **state) {
    (void)state;
    struct json_object *object = (struct json_object *)state;
    assert_int_equal(json_gate_parse(" null ", 6, &object), 0);
    assert_null(object);
    CLEANUP_JSON struct json_object *number = NULL; /* json-c waits for more behind a bare number */
    assert_int_equal(json_gate_parse("12345", 2, &number), 0);
    assert_int_equal(json_object_get_int64(number), 12);
    CLEANUP_JSON struct json_object *real = NULL;
    assert_int_equal(json_gate_parse("1.5", 3, &real), 0);
    assert_int_equal(json_object_get_type(real), json_type_double);
}

static void test_parse_leaves_output_alone(void **state) {
    (void)state;
    struct json_object *object = (struct json_object *)state;
    assert_int_equal(json_gate_parse("[1", 2, &object), -EBADMSG);
    assert_ptr_equal(object, state);
    assert_int_equal(json_gate_parse("x", (size_t)INT_MAX + 1, &object), -EBADMSG);
    assert_ptr_equal(object, state);
}

/* ---- members ---- */

/* The object that a member's value is, by what was said of it. */
static struct json_object *value_of(const struct json_gate_value *value) {
    char CLEANUP_FREE *room = malloc(value->size + 1);
    switch (value->type) {
    case json_type_null:
        return NULL;
    case json_type_boolean:
        return json_object_new_boolean(value->number != 0);
    case json_type_int:
        return json_object_new_int64(value->number);
    case json_type_string:
        return json_object_new_string_len(room, (int)json_gate_string_decode(&value->string, room));
    default:
        break;
    }
    struct json_object *made = NULL;
    if (value->type != json_type_double && value->object)
        return value->object;
    assert_int_equal(json_gate_make(value->text, value->size, &made), 0);
    return made;
}

static int collect_member(
    const struct json_gate_string *key, const struct json_gate_value *value, void *userdata) {
    struct json_object *object = userdata;
    struct json_object *made = value_of(value);
    char CLEANUP_FREE *name = malloc(key->size + 1);
    json_gate_string_decode(key, name);
    assert_true(json_gate_string_is(key, name) || strchr(name, '\\'));
    assert_int_equal(json_object_get_type(made), value->type);
    if (json_gate_string_is(key, "stop")) {
        json_object_put(made);
        return -ECANCELED;
    }
    return json_object_object_add(object, name, made) < 0 ? -ENOMEM : 0;
}

/* The members one by one are those of the object, whether objects are made of them or not. */
static void visit_members(const char *name, const char *text, size_t size) {
    CLEANUP_JSON struct json_object *object = NULL;
    bool fits =
        json_gate_parse(text, size, &object) == 0 && json_object_is_type(object, json_type_object);
    for (int makes = 0; makes < 2; makes++) {
        CLEANUP_JSON struct json_object *collected = json_object_new_object();
        int r = json_gate_read_members(text, size, SIZE_MAX, makes, collect_member, collected);
        if (r != (fits ? 0 : -EBADMSG) || (fits && !json_object_equal(object, collected)))
            fail_msg("%s: %d, or other members", name, r);
    }
}

static void test_members(void **state) {
    (void)state;
    json_corpus_each("accept", visit_members);
    json_corpus_each("reject", visit_members);
    json_corpus_each("either", visit_members);
}

static void test_members_end_where_one_says_so(void **state) {
    (void)state;
    static const char text[] = "{\"a\":1,\"stop\":{\"b\":2},\"c\":3}";
    CLEANUP_JSON struct json_object *collected = json_object_new_object();
    assert_int_equal(
        json_gate_read_members(text, sizeof(text) - 1, SIZE_MAX, true, collect_member, collected),
        -ECANCELED);
    assert_int_equal(json_object_object_length(collected), 1);
}

/* Long texts are looked through before anything is made of them. */
static unsigned members_made;

static int count_member(
    const struct json_gate_string *key, const struct json_gate_value *value, void *userdata) {
    (void)key;
    (void)userdata;
    json_object_put(value_of(value));
    members_made++;
    return 0;
}

static void test_nothing_is_made_of_a_long_bad_text(void **state) {
    (void)state;
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT(1 << 20);
    assert_int_equal(buffer_append_string(&text, "{\"a\":[0"), 0);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buffer_append_string(&text, ",0"), 0);
    assert_int_equal(buffer_append_string(&text, "],\"b\":}"), 0);
    members_made = 0;
    assert_int_equal(
        json_gate_read_members((char *)text.data, text.size, SIZE_MAX, true, count_member, NULL),
        -EBADMSG);
    assert_int_equal(members_made, 0);
}

/* Short ones and long ones, which are looked through before. */
static void test_values_at_the_maximum_and_one_past(void **state) {
    (void)state;
    for (int elements = 0; elements <= 4000; elements += 1000) {
        CLEANUP_BUFFER struct buffer text = BUFFER_INIT(1 << 20);
        assert_int_equal(buffer_append_string(&text, "{\"a\":[[]"), 0); /* three */
        for (int i = 0; i < elements; i++)
            assert_int_equal(buffer_append_string(&text, i % 2 ? ",0" : ",{}"), 0);
        assert_int_equal(buffer_append_string(&text, "]}"), 0);
        for (size_t less = 0; less < 2; less++)
            for (int makes = 0; makes < 2; makes++)
                assert_int_equal(
                    json_gate_read_members(
                        (char *)text.data, text.size, (size_t)elements + 3 - less, makes,
                        count_member, NULL),
                    less == 0 ? 0 : -E2BIG);
    }
    assert_int_equal(json_gate_read_members("{}", 2, 1, false, count_member, NULL), 0);
    assert_int_equal(json_gate_read_members("{}", 2, 0, false, count_member, NULL), -E2BIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_must_accept),
        cmocka_unit_test(test_must_reject),
        cmocka_unit_test(test_either),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_keys_of_nested_objects),
        cmocka_unit_test(test_keys_by_meaning),
        cmocka_unit_test(test_numbers_at_the_edge),
        cmocka_unit_test(test_parse_gives_the_value),
        cmocka_unit_test(test_pairs_that_json_c_takes_for_surrogates),
        cmocka_unit_test(test_parse_scalars),
        cmocka_unit_test(test_parse_leaves_output_alone),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_members_end_where_one_says_so),
        cmocka_unit_test(test_nothing_is_made_of_a_long_bad_text),
        cmocka_unit_test(test_values_at_the_maximum_and_one_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
