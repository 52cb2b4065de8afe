/* JSON objects to structs and back by table, so that no caller ever meets json-c's coercing
 * getters. */
#include "common/json_fields.h"

#include "common/json_gate.h"
#include "common/json_writer.h"

#include <errno.h>
#include <string.h>

#define DEFAULT_MAXIMUM 1024

static const enum json_type json_types[] = {
    [JSON_FIELD_STRING] = json_type_string, [JSON_FIELD_INT] = json_type_int,
    [JSON_FIELD_BOOL] = json_type_boolean,  [JSON_FIELD_ARRAY] = json_type_array,
    [JSON_FIELD_OBJECT] = json_type_object,
};

static bool length_fits(const struct json_field *field, size_t length) {
    int64_t maximum = field->maximum == 0 ? DEFAULT_MAXIMUM : field->maximum;
    return (int64_t)length >= field->minimum && (int64_t)length <= maximum;
}

static bool number_fits(const struct json_field *field, int64_t number) {
    return number >= field->minimum && (field->maximum == 0 || number <= field->maximum);
}

static bool value_is_good(struct json_object *value, const struct json_field *field) {
    if (json_object_get_type(value) != json_types[field->type])
        return false;

    switch (field->type) {
    case JSON_FIELD_STRING: {
        size_t length = (size_t)json_object_get_string_len(value);
        /* objects that did not come through the gate may hold NULs; a C string would end there */
        return length_fits(field, length) && strlen(json_object_get_string(value)) == length;
    }
    case JSON_FIELD_INT:
        return number_fits(field, json_object_get_int64(value));
    case JSON_FIELD_ARRAY:
        return length_fits(field, json_object_array_length(value));
    case JSON_FIELD_BOOL:
    case JSON_FIELD_OBJECT:
        return true;
    }
    return false;
}

static void fill_member(struct json_object *value, const struct json_field *field, void *member) {
    switch (field->type) {
    case JSON_FIELD_STRING:
        *(const char **)member = json_object_get_string(value);
        return;
    case JSON_FIELD_INT:
        *(int64_t *)member = json_object_get_int64(value);
        return;
    case JSON_FIELD_BOOL:
        *(bool *)member = json_object_get_boolean(value);
        return;
    case JSON_FIELD_ARRAY:
    case JSON_FIELD_OBJECT:
        *(struct json_object **)member = value;
        return;
    }
}

static int refuse(const char *name, const char **ret_field) {
    if (ret_field)
        *ret_field = name;
    return -EINVAL;
}

int json_fields_read(
    struct json_object *object, const struct json_field *table, size_t count, void *ret_struct,
    const char **ret_field) {
    if (json_object_get_type(object) != json_type_object)
        return refuse("", ret_field);

    /* all are checked before the first is filled: a refused object leaves the struct as it was */
    for (size_t i = 0; i < count; i++) {
        struct json_object *value = json_object_object_get(object, table[i].name);
        if (value ? !value_is_good(value, &table[i]) : table[i].required)
            return refuse(table[i].name, ret_field);
    }
    for (size_t i = 0; i < count; i++) {
        struct json_object *value = json_object_object_get(object, table[i].name);
        if (value)
            fill_member(value, &table[i], (char *)ret_struct + table[i].offset);
    }
    return 0;
}

/* ---- from text ---- */

struct text_reading {
    const struct json_field *table;
    size_t count;
    struct json_gate_value found[JSON_FIELDS_TEXT_MAX]; /* by row; json_type_null: absent */
};

static int text_member(
    const struct json_gate_string *key, const struct json_gate_value *value, void *userdata) {
    struct text_reading *reading = userdata;
    for (size_t i = 0; i < reading->count; i++)
        if (json_gate_string_is(key, reading->table[i].name))
            reading->found[i] = *value;
    return 0;
}

/* Decodes a string on the way: only then is its length known. */
static bool text_is_good(
    const struct json_gate_value *value, const struct json_field *field, char *room) {
    if (value->type != json_types[field->type])
        return false;
    if (field->type == JSON_FIELD_STRING)
        return length_fits(field, json_gate_string_decode(&value->string, room));
    return field->type != JSON_FIELD_INT || number_fits(field, value->number);
}

static void fill_from_text(
    const struct json_gate_value *value, enum json_field_type type, char *room, void *member) {
    if (type == JSON_FIELD_STRING)
        *(const char **)member = room;
    else if (type == JSON_FIELD_INT)
        *(int64_t *)member = value->number;
    else
        *(bool *)member = value->number;
}

static bool table_is_flat(const struct json_field *table, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (table[i].type == JSON_FIELD_ARRAY || table[i].type == JSON_FIELD_OBJECT)
            return false;
    return true;
}

int json_fields_read_text(
    const char *text, size_t size, const struct json_field *table, size_t count, char *room,
    void *ret_struct, const char **ret_field) {
    struct text_reading reading; /* most of it is not used, and need not be cleared */
    if (count > JSON_FIELDS_TEXT_MAX || !table_is_flat(table, count))
        return -ENOTSUP;
    reading.table = table;
    reading.count = count;
    for (size_t i = 0; i < count; i++)
        reading.found[i].type = json_type_null;
    if (json_gate_read_members(text, size, SIZE_MAX, false, text_member, &reading) < 0)
        return refuse("", ret_field);
    for (size_t i = 0; i < count; i++) {
        const struct json_gate_value *value = &reading.found[i];
        bool is_absent = value->type == json_type_null;
        if (is_absent ? table[i].required
                      : !text_is_good(value, &table[i], room + (value->text - text)))
            return refuse(table[i].name, ret_field);
    }
    for (size_t i = 0; i < count; i++) {
        const struct json_gate_value *value = &reading.found[i];
        if (value->type != json_type_null)
            fill_from_text(
                value, table[i].type, room + (value->text - text),
                (char *)ret_struct + table[i].offset);
    }
    return 0;
}

/* ---- to text ---- */

static bool is_left_out(const struct json_field *field, const void *member) {
    if (field->required)
        return false;
    if (field->type == JSON_FIELD_STRING)
        return !*(const char *const *)member;
    return field->type == JSON_FIELD_INT ? *(const int64_t *)member == 0 : !*(const bool *)member;
}

static int write_member(struct buffer *buffer, enum json_field_type type, const void *member) {
    if (type == JSON_FIELD_STRING)
        return json_write_string(buffer, *(const char *const *)member);
    if (type == JSON_FIELD_INT)
        return json_write_int(buffer, *(const int64_t *)member);
    return buffer_append_string(buffer, *(const bool *)member ? "true" : "false");
}

int json_fields_write(
    struct buffer *buffer, const struct json_field *table, size_t count, const void *fields) {
    if (!table_is_flat(table, count))
        return -ENOTSUP;
    const char *before = "{";
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const void *member = (const char *)fields + table[i].offset;
        if (is_left_out(&table[i], member))
            continue;
        r = buffer_append_string(buffer, before);
        if (r == 0)
            r = json_write_string(buffer, table[i].name);
        if (r == 0)
            r = buffer_append_string(buffer, ":");
        if (r == 0)
            r = write_member(buffer, table[i].type, member);
        before = ",";
    }
    if (r == 0 && *before == '{')
        r = buffer_append_string(buffer, before);
    return r < 0 ? r : buffer_append_string(buffer, "}");
}

/* ---- objects ---- */

int json_fields_add(struct json_object *object, const char *name, struct json_object *value) {
    if (!value)
        return -ENOMEM;
    if (!object || json_object_object_add(object, name, value) < 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

int json_fields_add_string(struct json_object *object, const char *name, const char *value) {
    if (!value)
        return 0;
    return json_fields_add(object, name, json_object_new_string(value));
}

int json_fields_add_int(struct json_object *object, const char *name, int64_t value) {
    return json_fields_add(object, name, json_object_new_int64(value));
}

int json_fields_add_bool(struct json_object *object, const char *name, bool value) {
    return json_fields_add(object, name, json_object_new_boolean(value));
}
