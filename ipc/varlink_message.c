/* The codec shared by server, client and command-line stream. */
#include "ipc/varlink_message.h"

#include "common/json_gate.h"
#include "common/json_writer.h"

#include <errno.h>
#include <json-c/json_object.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void varlink_reader_init(struct varlink_reader *reader, size_t maximum, size_t slack) {
    *reader = (struct varlink_reader){
        .kept = BUFFER_INIT(maximum + 1 + slack),
        .maximum = maximum,
    };
}

void varlink_reader_deinit(struct varlink_reader *reader) {
    buffer_deinit(&reader->kept);
    reader->window = NULL;
    reader->window_size = reader->complete = 0;
    reader->window_is_fed = false;
}

static size_t varlink_count_ends(const char *data, size_t size) {
    size_t count = 0;
    const char *end = data + size;
    for (const char *at = data; at < end && (at = memchr(at, 0, (size_t)(end - at))); at++)
        count++;
    return count;
}

int varlink_reader_feed(struct varlink_reader *reader, const char *data, size_t size) {
    if (reader->kept.size == 0) {
        reader->window = data;
        reader->window_size = size;
        reader->window_is_fed = true;
        reader->complete = varlink_count_ends(data, size);
        return 0;
    }
    int r = buffer_append(&reader->kept, data, size);
    if (r < 0)
        return r;
    reader->window = (const char *)reader->kept.data;
    reader->window_size = reader->kept.size;
    reader->complete += varlink_count_ends(data, size);
    return 0;
}

int varlink_reader_next(struct varlink_reader *reader, const char **ret, size_t *ret_size) {
    if (reader->complete == 0)
        return reader->window_size > reader->maximum ? -EMSGSIZE : 0;
    const char *end = memchr(reader->window, 0, reader->window_size);
    if (!end || (size_t)(end - reader->window) > reader->maximum)
        return -EMSGSIZE;
    size_t size = (size_t)(end - reader->window);
    *ret = reader->window;
    *ret_size = size;
    reader->window += size + 1;
    reader->window_size -= size + 1;
    reader->complete--;
    return 1;
}

int varlink_reader_settle(struct varlink_reader *reader) {
    int r = 0;
    if (reader->window_is_fed) {
        if (reader->window_size > 0)
            r = buffer_append(&reader->kept, reader->window, reader->window_size);
        reader->window_is_fed = false;
    } else {
        buffer_consume(&reader->kept, reader->kept.size - reader->window_size);
    }
    if (r < 0 || reader->kept.size == 0) {
        varlink_reader_deinit(reader);
        return r;
    }
    reader->window = (const char *)reader->kept.data;
    reader->window_size = reader->kept.size;
    return 0;
}

size_t varlink_reader_kept(const struct varlink_reader *reader) {
    return reader->kept.size;
}

bool varlink_reader_is_partial(const struct varlink_reader *reader) {
    return reader->kept.size > 0 && reader->kept.data[reader->kept.size - 1] != 0;
}

/* ---- shape ---- */

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* [A-Za-z]([-]*[A-Za-z0-9])*, at least two of them with dots between */
static bool interface_name_is_valid(const char *name, size_t length) {
    size_t dots = 0;
    char previous = '.';
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (c == '.') {
            if (previous == '.' || previous == '-')
                return false;
            dots++;
        } else if (c == '-') {
            if (previous == '.')
                return false;
        } else if (!is_letter(c) && !(is_digit(c) && i > 0)) {
            return false;
        }
        previous = c;
    }
    return dots > 0 && previous != '.' && previous != '-';
}

bool varlink_name_is_valid(const char *name, size_t *ret_interface_length) {
    const char *dot = strrchr(name, '.');
    if (!dot || !interface_name_is_valid(name, (size_t)(dot - name)))
        return false;
    if (dot[1] < 'A' || dot[1] > 'Z')
        return false;
    for (const char *c = dot + 1; *c; c++)
        if (!is_letter(*c) && !is_digit(*c))
            return false;
    if (ret_interface_length)
        *ret_interface_length = (size_t)(dot - name);
    return true;
}

/* Takes the first text of this key; where it has come before, the gate will refuse the whole. */
static int keep_name(
    struct varlink_name *name, const struct json_gate_string *string, const char **ret) {
    if (*ret)
        return 0;
    char *room = name->room;
    if (string->size >= sizeof name->room && !(room = name->longer = malloc(string->size + 1)))
        return -ENOMEM;
    json_gate_string_decode(string, room);
    *ret = room;
    return 0;
}

static void name_deinit(struct varlink_name *name) {
    free(name->longer);
    name->longer = NULL;
}

static bool is_object_or_null(const struct json_gate_value *value) {
    return value->type == json_type_object || value->type == json_type_null;
}

/* Returns 0, -EINVAL where a call may not have this, -ENOMEM. */
static int call_take(
    struct varlink_call_parts *call, const struct json_gate_string *key,
    const struct json_gate_value *value) {
    if (json_gate_string_is(key, "method") && value->type == json_type_string)
        return keep_name(&call->name, &value->string, &call->method);
    if (json_gate_string_is(key, "parameters") && is_object_or_null(value)) {
        if (value->type == json_type_object) {
            call->parameters = value->text;
            call->parameters_size = value->size;
        }
        return 0;
    }
    if (value->type != json_type_boolean)
        return -EINVAL;
    if (json_gate_string_is(key, "more"))
        call->more = value->number;
    else if (json_gate_string_is(key, "oneway"))
        call->oneway = value->number;
    else if (!json_gate_string_is(key, "upgrade") || value->number)
        return -EINVAL;
    return 0;
}

static int call_member(
    const struct json_gate_string *key, const struct json_gate_value *value, void *userdata) {
    struct varlink_call_parts *call = userdata;
    int r = call_take(call, key, value);
    if (r != -EINVAL || call->offence)
        return r == -EINVAL ? 0 : r;
    call->offence = malloc(key->size + 1);
    if (!call->offence)
        return -ENOMEM;
    json_gate_string_decode(key, call->offence);
    return 0;
}

static int call_offend(struct varlink_call_parts *call, const char *key) {
    call->offence = strdup(key);
    return call->offence ? -EINVAL : -ENOMEM;
}

int varlink_call_read(const char *text, size_t size, struct varlink_call_parts *ret) {
    ret->method = ret->parameters = NULL; /* one by one: the room need not be cleared */
    ret->parameters_size = 0;
    ret->more = ret->oneway = false;
    ret->offence = ret->name.longer = NULL;
    int r = json_gate_read_members(text, size, VARLINK_CALL_MAX_VALUES, false, call_member, ret);
    if (r < 0)
        return r == -E2BIG ? -EMSGSIZE : r;
    if (ret->offence)
        return -EINVAL;
    if (!ret->method)
        return call_offend(ret, "method");
    return ret->more && ret->oneway ? call_offend(ret, "more") : 0;
}

void varlink_call_parts_deinit(struct varlink_call_parts *call) {
    name_deinit(&call->name);
    free(call->offence);
    call->offence = NULL;
}

static int reply_member(
    const struct json_gate_string *key, const struct json_gate_value *value, void *userdata) {
    struct varlink_reply_parts *reply = userdata;
    if (json_gate_string_is(key, "parameters") && is_object_or_null(value)) {
        if (value->type == json_type_object) {
            json_object_put(reply->parameters);
            reply->parameters = value->object;
            reply->text = value->text;
            reply->text_size = value->size;
        }
        return 0;
    }
    if (value->type == json_type_object || value->type == json_type_array)
        json_object_put(value->object);
    if (json_gate_string_is(key, "error") && value->type == json_type_string) {
        int r = keep_name(&reply->name, &value->string, &reply->error);
        return r < 0 || varlink_name_is_valid(reply->error, NULL) ? r : -EBADMSG;
    }
    if (!json_gate_string_is(key, "continues") || value->type != json_type_boolean)
        return -EBADMSG;
    reply->continues = value->number;
    return 0;
}

int varlink_reply_read(const char *text, size_t size, bool makes, struct varlink_reply_parts *ret) {
    ret->error = NULL; /* one by one: the room need not be cleared */
    ret->parameters = NULL;
    ret->text = NULL;
    ret->text_size = 0;
    ret->continues = false;
    ret->name.longer = NULL;
    int r = json_gate_read_members(text, size, SIZE_MAX, makes, reply_member, ret);
    return r == 0 && ret->error && ret->continues ? -EBADMSG : r;
}

void varlink_reply_parts_deinit(struct varlink_reply_parts *reply) {
    name_deinit(&reply->name);
    json_object_put(reply->parameters);
    reply->parameters = NULL;
}

/* ---- text ---- */

static bool parameters_are_none(const struct varlink_parameters *parameters) {
    return !parameters->table && !parameters->object;
}

static int append_parameters(struct buffer *buffer, const struct varlink_parameters *parameters) {
    if (parameters->table)
        return json_fields_write(buffer, parameters->table, parameters->count, parameters->fields);
    return parameters->object ? json_write(buffer, parameters->object)
                              : buffer_append_string(buffer, "{}");
}

static int append_flag(struct buffer *buffer, const char *text, bool flag) {
    return flag ? buffer_append_string(buffer, text) : 0;
}

int varlink_call_write(
    struct buffer *buffer, const char *method, const struct varlink_parameters *parameters,
    bool more, bool oneway) {
    int r = buffer_append_string(buffer, "{\"method\":");
    if (r == 0)
        r = json_write_string(buffer, method);
    if (r == 0 && !parameters_are_none(parameters)) {
        r = buffer_append_string(buffer, ",\"parameters\":");
        if (r == 0)
            r = append_parameters(buffer, parameters);
    }
    if (r == 0)
        r = append_flag(buffer, ",\"more\":true", more);
    if (r == 0)
        r = append_flag(buffer, ",\"oneway\":true", oneway);
    return r < 0 ? r : buffer_append_string(buffer, "}");
}

int varlink_reply_write(
    struct buffer *buffer, const char *error, const struct varlink_parameters *parameters,
    bool continues) {
    int r = append_flag(buffer, "{\"error\":", error);
    if (r == 0 && error)
        r = json_write_string(buffer, error);
    if (r == 0)
        r = buffer_append_string(buffer, error ? ",\"parameters\":" : "{\"parameters\":");
    if (r == 0)
        r = append_parameters(buffer, parameters);
    if (r == 0)
        r = append_flag(buffer, ",\"continues\":true", continues);
    return r < 0 ? r : buffer_append_string(buffer, "}");
}
