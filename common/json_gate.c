/* The strict gate in front of json-c: a recursive descent over RFC 8259 that refuses what json-c
 * would let through, clamp or silently merge. It builds nothing; json-c parses what it let pass. */
#include "common/json_gate.h"

#include "common/cleanup.h"
#include "common/utf8.h"

#include <errno.h>
#include <json-c/json_tokener.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Below 10³⁰⁸ every decimal number is a finite double; the few above it are not worth a bignum. */
#define MAX_DECIMAL_MAGNITUDE 308
#define MAX_EXPONENT 9999

/* A key as it stands in the text, from behind its opening quote to behind its closing one. */
struct key {
    const char *start, *end;
};

struct gate {
    const char *start, *next, *end;
    unsigned depth;
    size_t keys_seen; /* in the whole text */
    size_t keys_open; /* in the objects that are still open: a stack */
    struct key keys[JSON_GATE_MAX_KEYS];
};

static int check_value(struct gate *gate);

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
    while (at(gate, ' ') || at(gate, '\t') || at(gate, '\n') || at(gate, '\r'))
        gate->next++;
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

/* --- strings --- */

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits behind \u. Returns their value or -EBADMSG. */
static int read_hex4(const char **text, const char *end) {
    if (end - *text < 4)
        return -EBADMSG;
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value((*text)[i]);
        if (digit < 0)
            return -EBADMSG;
        value = value * 16 + digit;
    }
    *text += 4;
    return value;
}

/* What follows \u, surrogate pairs put together. U+0000 is refused: json-c cuts keys at it, and so
 * would every C string. */
static int read_unicode_escape(const char **text, const char *end, uint32_t *ret) {
    int high = read_hex4(text, end);
    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff))
        return -EBADMSG;
    if (high < 0xd800 || high > 0xdbff) {
        *ret = (uint32_t)high;
        return 0;
    }

    if (end - *text < 2 || (*text)[0] != '\\' || (*text)[1] != 'u')
        return -EBADMSG;
    *text += 2;
    int low = read_hex4(text, end);
    if (low < 0xdc00 || low > 0xdfff)
        return -EBADMSG;
    *ret = 0x10000U + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    return 0;
}

/* What follows a backslash. */
static int read_escape(const char **text, const char *end, uint32_t *ret) {
    static const char names[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";

    if (*text == end)
        return -EBADMSG;
    char c = *(*text)++;
    if (c == 'u')
        return read_unicode_escape(text, end, ret);
    const char *name = c ? strchr(names, c) : NULL;
    if (!name)
        return -EBADMSG;
    *ret = (uint32_t)meanings[name - names];
    return 0;
}

/* One character of a string, escapes resolved. Returns 1, 0 at the closing quote (which is passed),
 * or -EBADMSG. */
static int read_character(const char **text, const char *end, uint32_t *ret) {
    if (*text == end)
        return -EBADMSG;
    if (**text == '"') {
        (*text)++;
        return 0;
    }
    if (**text == '\\') {
        const char *escape = *text + 1;
        int r = read_escape(&escape, end, ret);
        if (r < 0)
            return r;
        *text = escape;
        return 1;
    }
    const uint8_t byte = (uint8_t) * *text;
    if (byte < 0x20)
        return -EBADMSG;
    if (byte < 0x80) { /* nearly all there is: worth the shortcut */
        (*text)++;
        *ret = byte;
        return 1;
    }
    int size = utf8_decode(*text, (size_t)(end - *text), ret);
    if (size < 0)
        return -EBADMSG;
    *text += size;
    return 1;
}

static int check_string(struct gate *gate) {
    if (!take(gate, '"'))
        return -EBADMSG;
    for (;;) {
        uint32_t code;
        int r = read_character(&gate->next, gate->end, &code);
        if (r <= 0)
            return r;
    }
}

/* --- numbers --- */

static bool integer_fits(const char *digits, size_t count, bool negative) {
    const uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    if (count > 19) /* 2⁶³ has 19 digits, and a first digit of 0 stands alone */
        return false;
    uint64_t value = 0; /* 19 digits fit 64 bits */
    for (size_t i = 0; i < count; i++)
        value = value * 10 + (uint64_t)(digits[i] - '0');
    return value <= limit;
}

/* The digits of an exponent, saturating. */
static int exponent_value(const char *digits, size_t count) {
    int value = 0;
    for (size_t i = 0; i < count && value < MAX_EXPONENT; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

static int check_number(struct gate *gate) {
    const char *start = gate->next;
    bool negative = take(gate, '-');
    const char *integer = gate->next;
    size_t integer_count = skip_digits(gate);
    if (integer_count == 0 || (integer_count > 1 && *integer == '0')) {
        gate->next = start;
        return -EBADMSG;
    }

    bool is_integer = true;
    if (take(gate, '.')) {
        is_integer = false;
        if (skip_digits(gate) == 0)
            return -EBADMSG;
    }

    int exponent = 0;
    if (take(gate, 'e') || take(gate, 'E')) {
        is_integer = false;
        bool small = take(gate, '-');
        if (!small)
            (void)take(gate, '+');
        const char *digits = gate->next;
        size_t count = skip_digits(gate);
        if (count == 0)
            return -EBADMSG;
        exponent = small ? 0 : exponent_value(digits, count);
    }

    bool fits = is_integer ? integer_fits(integer, integer_count, negative)
                           : integer_count <= MAX_DECIMAL_MAGNITUDE &&
                                 (int)integer_count + exponent <= MAX_DECIMAL_MAGNITUDE;
    if (!fits) {
        gate->next = start;
        return -EBADMSG;
    }
    return 0;
}

/* --- objects and arrays --- */

/* Orders keys by their characters, so that "a" and "\u0061" are the same one. */
static int compare_keys(const void *a, const void *b) {
    struct key left = *(const struct key *)a, right = *(const struct key *)b;
    for (;;) {
        uint32_t left_code = 0, right_code = 0;
        int l = read_character(&left.start, left.end, &left_code);
        int r = read_character(&right.start, right.end, &right_code);
        if (l <= 0 || r <= 0) /* both were checked: only the end gives 0 */
            return (l > 0) - (r > 0);
        if (left_code != right_code)
            return left_code < right_code ? -1 : 1;
    }
}

/* Sorting finds duplicates in n·log n whatever the keys are; a hash table would need a secret for
 * that. */
static int check_duplicates(struct gate *gate, size_t first_key) {
    struct key *keys = gate->keys + first_key;
    size_t count = gate->keys_open - first_key;
    if (count < 2)
        return 0;

    qsort(keys, count, sizeof(keys[0]), compare_keys);
    for (size_t i = 1; i < count; i++)
        if (compare_keys(&keys[i - 1], &keys[i]) == 0) {
            gate->next = keys[i - 1].start > keys[i].start ? keys[i - 1].start : keys[i].start;
            return -EBADMSG;
        }
    return 0;
}

static int check_member(struct gate *gate) {
    if (!at(gate, '"') || gate->keys_seen == JSON_GATE_MAX_KEYS)
        return -EBADMSG;
    struct key *key = &gate->keys[gate->keys_open++];
    gate->keys_seen++;

    key->start = gate->next + 1;
    int r = check_string(gate);
    if (r < 0)
        return r;
    key->end = gate->next;
    skip_space(gate);
    if (!take(gate, ':'))
        return -EBADMSG;
    return check_value(gate);
}

static int check_object(struct gate *gate) {
    const size_t first_key = gate->keys_open;
    skip_space(gate);
    if (take(gate, '}'))
        return 0;
    do {
        skip_space(gate);
        int r = check_member(gate);
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

static int check_array(struct gate *gate) {
    skip_space(gate);
    if (take(gate, ']'))
        return 0;
    do {
        int r = check_value(gate);
        if (r < 0)
            return r;
        skip_space(gate);
    } while (take(gate, ','));
    return take(gate, ']') ? 0 : -EBADMSG;
}

static int check_nested(struct gate *gate) {
    if (gate->depth == JSON_GATE_MAX_DEPTH)
        return -EBADMSG;
    gate->depth++;
    int r = *gate->next++ == '{' ? check_object(gate) : check_array(gate);
    gate->depth--;
    return r;
}

static int check_literal(struct gate *gate, const char *word) {
    const size_t size = strlen(word);
    if ((size_t)(gate->end - gate->next) < size || memcmp(gate->next, word, size) != 0)
        return -EBADMSG;
    gate->next += size;
    return 0;
}

static int check_value(struct gate *gate) {
    skip_space(gate);
    if (gate->next == gate->end)
        return -EBADMSG;
    switch (*gate->next) {
    case '{':
    case '[':
        return check_nested(gate);
    case '"':
        return check_string(gate);
    case 't':
        return check_literal(gate, "true");
    case 'f':
        return check_literal(gate, "false");
    case 'n':
        return check_literal(gate, "null");
    default:
        return check_number(gate);
    }
}

int json_gate_check(const char *text, size_t size, size_t *ret_offset) {
    struct gate
        gate; /* 64 KiB of keys that nobody reads before they are written: not worth a memset */
    gate.start = gate.next = text;
    gate.end = text + size;
    gate.depth = 0;
    gate.keys_seen = gate.keys_open = 0;

    int r = check_value(&gate);
    if (r == 0) {
        skip_space(&gate);
        if (gate.next != gate.end)
            r = -EBADMSG;
    }
    if (r < 0 && ret_offset)
        *ret_offset = (size_t)(gate.next - gate.start);
    return r;
}

/* --- json-c behind it --- */

static void tokener_free_ptr(struct json_tokener **tokener) {
    if (*tokener)
        json_tokener_free(*tokener);
}

/* The one value that json-c gives as NULL. */
static bool is_null(const char *text, size_t size) {
    size_t i = 0;
    while (i < size && strchr(" \t\n\r", text[i])) /* the gate has let no NUL through */
        i++;
    return i < size && text[i] == 'n';
}

int json_gate_parse(const char *text, size_t size, struct json_object **ret) {
    if (size > INT_MAX) /* json_tokener_parse_ex() counts in int */
        return -EBADMSG;
    int r = json_gate_check(text, size, NULL);
    if (r < 0)
        return r;

    CLEANUP(tokener_free_ptr) struct json_tokener *tokener = json_tokener_new();
    if (!tokener)
        return -ENOMEM;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);

    struct json_object *object = json_tokener_parse_ex(tokener, text, (int)size);
    if (!object && json_tokener_get_error(tokener) == json_tokener_continue)
        object = json_tokener_parse_ex(tokener, "", 1); /* the NUL ends a bare number */

    if (!object && !is_null(text, size)) {
        enum json_tokener_error error = json_tokener_get_error(tokener);
        /* json-c 0.16 has no error of its own for memory: it just stops */
        return error == json_tokener_success || error == json_tokener_continue ? -ENOMEM : -EBADMSG;
    }
    *ret = object;
    return 0;
}

void json_object_put_ptr(struct json_object **object) {
    if (*object)
        json_object_put(*object);
}
