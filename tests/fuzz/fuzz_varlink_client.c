/* libs: common ipc */
/* Arbitrary bytes from a service, in pieces: the client on a loop must give its callers what a
 * reading of the whole gives, and then the end. The first byte of the input is the size of the
 * pieces, the second says which of the calls want more than one answer. */
#include "ipc/transport.h"
#include "ipc/varlink_client.h"
#include "ipc/varlink_message.h"

#include "common/cleanup.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CALLS 4
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static uv_loop_t loop;
static char directory[] = "/tmp/fuzz-varlink-client-XXXXXX";
static char path[64];
static int listener;

static void remove_directory(void) {
    char lock[sizeof path + 8];
    snprintf(lock, sizeof lock, "%s.lock", path);
    unlink(lock);
    unlink(path);
    rmdir(directory);
}

__attribute__((constructor)) static void start(void) {
    CHECK(uv_loop_init(&loop) == 0 && mkdtemp(directory));
    snprintf(path, sizeof path, "%s/socket", directory);
    listener = transport_listen(path);
    CHECK(listener >= 0);
    atexit(remove_directory);
}

/* ---- what is expected ---- */

/* One line for each answer, and one for the end of each call that got none. */
static void record_line(
    struct buffer *record, const char *error, struct json_object *parameters, bool continues) {
    const char *text =
        parameters ? json_object_to_json_string_ext(parameters, JSON_C_TO_STRING_PLAIN) : "-";
    CHECK(buffer_append_string(record, error ? error : "good") == 0);
    CHECK(buffer_append_string(record, continues ? " more " : " ") == 0);
    CHECK(buffer_append_string(record, text) == 0);
    CHECK(buffer_append_string(record, "\n") == 0);
}

/* One answer. Returns whether the connection may go on. */
static bool expect_answer(
    const char *text, size_t size, uint8_t more, unsigned *answered, struct buffer *record) {
    struct varlink_reply_parts CLEANUP_VARLINK_REPLY reply;
    if (varlink_reply_read(text, size, true, &reply) < 0 || *answered == CALLS)
        return false;
    if (reply.continues && !(more & 1 << *answered))
        return false;
    if (!reply.parameters)
        reply.parameters = json_object_new_object();
    record_line(record, reply.error, reply.parameters, reply.continues);
    *answered += !reply.continues;
    return true;
}

static void expect(const uint8_t *data, size_t size, uint8_t more, struct buffer *record) {
    unsigned answered = 0;
    const uint8_t *end;
    while (size > 0 && (end = memchr(data, 0, size))) {
        size_t length = (size_t)(end - data);
        if (!expect_answer((const char *)data, length, more, &answered, record))
            break;
        data += length + 1;
        size -= length + 1;
    }
    for (; answered < CALLS; answered++)
        record_line(record, VARLINK_ERROR_DISCONNECTED, NULL, false);
}

/* ---- the client ---- */

static void on_reply(
    struct varlink_client *client, struct json_object *parameters, const char *error,
    bool continues, void *userdata) {
    (void)client;
    record_line(userdata, error, parameters, continues);
}

static void turn(void) {
    for (int i = 0; i < 2; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static void play(
    const uint8_t *data, size_t size, size_t step, uint8_t more, struct buffer *record) {
    struct varlink_client *client = NULL;
    CHECK(varlink_client_connect(&loop, path, geteuid(), NULL, NULL, &client) == 0);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(fd >= 0);
    for (unsigned i = 0; i < CALLS; i++)
        CHECK(varlink_client_call(client, "a.b.C", NULL, more & 1 << i, on_reply, record) == 0);
    for (size_t at = 0; at < size; at += step) {
        size_t part = size - at < step ? size - at : step;
        if (send(fd, data + at, part, MSG_NOSIGNAL) < (ssize_t)part)
            break; /* it has ended the connection */
        turn();
    }
    shutdown(fd, SHUT_WR);
    turn();
    varlink_client_close(client);
    turn();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > 4096)
        return 0;
    struct buffer CLEANUP_BUFFER expected = BUFFER_INIT(1 << 20);
    struct buffer CLEANUP_BUFFER played = BUFFER_INIT(1 << 20);
    expect(data + 2, size - 2, data[1], &expected);
    play(data + 2, size - 2, (size_t)data[0] + 1, data[1], &played);
    CHECK(played.size == expected.size && memcmp(played.data, expected.data, played.size) == 0);
    return 0;
}
