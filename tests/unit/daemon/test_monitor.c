/* Monitor's streams on a real server: what they show and to whom, what they hold at most, and that
 * nothing is built that nobody gets. Events are handed in as the server's observer would. */
#include "daemon/monitor.h"

#include "common/cleanup.h"
#include "common/json_gate.h"
#include "common/log_messages.h"
#include "ipc/varlink_server.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define NOT_YET 1

static const char interface_text[] = "interface io.devtrust.Debug\n"
                                     "method Monitor() -> ()\n";

static struct {
    uv_loop_t loop;
    struct varlink_server *server;
    struct monitor *monitor;
    struct monitor_filter filter; /* of the next stream */
    int added;                    /* what monitor_add() said last */
    int watching;
    int64_t now_us; /* one more with each event that is built */
} t;

/* ---- surroundings ---- */

static void handle_monitor(struct varlink_call *call, void *userdata) {
    (void)userdata;
    t.added = monitor_add(t.monitor, call, &t.filter);
    if (t.added < 0)
        varlink_call_error(call, "io.devtrust.Debug.TooManyMonitors", NULL);
}

static const struct method *const methods[] = {
    METHOD_ROW(MONITOR_METHOD, METHOD_ANYONE, true, 0, 0, handle_monitor),
};
static const struct varlink_interface interfaces[] = {{"io.devtrust.Debug", interface_text}};

static void watching(bool on, void *userdata) {
    assert_ptr_equal(userdata, &t);
    assert_int_not_equal(t.watching, on);
    t.watching = on;
}

static int64_t now_us(void) {
    return ++t.now_us;
}

static int setup(void **state) {
    (void)state;
    const struct varlink_server_options server = {
        .vendor = "v",
        .product = "p",
        .version = "1",
        .url = "",
        .interfaces = interfaces,
        .interface_count = 1,
        .methods = methods,
        .method_count = 1,
        .limits = varlink_limits_default,
    };
    const struct monitor_options monitor = {&t.loop, now_us, watching, &t};
    memset(&t, 0, sizeof(t));
    t.filter.uid = MONITOR_UID_NONE;
    assert_int_equal(uv_loop_init(&t.loop), 0);
    assert_int_equal(varlink_server_new(&t.loop, &server, &t.server), 0);
    assert_int_equal(monitor_new(&monitor, &t.monitor), 0);
    return 0;
}

static void closed(void *userdata) {
    (void)userdata;
    assert_int_equal(t.watching, 0);
    monitor_close(t.monitor);
}

static int teardown(void **state) {
    (void)state;
    varlink_server_close(t.server, closed, NULL);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&t.loop), 0);
    return 0;
}

static void turn(void) {
    for (int i = 0; i < 16; i++)
        uv_run(&t.loop, UV_RUN_NOWAIT);
}

/* A peer that has called Monitor; its end of the connection. */
static int watch(void) {
    static const char call[] = "{\"method\":\"" MONITOR_METHOD "\",\"more\":true}";
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(varlink_server_add_connection_fd(t.server, fds[0]), 0);
    assert_int_equal(send(fds[1], call, sizeof(call), MSG_NOSIGNAL), sizeof(call));
    t.added = NOT_YET;
    while (t.added == NOT_YET)
        uv_run(&t.loop, UV_RUN_ONCE);
    turn();
    return fds[1];
}

static int watch_with(const char *user, int64_t uid, const char *method) {
    t.filter = (struct monitor_filter){user, uid, method};
    return watch();
}

/* The loop is not let wait: a timer that is due runs before the loop waits, and nothing else may
 * come after what it brings. */
static void turn_until_readable(int fd) {
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    do
        uv_run(&t.loop, UV_RUN_NOWAIT);
    while (poll(&readable, 1, 1) == 0);
}

/* The next reply's parameters, as the loop brings them. */
static struct json_object *next(int fd) {
    static char text[2 * 1024 * 1024];
    size_t size = 0;
    for (;;) {
        ssize_t n = recv(fd, text + size, 1, MSG_DONTWAIT);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            turn_until_readable(fd);
        } else {
            assert_int_equal(n, 1);
            if (text[size++] == '\0')
                break;
            /* the rest of what is there, but not of the next message */
            n = recv(fd, text + size, sizeof(text) - size - 1, MSG_DONTWAIT | MSG_PEEK);
            char *end = n > 0 ? memchr(text + size, '\0', (size_t)n) : NULL;
            size_t take = end ? (size_t)(end - text) - size : n > 0 ? (size_t)n : 0;
            if (take > 0)
                assert_int_equal(recv(fd, text + size, take, MSG_DONTWAIT), take);
            size += take;
        }
    }
    struct json_object *message CLEANUP_JSON = NULL, *parameters = NULL;
    assert_int_equal(json_gate_parse(text, size - 1, &message), 0); /* as any reader would */
    assert_true(json_object_object_get_ex(message, "parameters", &parameters));
    return json_object_get(parameters);
}

static struct json_object *events_of(struct json_object *reply) {
    return json_object_object_get(reply, "events");
}

static int64_t lost_of(struct json_object *reply) {
    return json_object_get_int64(json_object_object_get(reply, "lost"));
}

static const char *text_of(struct json_object *reply, size_t i) {
    return json_object_to_json_string_ext(
        json_object_array_get_idx(events_of(reply), i), JSON_C_TO_STRING_PLAIN);
}

/* Nothing waits, nothing is armed. */
static void assert_silent(int fd) {
    char byte;
    turn();
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

/* ---- events ---- */

static const char *const secrets[] = {"token", NULL};
static const struct method plain_row = {.name = "io.devtrust.Agent.Submit"};
static const struct method secret_row = {.name = "io.devtrust.Device.Enroll", .secrets = secrets};

static struct varlink_event message(const struct method *row, uid_t uid) {
    return (struct varlink_event){
        .kind = VARLINK_EVENT_CALL,
        .connection = 3,
        .uid = uid,
        .pid = 77,
        .method = row->name,
        .row = row,
        .size = 100,
        .latency_us = -1,
    };
}

static void observe_many(int count, struct json_object *parameters) {
    struct varlink_event event = message(&plain_row, 1000);
    event.parameters = parameters;
    for (int i = 0; i < count; i++)
        monitor_observe(&event, t.monitor);
}

static void log_state(const char *user) {
    const struct log_field fields[] = {
        LOG_TEXT("USER_NAME", user), LOG_TEXT("FROM", "requested"), LOG_TEXT("TO", "signing"),
        LOG_TEXT("EVENT", "submit")};
    const struct event_log log = {LOG_LEVEL_INFO, MSG_USER_STATE, "User moves on", fields, 4};
    monitor_log(t.monitor, &log);
}

static void log_peer(int64_t uid) {
    const struct log_field fields[] = {LOG_NUMBER("PEER_UID", uid), LOG_ERRNO(-74)};
    const struct event_log log = {LOG_LEVEL_WARNING, MSG_IPC, "Cut off.", fields, 2};
    monitor_log(t.monitor, &log);
}

/* ---- tests ---- */

static void test_what_events_look_like(void **state) {
    (void)state;
    int fd = watch();
    struct varlink_event event = message(&secret_row, 0);
    struct json_object *parameters CLEANUP_JSON = json_object_new_object();
    json_object_object_add(parameters, "url", json_object_new_string("https://x"));
    json_object_object_add(parameters, "token", json_object_new_string("id.secret"));
    event.parameters = parameters;
    event.more = true;
    monitor_observe(&event, t.monitor);
    event = message(&plain_row, 1000);
    event.kind = VARLINK_EVENT_REPLY;
    event.latency_us = 85;
    event.continues = true;
    monitor_observe(&event, t.monitor);
    event.continues = false;
    event.error = "io.devtrust.Agent.TooSoon";
    monitor_observe(&event, t.monitor);
    event = (struct varlink_event){
        .kind = VARLINK_EVENT_OPENED, .connection = 9, .uid = 1, .pid = 2, .latency_us = -1};
    monitor_observe(&event, t.monitor);
    event.kind = VARLINK_EVENT_CLOSED;
    monitor_observe(&event, t.monitor);
    event.reason = -ENOBUFS;
    monitor_observe(&event, t.monitor);
    event.kind = VARLINK_EVENT_REFUSED;
    event.connection = 0;
    event.reason = -EDQUOT;
    monitor_observe(&event, t.monitor);
    log_state("alice");
    log_peer(1001);
    static const char *const expected[] = {
        "{\"time_us\":1,\"kind\":\"call\",\"connection\":3,\"uid\":0,\"pid\":77,"
        "\"method\":\"io.devtrust.Device.Enroll\",\"flags\":[\"more\"],\"size\":100,"
        "\"parameters\":{\"url\":\"https:\\/\\/x\",\"token\":\"[redacted]\"}}",
        "{\"time_us\":2,\"kind\":\"reply\",\"connection\":3,\"uid\":1000,\"pid\":77,"
        "\"method\":\"io.devtrust.Agent.Submit\",\"flags\":[\"continues\"],\"size\":100,"
        "\"latency_us\":85}",
        "{\"time_us\":3,\"kind\":\"error\",\"connection\":3,\"uid\":1000,\"pid\":77,"
        "\"method\":\"io.devtrust.Agent.Submit\",\"error\":\"io.devtrust.Agent.TooSoon\","
        "\"size\":100,\"latency_us\":85}",
        "{\"time_us\":4,\"kind\":\"opened\",\"connection\":9,\"uid\":1,\"pid\":2}",
        "{\"time_us\":5,\"kind\":\"closed\",\"connection\":9,\"uid\":1,\"pid\":2}",
        "{\"time_us\":6,\"kind\":\"closed\",\"connection\":9,\"uid\":1,\"pid\":2,"
        "\"text\":\"it does not read its answers\"}",
        "{\"time_us\":7,\"kind\":\"refused\",\"uid\":1,\"pid\":2,"
        "\"text\":\"too many connections of this user\"}",
        "{\"time_us\":8,\"kind\":\"state\",\"user\":\"alice\",\"level\":\"info\","
        "\"message_id\":\"" MSG_USER_STATE "\",\"text\":\"User moves on\","
        "\"fields\":{\"USER_NAME\":\"alice\",\"FROM\":\"requested\",\"TO\":\"signing\","
        "\"EVENT\":\"submit\"}}",
        "{\"time_us\":9,\"kind\":\"log\",\"uid\":1001,\"level\":\"warning\","
        "\"message_id\":\"" MSG_IPC "\",\"text\":\"Cut off.\","
        "\"fields\":{\"PEER_UID\":1001,\"ERRNO\":74}}",
    };
    struct json_object *reply CLEANUP_JSON = next(fd);
    assert_int_equal(lost_of(reply), 0);
    assert_int_equal(json_object_array_length(events_of(reply)), ARRAY_LENGTH(expected));
    for (size_t i = 0; i < ARRAY_LENGTH(expected); i++)
        assert_string_equal(text_of(reply, i), expected[i]);
    assert_silent(fd);
    close(fd);
}

/* No row says what of it is secret. */
static void test_unknown_methods_show_no_parameters(void **state) {
    (void)state;
    char name[300];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    int fd = watch();
    struct json_object *parameters CLEANUP_JSON = json_object_new_object();
    json_object_object_add(parameters, "token", json_object_new_string("id.secret"));
    struct varlink_event event = message(&plain_row, 0);
    event.row = NULL;
    event.method = name;
    event.parameters = parameters;
    monitor_observe(&event, t.monitor);
    event.kind = VARLINK_EVENT_REPLY;
    event.method = NULL;
    event.error = "org.varlink.service.InvalidParameter";
    monitor_observe(&event, t.monitor);
    struct json_object *reply CLEANUP_JSON = next(fd);
    for (size_t i = 0; i < 2; i++)
        assert_null(
            json_object_object_get(json_object_array_get_idx(events_of(reply), i), "parameters"));
    assert_non_null(strstr(text_of(reply, 0), "xxx… (299 bytes)"));
    close(fd);
}

static void assert_gets(int fd, size_t count) {
    struct json_object *reply CLEANUP_JSON = next(fd);
    assert_int_equal(json_object_array_length(events_of(reply)), count);
    assert_int_equal(lost_of(reply), 0);
    assert_silent(fd);
}

static void test_filters(void **state) {
    (void)state;
    static const struct method other_row = {.name = "io.devtrust.Agent.Report"};
    int everything = watch();
    int alice = watch_with("alice", 1000, NULL);
    int nobody = watch_with("carol", MONITOR_UID_NONE, NULL);
    int exact = watch_with(NULL, MONITOR_UID_NONE, "io.devtrust.Agent.Submit");
    int prefix = watch_with(NULL, MONITOR_UID_NONE, "io.devtrust.Agent.");
    int both = watch_with("bob", 1001, "io.devtrust.Agent.Report");
    const struct varlink_event events[] = {message(&plain_row, 1000),  message(&other_row, 1000),
                                           message(&secret_row, 1000), message(&plain_row, 1001),
                                           message(&other_row, 1001),  message(&plain_row, 0)};
    for (size_t i = 0; i < ARRAY_LENGTH(events); i++)
        monitor_observe(&events[i], t.monitor);
    struct varlink_event opened = message(&plain_row, 1000);
    opened.kind = VARLINK_EVENT_OPENED;
    opened.method = NULL;
    monitor_observe(&opened, t.monitor);
    log_state("alice");
    log_state("bob");
    log_state("carol");
    log_peer(1000);
    assert_gets(everything, 11);
    assert_gets(alice, 6);
    assert_gets(nobody, 1);
    assert_gets(exact, 3);
    assert_gets(prefix, 5);
    assert_gets(both, 1);
    const int fds[] = {everything, alice, nobody, exact, prefix, both};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        close(fds[i]);
}

static void test_monitors_never_show_what_monitors_say(void **state) {
    (void)state;
    static const struct method own = {.name = MONITOR_METHOD};
    int fd = watch();
    struct varlink_event event = message(&own, 0);
    monitor_observe(&event, t.monitor); /* that somebody else begins is worth knowing */
    event.kind = VARLINK_EVENT_REPLY;
    event.continues = true;
    monitor_observe(&event, t.monitor);
    event.continues = false;
    event.error = "io.devtrust.Debug.TooManyMonitors";
    monitor_observe(&event, t.monitor);
    struct json_object *reply CLEANUP_JSON = next(fd);
    assert_int_equal(json_object_array_length(events_of(reply)), 2);
    assert_non_null(strstr(text_of(reply, 0), "\"call\""));
    assert_non_null(strstr(text_of(reply, 1), "\"error\""));
    close(fd);
}

static void test_events_have_a_limit(void **state) {
    (void)state;
    int fd = watch();
    observe_many(MONITOR_EVENTS_MAX + 88, NULL);
    assert_in_range(t.now_us, MONITOR_EVENTS_MAX, MONITOR_EVENTS_MAX + 1); /* no more was built */
    struct json_object *reply CLEANUP_JSON = next(fd);
    assert_int_equal(json_object_array_length(events_of(reply)), MONITOR_EVENTS_MAX);
    assert_int_equal(lost_of(reply), 88);
    observe_many(1, NULL);
    struct json_object *later CLEANUP_JSON = next(fd);
    assert_int_equal(json_object_array_length(events_of(later)), 1);
    assert_int_equal(lost_of(later), 0);
    close(fd);
}

static void test_exactly_as_many_as_there_is_room_for(void **state) {
    (void)state;
    int fd = watch();
    observe_many(MONITOR_EVENTS_MAX, NULL);
    struct json_object *reply CLEANUP_JSON = next(fd);
    assert_int_equal(json_object_array_length(events_of(reply)), MONITOR_EVENTS_MAX);
    assert_int_equal(lost_of(reply), 0);
    close(fd);
}

static void test_bytes_have_a_limit(void **state) {
    (void)state;
    struct json_object *parameters CLEANUP_JSON = json_object_new_object();
    for (int i = 0; i < 30; i++) {
        char name[64];
        snprintf(name, sizeof(name), "%060d", i);
        json_object_object_add(parameters, name, json_object_new_string(name));
    }
    int fd = watch();
    observe_many(200, parameters);
    struct json_object *reply CLEANUP_JSON = next(fd);
    size_t count = json_object_array_length(events_of(reply));
    assert_in_range(count, 30, 199);
    assert_int_equal((int64_t)count + lost_of(reply), 200);
    size_t size = strlen(json_object_to_json_string_ext(events_of(reply), JSON_C_TO_STRING_PLAIN));
    assert_in_range(size, MONITOR_BYTES_MAX / 2, MONITOR_BYTES_MAX);
    close(fd);
}

/* next() sees to it that the reader's gate takes them. */
static void test_keys_have_a_limit(void **state) {
    (void)state;
    struct json_object *parameters CLEANUP_JSON = json_object_new_object();
    for (int i = 0; i < 32; i++) {
        char name[8];
        snprintf(name, sizeof(name), "%d", i);
        json_object_object_add(parameters, name, json_object_new_int(1));
    }
    int fd = watch();
    observe_many(MONITOR_EVENTS_MAX, parameters);
    struct json_object *reply CLEANUP_JSON = next(fd);
    size_t count = json_object_array_length(events_of(reply));
    assert_in_range(count, 100, MONITOR_EVENTS_MAX - 1);
    assert_int_equal((int64_t)count + lost_of(reply), MONITOR_EVENTS_MAX);
    close(fd);
}

/* It gets what fits while it does not read, then the number of what did not, and it is never cut
 * off. */
static void test_a_slow_reader_loses_and_is_told(void **state) {
    (void)state;
    int slow = watch(), quick = watch();
    int64_t sent = 0, slow_seen = 0, quick_seen = 0, slow_lost = 0;
    for (int round = 0; round < 20; round++) {
        observe_many(MONITOR_EVENTS_MAX, NULL);
        sent += MONITOR_EVENTS_MAX;
        struct json_object *reply CLEANUP_JSON = next(quick);
        assert_int_equal(lost_of(reply), 0);
        quick_seen += (int64_t)json_object_array_length(events_of(reply));
    }
    assert_int_equal(quick_seen, sent);
    while (slow_seen + slow_lost < sent) {
        struct json_object *reply CLEANUP_JSON = next(slow);
        slow_seen += (int64_t)json_object_array_length(events_of(reply));
        slow_lost += lost_of(reply);
    }
    assert_int_equal(slow_seen + slow_lost, sent);
    assert_true(slow_lost > 0);
    assert_true(slow_seen >= 2 * MONITOR_EVENTS_MAX);
    close(slow);
    close(quick);
}

static void test_streams_have_a_limit(void **state) {
    (void)state;
    int fds[MONITOR_STREAMS_MAX];
    for (int i = 0; i < MONITOR_STREAMS_MAX; i++) {
        fds[i] = watch();
        assert_int_equal(t.added, 0);
    }
    int refused = watch();
    assert_int_equal(t.added, -EMFILE);
    close(refused);
    close(fds[3]);
    turn();
    fds[3] = watch();
    assert_int_equal(t.added, 0);
    observe_many(1, NULL);
    for (int i = 0; i < MONITOR_STREAMS_MAX; i++) {
        assert_gets(fds[i], 1);
        close(fds[i]);
    }
    assert_int_equal(t.now_us, 1); /* built once for all */
}

/* While nobody watches, nothing is built, and the server need not say anything. */
static void test_at_rest(void **state) {
    (void)state;
    assert_int_equal(t.watching, false);
    observe_many(10, NULL);
    log_peer(1);
    int fd = watch();
    assert_int_equal(t.watching, true);
    assert_silent(fd);
    observe_many(1, NULL);
    close(fd); /* with an event that waits */
    turn();
    assert_int_equal(t.watching, false);
    observe_many(10, NULL);
    assert_int_equal(t.now_us, 1);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_what_events_look_like),
        TEST(test_unknown_methods_show_no_parameters),
        TEST(test_filters),
        TEST(test_monitors_never_show_what_monitors_say),
        TEST(test_events_have_a_limit),
        TEST(test_exactly_as_many_as_there_is_room_for),
        TEST(test_bytes_have_a_limit),
        TEST(test_keys_have_a_limit),
        TEST(test_a_slow_reader_loses_and_is_told),
        TEST(test_streams_have_a_limit),
        TEST(test_at_rest),
    };
    return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
