/* A JSON state file: {"format": NAME, "version": N, …}, written atomically, read through the gate.
 * A file of a newer version is left alone and named. */
#pragma once

#include <json-c/json_object.h>
#include <stddef.h>
#include <sys/types.h>

#define STATE_FILE_MAX_SIZE ((size_t)256 * 1024)

struct state_file_type {
    const char *format; /* such as "devtrust-device" */
    int version;        /* the one this program writes, and the newest it reads */
};

/** Returns 0; -ENOENT; -EPROTO (a newer version: leave it alone); -EBADMSG (broken, or another
 * format); other negative errno. Release *ret with json_object_put(). */
int state_file_read(
    int dir_fd, const char *name, const struct state_file_type *type, struct json_object **ret);

/** Adds format and version to `object` (which stays the caller's) and writes it. Returns 0;
 * -EMSGSIZE or -EINVAL for what state_file_read() would refuse (too large, not valid UTF-8, too
 * deep), the old file then stands; or another negative errno. */
int state_file_write(
    int dir_fd, const char *name, const struct state_file_type *type, struct json_object *object,
    mode_t mode);

/** Moves a broken file out of the way to "name.broken" (overwriting an older one), so that nothing
 * is lost. */
int state_file_set_aside(int dir_fd, const char *name);
