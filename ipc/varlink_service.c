/* org.varlink.service: how tools learn what a service offers. Every service has it. */
#include "ipc/varlink_connection.h"

#include "ipc/interface_methods.h"
#include "ipc/interfaces.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <json-c/json_object.h>
#include <string.h>

/* A ready answer or, where memory is out, the plainest error. */
static void service_answer(struct varlink_call *call, int r, struct json_object *parameters) {
    if (r == 0) {
        varlink_call_reply(call, parameters);
        return;
    }
    json_object_put(parameters);
    varlink_call_error(call, VARLINK_ERROR_NO_MEMORY, NULL);
}

static int service_add_interfaces(
    struct json_object *parameters, const struct varlink_server *server) {
    struct json_object *names = json_object_new_array();
    int r = json_fields_add(parameters, "interfaces", names);
    for (size_t i = 0; r == 0 && i < server->interface_count; i++) {
        struct json_object *name = json_object_new_string(server->interfaces[i].name);
        if (!name || json_object_array_add(names, name) < 0) {
            json_object_put(name);
            r = -ENOMEM;
        }
    }
    return r;
}

/* systemd's varlinkctl wants all five fields */
static void service_get_info(struct varlink_call *call, void *userdata) {
    const struct varlink_server *server = call->connection->server;
    const struct varlink_server_options *options = &server->options;
    (void)userdata;
    struct json_object *parameters = json_object_new_object();
    int r = parameters ? 0 : -ENOMEM;
    if (r == 0)
        r = json_fields_add_string(parameters, "vendor", options->vendor);
    if (r == 0)
        r = json_fields_add_string(parameters, "product", options->product);
    if (r == 0)
        r = json_fields_add_string(parameters, "version", options->version);
    if (r == 0)
        r = json_fields_add_string(parameters, "url", options->url);
    if (r == 0)
        r = service_add_interfaces(parameters, server);
    service_answer(call, r, parameters);
}

static void service_get_interface_description(struct varlink_call *call, void *userdata) {
    struct request {
        const char *interface;
    } request = {NULL};
    struct answer {
        const char *description;
    } answer;
    static const struct json_field request_table[] = {
        JSON_FIELD(struct request, interface, "interface", JSON_FIELD_STRING, true, 1, 0),
    };
    static const struct json_field answer_table[] = {
        JSON_FIELD(struct answer, description, "description", JSON_FIELD_STRING, true, 1, 0),
    };
    (void)userdata;
    if (varlink_call_read_parameters(call, request_table, 1, &request) < 0)
        return;
    const struct varlink_interface *interface = varlink_server_find_interface(
        call->connection->server, request.interface, strlen(request.interface));
    if (!interface) {
        struct json_object *parameters = json_object_new_object();
        (void)json_fields_add_string(parameters, "interface", request.interface);
        varlink_call_error(call, "org.varlink.service.InterfaceNotFound", parameters);
        return;
    }
    answer.description = interface->description;
    varlink_call_reply_fields(call, answer_table, 1, &answer);
}

const struct varlink_interface varlink_service_interface = {
    .name = "org.varlink.service",
    .description = interface_org_varlink_service,
};

METHOD_CALL(org_varlink_service, GetInfo, ANYONE, 1000, 0, service_get_info);
METHOD_CALL(
    org_varlink_service, GetInterfaceDescription, ANYONE, 1000, 0,
    service_get_interface_description);

const struct method *const varlink_service_methods[] = {
    METHODS_OF_org_varlink_service(METHOD_ROW_OF)};
const size_t varlink_service_method_count = ARRAY_LENGTH(varlink_service_methods);
