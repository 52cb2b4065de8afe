/* libs: common ipc */
/* Arbitrary bytes from a local peer: through the message layer in two different cuts, which must
 * agree; as calls, which must be the same when they are written and read again; and through a
 * server on a socket pair, whose answers must be well-formed and no more than the calls. The first
 * byte of the input is the cut. */
#include "ipc/varlink_message.h"
#include "ipc/varlink_server.h"

#include "common/cleanup.h"
#include "common/json_gate.h"
#include "common/log.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MESSAGE_MAX 512

static const char interface_text[] = "interface io.test.Fuzz\n"
                                     "method Echo() -> ()\n"
                                     "method Silent() -> ()\n"
                                     "method Stream() -> ()\n";

static void handle_echo(struct varlink_call *call, void *userdata) {
    (void)userdata;
    varlink_call_reply(call, json_object_get(varlink_call_parameters(call)));
}

static void handle_silent(struct varlink_call *call, void *userdata) {
    (void)call;
    (void)userdata;
}

static void handle_stream(struct varlink_call *call, void *userdata) {
    (void)userdata;
    varlink_call_notify(call, json_object_get(varlink_call_parameters(call)));
    varlink_call_notify(call, NULL);
    varlink_call_reply(call, NULL);
}

static const struct method *const methods[] = {
    METHOD_ROW("io.test.Fuzz.Echo", METHOD_ANYONE, false, 60000, 0, handle_echo),
    METHOD_ROW("io.test.Fuzz.Silent", METHOD_ANYONE, false, 1, 64, handle_silent),
    METHOD_ROW("io.test.Fuzz.Stream", METHOD_ANYONE, true, 0, 0, handle_stream),
};
static const struct varlink_interface interfaces[] = {{"io.test.Fuzz", interface_text}};

static uv_loop_t loop;
static struct varlink_server *server;

__attribute__((constructor)) static void start(void) {
    struct varlink_server_options options = {
        .vendor = "v",
        .product = "p",
        .version = "1",
        .url = "u",
        .interfaces = interfaces,
        .interface_count = 1,
        .methods = methods,
        .method_count = ARRAY_LENGTH(methods),
        .limits = varlink_limits_default,
    };
    options.limits.message_bytes = MESSAGE_MAX;
    /* a peer that leaves behind a full queue is noticed when the call before it is over */
    options.limits.connections_per_uid = options.limits.connections = 65536;
    options.limits.messages_per_uid = options.limits.connects_per_uid =
        (struct rate){1000000000, 1000000000};
    log_init("fuzz_varlink", LOG_LEVEL_ERROR);
    if (uv_loop_init(&loop) != 0 || varlink_server_new(&loop, &options, &server) != 0)
        abort();
}

static void turn(void) {
    for (int i = 0; i < 4; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

/* ---- the message layer ---- */

/* Messages joined, with a mark that no message holds behind each; then how it ended. */
static int cut_up(const uint8_t *data, size_t size, size_t step, struct buffer *joined) {
    struct varlink_reader reader;
    int r = 0;
    varlink_reader_init(&reader, MESSAGE_MAX, step);
    for (size_t at = 0; at < size && r == 0; at += step) {
        const char *text;
        size_t length;
        r = varlink_reader_feed(
            &reader, (const char *)data + at, size - at < step ? size - at : step);
        while (r == 0 && (r = varlink_reader_next(&reader, &text, &length)) == 1)
            r = buffer_append(joined, text, length + 1);
        if (r == 0)
            r = varlink_reader_settle(&reader);
    }
    varlink_reader_deinit(&reader);
    return r;
}

static void check_cuts(const uint8_t *data, size_t size, size_t step) {
    struct buffer CLEANUP_BUFFER whole = BUFFER_INIT(1 << 20);
    struct buffer CLEANUP_BUFFER parts = BUFFER_INIT(1 << 20);
    int r = cut_up(data, size, size ? size : 1, &whole);
    if (cut_up(data, size, step, &parts) != r || parts.size != whole.size ||
        (whole.size > 0 && memcmp(parts.data, whole.data, whole.size) != 0))
        abort();
}

/* ---- calls ---- */

static struct json_object *parameters_of(const struct varlink_call_parts *call) {
    struct json_object *parameters = NULL;
    if (call->parameters &&
        json_gate_make(call->parameters, call->parameters_size, &parameters) < 0)
        abort();
    return parameters;
}

static bool calls_are_equal(
    const struct varlink_call_parts *left, const struct varlink_call_parts *right) {
    struct json_object CLEANUP_JSON *of_left = parameters_of(left);
    struct json_object CLEANUP_JSON *of_right = parameters_of(right);
    return strcmp(left->method, right->method) == 0 && left->more == right->more &&
           left->oneway == right->oneway && json_object_equal(of_left, of_right);
}

static void check_call(const char *text, size_t size) {
    struct varlink_call_parts CLEANUP_VARLINK_CALL call;
    int r = varlink_call_read(text, size, &call);
    if ((r == -EINVAL) != (call.offence && r != -EBADMSG && r != -EMSGSIZE))
        abort();
    if (r < 0)
        return;
    struct json_object CLEANUP_JSON *parameters = parameters_of(&call);
    const struct varlink_parameters written = {.object = parameters};
    struct buffer CLEANUP_BUFFER again = BUFFER_INIT(1 << 20);
    struct varlink_call_parts CLEANUP_VARLINK_CALL second;
    if (varlink_call_write(&again, call.method, &written, call.more, call.oneway) < 0 ||
        varlink_call_read((const char *)again.data, again.size, &second) < 0 ||
        !calls_are_equal(&call, &second))
        abort();
}

static void check_calls(const uint8_t *data, size_t size) {
    const uint8_t *end;
    while (size > 0 && (end = memchr(data, 0, size))) {
        size_t length = (size_t)(end - data);
        check_call((const char *)data, length);
        data += length + 1;
        size -= length + 1;
    }
}

/* ---- the server ---- */

/* Reads what has come; aborts at an answer that is not one. Returns how many ended a call. */
static size_t check_answers(int fd, struct varlink_reader *reader) {
    static char chunk[65536];
    size_t final = 0;
    ssize_t size;
    while ((size = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0) {
        const char *text;
        size_t length;
        if (varlink_reader_feed(reader, chunk, (size_t)size) < 0)
            abort();
        while (varlink_reader_next(reader, &text, &length) == 1) {
            struct varlink_reply_parts CLEANUP_VARLINK_REPLY parts;
            if (varlink_reply_read(text, length, true, &parts) < 0)
                abort();
            final += !parts.continues;
        }
        if (varlink_reader_settle(reader) < 0)
            abort();
    }
    return final;
}

static void check_server(const uint8_t *data, size_t size, size_t step) {
    int fds[2];
    size_t calls = 0, answers = 0;
    struct varlink_reader reader;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0 ||
        varlink_server_add_connection_fd(server, fds[0]) < 0)
        abort();
    varlink_reader_init(&reader, VARLINK_REPLY_MAX, 65536);
    for (size_t at = 0; at < size; at += step) {
        size_t part = size - at < step ? size - at : step;
        if (send(fds[1], data + at, part, MSG_NOSIGNAL) < (ssize_t)part)
            break;
        turn();
        answers += check_answers(fds[1], &reader);
    }
    for (size_t i = 0; i < size; i++)
        calls += data[i] == 0;
    if (answers > calls)
        abort();
    varlink_reader_deinit(&reader);
    close(fds[1]);
    turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    size_t step = (size_t)data[0] + 1;
    check_cuts(data + 1, size - 1, step);
    check_calls(data + 1, size - 1);
    check_server(data + 1, size - 1, step);
    return 0;
}
