/* JSON objects to structs and back by table, so that no caller ever meets json-c's coercing
 * getters. */
#include "common/json_fields.h"

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

static bool value_is_good(struct json_object *value, const struct json_field *field) {
    if (json_object_get_type(value) != json_types[field->type])
        return false;

    switch (field->type) {
    case JSON_FIELD_STRING: {
        size_t length = (size_t)json_object_get_string_len(value);
        /* objects that did not come through the gate may hold NULs; a C string would end there */
        return length_fits(field, length) && strlen(json_object_get_string(value)) == length;
    }
    case JSON_FIELD_INT: {
        int64_t number = json_object_get_int64(value);
        return number >= field->minimum && (field->maximum == 0 || number <= field->maximum);
    }
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
