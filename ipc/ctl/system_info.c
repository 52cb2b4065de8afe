/* See system_info.h. */
#include "ipc/ctl/system_info.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/utf8.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

static const struct {
    const char *variable, *member;
} variables[] = {
    {"PRETTY_NAME", "os"},
    {"ID", "os_id"},
    {"VERSION_ID", "os_version"},
};

/* The value without its quotes, in place; backslashes stay as they are. */
static char *unquote(char *value) {
    size_t length = strcspn(value, "\n");
    if (length >= 2 && (value[0] == '"' || value[0] == '\'') && value[length - 1] == value[0]) {
        value++;
        length -= 2;
    }
    value[length] = '\0';
    return value;
}

static int take_line(char *line, struct json_object *object) {
    char *value = strchr(line, '=');
    if (!value)
        return 0;
    *value++ = '\0';
    for (size_t i = 0; i < ARRAY_LENGTH(variables); i++) {
        if (strcmp(line, variables[i].variable) != 0)
            continue;
        value = unquote(value);
        return utf8_is_valid(value, strlen(value))
                   ? json_fields_add_string(object, variables[i].member, value)
                   : 0;
    }
    return 0;
}

static int read_release(const char *path, struct json_object *object) {
    FILE CLEANUP_FCLOSE *file = fopen(path, "re");
    char line[512];
    int r = 0;
    while (r == 0 && file && fgets(line, sizeof line, file))
        r = take_line(line, object);
    return r;
}

struct json_object *system_info(const char *path) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    struct utsname name;
    if (!object || read_release(path, object) < 0)
        return NULL;
    if (uname(&name) == 0 && (json_fields_add_string(object, "kernel", name.release) < 0 ||
                              json_fields_add_string(object, "machine", name.machine) < 0))
        return NULL;
    return TAKE_PTR(object);
}
