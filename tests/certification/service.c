/* service PATH: org.varlink.certification on libipc. Compares what every call brings with what it
 * must bring, and its flags. */
#include "tests/certification/certification.h"

#include "ipc/transport.h"
#include "ipc/varlink_connection.h" /* whether a call is oneway is no handler's affair but here */
#include "ipc/varlink_server.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/random.h"

#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MAX_CLIENTS 8 /* the one that has begun first makes room */

extern const char interface_org_varlink_certification[];

struct client {
    char id[37];   /* empty: nobody */
    unsigned next; /* the step that it must make */
};

struct service {
    uv_loop_t loop;
    uv_signal_t terminate;
    struct varlink_server *server;
    struct client clients[MAX_CLIENTS];
    unsigned newest;
};

static struct client *service_find_client(struct service *service, struct varlink_call *call) {
    struct json_object *id = json_object_object_get(varlink_call_parameters(call), "client_id");
    for (size_t i = 0; json_object_is_type(id, json_type_string) && i < MAX_CLIENTS; i++)
        if (*service->clients[i].id &&
            strcmp(service->clients[i].id, json_object_get_string(id)) == 0)
            return &service->clients[i];
    return NULL;
}

/* Owns `wants`. */
static void refuse(struct varlink_call *call, unsigned step, struct json_object *wants) {
    char method[CERTIFICATION_METHOD_SIZE];
    struct json_object *parameters = json_object_new_object();
    struct json_object *wanted = json_object_new_object();
    struct json_object *got = json_object_new_object();
    (void)json_fields_add_string(wanted, "method", certification_method(step, method));
    (void)json_fields_add(wanted, "parameters", wants);
    (void)json_fields_add_string(got, "method", varlink_call_method(call));
    (void)json_fields_add_bool(got, "oneway", call->oneway);
    (void)json_fields_add(got, "parameters", json_object_get(varlink_call_parameters(call)));
    (void)json_fields_add(parameters, "wants", wanted);
    (void)json_fields_add(parameters, "got", got);
    fprintf(stderr, "refused: %s\n", json_object_to_json_string(parameters));
    varlink_call_error(call, CERTIFICATION ".CertificationError", parameters);
}

/* The client whose turn it is and who has brought what he must; whoever has not is answered and has
 * to start again. */
static struct client *service_check(struct service *service, struct varlink_call *call) {
    char method[CERTIFICATION_METHOD_SIZE];
    struct client *client = service_find_client(service, call);
    if (!client) {
        varlink_call_error(call, CERTIFICATION ".ClientIdError", NULL);
        return NULL;
    }
    struct json_object *wants = certification_parameters(client->next);
    (void)json_fields_add_string(wants, "client_id", client->id);
    if (strcmp(certification_method(client->next, method), varlink_call_method(call)) == 0 &&
        certification_matches(wants, varlink_call_parameters(call), true) &&
        call->oneway == (client->next == STEP_TEST11)) {
        json_object_put(wants);
        client->next++;
        return client;
    }
    refuse(call, client->next, wants);
    *client = (struct client){0};
    return NULL;
}

static void start(struct varlink_call *call, void *userdata) {
    struct service *service = userdata;
    service->newest = (service->newest + 1) % MAX_CLIENTS;
    struct client *client = &service->clients[service->newest];
    *client = (struct client){.next = STEP_TEST01};
    if (random_uuid(&random_system, client->id) < 0)
        abort();
    struct json_object *reply = json_object_new_object();
    (void)json_fields_add_string(reply, "client_id", client->id);
    varlink_call_reply(call, reply);
}

/* Test01 to Test09, and Test11, which answers nothing. */
static void test(struct varlink_call *call, void *userdata) {
    struct client *client = service_check(userdata, call);
    if (client)
        varlink_call_reply(call, certification_reply(client->next - 1, 0));
}

static void test_more(struct varlink_call *call, void *userdata) {
    struct client *client = service_check(userdata, call);
    if (!client)
        return;
    for (unsigned i = 1; i < CERTIFICATION_TEXTS; i++)
        varlink_call_notify(call, certification_reply(STEP_TEST10, i));
    varlink_call_reply(call, certification_reply(STEP_TEST10, CERTIFICATION_TEXTS));
}

static void end(struct varlink_call *call, void *userdata) {
    struct client *client = service_check(userdata, call);
    if (!client)
        return;
    *client = (struct client){0};
    struct json_object *reply = json_object_new_object();
    (void)json_fields_add_bool(reply, "all_ok", true);
    varlink_call_reply(call, reply);
    printf("all_ok\n");
    fflush(stdout);
}

#define DEADLINE_MS 1000
#define METHOD(name_, handler_)                                                                    \
    &(const struct method) {                                                                       \
        .name = CERTIFICATION "." name_, .access = METHOD_ANYONE, .deadline_ms = DEADLINE_MS,      \
        .handler = (handler_)                                                                      \
    }

static const struct method *const methods[] = {
    METHOD("Start", start),
    METHOD("Test01", test),
    METHOD("Test02", test),
    METHOD("Test03", test),
    METHOD("Test04", test),
    METHOD("Test05", test),
    METHOD("Test06", test),
    METHOD("Test07", test),
    METHOD("Test08", test),
    METHOD("Test09", test),
    METHOD("Test11", test),
    METHOD("End", end),
    &(const struct method){
        .name = CERTIFICATION ".Test10",
        .access = METHOD_ANYONE,
        .stream = true,
        .deadline_ms = DEADLINE_MS,
        .handler = test_more,
    },
};

static void terminated(uv_signal_t *handle, int number) {
    struct service *service = handle->data;
    (void)number;
    varlink_server_close(service->server, NULL, NULL);
    uv_close((uv_handle_t *)handle, NULL);
}

static int service_begin(struct service *service, const char *path) {
    const struct varlink_interface interface = {CERTIFICATION, interface_org_varlink_certification};
    const struct varlink_server_options options = {
        .vendor = "devtrust",
        .product = "certification",
        .version = "1",
        .url = "",
        .interfaces = &interface,
        .interface_count = 1,
        .methods = methods,
        .method_count = ARRAY_LENGTH(methods),
        .limits = varlink_limits_default,
        .userdata = service,
    };
    int r = varlink_server_new(&service->loop, &options, &service->server);
    if (r < 0)
        return r;
    int fd = transport_listen(path);
    return fd < 0 ? fd : varlink_server_listen_fd(service->server, fd);
}

int main(int argc, char **argv) {
    struct service service = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: service PATH\n");
        return 2;
    }
    if (uv_loop_init(&service.loop) < 0 || uv_signal_init(&service.loop, &service.terminate) < 0)
        return 1;
    service.terminate.data = &service;
    uv_signal_start(&service.terminate, terminated, SIGTERM);
    int r = service_begin(&service, argv[1]);
    if (r < 0) {
        fprintf(stderr, "service: %s: %s\n", argv[1], strerror(-r));
        return 1;
    }
    printf("listening\n");
    fflush(stdout);
    uv_run(&service.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&service.loop) < 0 ? 1 : 0;
}
