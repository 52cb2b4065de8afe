/* The strict gate: a recursive descent over RFC 8259 that refuses what json-c would let through,
 * clamp or silently merge, and makes json-c's objects of what it lets pass as it goes. json-c's own
 * tokener behind it would read every byte a second time, at several times the cost. */
#include "common/json_gate.h"

#include "common/cleanup.h"
#include "common/json_string.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Below 10³⁰⁸ every decimal number is a finite double; the few above it are not worth a bignum. */
#define MAX_DECIMAL_MAGNITUDE 308
#define MAX_EXPONENT 9999
#define ONE_PASS_MAX                                                                               \
    2048           /* bytes; of more, no objects are made before all of it is known to be good */
#define FEW_KEYS 8 /* up to which comparing each with each is cheaper than sorting */

struct gate {
    const char *start, *next, *end;
    unsigned depth;
    size_t values_left;      /* that it may have yet */
    bool builds;             /* or else it only checks */
    json_gate_member member; /* gets what is in the outermost object; NULL: the object is made */
    void *userdata;
    bool keys_escaped; /* some key of the text so far has an escape in it */
    size_t keys_seen;  /* in the whole text */
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

/* The four kinds of white space of RFC 8259, section 2; isspace() knows more and asks the locale.
 */
static void skip_space(struct gate *gate) {
    const char *next = gate->next;
    while (next < gate->end && *next <= ' ' &&
           (*next == ' ' || *next == '\t' || *next == '\n' || *next == '\r'))
        next++;
    gate->next = next;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t skip_digits(struct gate *gate) {
    const char *first = gate->next;
    while (gate->next < gate->end && is_digit(*gate->next))
        gate->next++;
    return (size_t)(gate->next - first);
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
    return gate->builds ? build_string(gate, string, escaped > 0, ret) : 0;
}

/* --- numbers --- */

/* The parts of a number as they stand in the text. */
struct number {
    const char *start, *digits;
    size_t digit_count; /* before the point */
    bool negative, is_integer;
    int exponent; /* 0 where it is negative: that never makes a number too large */
};

static bool integer_value(const struct number *number, int64_t *ret) {
    if (number->digit_count > 19) /* 2⁶³ has 19 digits, and a first digit of 0 stands alone */
        return false;
    uint64_t value = 0; /* 19 digits fit 64 bits */
    for (size_t i = 0; i < number->digit_count; i++)
        value = value * 10 + (uint64_t)(number->digits[i] - '0');
    if (value > (uint64_t)INT64_MAX + (number->negative ? 1 : 0))
        return false;
    *ret = number->negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/* The digits of an exponent, saturating. */
static int exponent_value(const char *digits, size_t count) {
    int value = 0;
    for (size_t i = 0; i < count && value < MAX_EXPONENT; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

static int take_fraction(struct gate *gate, struct number *number) {
    if (!take(gate, '.'))
        return 0;
    number->is_integer = false;
    return skip_digits(gate) == 0 ? -EBADMSG : 0;
}

static int take_exponent(struct gate *gate, struct number *number) {
    if (!take(gate, 'e') && !take(gate, 'E'))
        return 0;
    number->is_integer = false;
    bool small = take(gate, '-');
    if (!small)
        (void)take(gate, '+');
    const char *digits = gate->next;
    size_t count = skip_digits(gate);
    if (count == 0)
        return -EBADMSG;
    number->exponent = small ? 0 : exponent_value(digits, count);
    return 0;
}

/* By json-c's own functions: it keeps the text, so that it writes what it has read. */
static int build_double(struct gate *gate, const struct number *number, struct json_object **ret) {
    size_t size = (size_t)(gate->next - number->start);
    char *text = scratch_room(gate, size + 1);
    if (!text)
        return -ENOMEM;
    memcpy(text, number->start, size);
    text[size] = '\0';
    double value;
    if (json_parse_double(text, &value) != 0)
        return -EBADMSG; /* not under the locale of this process, which is "C" */
    return built(json_object_new_double_s(value, text), ret);
}

static int finish_number(struct gate *gate, const struct number *number, struct json_object **ret) {
    if (number->is_integer) {
        int64_t value;
        if (!integer_value(number, &value))
            return -EBADMSG;
        return gate->builds ? built(json_object_new_int64(value), ret) : 0;
    }
    if (number->digit_count > MAX_DECIMAL_MAGNITUDE ||
        (int)number->digit_count + number->exponent > MAX_DECIMAL_MAGNITUDE)
        return -EBADMSG;
    return gate->builds ? build_double(gate, number, ret) : 0;
}

static int take_number(struct gate *gate, struct json_object **ret) {
    struct number number = {.start = gate->next, .is_integer = true};
    number.negative = take(gate, '-');
    number.digits = gate->next;
    number.digit_count = skip_digits(gate);
    if (number.digit_count == 0 || (number.digit_count > 1 && *number.digits == '0')) {
        gate->next = number.start;
        return -EBADMSG;
    }
    int r = take_fraction(gate, &number);
    if (r == 0)
        r = take_exponent(gate, &number);
    if (r < 0)
        return r;
    r = finish_number(gate, &number, ret);
    if (r == -EBADMSG)
        gate->next = number.start;
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
    if (!at(gate, '"') || gate->keys_seen == JSON_GATE_MAX_KEYS)
        return -EBADMSG;
    ret->start = ++gate->next;
    int escaped = json_string_check(&gate->next, gate->end);
    if (escaped < 0)
        return escaped;
    ret->end = gate->next - 1;
    gate->keys[gate->keys_open++] = *ret;
    gate->keys_seen++;
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
    struct gate *gate, struct json_object *object, const char *key, struct json_object *value) {
    if (key && !object)
        return gate->member(key, value, gate->userdata);
    if (key && json_object_object_add_ex(object, key, value, JSON_C_OBJECT_ADD_KEY_IS_NEW) == 0)
        return 0;
    json_object_put(value);
    return -ENOMEM;
}

static int take_member(struct gate *gate, struct json_object *object) {
    struct json_string key;
    struct json_object *value = NULL;
    int escaped = take_key(gate, &key);
    if (escaped < 0)
        return escaped;
    gate->keys_escaped |= escaped > 0;
    int r = take_value(gate, &value);
    if (r < 0 || !gate->builds)
        return r;
    return add_member(gate, object, key_name(gate, key, escaped > 0), value);
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
    bool is_made = gate->builds && !(gate->member && gate->depth == 0);
    CLEANUP_JSON struct json_object *nested = NULL;
    if (is_made) {
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
    gate->keys_seen = gate->keys_open = 0;
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
    if (r < 0)
        return r;
    struct gate CLEANUP(gate_deinit) gate;
    gate_init(&gate, text, size, SIZE_MAX, true);
    return take_text(&gate, ret);
}

int json_gate_parse_members(
    const char *text, size_t size, size_t max_values, json_gate_member member, void *userdata) {
    int r = check_before(text, size, max_values);
    if (r < 0)
        return r;
    struct gate CLEANUP(gate_deinit) gate;
    struct json_object *none = NULL;
    gate_init(&gate, text, size, max_values, true);
    gate.member = member;
    gate.userdata = userdata;
    skip_space(&gate);
    return at(&gate, '{') ? take_text(&gate, &none) : -EBADMSG;
}

void json_object_put_ptr(struct json_object **object) {
    if (*object)
        json_object_put(*object);
}
