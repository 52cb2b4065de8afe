/* One call: who may make it, its handler, and its one answer. */
#include "ipc/varlink_connection.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <json-c/json_object.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE "org.varlink.service."

static struct varlink_call *call_free(struct varlink_call *call) {
    if (!call)
        return NULL;
    json_object_put(call->message);
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
    if (!connection->taking && (connection->reader.complete > 0 || !connection->reading))
        varlink_server_make_ready(connection->server, connection);
    call_free(call);
}

static void call_send(
    struct varlink_call *call, const char *error, struct json_object *parameters, bool continues) {
    if (call->oneway) {
        json_object_put(parameters);
        return;
    }
    varlink_connection_send(call->connection, varlink_reply_message(error, parameters, continues));
}

static void call_answer(
    struct varlink_call *call, const char *error, struct json_object *parameters) {
    if (call->unsent)
        call_send(call, NULL, TAKE_PTR(call->unsent), true);
    call_send(call, error, parameters, false);
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
    return call->parameters;
}

void varlink_call_reply(struct varlink_call *call, struct json_object *parameters) {
    call_answer(call, NULL, parameters);
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
    json_object_put(call->unsent);
    call->unsent = parameters;
    if (!varlink_connection_is_congested(call->connection))
        varlink_call_flush(call);
}

void varlink_call_on_cancel(
    struct varlink_call *call, void (*cancelled)(struct varlink_call *, void *), void *userdata) {
    call->cancelled = cancelled;
    call->cancel_userdata = userdata;
}

/* ---- what the connection uses ---- */

void varlink_call_flush(struct varlink_call *call) {
    if (call->unsent)
        call_send(call, NULL, TAKE_PTR(call->unsent), true);
}

void varlink_call_cancel(struct varlink_call *call) {
    if (call->cancelled)
        call->cancelled(call, call->cancel_userdata);
    call_finish(call);
}

void varlink_call_time_out(struct varlink_call *call) {
    if (call->cancelled)
        call->cancelled(call, call->cancel_userdata);
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

static void call_run(struct varlink_call *call, const char *name, size_t size) {
    struct varlink_connection *connection = call->connection;
    struct varlink_server *server = connection->server;
    const struct method *method = varlink_server_find_method(server, name);
    if (!method) {
        call_refuse_unknown(call, name);
        return;
    }
    call->method = method;
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
    method->handler(call, server->options.userdata);
    if (connection->call && method->deadline_ms > 0)
        varlink_server_set_deadline(server, &connection->call_deadline, method->deadline_ms);
}

int varlink_call_dispatch(struct varlink_connection *connection, const char *text, size_t size) {
    struct varlink_call *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    call->connection = connection;
    int r = json_gate_parse(text, size, &call->message);
    struct varlink_call_parts parts = {0};
    const char *field = NULL;
    if (r == 0)
        r = varlink_call_parse(call->message, &parts, &field);
    if (r < 0 && (!field || !*field)) { /* no JSON object: nothing that could be answered */
        call_free(call);
        return r == -ENOMEM ? r : -EBADMSG;
    }
    call->more = parts.more;
    call->oneway = parts.oneway;
    call->parameters = parts.parameters;
    if (!call->parameters) {
        call->parameters = json_object_new_object();
        if (!call->parameters ||
            json_fields_add(call->message, "parameters", call->parameters) < 0) {
            call_free(call);
            return -ENOMEM;
        }
    }
    connection->call = call;
    if (r == 0 && parts.method)
        call_run(call, parts.method, size);
    else
        call_service_error(call, SERVICE "InvalidParameter", "parameter", field);
    return 0;
}
