/* See redaction.h. */
#include "daemon/redaction.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 32 /* bytes of a string that is too long */
#define ELLIPSIS "…"

struct redaction {
    struct json_text *text;
    const char *const *secrets;
    size_t end; /* of the text: behind it, things are only counted */
};

static void write_value(struct redaction *redaction, struct json_object *value, unsigned depth);

/* Never cuts a character. */
static size_t beginning(const char *value) {
    size_t length = SHOWN;
    while (length > 0 && ((unsigned char)value[length] & 0xc0) == 0x80)
        length--;
    return length;
}

void redaction_write_string(struct json_text *text, const char *value, size_t length) {
    char rest[40];
    if (length <= REDACTION_STRING_MAX) {
        json_text_string(text, value, length);
        return;
    }
    (void)snprintf(rest, sizeof(rest), ELLIPSIS " (%zu bytes)", length);
    json_text_joined(text, value, beginning(value), rest);
}

static bool is_secret(const struct redaction *redaction, const char *name) {
    for (const char *const *secret = redaction->secrets; secret && *secret; secret++)
        if (strcmp(*secret, name) == 0)
            return true;
    return false;
}

/* Names that cannot be shown as they are, are not shown: cut ones could become the same, and so
 * could one that looks like our own mark. */
static bool is_nameable(const char *name) {
    return strlen(name) <= REDACTION_STRING_MAX && strcmp(name, ELLIPSIS) != 0;
}

static bool has_room(const struct redaction *redaction) {
    return redaction->text->size < redaction->end;
}

static void write_object(struct redaction *redaction, struct json_object *object, unsigned depth) {
    struct json_text *text = redaction->text;
    int shown = 0, count = json_object_object_length(object);
    json_text_begin(text, '{');
    json_object_object_foreach(object, name, value) {
        if (shown == REDACTION_MEMBERS_MAX || !has_room(redaction))
            break;
        if (!is_nameable(name))
            continue;
        json_text_string_key(text, name, strlen(name));
        if (is_secret(redaction, name))
            json_text_string(text, REDACTED, strlen(REDACTED));
        else
            write_value(redaction, value, depth + 1);
        shown++;
    }
    if (shown < count) {
        char rest[24];
        (void)snprintf(rest, sizeof(rest), "(%d more)", count - shown);
        json_text_add_string(text, ELLIPSIS, rest);
    }
    json_text_end(text, '}');
}

static void write_array(struct redaction *redaction, struct json_object *array, unsigned depth) {
    struct json_text *text = redaction->text;
    size_t shown = 0, count = json_object_array_length(array);
    json_text_begin(text, '[');
    for (; shown < count && shown < REDACTION_ELEMENTS_MAX && has_room(redaction); shown++)
        write_value(redaction, json_object_array_get_idx(array, shown), depth + 1);
    if (shown < count) {
        char rest[40];
        (void)snprintf(rest, sizeof(rest), ELLIPSIS " (%zu more)", count - shown);
        json_text_string(text, rest, strlen(rest));
    }
    json_text_end(text, ']');
}

/* A float keeps the digits that it came with, however many. */
static void write_scalar(struct json_text *text, struct json_object *value) {
    const char *json = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
    size_t length = json ? strlen(json) : 0;
    if (length > REDACTION_STRING_MAX)
        redaction_write_string(text, json, length);
    else
        json_text_raw(text, json ? json : "null", json ? length : 4);
}

static void write_value(struct redaction *redaction, struct json_object *value, unsigned depth) {
    struct json_text *text = redaction->text;
    bool too_deep = depth > REDACTION_DEPTH_MAX;
    switch (json_object_get_type(value)) {
    case json_type_object:
        if (too_deep)
            json_text_string(text, "{…}", strlen("{…}"));
        else
            write_object(redaction, value, depth);
        break;
    case json_type_array:
        if (too_deep)
            json_text_string(text, "[…]", strlen("[…]"));
        else
            write_array(redaction, value, depth);
        break;
    case json_type_string:
        redaction_write_string(
            text, json_object_get_string(value), (size_t)json_object_get_string_len(value));
        break;
    case json_type_int:
        json_text_int(text, json_object_get_int64(value));
        break;
    default:
        write_scalar(text, value); /* null, true, false, a float */
    }
}

void redaction_write(
    struct json_text *text, struct json_object *value, const char *const *secrets) {
    struct redaction redaction = {text, secrets, text->size + REDACTION_SIZE_MAX};
    write_value(&redaction, value, 1);
}
