/* The strict gate before json-c: what it lets through is one JSON value of RFC 8259 with no
 * surprises (valid UTF-8, no duplicate keys, bounded depth, integers that fit int64, no \u0000, no
 * lone surrogates, no NaN/Infinity, single quotes, comments or trailing bytes), and becomes the
 * objects that json-c would have made of it. Facts: json-c 0.16 alone accepts 34 of 215 must-reject
 * files. */
#pragma once

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_GATE_MAX_DEPTH 16
#define JSON_GATE_MAX_KEYS 8192 /* of one object, with those before it of the objects around it */

/** Checks `size` bytes only. Returns 0 or -EBADMSG; the offset of the first offence in *ret_offset
 * if not NULL. */
int json_gate_check(const char *text, size_t size, size_t *ret_offset);

/** Checks and parses. Returns 0, -EBADMSG, -ENOMEM. Release the result with json_object_put(). The
 * text `null` gives a NULL object, which is how json-c has it. */
int json_gate_parse(const char *text, size_t size, struct json_object **ret);

/* A string as it stands in the text, between its quotes. */
struct json_gate_string {
    const char *text;
    size_t size;
    bool escaped; /* there are escapes in it */
};

/** Whether it means this, in which there is no backslash. */
bool json_gate_string_is(const struct json_gate_string *string, const char *meaning);

/** Writes what it means and a NUL, at most `size` + 1 bytes. Returns how many bytes it means. */
size_t json_gate_string_decode(const struct json_gate_string *string, char *ret);

/* A value of a text. */
struct json_gate_value {
    enum json_type type;
    const char *text; /* as it stands there, `size` bytes */
    size_t size;
    union {
        struct json_gate_string string;
        int64_t number;             /* of json_type_int; of json_type_boolean: 0 or 1 */
        struct json_object *object; /* of an object or array; NULL: it is not made */
    };
};

/** Gets one member; what it gets is good until it returns, and then as long as the text is.
 * `value->object` is its own, whatever it returns: 0, or a negative errno that ends the reading. */
typedef int (*json_gate_member)(
    const struct json_gate_string *key, const struct json_gate_value *value, void *userdata);

/** Reads an object without making one: its members go to `member`, in their order. Only once this
 * has returned 0 are they known to be all there is, each but once. `makes`: whether those that are
 * objects or arrays are made. `max_values`: how many values there may be in all, arrays, objects
 * and the outermost one counted, since each costs memory and time whatever its length. Returns as
 * json_gate_parse(), -EBADMSG for anything but an object too, -E2BIG for too many values, or what
 * `member` returned. */
int json_gate_read_members(
    const char *text, size_t size, size_t max_values, bool makes, json_gate_member member,
    void *userdata);

/** As json_gate_parse(), of a value that has passed the gate as a part of a text already. */
int json_gate_make(const char *text, size_t size, struct json_object **ret);

/** Release for a local `struct json_object *`. */
void json_object_put_ptr(struct json_object **object);
#define CLEANUP_JSON CLEANUP(json_object_put_ptr)
