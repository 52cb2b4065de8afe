/* See parameters.h. */
#include "ipc/ctl/parameters.h"

#include "ipc/ctl/text.h"

#include <json-c/json.h>
#include <string.h>

/* What stands without quotes cannot be taken for anything else. */
static bool is_bare(const char *text) {
    static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "_.:/@%+,-";
    return *text && text[strspn(text, bare)] == '\0';
}

static void print_text(FILE *file, const char *text) {
    char safe[TEXT_SAFE_SIZE];
    text_safe(text, safe);
    if (is_bare(safe)) {
        fputs(safe, file);
        return;
    }
    fputc('"', file);
    for (const char *at = safe; *at; at++)
        fprintf(file, *at == '"' ? "\\%c" : "%c", *at);
    fputc('"', file);
}

static void print_value(FILE *file, struct json_object *value) {
    switch (json_object_get_type(value)) {
    case json_type_object:
        fputc('{', file);
        parameters_print(file, value);
        fputc('}', file);
        break;
    case json_type_array:
        fputc('[', file);
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            if (i > 0)
                fputc(' ', file);
            print_value(file, json_object_array_get_idx(value, i));
        }
        fputc(']', file);
        break;
    case json_type_string:
        print_text(file, json_object_get_string(value));
        break;
    default:
        fputs(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN), file);
    }
}

int parameters_print(FILE *file, struct json_object *object) {
    int count = 0;
    json_object_object_foreach(object, name, value) {
        char safe[TEXT_SAFE_SIZE];
        fprintf(file, "%s%s=", count++ > 0 ? " " : "", text_safe(name, safe));
        print_value(file, value);
    }
    return count;
}
