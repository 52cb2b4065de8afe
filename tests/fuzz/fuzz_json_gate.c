/* libs: common */
/* The gate against json-c's own tokener: what the gate accepts, json-c in strict mode must read as
 * the same; our writer must give what json-c's gives, and that must pass the gate again. The
 * members one by one must be those of the object, and fields by table the same from either. What
 * the gate refuses names an offset within the text. */
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/json_writer.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* Between values, past ONE_PASS_MAX of the gate, so that the fuzzer sees both of its ways. */
#define LONG_SPACE 2048

static struct json_object *parse_by_tokener(const char *text, size_t size) {
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *object = json_tokener_parse_ex(tokener, text, (int)size);
    if (!object && json_tokener_get_error(tokener) == json_tokener_continue)
        object = json_tokener_parse_ex(tokener, "", 1); /* the NUL ends a bare number */
    CHECK(json_tokener_get_error(tokener) == json_tokener_success);
    json_tokener_free(tokener);
    return object;
}

/* The text that json-c writes, which our writer must write too. */
static const char *write_both(struct json_object *object, struct buffer *ret) {
    size_t size;
    const char *text = json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    CHECK(text && json_write(ret, object) == 0);
    CHECK(ret->size == size && memcmp(ret->data, text, size) == 0);
    return text;
}

/* json-c 0.16 looks at the character of a pair as if it could be a surrogate itself, and makes
 * U+FFFD of U+1DE01 and many others: it is no judge of pairs. */
static bool has_pair(const char *text, size_t size) {
    for (size_t i = 0; i + 3 < size; i++)
        if (text[i] == '\\' && text[i + 1] == 'u' && (text[i + 2] | 0x20) == 'd' &&
            strchr("89abAB", text[i + 3]))
            return true;
    return false;
}

static void check_accepted(const char *text, size_t size, struct json_object *object) {
    struct buffer CLEANUP_BUFFER written = BUFFER_INIT(1 << 24);
    struct buffer CLEANUP_BUFFER expected_written = BUFFER_INIT(1 << 24);
    const char *text_written = write_both(object, &written);
    if (!has_pair(text, size)) {
        CLEANUP_JSON struct json_object *expected = parse_by_tokener(text, size);
        CHECK(json_object_equal(object, expected));
        CHECK(strcmp(text_written, write_both(expected, &expected_written)) == 0);
    }

    CLEANUP_JSON struct json_object *again = NULL;
    CHECK(json_gate_parse((const char *)written.data, written.size, &again) == 0);
    CHECK(json_object_equal(object, again));
}

struct collected {
    struct json_object *members;
    bool makes;
};

static int collect(
    const struct json_gate_string *key, const struct json_gate_value *value, void *userdata) {
    struct collected *collected = userdata;
    struct json_object *made = NULL;
    bool is_nested = value->type == json_type_object || value->type == json_type_array;
    char *name = malloc(key->size + 1);
    CHECK(name && json_gate_string_decode(key, name) == strlen(name));
    if (is_nested && collected->makes)
        made = value->object;
    else
        CHECK(json_gate_make(value->text, value->size, &made) == 0);
    CHECK(json_object_get_type(made) == value->type);
    if (value->type == json_type_int)
        CHECK(json_object_get_int64(made) == value->number);
    if (value->type == json_type_string)
        CHECK(
            json_gate_string_is(&value->string, json_object_get_string(made)) ||
            strchr(json_object_get_string(made), '\\'));
    CHECK(json_object_object_add(collected->members, name, made) == 0);
    free(name);
    return 0;
}

/* Any offence, and any text that is no object, is refused here too. */
static void check_members(const char *text, size_t size, int r, struct json_object *object) {
    bool fits = r == 0 && json_object_is_type(object, json_type_object);
    for (int makes = 0; makes < 2; makes++) {
        CLEANUP_JSON struct json_object *members = json_object_new_object();
        struct collected collected = {members, makes};
        CHECK(
            json_gate_read_members(text, size, SIZE_MAX, makes, collect, &collected) ==
            (fits ? 0 : -EBADMSG));
        CHECK(!fits || json_object_equal(object, members));
    }
}

struct record {
    const char *text;
    int64_t number;
    bool flag;
};

static const struct json_field table[] = {
    JSON_FIELD(struct record, text, "a", JSON_FIELD_STRING, false, 0, 0),
    JSON_FIELD(struct record, number, "b", JSON_FIELD_INT, false, INT64_MIN, 0),
    JSON_FIELD(struct record, flag, "c", JSON_FIELD_BOOL, false, 0, 0),
};

static void check_same(const struct record *left, const struct record *right) {
    CHECK(left->number == right->number && left->flag == right->flag);
    CHECK(left->text ? right->text && strcmp(left->text, right->text) == 0 : !right->text);
}

/* By table, from the text and from its object; and again from what is written by that table. */
static void check_fields(const char *text, size_t size, int r, struct json_object *object) {
    char *room = malloc(size ? size : 1);
    struct record record = {0}, expected = {0}, again = {0};
    int read = json_fields_read_text(text, size, table, ARRAY_LENGTH(table), room, &record, NULL);
    CHECK(
        read ==
        (r < 0 ? -EINVAL : json_fields_read(object, table, ARRAY_LENGTH(table), &expected, NULL)));
    check_same(&record, &expected);
    struct buffer CLEANUP_BUFFER written = BUFFER_INIT(1 << 24);
    CHECK(json_fields_write(&written, table, ARRAY_LENGTH(table), &record) == 0);
    char *room_again = malloc(written.size);
    CHECK(
        json_fields_read_text(
            (const char *)written.data, written.size, table, ARRAY_LENGTH(table), room_again,
            &again, NULL) == 0);
    check_same(&record, &again);
    free(room_again);
    free(room);
}

static void check_long(const char *text, size_t size, int r, struct json_object *object) {
    char *longer = malloc(LONG_SPACE + size);
    CHECK(longer);
    memset(longer, ' ', LONG_SPACE);
    if (size > 0)
        memcpy(longer + LONG_SPACE, text, size);
    CLEANUP_JSON struct json_object *same = NULL;
    CHECK(json_gate_parse(longer, LONG_SPACE + size, &same) == r);
    CHECK(json_object_equal(object, same));
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    size_t offset = SIZE_MAX;
    int r = json_gate_check(text, size, &offset);
    CHECK(r == 0 || r == -EBADMSG);
    CHECK((r == 0) == (offset == SIZE_MAX));
    CHECK(r == 0 || offset <= size);

    CLEANUP_JSON struct json_object *object = NULL;
    CHECK(json_gate_parse(text, size, &object) == r);
    if (r == 0)
        check_accepted(text, size, object);
    check_members(text, size, r, object);
    check_fields(text, size, r, object);
    check_long(text, size, r, object);
    return 0;
}
