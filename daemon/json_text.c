/* See json_text.h. */
#include "daemon/json_text.h"

#include <json-c/printbuf.h>
#include <stdlib.h>
#include <string.h>

static void append(struct json_text *text, const char *data, size_t size) {
    if (text->full || size > text->capacity - text->size) {
        text->full = true;
        return;
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
}

static void append_character(struct json_text *text, char c) {
    append(text, &c, 1);
}

static void separate(struct json_text *text) {
    if (text->comma)
        append_character(text, ',');
}

void json_text_begin(struct json_text *text, char bracket) {
    separate(text);
    append_character(text, bracket);
    text->comma = false;
}

void json_text_end(struct json_text *text, char bracket) {
    append_character(text, bracket);
    text->comma = true;
}

/* ---- strings ---- */

static bool is_plain(unsigned char c) {
    return c >= 0x20 && c != '"' && c != '\\';
}

static void append_escaped(struct json_text *text, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    const char whole[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    const char quoted[2] = {'\\', (char)c};
    if (c == '"' || c == '\\')
        append(text, quoted, sizeof(quoted));
    else
        append(text, whole, sizeof(whole));
}

static void append_content(struct json_text *text, const char *value, size_t length) {
    while (length > 0) {
        size_t plain = 0;
        while (plain < length && is_plain((unsigned char)value[plain]))
            plain++;
        append(text, value, plain);
        if (plain < length)
            append_escaped(text, (unsigned char)value[plain++]);
        value += plain;
        length -= plain;
    }
}

void json_text_joined(struct json_text *text, const char *a, size_t a_length, const char *b) {
    separate(text);
    append_character(text, '"');
    append_content(text, a, a_length);
    append_content(text, b, strlen(b));
    append_character(text, '"');
    text->comma = true;
}

void json_text_string(struct json_text *text, const char *value, size_t length) {
    json_text_joined(text, value, length, "");
}

void json_text_string_key(struct json_text *text, const char *key, size_t length) {
    json_text_string(text, key, length);
    append_character(text, ':');
    text->comma = false;
    text->keys++;
}

void json_text_key(struct json_text *text, const char *key) {
    separate(text);
    append_character(text, '"');
    append(text, key, strlen(key));
    append(text, "\":", 2);
    text->comma = false;
    text->keys++;
}

/* ---- other values ---- */

void json_text_raw(struct json_text *text, const char *json, size_t length) {
    separate(text);
    append(text, json, length);
    text->comma = true;
}

void json_text_int(struct json_text *text, int64_t value) {
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        digits[--at] = '-';
    json_text_raw(text, digits + at, sizeof(digits) - at);
}

void json_text_add_string(struct json_text *text, const char *key, const char *value) {
    if (!value)
        return;
    json_text_key(text, key);
    json_text_string(text, value, strlen(value));
}

void json_text_add_int(struct json_text *text, const char *key, int64_t value) {
    json_text_key(text, key);
    json_text_int(text, value);
}

/* ---- as a value of json-c ---- */

/* A float is the one type whose text json-c, and whoever writes in its place, takes from its maker:
 * that of 1.50 is not to become 1.5. */
struct json_object *json_text_to_value(char *json) {
    struct json_object *value = json ? json_object_new_double(0) : NULL;
    if (!value) {
        free(json);
        return NULL;
    }
    json_object_set_serializer(
        value, json_object_userdata_to_json_string, json, json_object_free_userdata);
    return value;
}
