/* JSON written straight into a text: for what is made in numbers (events of io.devtrust.Debug, the
 * log in memory), where an object that is built only to be serialised would cost several times as
 * much. */
#pragma once

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes into memory of the caller. What does not fit sets `full`: the text is of no use then. */
struct json_text {
    char *data;
    size_t size, capacity;
    unsigned keys; /* written so far */
    bool full;
    bool comma; /* the next key or element needs one before it */
};

#define JSON_TEXT_INIT(data_, capacity_)                                                           \
    { .data = (data_), .capacity = (capacity_) }

/** A container begins ('{' or '[') or ends ('}' or ']'). */
void json_text_begin(struct json_text *text, char bracket);
void json_text_end(struct json_text *text, char bracket);

/** The name of the next value. Plain ASCII that needs no escape, or checked by
 * json_text_string_key(). */
void json_text_key(struct json_text *text, const char *key);
void json_text_string_key(struct json_text *text, const char *key, size_t length);

/** Values. Strings must be valid UTF-8. */
void json_text_string(struct json_text *text, const char *value, size_t length);
void json_text_int(struct json_text *text, int64_t value);
void json_text_raw(struct json_text *text, const char *json, size_t length);

/** A string in two parts. */
void json_text_joined(struct json_text *text, const char *a, size_t a_length, const char *b);

/** Members; a NULL string leaves the member out. */
void json_text_add_string(struct json_text *text, const char *key, const char *value);
void json_text_add_int(struct json_text *text, const char *key, int64_t value);

/** A value of json-c that is serialised as `json` stands. Owns `json` in any case; NULL when memory
 * is out. */
struct json_object *json_text_to_value(char *json);
