/* The strict gate: a recursive descent over RFC 8259 that refuses what json-c would let through,
 * clamp or silently merge, and makes json-c's objects of what it lets pass as it goes. json-c's own
 * tokener behind it would read every byte a second time, at several times the cost. */
#include "common/json_gate.h"

#include "common/cleanup.h"
#include "common/json_number.h"
#include "common/json_string.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ONE_PASS_MAX                                                                               \
    2048           /* bytes; of more, no objects are made before all of it is known to be good */
#define FEW_KEYS 8 /* up to which comparing each with each is cheaper than sorting */

struct gate {
    const char *start, *next, *end;
    unsigned depth;
    size_t values_left;      /* that it may have yet */
    bool builds;             /* or else it only checks */
    json_gate_member member; /* gets what is in the outermost object; NULL: nobody */
    bool member_is_made;     /* where it is an object or array */
    void *userdata;
    bool string_is_escaped, number_is_integer; /* of the latest of either */
    int64_t number;
    bool keys_escaped; /* some key of the text so far has an escape in it */
    size_t keys_open;  /* in the objects that are still open: a stack */
    char *scratch; /* room for what json-c wants with a NUL behind it; `few` while that will do */
    size_t scratch_size;
    char few[256];
    struct json_string keys[JSON_GATE_MAX_KEYS]; /* as they stand in the text */
};

/* Every take_… reads one thing at `next`. Where the gate builds and it is a value, *ret is the
 * caller's; `null` is NULL. Returns 0, -EBADMSG with `next` at the offence, -E2BIG (too many
 * values), -ENOMEM. */
static int take_value(struct gate *gate, struct json_object **ret);

static bool at(const struct gate *gate, char c) {
    return gate->next < gate->end && *gate->next == c;
}

static bool take(struct gate *gate, char c) {
    if (!at(gate, c))
        return false;
    gate->next++;
    return true;
}

/* The four kinds of white space of RFC 8259, section 2; isspace() knows more and asks the locale. A
 * program writes none. */
static inline void skip_space(struct gate *gate) {
    while (gate->next < gate->end && (uint8_t)*gate->next <= ' ' &&
           (at(gate, ' ') || at(gate, '\t') || at(gate, '\n') || at(gate, '\r')))
        gate->next++;
}

/* Room for `size` bytes, good until the next of these. NULL when memory is out. */
static char *scratch_room(struct gate *gate, size_t size) {
    if (size <= gate->scratch_size)
        return gate->scratch;
    char *room = malloc(size);
    if (!room)
        return NULL;
    if (gate->scratch != gate->few)
        free(gate->scratch);
    gate->scratch = room;
    gate->scratch_size = size;
    return room;
}

static int built(struct json_object *object, struct json_object **ret) {
    if (!object)
        return -ENOMEM;
    *ret = object;
    return 0;
}

/* --- strings --- */

static int build_string(
    struct gate *gate, struct json_string string, bool escaped, struct json_object **ret) {
    size_t size = (size_t)(string.end - string.start);
    if (!escaped)
        return built(json_object_new_string_len(string.start, (int)size), ret);
    char *value = scratch_room(gate, size);
    if (!value)
        return -ENOMEM;
    size = json_string_decode(string, value);
    return built(json_object_new_string_len(value, (int)size), ret);
}

static int take_string(struct gate *gate, struct json_object **ret) {
    struct json_string string = {.start = ++gate->next};
    int escaped = json_string_check(&gate->next, gate->end);
    if (escaped < 0)
        return escaped;
    string.end = gate->next - 1;
    gate->string_is_escaped = escaped > 0;
    return gate->builds ? build_string(gate, string, escaped > 0, ret) : 0;
}

/* --- numbers --- */

/* By json-c's own functions: it keeps the text, so that it writes what it has read. */
static int build_double(struct gate *gate, const char *start, struct json_object **ret) {
    size_t size = (size_t)(gate->next - start);
    char *text = scratch_room(gate, size + 1);
    if (!text)
        return -ENOMEM;
    memcpy(text, start, size);
    text[size] = '\0';
    double value;
    if (json_parse_double(text, &value) != 0)
        return -EBADMSG; /* not under the locale of this process, which is "C" */
    return built(json_object_new_double_s(value, text), ret);
}

static int take_number(struct gate *gate, struct json_object **ret) {
    const char *start = gate->next;
    struct json_number number;
    int r = json_number_check(&gate->next, gate->end, &number);
    if (r < 0)
        return r;
    gate->number_is_integer = number.is_integer;
    gate->number = number.value;
    if (!gate->builds)
        return 0;
    if (number.is_integer)
        return built(json_object_new_int64(number.value), ret);
    r = build_double(gate, start, ret);
    if (r == -EBADMSG)
        gate->next = start;
    return r;
}

/* --- objects and arrays --- */

/* Some order by which the same keys are neighbours. As texts, which will do where none is escaped.
 */
static int compare_texts(const void *a, const void *b) {
    const struct json_string *left = a, *right = b;
    size_t left_size = (size_t)(left->end - left->start);
    size_t right_size = (size_t)(right->end - right->start);
    if (left_size != right_size)
        return left_size < right_size ? -1 : 1;
    return memcmp(left->start, right->start, left_size);
}

static int compare_meanings(const void *a, const void *b) {
    return json_string_compare(*(const struct json_string *)a, *(const struct json_string *)b);
}

/* Returns the later of two keys that are the same, or NULL. Sorting finds them in n·log n whatever
 * the keys are; a hash table would need a secret for that. */
static const char *find_duplicate(
    struct json_string *keys, size_t count, int (*compare)(const void *, const void *)) {
    bool few = count <= FEW_KEYS;
    if (!few)
        qsort(keys, count, sizeof(keys[0]), compare);
    for (size_t i = 1; i < count; i++)
        for (size_t j = few ? 0 : i - 1; j < i; j++)
            if (compare(&keys[i], &keys[j]) == 0)
                return keys[i].start > keys[j].start ? keys[i].start : keys[j].start;
    return NULL;
}

static int check_duplicates(struct gate *gate, size_t first_key) {
    const char *duplicate = find_duplicate(
        gate->keys + first_key, gate->keys_open - first_key,
        gate->keys_escaped ? compare_meanings : compare_texts);
    if (!duplicate)
        return 0;
    gate->next = duplicate;
    return -EBADMSG;
}

/* Returns 0, or 1 where there are escapes in it. */
static int take_key(struct gate *gate, struct json_string *ret) {
    if (!at(gate, '"') || gate->keys_open == JSON_GATE_MAX_KEYS)
        return -EBADMSG;
    ret->start = ++gate->next;
    int escaped = json_string_check(&gate->next, gate->end);
    if (escaped < 0)
        return escaped;
    ret->end = gate->next - 1;
    gate->keys[gate->keys_open++] = *ret;
    skip_space(gate);
    return take(gate, ':') ? escaped : -EBADMSG;
}

/* As a C string, good until the next scratch. */
static const char *key_name(struct gate *gate, struct json_string key, bool escaped) {
    size_t size = (size_t)(key.end - key.start);
    char *name = scratch_room(gate, size + 1);
    if (!name)
        return NULL;
    if (escaped)
        size = json_string_decode(key, name);
    else
        memcpy(name, key.start, size);
    name[size] = '\0';
    return name;
}

/* Owns `value`. Whether the key was there before is found out at the end of the object. */
static int add_member(
    struct gate *gate, struct json_object *object, struct json_string key, bool escaped,
    struct json_object *value) {
    const char *name = key_name(gate, key, escaped);
    if (name && json_object_object_add_ex(object, name, value, JSON_C_OBJECT_ADD_KEY_IS_NEW) == 0)
        return 0;
    json_object_put(value);
    return -ENOMEM;
}

static enum json_type type_at(const struct gate *gate) {
    switch (gate->next < gate->end ? *gate->next : '\0') {
    case '{':
        return json_type_object;
    case '[':
        return json_type_array;
    case '"':
        return json_type_string;
    case 't':
    case 'f':
        return json_type_boolean;
    case 'n':
        return json_type_null;
    default:
        return json_type_int; /* or double, which is known behind it */
    }
}

/* The member of the outermost object that `key` names, to who asked for it. */
static int hand_member(struct gate *gate, const struct json_gate_string *key) {
    skip_space(gate);
    struct json_gate_value value = {.type = type_at(gate), .text = gate->next};
    struct json_object *object = NULL;
    bool is_nested = value.type == json_type_object || value.type == json_type_array;
    gate->builds = is_nested && gate->member_is_made;
    int r = take_value(gate, &object);
    gate->builds = false;
    if (r < 0)
        return r;
    value.size = (size_t)(gate->next - value.text);
    if (is_nested) {
        value.object = object;
    } else if (value.type == json_type_string) {
        value.string =
            (struct json_gate_string){value.text + 1, value.size - 2, gate->string_is_escaped};
    } else if (value.type == json_type_int) {
        value.type = gate->number_is_integer ? json_type_int : json_type_double;
        value.number = gate->number;
    } else {
        value.number = *value.text == 't';
    }
    return gate->member(key, &value, gate->userdata);
}

static int take_member(struct gate *gate, struct json_object *object) {
    struct json_string key;
    struct json_object *value = NULL;
    int escaped = take_key(gate, &key);
    if (escaped < 0)
        return escaped;
    gate->keys_escaped |= escaped > 0;
    if (gate->member && gate->depth == 1) {
        const struct json_gate_string name = {
            key.start, (size_t)(key.end - key.start), escaped > 0};
        return hand_member(gate, &name);
    }
    int r = take_value(gate, &value);
    if (r < 0 || !gate->builds)
        return r;
    return add_member(gate, object, key, escaped > 0, value);
}

static int take_members(struct gate *gate, struct json_object *object) {
    const size_t first_key = gate->keys_open;
    skip_space(gate);
    if (take(gate, '}'))
        return 0;
    do {
        skip_space(gate);
        int r = take_member(gate, object);
        if (r < 0)
            return r;
        skip_space(gate);
    } while (take(gate, ','));
    if (!take(gate, '}'))
        return -EBADMSG;

    int r = check_duplicates(gate, first_key);
    gate->keys_open = first_key;
    return r;
}

static int take_element(struct gate *gate, struct json_object *array) {
    struct json_object *value = NULL;
    int r = take_value(gate, &value);
    if (r == 0 && gate->builds && json_object_array_add(array, value) < 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return r;
}

static int take_elements(struct gate *gate, struct json_object *array) {
    skip_space(gate);
    if (take(gate, ']'))
        return 0;
    do {
        int r = take_element(gate, array);
        if (r < 0)
            return r;
        skip_space(gate);
    } while (take(gate, ','));
    return take(gate, ']') ? 0 : -EBADMSG;
}

static int take_nested(struct gate *gate, struct json_object **ret) {
    if (gate->depth == JSON_GATE_MAX_DEPTH)
        return -EBADMSG;
    bool is_object = *gate->next++ == '{';
    CLEANUP_JSON struct json_object *nested = NULL;
    if (gate->builds) {
        nested = is_object ? json_object_new_object() : json_object_new_array();
        if (!nested)
            return -ENOMEM;
    }
    gate->depth++;
    int r = is_object ? take_members(gate, nested) : take_elements(gate, nested);
    gate->depth--;
    if (r == 0)
        *ret = TAKE_PTR(nested);
    return r;
}

static bool take_word(struct gate *gate, const char *word) {
    const size_t size = strlen(word);
    if ((size_t)(gate->end - gate->next) < size || memcmp(gate->next, word, size) != 0)
        return false;
    gate->next += size;
    return true;
}

static int take_boolean(struct gate *gate, bool value, struct json_object **ret) {
    if (!take_word(gate, value ? "true" : "false"))
        return -EBADMSG;
    return gate->builds ? built(json_object_new_boolean(value), ret) : 0;
}

static int take_value(struct gate *gate, struct json_object **ret) {
    skip_space(gate);
    if (gate->next == gate->end)
        return -EBADMSG;
    if (gate->values_left-- == 0)
        return -E2BIG;
    switch (*gate->next) {
    case '{':
    case '[':
        return take_nested(gate, ret);
    case '"':
        return take_string(gate, ret);
    case 't':
        return take_boolean(gate, true, ret);
    case 'f':
        return take_boolean(gate, false, ret);
    case 'n':
        return take_word(gate, "null") ? 0 : -EBADMSG;
    default:
        return take_number(gate, ret);
    }
}

/* --- a whole text --- */

/* What begins, but for the keys: 128 KiB that nobody reads before they are written are not worth a
 * memset. */
static void gate_init(
    struct gate *gate, const char *text, size_t size, size_t max_values, bool builds) {
    gate->start = gate->next = text;
    gate->end = text + size;
    gate->depth = 0;
    gate->values_left = max_values;
    gate->builds = builds;
    gate->member = NULL;
    gate->keys_escaped = false;
    gate->keys_open = 0;
    gate->scratch = gate->few;
    gate->scratch_size = sizeof(gate->few);
}

static void gate_deinit(struct gate *gate) {
    if (gate->scratch != gate->few)
        free(gate->scratch);
}

/* The one value, and nothing behind it. */
static int take_text(struct gate *gate, struct json_object **ret) {
    CLEANUP_JSON struct json_object *object = NULL;
    int r = take_value(gate, &object);
    if (r < 0)
        return r;
    skip_space(gate);
    if (gate->next != gate->end)
        return -EBADMSG;
    *ret = TAKE_PTR(object);
    return 0;
}

int json_gate_check(const char *text, size_t size, size_t *ret_offset) {
    struct gate CLEANUP(gate_deinit) gate;
    struct json_object *none = NULL;
    gate_init(&gate, text, size, SIZE_MAX, false);
    int r = take_text(&gate, &none);
    if (r < 0 && ret_offset)
        *ret_offset = (size_t)(gate.next - gate.start);
    return r;
}

/* json-c counts in int; and of long texts, nothing is made before all of it is known to be good. */
static int check_before(const char *text, size_t size, size_t max_values) {
    if (size > INT_MAX)
        return -EBADMSG;
    if (size <= ONE_PASS_MAX)
        return 0;
    struct gate CLEANUP(gate_deinit) gate;
    struct json_object *none = NULL;
    gate_init(&gate, text, size, max_values, false);
    return take_text(&gate, &none);
}

int json_gate_parse(const char *text, size_t size, struct json_object **ret) {
    int r = check_before(text, size, SIZE_MAX);
    return r < 0 ? r : json_gate_make(text, size, ret);
}

int json_gate_make(const char *text, size_t size, struct json_object **ret) {
    struct gate CLEANUP(gate_deinit) gate;
    gate_init(&gate, text, size, SIZE_MAX, true);
    return take_text(&gate, ret);
}

int json_gate_read_members(
    const char *text, size_t size, size_t max_values, bool makes, json_gate_member member,
    void *userdata) {
    int r = size > INT_MAX ? -EBADMSG : makes ? check_before(text, size, max_values) : 0;
    if (r < 0)
        return r;
    struct gate CLEANUP(gate_deinit) gate;
    struct json_object *none = NULL;
    gate_init(&gate, text, size, max_values, false);
    gate.member = member;
    gate.member_is_made = makes;
    gate.userdata = userdata;
    skip_space(&gate);
    return at(&gate, '{') ? take_text(&gate, &none) : -EBADMSG;
}

static struct json_string string_of(const struct json_gate_string *string) {
    return (struct json_string){string->text, string->text + string->size};
}

bool json_gate_string_is(const struct json_gate_string *string, const char *meaning) {
    const size_t size = strlen(meaning);
    if (string->escaped)
        return json_string_compare(
                   string_of(string), (struct json_string){meaning, meaning + size}) == 0;
    return string->size == size && memcmp(string->text, meaning, size) == 0;
}

size_t json_gate_string_decode(const struct json_gate_string *string, char *ret) {
    size_t size = string->size;
    if (string->escaped)
        size = json_string_decode(string_of(string), ret);
    else
        memcpy(ret, string->text, size);
    ret[size] = '\0';
    return size;
}

void json_object_put_ptr(struct json_object **object) {
    if (*object)
        json_object_put(*object);
}
