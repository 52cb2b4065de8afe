/* One call: who may make it, its handler, and its one answer. */
#include "ipc/varlink_connection.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <json-c/json_object.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE "org.varlink.service."

static struct varlink_call *call_free(struct varlink_call *call) {
    if (!call)
        return NULL;
    if (call->room)
        explicit_bzero(call->room, call->parts.parameters_size); /* it may have been a token */
    free(call->room);
    varlink_call_parts_deinit(&call->parts);
    json_object_put(call->parameters);
    json_object_put(call->unsent);
    free(call);
    return NULL;
}

/* The connection is free for the next call, which runs from the loop: the handler's caller need not
 * expect another handler. */
static void call_finish(struct varlink_call *call) {
    struct varlink_connection *connection = call->connection;
    varlink_server_clear_deadline(connection->server, &connection->call_deadline);
    connection->call = NULL;
    if (call->statistics)
        varlink_statistics_end(call->statistics);
    if (call->streaming)
        varlink_usage_count_stream(connection, -1);
    varlink_usage_is_active(connection);
    varlink_usage_count(connection);
    if (!connection->taking && (connection->reader.complete > 0 || !connection->reading))
        varlink_turn_wait(connection);
    call_free(call);
}

/* What the observer sees of a struct are objects, like everything else. */
static void call_show_reply(
    const struct varlink_call *call, const char *error, const struct varlink_parameters *parameters,
    bool continues, size_t size, int64_t latency_us) {
    struct buffer CLEANUP_BUFFER text = BUFFER_INIT(VARLINK_REPLY_MAX);
    struct json_object CLEANUP_JSON *made = NULL;
    if (parameters->table &&
        json_fields_write(&text, parameters->table, parameters->count, parameters->fields) == 0)
        (void)json_gate_parse((const char *)text.data, text.size, &made);
    varlink_statistics_show_reply(
        call, error, parameters->table ? made : parameters->object, continues, size, latency_us);
}

static void call_send(
    struct varlink_call *call, const char *error, const struct varlink_parameters *parameters,
    bool continues) {
    struct varlink_server *server = call->connection->server;
    size_t size =
        call->oneway ? 0 : varlink_connection_send(call->connection, error, parameters, continues);
    int64_t latency = varlink_server_tick(server) - call->taken_us;
    if (call->statistics)
        varlink_statistics_answer(
            call->statistics, server->now_us, latency, !call->answered, error != NULL);
    call->answered = true;
    if (server->observe)
        call_show_reply(call, error, parameters, continues, size, latency);
}

static void call_flush(struct varlink_call *call) {
    struct json_object CLEANUP_JSON *unsent = TAKE_PTR(call->unsent);
    if (unsent)
        call_send(call, NULL, &(struct varlink_parameters){.object = unsent}, true);
}

/* Owns `parameters`. */
static void call_answer(
    struct varlink_call *call, const char *error, struct json_object *parameters) {
    struct json_object CLEANUP_JSON *owned = parameters;
    call_flush(call);
    call_send(call, error, &(struct varlink_parameters){.object = owned}, false);
    call_finish(call);
}

/* An error of the form {name: value}. */
static void call_service_error(
    struct varlink_call *call, const char *error, const char *name, const char *value) {
    struct json_object CLEANUP_JSON *parameters = json_object_new_object();
    if (parameters && name)
        (void)json_fields_add_string(
            parameters, name, value); /* without it, the error still says enough */
    call_answer(call, error, TAKE_PTR(parameters));
}

/* ---- what handlers use ---- */

uid_t varlink_call_uid(const struct varlink_call *call) {
    return call->connection->uid;
}

const char *varlink_call_method(const struct varlink_call *call) {
    return call->method->name;
}

struct json_object *varlink_call_parameters(struct varlink_call *call) {
    const struct varlink_call_parts *parts = &call->parts;
    if (call->parameters || !call->is_running)
        return call->parameters;
    if (!parts->parameters)
        call->parameters = json_object_new_object();
    else
        (void)json_gate_make(parts->parameters, parts->parameters_size, &call->parameters);
    return call->parameters;
}

static int call_read_text(
    struct varlink_call *call, const struct json_field *table, size_t count, void *ret_struct,
    const char **ret_field) {
    const struct varlink_call_parts *parts = &call->parts;
    if (!call->is_running || call->parameters) /* the object is the one copy of a secret in it */
        return -ENOTSUP;
    if (!parts->parameters)
        return json_fields_read_text("{}", 2, table, count, NULL, ret_struct, ret_field);
    if (!call->room && !(call->room = malloc(parts->parameters_size)))
        return -ENOMEM;
    return json_fields_read_text(
        parts->parameters, parts->parameters_size, table, count, call->room, ret_struct, ret_field);
}

int varlink_call_read_parameters(
    struct varlink_call *call, const struct json_field *table, size_t count, void *ret_struct) {
    const char *field = "";
    int r = call_read_text(call, table, count, ret_struct, &field);
    if (r == -ENOTSUP) {
        struct json_object *parameters = varlink_call_parameters(call);
        r = parameters ? json_fields_read(parameters, table, count, ret_struct, &field) : -ENOMEM;
    }
    if (r == -ENOMEM)
        varlink_call_error(call, VARLINK_ERROR_NO_MEMORY, NULL);
    else if (r < 0)
        varlink_call_invalid_parameter(call, field);
    return r;
}

void varlink_call_reply(struct varlink_call *call, struct json_object *parameters) {
    call_answer(call, NULL, parameters);
}

void varlink_call_reply_fields(
    struct varlink_call *call, const struct json_field *table, size_t count, const void *fields) {
    const struct varlink_parameters parameters = {.table = table, .count = count, .fields = fields};
    call_flush(call);
    call_send(call, NULL, &parameters, false);
    call_finish(call);
}

void varlink_call_error(
    struct varlink_call *call, const char *error, struct json_object *parameters) {
    call_answer(call, error, parameters);
}

void varlink_call_invalid_parameter(struct varlink_call *call, const char *parameter) {
    call_service_error(call, SERVICE "InvalidParameter", "parameter", parameter);
}

void varlink_call_notify(struct varlink_call *call, struct json_object *parameters) {
    if (!parameters)
        parameters = json_object_new_object();
    varlink_server_clear_deadline(call->connection->server, &call->connection->call_deadline);
    json_object_put(call->unsent);
    call->unsent = parameters;
    if (!varlink_connection_is_congested(call->connection))
        call_flush(call);
}

bool varlink_call_is_congested(const struct varlink_call *call) {
    return call->unsent || varlink_connection_is_congested(call->connection);
}

void varlink_call_on_drained(
    struct varlink_call *call, void (*drained)(struct varlink_call *, void *), void *userdata) {
    call->drained = drained;
    call->drained_userdata = userdata;
}

void varlink_call_on_cancel(
    struct varlink_call *call, void (*cancelled)(struct varlink_call *, void *), void *userdata) {
    call->cancelled = cancelled;
    call->cancel_userdata = userdata;
}

/* ---- what the connection uses ---- */

void varlink_call_drain(struct varlink_call *call) {
    call_flush(call);
    if (call->drained && !varlink_connection_is_congested(call->connection))
        call->drained(call, call->drained_userdata);
}

static void call_tell_cancelled(struct varlink_call *call) {
    void (*cancelled)(struct varlink_call *, void *) = TAKE_PTR(call->cancelled);
    if (cancelled)
        cancelled(call, call->cancel_userdata);
}

void varlink_call_cancel(struct varlink_call *call) {
    call_tell_cancelled(call);
    call_finish(call);
}

void varlink_call_time_out(struct varlink_call *call) {
    struct varlink_connection *connection = call->connection;
    varlink_server_clear_deadline(connection->server, &connection->call_deadline);
    call_tell_cancelled(call);
    if (connection->closing)
        return; /* the handler closed the server, and with it the call */
    struct json_object CLEANUP_JSON *parameters = json_object_new_object();
    if (parameters)
        (void)json_fields_add_int(parameters, "deadline_ms", call->method->deadline_ms);
    call_answer(call, VARLINK_ERROR_TIMEOUT, TAKE_PTR(parameters));
}

static bool call_is_permitted(const struct varlink_call *call) {
    const struct varlink_server_options *options = &call->connection->server->options;
    uid_t uid = call->connection->uid;
    switch (call->method->access) {
    case METHOD_ANYONE:
        return true;
    case METHOD_MANAGED:
        return uid == 0 || (options->is_managed && options->is_managed(uid, options->userdata));
    case METHOD_ROOT:
        return uid == 0;
    }
    return false;
}

/* The method is not in the table: say whether the interface is. */
static void call_refuse_unknown(struct varlink_call *call, const char *name) {
    size_t length;
    if (!varlink_name_is_valid(name, &length)) {
        call_service_error(call, SERVICE "InvalidParameter", "parameter", "method");
        return;
    }
    if (varlink_server_find_interface(call->connection->server, name, length)) {
        call_service_error(call, SERVICE "MethodNotFound", "method", name);
        return;
    }
    char CLEANUP_FREE *interface = strndup(name, length);
    call_service_error(
        call, SERVICE "InterfaceNotFound", interface ? "interface" : NULL, interface);
}

static void call_run(struct varlink_call *call, size_t size) {
    struct varlink_connection *connection = call->connection;
    struct varlink_server *server = connection->server;
    const struct method *method = call->method;
    if (!method) {
        call_refuse_unknown(call, call->name);
        return;
    }
    if (server->options.introspection_only &&
        strncmp(method->name, SERVICE, strlen(SERVICE)) != 0) {
        call_service_error(call, SERVICE "MethodNotImplemented", "method", method->name);
        return;
    }
    if (!call_is_permitted(call)) {
        call_service_error(call, SERVICE "PermissionDenied", NULL, NULL);
        return;
    }
    if (method->max_parameters > 0 && size > method->max_parameters) {
        varlink_call_invalid_parameter(call, "parameters");
        return;
    }
    if (method->stream && !call->more) {
        call_service_error(call, SERVICE "ExpectedMore", NULL, NULL);
        return;
    }
    if (method->stream) {
        call->streaming = true;
        varlink_usage_count_stream(connection, 1);
    }
    varlink_turn_pay_method(connection, method);
    method->handler(call, server->options.userdata);
    if (connection->call != call || method->deadline_ms == 0)
        return;
    bool has_begun = method->stream && (call->answered || call->unsent);
    if (!has_begun)
        varlink_server_set_deadline(server, &connection->call_deadline, method->deadline_ms);
}

/* Finds the row, counts and shows the call. */
static void call_begin(struct varlink_call *call, bool valid, size_t size) {
    struct varlink_connection *connection = call->connection;
    call->taken_us = connection->server->now_us;
    if (call->name)
        call->statistics = varlink_server_find_method(connection->server, call->name);
    if (call->statistics) {
        call->method = call->statistics->row;
        varlink_statistics_begin(call->statistics);
    }
    connection->call = call;
    if (connection->server->observe)
        varlink_statistics_show_call(call, valid ? varlink_call_parameters(call) : NULL, size + 1);
}

/* All but the parts, whose room need not be cleared. */
static struct varlink_call *call_new(struct varlink_connection *connection) {
    struct varlink_call *call = malloc(sizeof *call);
    if (!call)
        return NULL;
    memset(call, 0, offsetof(struct varlink_call, parts));
    call->connection = connection;
    return call;
}

int varlink_call_dispatch(struct varlink_connection *connection, const char *text, size_t size) {
    struct varlink_call *call = call_new(connection);
    if (!call)
        return -ENOMEM;
    int r = varlink_call_read(text, size, &call->parts);
    if (r < 0 && r != -EINVAL) { /* no JSON object: nothing that could be answered */
        call_free(call);
        return r;
    }
    call->name = call->parts.method;
    call->more = call->parts.more;
    call->oneway = call->parts.oneway;
    call->is_running = true;
    call_begin(call, r == 0, size);
    if (r == 0)
        call_run(call, size);
    else
        call_service_error(call, SERVICE "InvalidParameter", "parameter", call->parts.offence);
    if (connection->call == call)
        call->is_running = false;
    return 0;
}
