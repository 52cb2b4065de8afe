/* Walks a tree of json-c objects. Left to json-c are numbers that are no int64, and what has a
 * serialiser of its own. */
#include "common/json_writer.h"

#include "common/json_string.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* One character that does not stand for itself. json-c leaves everything from 0x7f on as it is. */
static int write_special(struct buffer *buffer, char c) {
    static const char names[] = "\"\\bfnrt";
    static const char meanings[] = "\"\\\b\f\n\r\t";
    const char *found = c ? strchr(meanings, c) : NULL;
    if (found) {
        const char escape[2] = {'\\', names[found - meanings]};
        return buffer_append(buffer, escape, sizeof(escape));
    }
    if ((uint8_t)c >= 0x20)
        return buffer_append(buffer, &c, 1);
    static const char digits[] = "0123456789abcdef";
    const char escape[6] = {'\\', 'u', '0', '0', digits[(uint8_t)c >> 4], digits[(uint8_t)c & 0xf]};
    return buffer_append(buffer, escape, sizeof(escape));
}

static int write_string(struct buffer *buffer, const char *text, size_t size) {
    int r = buffer_append_string(buffer, "\"");
    while (r == 0 && size > 0) {
        size_t plain = json_string_plain_length(text, size);
        r = buffer_append(buffer, text, plain);
        text += plain;
        size -= plain;
        if (r == 0 && size > 0) {
            r = write_special(buffer, *text++);
            size--;
        }
    }
    return r < 0 ? r : buffer_append_string(buffer, "\"");
}

int json_write_string(struct buffer *buffer, const char *text) {
    return write_string(buffer, text, strlen(text));
}

static int write_by_json_c(struct buffer *buffer, struct json_object *object) {
    size_t size;
    const char *text = json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    return text ? buffer_append(buffer, text, size) : -ENOMEM;
}

int json_write_int(struct buffer *buffer, int64_t value) {
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char text[20]; /* -9223372036854775808 */
    size_t at = sizeof(text);
    do {
        text[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0)
        text[--at] = '-';
    return buffer_append(buffer, text + at, sizeof(text) - at);
}

static int write_int(struct buffer *buffer, struct json_object *object) {
    int64_t value = json_object_get_int64(object);
    if (value == INT64_MAX) /* or more than that: an uint64 */
        return write_by_json_c(buffer, object);
    return json_write_int(buffer, value);
}

static int write_array(struct buffer *buffer, struct json_object *array) {
    int r = buffer_append_string(buffer, "[");
    for (size_t i = 0; r == 0 && i < json_object_array_length(array); i++) {
        if (i > 0)
            r = buffer_append_string(buffer, ",");
        if (r == 0)
            r = json_write(buffer, json_object_array_get_idx(array, i));
    }
    return r < 0 ? r : buffer_append_string(buffer, "]");
}

static int write_object(struct buffer *buffer, struct json_object *object) {
    int r = buffer_append_string(buffer, "{");
    bool first = true;
    json_object_object_foreach(object, key, value) {
        if (r == 0 && !first)
            r = buffer_append_string(buffer, ",");
        if (r == 0)
            r = json_write_string(buffer, key);
        if (r == 0)
            r = buffer_append_string(buffer, ":");
        if (r == 0)
            r = json_write(buffer, value);
        if (r < 0)
            return r;
        first = false;
    }
    return r < 0 ? r : buffer_append_string(buffer, "}");
}

int json_write(struct buffer *buffer, struct json_object *object) {
    if (json_object_get_userdata(object))
        return write_by_json_c(buffer, object);
    switch (json_object_get_type(object)) {
    case json_type_null:
        return buffer_append_string(buffer, "null");
    case json_type_boolean:
        return json_object_get_boolean(object) ? buffer_append_string(buffer, "true")
                                               : buffer_append_string(buffer, "false");
    case json_type_int:
        return write_int(buffer, object);
    case json_type_double:
        return write_by_json_c(buffer, object);
    case json_type_string:
        return write_string(
            buffer, json_object_get_string(object), (size_t)json_object_get_string_len(object));
    case json_type_array:
        return write_array(buffer, object);
    case json_type_object:
        return write_object(buffer, object);
    }
    return -EINVAL;
}
