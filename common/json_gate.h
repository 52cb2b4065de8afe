/* The strict gate before json-c: what it lets through is one JSON value of RFC 8259 with no
 * surprises (valid UTF-8, no duplicate keys, bounded depth, integers that fit int64, no \u0000, no
 * lone surrogates, no NaN/Infinity, single quotes, comments or trailing bytes), and becomes the
 * objects that json-c would have made of it. Facts: json-c 0.16 alone accepts 34 of 215 must-reject
 * files. */
#pragma once

#include <json-c/json_object.h>
#include <stddef.h>

#define JSON_GATE_MAX_DEPTH 16
#define JSON_GATE_MAX_KEYS 8192 /* in all objects of one text together */

/** Checks `size` bytes only. Returns 0 or -EBADMSG; the offset of the first offence in *ret_offset
 * if not NULL. */
int json_gate_check(const char *text, size_t size, size_t *ret_offset);

/** Checks and parses. Returns 0, -EBADMSG, -ENOMEM. Release the result with json_object_put(). The
 * text `null` gives a NULL object, which is how json-c has it. */
int json_gate_parse(const char *text, size_t size, struct json_object **ret);

/** Gets one member. `key` is good until it returns; `value` is its own from then on, whatever it
 * returns: 0, or a negative errno that ends the parsing. */
typedef int (*json_gate_member)(const char *key, struct json_object *value, void *userdata);

/** Parses an object without making one: its members go to `member`, in their order. Only once this
 * has returned 0 are they known to be all there is, each but once. `max_values`: how many values
 * there may be in all, arrays, objects and the outermost one counted, since each costs memory and
 * time whatever its length. Returns as json_gate_parse(), -EBADMSG for anything but an object too,
 * -E2BIG for too many values, or what `member` returned. */
int json_gate_parse_members(
    const char *text, size_t size, size_t max_values, json_gate_member member, void *userdata);

/** Release for a local `struct json_object *`. */
void json_object_put_ptr(struct json_object **object);
#define CLEANUP_JSON CLEANUP(json_object_put_ptr)
