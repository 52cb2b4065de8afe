/* Reads the fields of a JSON object into a struct by table: types are exact (never coerced),
 * unknown keys are ignored, JSON null counts as absent. */
#pragma once

#include "common/buffer.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_field_type {
    JSON_FIELD_STRING, /* const char *, borrowed from the object; valid as long as the object is */
    JSON_FIELD_INT,    /* int64_t */
    JSON_FIELD_BOOL,   /* bool */
    JSON_FIELD_ARRAY,  /* struct json_object *, borrowed */
    JSON_FIELD_OBJECT, /* struct json_object *, borrowed */
};

struct json_field {
    const char *name;
    enum json_field_type type;
    bool required;
    size_t offset;   /* of the member in the struct */
    int64_t minimum; /* int: smallest; string: shortest in bytes; array: fewest elements */
    int64_t maximum; /* int: largest; string: longest; array: most; 0 = no bound for ints, 1024
                        bytes for strings, 1024 elements for arrays */
};

#define JSON_FIELD(struct_, member_, name_, type_, required_, minimum_, maximum_)                  \
    { name_, type_, required_, offsetof(struct_, member_), minimum_, maximum_ }

/** Fills the members named by `table`; absent optional members keep what the caller put there.
 * Returns 0 or -EINVAL (wrong type, missing, out of range) with the field's name in *ret_field (may
 * be NULL; static storage; "" if `object` is no object); the struct is then untouched. A minimum of
 * 0 keeps negative numbers out; INT64_MIN lets them in. */
int json_fields_read(
    struct json_object *object, const struct json_field *table, size_t count, void *ret_struct,
    const char **ret_field);

/** The same from the text of an object that has passed the gate, without making objects, for tables
 * of strings, ints and bools alone. Strings go to `room`, each to where it stands in the text: it
 * takes `size` bytes, they are valid as long as it is, and reading twice gives the same. Errors as
 * above, and -ENOTSUP for another table, which has objects or too many rows. */
#define JSON_FIELDS_TEXT_MAX ((size_t)16) /* fields of such a table */
int json_fields_read_text(
    const char *text, size_t size, const struct json_field *table, size_t count, char *room,
    void *ret_struct, const char **ret_field);

/** Appends the object that json_fields_read() reads as this struct, again of strings, ints and
 * bools alone. What is not required is left out where it is NULL, 0 or false; a required string is
 * never NULL. Bounds are not looked at. Returns 0, -EMSGSIZE past the buffer's maximum, -ENOMEM,
 * -ENOTSUP; the buffer may then hold a part of it. */
int json_fields_write(
    struct buffer *buffer, const struct json_field *table, size_t count, const void *fields);

/** Builders that carry the out-of-memory case: add returns 0 or -ENOMEM, and owns `value` from the
 * call on. A NULL string leaves the key out. */
int json_fields_add(struct json_object *object, const char *name, struct json_object *value);
int json_fields_add_string(struct json_object *object, const char *name, const char *value);
int json_fields_add_int(struct json_object *object, const char *name, int64_t value);
int json_fields_add_bool(struct json_object *object, const char *name, bool value);
