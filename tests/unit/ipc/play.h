/* A small service and raw peers on socket pairs, for the tests of the Varlink server and clients. A
 * socket pair delivers what was written before the loop polls next, so a few turns of the loop are
 * enough and nothing needs to sleep. */
#pragma once

#include "ipc/transport.h"
#include "ipc/varlink_client.h"
#include "ipc/varlink_message.h"
#include "ipc/varlink_server.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PLAY_PEERS 32
#define PLAY_MANAGED_UID 4711

static const char play_interface[] = "# for tests\n"
                                     "interface io.test.Play\n"
                                     "type Thing (a: int, b: ?(x, y))\n"
                                     "method Echo(value: ?string) -> (value: ?string)\n"
                                     "method Later() -> (done: bool)\n"
                                     "method Silent() -> ()\n"
                                     "method Small(text: string) -> ()\n"
                                     "method Count() -> (number: int)\n"
                                     "method Mute() -> ()\n"
                                     "method Slow() -> ()\n"
                                     "method Dear() -> ()\n"
                                     "method Managed() -> ()\n"
                                     "method Root() -> ()\n"
                                     "method Close() -> ()\n"
                                     "method Fields(text: string, number: ?int, flag: ?bool) -> "
                                     "(text: string, number: ?int, flag: ?bool)\n"
                                     "method Keep(text: string) -> ()\n"
                                     "error Wrong (why: string)\n";

struct play_fields {
    const char *text;
    int64_t number;
    bool flag;
};

static const struct json_field play_fields_table[] = {
    JSON_FIELD(struct play_fields, text, "text", JSON_FIELD_STRING, true, 0, 16),
    JSON_FIELD(struct play_fields, number, "number", JSON_FIELD_INT, false, INT64_MIN, 0),
    JSON_FIELD(struct play_fields, flag, "flag", JSON_FIELD_BOOL, false, 0, 0),
};

struct play {
    uv_loop_t loop;
    struct varlink_server *server;
    struct varlink_call *later; /* the one that waits for the test */
    struct varlink_call *count; /* the open stream */
    struct play_fields kept;    /* of the one that waits */
    unsigned cancelled, called, closed;
    bool close_when_cancelled, speak_at_once;
};

static void play_server_closed(void *userdata) {
    struct play *play = userdata;
    play->server = NULL;
    play->closed++;
}

static void play_cancelled(struct varlink_call *call, void *userdata) {
    struct play *play = userdata;
    play->cancelled++;
    if (play->close_when_cancelled)
        varlink_server_close(play->server, play_server_closed, play);
    if (play->later == call)
        play->later = NULL;
    if (play->count == call)
        play->count = NULL;
}

static void play_echo(struct varlink_call *call, void *userdata) {
    struct play *play = userdata;
    play->called++;
    varlink_call_reply(call, json_object_get(varlink_call_parameters(call)));
}

static void play_later(struct varlink_call *call, void *userdata) {
    struct play *play = userdata;
    play->called++;
    assert_null(play->later);
    play->later = call;
    varlink_call_on_cancel(call, play_cancelled, play);
}

static void play_count(struct varlink_call *call, void *userdata) {
    struct play *play = userdata;
    play->called++;
    play->count = call;
    varlink_call_on_cancel(call, play_cancelled, play);
    if (play->speak_at_once)
        varlink_call_notify(call, NULL);
}

static void play_empty(struct varlink_call *call, void *userdata) {
    struct play *play = userdata;
    play->called++;
    varlink_call_reply(call, NULL);
}

static void play_fields(struct varlink_call *call, void *userdata) {
    struct play *play = userdata;
    struct play_fields fields = {0};
    play->called++;
    if (varlink_call_read_parameters(
            call, play_fields_table, ARRAY_LENGTH(play_fields_table), &fields) == 0)
        varlink_call_reply_fields(
            call, play_fields_table, ARRAY_LENGTH(play_fields_table), &fields);
}

static void play_keep(struct varlink_call *call, void *userdata) {
    struct play *play = userdata;
    assert_int_equal(
        varlink_call_read_parameters(
            call, play_fields_table, ARRAY_LENGTH(play_fields_table), &play->kept),
        0);
    play_later(call, userdata);
}

/* longer than a turn is */
static void play_slow(struct varlink_call *call, void *userdata) {
    struct play *play = userdata;
    uint64_t begin = uv_hrtime();
    while (uv_hrtime() - begin < 200000)
        ;
    play->called++;
    varlink_call_reply(call, NULL);
}

static void play_close(struct varlink_call *call, void *userdata) {
    struct play *play = userdata;
    varlink_call_on_cancel(call, play_cancelled, play);
    varlink_server_close(play->server, play_server_closed, play);
}

#define PLAY_SILENT_MS 400 /* waited for; what a test does before must be quicker */
#define PLAY_TIMEOUT                                                                               \
    "{\"error\":\"io.devtrust.Local.Timeout\",\"parameters\":{\"deadline_ms\":400}}|"
#define PLAY_SMALL_MAX 80

static const struct method play_dear = {
    .name = "io.test.Play.Dear",
    .access = METHOD_ANYONE,
    .deadline_ms = 1000,
    .messages = 10,
    .handler = play_empty,
};

static const struct method *const play_methods[] = {
    METHOD_ROW("io.test.Play.Echo", METHOD_ANYONE, false, 1000, 0, play_echo),
    METHOD_ROW("io.test.Play.Later", METHOD_ANYONE, false, 60000, 0, play_later),
    METHOD_ROW("io.test.Play.Silent", METHOD_ANYONE, false, PLAY_SILENT_MS, 0, play_later),
    METHOD_ROW("io.test.Play.Small", METHOD_ANYONE, false, 1000, PLAY_SMALL_MAX, play_empty),
    METHOD_ROW("io.test.Play.Count", METHOD_ANYONE, true, 0, 0, play_count),
    METHOD_ROW("io.test.Play.Mute", METHOD_ANYONE, true, PLAY_SILENT_MS, 0, play_count),
    METHOD_ROW("io.test.Play.Slow", METHOD_ANYONE, false, 1000, 0, play_slow),
    &play_dear,
    METHOD_ROW("io.test.Play.Managed", METHOD_MANAGED, false, 1000, 0, play_empty),
    METHOD_ROW("io.test.Play.Root", METHOD_ROOT, false, 1000, 0, play_empty),
    METHOD_ROW("io.test.Play.Close", METHOD_ANYONE, false, 1000, 0, play_close),
    METHOD_ROW("io.test.Play.Fields", METHOD_ANYONE, false, 1000, 0, play_fields),
    METHOD_ROW("io.test.Play.Keep", METHOD_ANYONE, false, 60000, 0, play_keep),
};

static const struct varlink_interface play_interfaces[] = {{"io.test.Play", play_interface}};

static bool play_is_managed(uid_t uid, void *userdata) {
    (void)userdata;
    return uid == PLAY_MANAGED_UID;
}

static struct varlink_server_options play_options(struct play *play) {
    return (struct varlink_server_options){
        .vendor = "v",
        .product = "p",
        .version = "1",
        .url = "u",
        .interfaces = play_interfaces,
        .interface_count = 1,
        .methods = play_methods,
        .method_count = sizeof play_methods / sizeof play_methods[0],
        .limits = varlink_limits_default,
        .is_managed = play_is_managed,
        .userdata = play,
    };
}

/** Whoever runs the tests is not to wait for tokens. */
__attribute__((unused)) static struct varlink_limits play_limits(void) {
    struct varlink_limits limits = varlink_limits_default;
    limits.messages_per_uid = limits.connects_per_uid = (struct rate){1000000, 1000000};
    return limits;
}

__attribute__((unused)) static void play_start_with(
    struct play *play, const struct varlink_limits *limits) {
    *play = (struct play){0};
    struct varlink_server_options options = play_options(play);
    options.limits = limits ? *limits : play_limits();
    assert_int_equal(uv_loop_init(&play->loop), 0);
    assert_int_equal(varlink_server_new(&play->loop, &options, &play->server), 0);
}

__attribute__((unused)) static void play_start(struct play *play) {
    play_start_with(play, NULL);
}

/** Turns the loop until what has been written so far is handled. */
static void play_turn(struct play *play) {
    for (int i = 0; i < 16; i++)
        uv_run(&play->loop, UV_RUN_NOWAIT);
}

__attribute__((unused)) static void play_stop(struct play *play) {
    if (play->server)
        varlink_server_close(play->server, play_server_closed, play);
    uv_run(&play->loop, UV_RUN_DEFAULT);
    assert_int_equal(play->closed, 1);
    assert_int_equal(uv_loop_close(&play->loop), 0);
}

/** One more reply of the open stream. */
__attribute__((unused)) static void play_notify(struct play *play, int64_t number) {
    struct json_object *parameters = json_object_new_object();
    assert_int_equal(json_fields_add_int(parameters, "number", number), 0);
    varlink_call_notify(play->count, parameters);
}

/* ---- a raw peer ---- */

/* What goes over the wire, with '|' for each NUL. */
#define ECHO_CALL(value_)                                                                          \
    "{\"method\":\"io.test.Play.Echo\",\"parameters\":{\"value\":\"" value_ "\"}}|"
#define ECHOED(value_) "{\"parameters\":{\"value\":\"" value_ "\"}}|"
#define CALL(name_) "{\"method\":\"io.test.Play." name_ "\"}|"
#define MORE(name_) "{\"method\":\"io.test.Play." name_ "\",\"more\":true}|"
#define ONEWAY(name_) "{\"method\":\"io.test.Play." name_ "\",\"oneway\":true}|"
#define INVALID(name_)                                                                             \
    "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"" name_   \
    "\"}}|"
#define ERROR(name_) "{\"error\":\"org.varlink.service." name_ "\",\"parameters\":{}}|"

__attribute__((unused)) static int play_connect(struct play *play) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(varlink_server_add_connection_fd(play->server, fds[0]), 0);
    return fds[1];
}

/** One whose peer is `uid`, for root only: the kernel takes the credentials at the moment the pair
 * is made. */
__attribute__((unused)) static int play_connect_as(struct play *play, uid_t uid) {
    assert_int_equal(seteuid(uid), 0);
    int fd = play_connect(play);
    assert_int_equal(seteuid(0), 0);
    return fd;
}

/** Sends text with a NUL at each '|' and turns the loop. */
__attribute__((unused)) static void play_send(struct play *play, int fd, const char *text) {
    char *copy = strdup(text);
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        if (copy[i] == '|')
            copy[i] = '\0';
    assert_int_equal(send(fd, copy, size, MSG_NOSIGNAL), size);
    free(copy);
    play_turn(play);
}

/** What has come so far, with '|' for each NUL; a final '$' if the connection has ended. Static
 * storage. */
__attribute__((unused)) static const char *play_received(int fd) {
    static char text[256 * 1024];
    size_t size = 0;
    for (;;) {
        ssize_t n = recv(fd, text + size, sizeof text - size - 2, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            text[size++] = '$';
            break;
        }
        size += (size_t)n;
    }
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0')
            text[i] = '|';
    text[size] = '\0';
    return text;
}

#define play_expect(play_, fd_, sent_, expected_)                                                  \
    do {                                                                                           \
        play_send((play_), (fd_), (sent_));                                                        \
        assert_string_equal(play_received(fd_), (expected_));                                      \
    } while (0)

static void play_count_visit(const struct varlink_connection_info *info, void *userdata) {
    (void)info;
    ++*(unsigned *)userdata;
}

__attribute__((unused)) static unsigned play_connections(struct play *play) {
    unsigned count = 0;
    varlink_server_each_connection(play->server, play_count_visit, &count);
    return count;
}

/** A fresh directory under TMPDIR; play_remove_directory() removes it with what is in it (one
 * level). */
__attribute__((unused)) static char *play_directory(void) {
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    assert_true(asprintf(&path, "%s/devtrust-ipc-XXXXXX", base ? base : "/tmp") > 0);
    assert_non_null(mkdtemp(path));
    return path;
}

__attribute__((unused)) static char *play_path(const char *directory, const char *name) {
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}
