/* client PATH [--loop]: drives a service of org.varlink.certification through all of it, with the
 * blocking client or with the one on a loop. */
#include "tests/certification/certification.h"

#include "ipc/varlink_client.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 20000

struct client {
    const char *path;
    struct varlink_stream *stream; /* the blocking client; with a loop: for Test11 only */
    bool on_loop;
    uv_loop_t loop;
    struct varlink_client *client;
    /* of the open call */
    struct json_object *replies; /* the parameters of each */
    bool done;
    char error[128];
};

/* ---- a call and all its replies ---- */

static void client_take(
    struct client *client, struct json_object *parameters, const char *error, bool continues) {
    if (error)
        snprintf(client->error, sizeof client->error, "%s", error);
    json_object_array_add(client->replies, json_object_get(parameters));
    client->done = !continues;
}

static int receive_on_stream(struct client *client) {
    struct json_object CLEANUP_JSON *parameters = NULL;
    char CLEANUP_FREE *error = NULL;
    bool continues = false;
    int r = varlink_stream_receive(client->stream, &parameters, &error, &continues);
    if (r == 0)
        client_take(client, parameters, error, continues);
    return r;
}

static void received_on_loop(
    struct varlink_client *on, struct json_object *parameters, const char *error, bool continues,
    void *userdata) {
    (void)on;
    client_take(userdata, parameters, error, continues);
}

/* Owns `parameters`. The replies are in client->replies. */
static int client_call(
    struct client *client, const char *method, struct json_object *parameters, bool more) {
    json_object_put(client->replies);
    client->replies = json_object_new_array();
    client->done = false;
    client->error[0] = '\0';
    int r = client->on_loop
                ? varlink_client_call(
                      client->client, method, parameters, more, received_on_loop, client)
                : varlink_stream_send(client->stream, method, parameters, more, false);
    while (r >= 0 && !client->done)
        r = client->on_loop ? uv_run(&client->loop, UV_RUN_ONCE) : receive_on_stream(client);
    if (r < 0 || *client->error) {
        fprintf(
            stderr, "%s: %s %s\n", method, r < 0 ? strerror(-r) : client->error,
            json_object_to_json_string(client->replies));
        return -EPROTO;
    }
    return 0;
}

/* The client on the loop has no oneway calls: another connection takes it. That the service has
 * seen it is known by the answer to the call behind it; a reply to the oneway would be in its
 * place. */
static int client_call_oneway(
    struct client *client, const char *method, struct json_object *parameters) {
    int r = varlink_stream_send(client->stream, method, parameters, false, true);
    if (r < 0 || !client->on_loop)
        return r;
    struct json_object CLEANUP_JSON *info = NULL;
    char CLEANUP_FREE *error = NULL;
    bool continues = false;
    r = varlink_stream_send(client->stream, "org.varlink.service.GetInfo", NULL, false, false);
    if (r >= 0)
        r = varlink_stream_receive(client->stream, &info, &error, &continues);
    if (r < 0)
        return r;
    return error || !json_object_object_get(info, "interfaces") ? -EPROTO : 0;
}

/* ---- the test ---- */

/* What all services answer alike: all but the inner maps of Test09, where each has its own. */
static bool reply_is_good(unsigned step, unsigned number, struct json_object *reply) {
    struct json_object CLEANUP_JSON *wanted = certification_reply(step, number);
    if (step == STEP_TEST09)
        json_object_object_del(json_object_object_get(wanted, "mytype"), "interface");
    return certification_matches(wanted, reply, false);
}

static int check_replies(unsigned step, struct json_object *replies) {
    size_t count = json_object_array_length(replies);
    bool good = count == (step == STEP_TEST10 ? CERTIFICATION_TEXTS : 1);
    for (size_t i = 0; good && i < count; i++)
        good = reply_is_good(step, (unsigned)i + 1, json_object_array_get_idx(replies, i));
    if (good)
        return 0;
    fprintf(stderr, "answered wrongly: %s\n", json_object_to_json_string(replies));
    return -EPROTO;
}

/* What the next step is called with: exactly what this one has answered, under the names that the
 * interface gives. Owned by the caller. */
static struct json_object *echo(
    unsigned next, struct json_object *replies, struct json_object *client_id) {
    struct json_object *parameters = json_object_new_object();
    struct json_object CLEANUP_JSON *wanted = certification_parameters(next);
    struct json_object *reply = json_object_array_get_idx(replies, 0);
    (void)json_fields_add(parameters, "client_id", json_object_get(client_id));
    json_object_object_foreach(wanted, name, ignored) {
        (void)ignored;
        (void)json_fields_add(
            parameters, name, json_object_get(json_object_object_get(reply, name)));
    }
    if (next != STEP_TEST11)
        return parameters;
    struct json_object *texts = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(replies); i++)
        json_object_array_add(
            texts, json_object_get(
                       json_object_object_get(json_object_array_get_idx(replies, i), "string")));
    json_object_object_add(parameters, "last_more_replies", texts);
    return parameters;
}

static int run_steps(struct client *client, struct json_object *client_id) {
    char method[CERTIFICATION_METHOD_SIZE];
    for (unsigned step = STEP_TEST01; step <= STEP_END; step++) {
        struct json_object *parameters = echo(step, client->replies, client_id);
        certification_method(step, method);
        int r;
        if (step == STEP_TEST11) {
            r = client_call_oneway(client, method, parameters);
        } else {
            r = client_call(client, method, parameters, step == STEP_TEST10);
            if (r >= 0)
                r = check_replies(step, client->replies);
        }
        if (r < 0) {
            fprintf(stderr, "%s failed\n", method);
            return r;
        }
        printf("%s\n", method);
    }
    struct json_object *all_ok =
        json_object_object_get(json_object_array_get_idx(client->replies, 0), "all_ok");
    if (!json_object_is_type(all_ok, json_type_boolean) || !json_object_get_boolean(all_ok))
        return -EPROTO;
    printf("all_ok\n");
    return 0;
}

static int run(struct client *client) {
    int r = client_call(client, "org.varlink.service.GetInfo", NULL, false);
    if (r < 0)
        return r;
    r = client_call(client, CERTIFICATION ".Start", NULL, false);
    if (r < 0)
        return r;
    struct json_object CLEANUP_JSON *client_id = json_object_get(
        json_object_object_get(json_object_array_get_idx(client->replies, 0), "client_id"));
    return json_object_is_type(client_id, json_type_string) ? run_steps(client, client_id)
                                                            : -EPROTO;
}

int main(int argc, char **argv) {
    struct client client = {.path = argv[1], .on_loop = argc == 3};
    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "--loop") != 0)) {
        fprintf(stderr, "usage: client PATH [--loop]\n");
        return 2;
    }
    int r = varlink_stream_open(client.path, geteuid(), TIMEOUT_MS, &client.stream);
    if (r >= 0 && client.on_loop)
        r = uv_loop_init(&client.loop);
    if (r >= 0 && client.on_loop)
        r = varlink_client_connect(
            &client.loop, client.path, geteuid(), NULL, NULL, &client.client);
    if (r >= 0)
        r = run(&client);
    if (r < 0)
        fprintf(stderr, "client: %s\n", strerror(-r));
    json_object_put(client.replies);
    varlink_stream_free(client.stream);
    varlink_client_close(client.client);
    if (client.client) {
        uv_run(&client.loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&client.loop);
    }
    return r < 0 ? 1 : 0;
}
