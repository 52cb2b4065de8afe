/* The frame of every state file: its format's name and version around the fields of the owner. */
#include "common/state_file.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BROKEN_SUFFIX ".broken"

struct frame {
    const char *format;
    int64_t version;
};

static int check_frame(struct json_object *object, const struct state_file_type *type) {
    static const struct json_field table[] = {
        JSON_FIELD(struct frame, format, "format", JSON_FIELD_STRING, true, 1, 64),
        JSON_FIELD(struct frame, version, "version", JSON_FIELD_INT, true, 1, INT_MAX),
    };
    struct frame frame = {0};

    if (json_fields_read(object, table, ARRAY_LENGTH(table), &frame, NULL) < 0 ||
        strcmp(frame.format, type->format) != 0)
        return -EBADMSG;
    return frame.version > type->version ? -EPROTO : 0;
}

int state_file_read(
    int dir_fd, const char *name, const struct state_file_type *type, struct json_object **ret) {
    CLEANUP_FREE char *text = NULL;
    size_t size;
    int r = atomic_file_read(dir_fd, name, STATE_FILE_MAX_SIZE, &text, &size);
    if (r == -EMSGSIZE) /* none that this program wrote */
        return -EBADMSG;
    if (r < 0)
        return r;

    CLEANUP_JSON struct json_object *object = NULL;
    r = json_gate_parse(text, size, &object);
    if (r < 0)
        return r;
    r = check_frame(object, type);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(object);
    return 0;
}

int state_file_write(
    int dir_fd, const char *name, const struct state_file_type *type, struct json_object *object,
    mode_t mode) {
    if (json_object_get_type(object) != json_type_object)
        return -EINVAL;
    int r = json_fields_add_string(object, "format", type->format);
    if (r < 0)
        return r;
    r = json_fields_add_int(object, "version", type->version);
    if (r < 0)
        return r;

    size_t size;
    const char *text = json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    if (!text)
        return -ENOMEM;
    /* What could not be read back must not replace what can. */
    if (size > STATE_FILE_MAX_SIZE)
        return -EMSGSIZE;
    if (json_gate_check(text, size, NULL) < 0)
        return -EINVAL;
    return atomic_file_write(dir_fd, name, text, size, mode);
}

int state_file_set_aside(int dir_fd, const char *name) {
    char aside[NAME_MAX + 1];
    int n = snprintf(aside, sizeof(aside), "%s" BROKEN_SUFFIX, name);
    if (n < 0 || (size_t)n >= sizeof(aside))
        return -ENAMETOOLONG;
    if (renameat(dir_fd, name, dir_fd, aside) < 0)
        return -errno;
    return fsync(dir_fd) < 0 ? -errno : 0;
}
