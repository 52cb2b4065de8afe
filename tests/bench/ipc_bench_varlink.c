/* Ours: the product's server on a loop, and either of its clients. */
#include "ipc_bench.h"

#include "ipc/transport.h"
#include "ipc/varlink_client.h"
#include "ipc/varlink_server.h"

#include "common/cleanup.h"
#include "common/log.h"

#include <string.h>

#define METHOD "io.devtrust.Bench.Echo"
#define TIMEOUT_MS 30000

static const char interface_text[] = "interface io.devtrust.Bench\n"
                                     "method Echo(text: string) -> (text: string)\n";

/* A directory of our own: transport_listen() takes no other. */
static void varlink_open(struct ipc_bench_link *link) {
    char directory[] = "/tmp/ipc-bench-XXXXXX";
    IPC_BENCH_CHECK(mkdtemp(directory));
    snprintf(link->path, sizeof link->path, "%s/socket", directory);
    link->client_fd = -1;
    link->server_fd = transport_listen(link->path);
    IPC_BENCH_CHECK(link->server_fd >= 0);
}

/* Both sides have it open by now. */
static void varlink_remove(const struct ipc_bench_link *link) {
    char path[sizeof link->path + 8];
    snprintf(path, sizeof path, "%s.lock", link->path);
    unlink(path);
    unlink(link->path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

/* ---- the service ---- */

struct echo_fields {
    const char *text;
};

static const struct json_field echo_table[] = {
    JSON_FIELD(struct echo_fields, text, "text", JSON_FIELD_STRING, true, 0, 16384),
};

static void varlink_echo(struct varlink_call *call, void *userdata) {
    struct echo_fields fields = {0};
    (void)userdata;
    if (varlink_call_read_parameters(call, echo_table, ARRAY_LENGTH(echo_table), &fields) == 0)
        varlink_call_reply_fields(call, echo_table, ARRAY_LENGTH(echo_table), &fields);
}

static void varlink_serve(const struct ipc_bench_link *link, size_t size) {
    static const struct method echo = {
        .name = METHOD,
        .access = METHOD_ANYONE,
        .deadline_ms = TIMEOUT_MS,
        .handler = varlink_echo,
    };
    static const struct method *const methods[] = {&echo};
    static const struct varlink_interface interfaces[] = {{"io.devtrust.Bench", interface_text}};
    struct varlink_server_options options = {
        .vendor = "",
        .product = "",
        .version = "",
        .url = "",
        .interfaces = interfaces,
        .interface_count = 1,
        .methods = methods,
        .method_count = 1,
        .limits = varlink_limits_default,
    };
    struct varlink_server *server;
    uv_loop_t loop;
    (void)size;
    options.limits.messages_per_uid = (struct rate){.per_s = 1000000, .burst = 1000000};
    log_init("ipc_bench", LOG_LEVEL_WARNING);
    IPC_BENCH_CHECK(uv_loop_init(&loop) == 0);
    IPC_BENCH_CHECK(varlink_server_new(&loop, &options, &server) == 0);
    IPC_BENCH_CHECK(varlink_server_listen_fd(server, link->server_fd) == 0);
    uv_run(&loop, UV_RUN_DEFAULT);
}

/* ---- the clients ---- */

static struct json_object *varlink_parameters(const char *text) {
    struct json_object *parameters = json_object_new_object();
    IPC_BENCH_CHECK(
        parameters &&
        json_object_object_add(parameters, "text", json_object_new_string(text)) == 0);
    return parameters;
}

static void varlink_check(struct json_object *parameters, const char *error, const char *text) {
    IPC_BENCH_CHECK(!error);
    const char *got = json_object_get_string(json_object_object_get(parameters, "text"));
    IPC_BENCH_CHECK(got && strcmp(got, text) == 0);
}

static void *varlink_connect(const struct ipc_bench_link *link) {
    struct varlink_stream *stream;
    IPC_BENCH_CHECK(varlink_stream_open(link->path, geteuid(), TIMEOUT_MS, &stream) == 0);
    varlink_remove(link);
    return stream;
}

static void varlink_send(void *peer, const char *text) {
    const struct echo_fields fields = {text};
    IPC_BENCH_CHECK(
        varlink_stream_send_fields(peer, METHOD, echo_table, ARRAY_LENGTH(echo_table), &fields) ==
        0);
}

static void varlink_receive(void *peer, const char *text) {
    struct echo_fields fields;
    const char *error;
    IPC_BENCH_CHECK(
        varlink_stream_receive_fields(
            peer, echo_table, ARRAY_LENGTH(echo_table), &fields, &error) == 0);
    IPC_BENCH_CHECK(!error && strcmp(fields.text, text) == 0);
}

static void varlink_call(void *peer, const char *text) {
    varlink_send(peer, text);
    varlink_receive(peer, text);
}

static void varlink_pipeline(void *peer, const char *text, unsigned calls) {
    unsigned sent = 0;
    for (unsigned answered = 0; answered < calls; answered++) {
        unsigned more = IPC_BENCH_REFILL(sent - answered);
        for (; sent < calls && more > 0; sent++, more--)
            varlink_send(peer, text);
        varlink_receive(peer, text);
    }
}

struct uv_peer {
    uv_loop_t loop;
    struct varlink_client *client;
    const char *text;
    unsigned answered;
};

static void *uv_connect(const struct ipc_bench_link *link) {
    struct uv_peer *peer = calloc(1, sizeof *peer);
    IPC_BENCH_CHECK(peer && uv_loop_init(&peer->loop) == 0);
    IPC_BENCH_CHECK(
        varlink_client_connect(&peer->loop, link->path, geteuid(), NULL, NULL, &peer->client) == 0);
    varlink_remove(link);
    return peer;
}

static void uv_answered(
    struct varlink_client *client, struct json_object *parameters, const char *error,
    bool continues, void *userdata) {
    struct uv_peer *peer = userdata;
    (void)client;
    (void)continues;
    varlink_check(parameters, error, peer->text);
    peer->answered++;
}

static void uv_calls(struct uv_peer *peer, const char *text, unsigned calls, unsigned window) {
    unsigned sent = 0;
    peer->text = text;
    peer->answered = 0;
    while (peer->answered < calls) {
        unsigned more =
            window == 1 ? 1 - (sent - peer->answered) : IPC_BENCH_REFILL(sent - peer->answered);
        for (; sent < calls && more > 0; sent++, more--)
            IPC_BENCH_CHECK(
                varlink_client_call(
                    peer->client, METHOD, varlink_parameters(text), false, uv_answered, peer) == 0);
        uv_run(&peer->loop, UV_RUN_ONCE);
    }
}

static void uv_call(void *peer, const char *text) {
    uv_calls(peer, text, 1, 1);
}

static void uv_pipeline(void *peer, const char *text, unsigned calls) {
    uv_calls(peer, text, calls, IPC_BENCH_WINDOW);
}

const struct ipc_bench_side ipc_bench_varlink = {
    .name = "varlink",
    .open = varlink_open,
    .serve = varlink_serve,
    .connect = varlink_connect,
    .call = varlink_call,
    .pipeline = varlink_pipeline,
};

const struct ipc_bench_side ipc_bench_varlink_uv = {
    .name = "varlink_uv",
    .open = varlink_open,
    .serve = varlink_serve,
    .connect = uv_connect,
    .call = uv_call,
    .pipeline = uv_pipeline,
};
