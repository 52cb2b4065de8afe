/* JSON objects to text, byte for byte as json-c writes it plainly and with bare slashes, at a
 * fraction of the cost for strings. */
#pragma once

#include "common/buffer.h"

#include <json-c/json_object.h>
#include <stdint.h>

/** Appends the text of `object` (NULL: null). A serialiser of an object's own is used if it came
 * with userdata (json_object_set_serializer): another cannot be seen from outside. Returns 0,
 * -EMSGSIZE past the buffer's maximum, -ENOMEM; the buffer may then hold a part of it. */
int json_write(struct buffer *buffer, struct json_object *object);

/** Appends a C string as a JSON string, quotes included. Errors as above. */
int json_write_string(struct buffer *buffer, const char *text);

/** Appends a number. Errors as above. */
int json_write_int(struct buffer *buffer, int64_t value);
