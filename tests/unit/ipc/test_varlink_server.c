/* The server against raw bytes on socket pairs: order, access, shapes, limits, deadlines, ends. */
#include "play.h"

#include <inttypes.h>

static struct play play;

static int setup(void **state) {
    (void)state;
    play_start(&play);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    play_stop(&play);
    return 0;
}

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

/* ---- calls and answers ---- */

static void test_byte_by_byte(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    static const char wire[] = "{\"method\":\"io.test.Play.Echo\"}";
    (void)state;
    for (size_t i = 0; i < sizeof wire; i++) {
        assert_string_equal(play_received(fd), "");
        assert_int_equal(send(fd, wire + i, 1, 0), 1);
        play_turn(&play);
    }
    assert_string_equal(play_received(fd), "{\"parameters\":{}}|");
}

static void test_pipelined_calls_are_answered_in_order(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(
        &play, fd, ECHO_CALL("1") CALL("Later") ECHO_CALL("2") CALL("Nope") ECHO_CALL("3"),
        ECHOED("1"));
    assert_non_null(play.later);
    struct varlink_call *later = play.later;
    play.later = NULL;
    varlink_call_error(later, "io.test.Play.Wrong", NULL);
    assert_int_equal(play.called, 2); /* the next handler does not run on the answer's stack */
    play_turn(&play);
    assert_string_equal(
        play_received(fd),
        "{\"error\":\"io.test.Play.Wrong\",\"parameters\":{}}|" ECHOED(
            "2") "{\"error\":\"org.varlink.service.MethodNotFound\","
                 "\"parameters\":{\"method\":\"io.test.Play.Nope\"}}|" ECHOED("3"));
}

static void test_five_thousand_pipelined_calls(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    size_t sent = 0, received = 0;
    char text[128];
    char *answers = calloc(1, 1024 * 1024);
    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(
            text, sizeof text,
            "{\"method\":\"io.test.Play.Echo\",\"parameters\":{\"value\":\"%d\"}}", i);
        while (send(fd, text, strlen(text) + 1, MSG_DONTWAIT) < 0) {
            assert_int_equal(errno, EAGAIN);
            play_turn(&play);
            strcat(answers + received, play_received(fd));
            received += strlen(answers + received);
        }
        sent++;
    }
    for (int i = 0; i < 50; i++) {
        play_turn(&play);
        strcat(answers + received, play_received(fd));
        received += strlen(answers + received);
    }
    assert_int_equal(sent, 5000);
    const char *at = answers;
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "{\"parameters\":{\"value\":\"%d\"}}|", i);
        assert_memory_equal(at, text, strlen(text));
        at += strlen(text);
    }
    assert_string_equal(at, "");
    free(answers);
}

static void test_oneway_is_never_answered(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(
        &play, fd,
        ONEWAY("Echo") ONEWAY("Nope") ONEWAY(
            "Count") "{\"method\":\"io.nobody.X\",\"oneway\":true}|"
                     "{\"method\":\"io.test.Play.Echo\",\"oneway\":true,\"bad\":1}|" ECHO_CALL(
                         "end"),
        ECHOED("end"));
    assert_int_equal(play.called, 2);
}

static void test_unknown_names(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(
        &play, fd, "{\"method\":\"io.nobody.X\"}|",
        "{\"error\":\"org.varlink.service.InterfaceNotFound\","
        "\"parameters\":{\"interface\":\"io.nobody\"}}|");
    play_expect(&play, fd, "{\"method\":\"io.test.Play.echo\"}|", INVALID("method"));
    play_expect(&play, fd, "{\"method\":\"Echo\"}|", INVALID("method"));
    play_expect(&play, fd, "{\"method\":\"\"}|", INVALID("method"));
    play_expect(
        &play, fd, "{\"method\":\"io.test.Pla.Echo\"}|",
        "{\"error\":\"org.varlink.service.InterfaceNotFound\","
        "\"parameters\":{\"interface\":\"io.test.Pla\"}}|");
}

static void test_a_call_of_another_shape_is_told_so(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(&play, fd, "{\"method\":\"io.test.Play.Echo\",\"tracing\":1}|", INVALID("tracing"));
    play_expect(&play, fd, "{\"parameters\":{}}|", INVALID("method"));
    play_expect(
        &play, fd, "{\"method\":\"io.test.Play.Echo\",\"upgrade\":true}|", INVALID("upgrade"));
    play_expect(
        &play, fd, "{\"method\":\"io.test.Play.Echo\",\"parameters\":[]}|", INVALID("parameters"));
    play_expect(&play, fd, ECHO_CALL("still there"), ECHOED("still there"));
    assert_int_equal(play.called, 1);
}

static void test_what_is_no_json_object_ends_the_connection(void **state) {
    static const char *const wires[] = {
        "|",
        "[]|",
        "nonsense|",
        "{}{}|",
        "{\"method\":\"a\",}|",
        "{\"method\":\"io.test.Play.Echo\",\"method\":\"io.test.Play.Echo\"}|",
        "\"x\"|",
        "{\"method\":\"\xff\"}|",
        "{\"a\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}|"};
    (void)state;
    for (size_t i = 0; i < sizeof wires / sizeof wires[0]; i++) {
        int CLEANUP_CLOSE fd = play_connect(&play);
        print_message("%s\n", wires[i]);
        play_expect(&play, fd, wires[i], "$");
        assert_int_equal(play_connections(&play), 0);
    }
    assert_int_equal(play.called, 0);
}

static void test_service_interface(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(
        &play, fd, "{\"method\":\"org.varlink.service.GetInfo\"}|",
        "{\"parameters\":{\"vendor\":\"v\",\"product\":\"p\",\"version\":\"1\",\"url\":\"u\","
        "\"interfaces\":[\"io.test.Play\",\"org.varlink.service\"]}}|");
    play_send(
        &play, fd,
        "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
        "\"parameters\":{\"interface\":\"io.test.Play\"}}|");
    char received[4096];
    snprintf(received, sizeof received, "%s", play_received(fd));
    received[strlen(received) - 1] = '\0';
    struct json_object CLEANUP_JSON *reply = json_tokener_parse(received);
    struct json_object *parameters = NULL, *description = NULL;
    assert_true(json_object_object_get_ex(reply, "parameters", &parameters));
    assert_true(json_object_object_get_ex(parameters, "description", &description));
    assert_string_equal(json_object_get_string(description), play_interface);
    play_expect(
        &play, fd,
        "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
        "\"parameters\":{\"interface\":\"io.nobody\"}}|",
        "{\"error\":\"org.varlink.service.InterfaceNotFound\","
        "\"parameters\":{\"interface\":\"io.nobody\"}}|");
    play_expect(
        &play, fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}|",
        INVALID("interface"));
}

/* ---- streams ---- */

static void test_a_stream_needs_more(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(&play, fd, CALL("Count"), ERROR("ExpectedMore"));
    assert_int_equal(play.called, 0);
    play_expect(&play, fd, MORE("Echo"), "{\"parameters\":{}}|");
}

static void notify_number(int64_t number) {
    struct json_object *parameters = json_object_new_object();
    assert_int_equal(json_fields_add_int(parameters, "number", number), 0);
    varlink_call_notify(play.count, parameters);
}

static void test_a_stream_and_the_calls_behind_it(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(&play, fd, MORE("Count") ECHO_CALL("behind"), "");
    notify_number(1);
    notify_number(2);
    assert_string_equal(
        play_received(fd), "{\"parameters\":{\"number\":1},\"continues\":true}|"
                           "{\"parameters\":{\"number\":2},\"continues\":true}|");
    play_turn(&play);
    assert_string_equal(play_received(fd), "");
    varlink_call_reply(play.count, NULL);
    play_turn(&play);
    assert_string_equal(play_received(fd), "{\"parameters\":{}}|" ECHOED("behind"));
}

static void test_a_slow_reader_gets_the_newest_only(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    enum { LAST = 100000 };
    static char whole[8 * 1024 * 1024];
    (void)state;
    play_send(&play, fd, MORE("Count"));
    for (int64_t i = 1; i <= LAST; i++)
        notify_number(i);
    assert_int_equal(play_connections(&play), 1);
    size_t size = 0;
    for (const char *part = play_received(fd); *part; part = play_received(fd)) {
        assert_true(size + strlen(part) < sizeof whole);
        strcpy(whole + size, part);
        size += strlen(part);
        play_turn(&play);
    }
    static const char last[] = "{\"parameters\":{\"number\":100000},\"continues\":true}|";
    assert_string_equal(whole + size - strlen(last), last);
    /* numbers run without a gap until the peer was slow, and then comes the newest */
    const char *at = whole;
    int64_t expected = 1, number = 0;
    while (*at) {
        assert_int_equal(sscanf(at, "{\"parameters\":{\"number\":%" SCNd64, &number), 1);
        if (number != expected)
            break;
        expected++;
        at = strchr(at, '|') + 1;
    }
    assert_true(expected < LAST);
    assert_string_equal(at, last);
}

static void test_the_last_words_of_a_stream_follow_its_newest(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    static char whole[4 * 1024 * 1024];
    (void)state;
    play_send(&play, fd, MORE("Count"));
    for (int64_t i = 1; i <= 50000; i++)
        notify_number(i);
    varlink_call_error(play.count, "io.test.Play.Wrong", NULL);
    size_t size = 0;
    for (const char *part = play_received(fd); *part; part = play_received(fd)) {
        strcpy(whole + size, part);
        size += strlen(part);
        play_turn(&play);
    }
    static const char last[] = "{\"parameters\":{\"number\":50000},\"continues\":true}|"
                               "{\"error\":\"io.test.Play.Wrong\",\"parameters\":{}}|";
    assert_string_equal(whole + size - strlen(last), last);
}

/* ---- who may ---- */

static void test_access_by_class(void **state) {
    static const struct {
        uid_t uid;
        const char *anyone, *managed, *root;
    } cases[] = {
        {0, "{\"parameters\":{}}|", "{\"parameters\":{}}|", "{\"parameters\":{}}|"},
        {PLAY_MANAGED_UID, "{\"parameters\":{}}|", "{\"parameters\":{}}|",
         ERROR("PermissionDenied")},
        {65534, "{\"parameters\":{}}|", ERROR("PermissionDenied"), ERROR("PermissionDenied")},
    };
    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int CLEANUP_CLOSE fd = play_connect_as(&play, cases[i].uid);
        play_expect(&play, fd, CALL("Echo"), cases[i].anyone);
        play_expect(&play, fd, CALL("Managed"), cases[i].managed);
        play_expect(&play, fd, CALL("Root"), cases[i].root);
    }
}

static void test_without_is_managed_root_alone_is(void **state) {
    struct play other = {0};
    (void)state;
    if (geteuid() != 0)
        skip();
    struct varlink_server_options options = play_options(&other);
    options.is_managed = NULL;
    assert_int_equal(uv_loop_init(&other.loop), 0);
    assert_int_equal(varlink_server_new(&other.loop, &options, &other.server), 0);
    assert_int_equal(seteuid(PLAY_MANAGED_UID), 0);
    int CLEANUP_CLOSE fd = play_connect(&other);
    assert_int_equal(seteuid(0), 0);
    play_expect(&other, fd, CALL("Managed"), ERROR("PermissionDenied"));
    play_stop(&other);
}

static void test_introspection_only(void **state) {
    static const char implemented[] =
        "{\"error\":\"org.varlink.service.MethodNotImplemented\",\"parameters\":{\"method\":";
    struct play other = {0};
    char expected[1024];
    (void)state;
    struct varlink_server_options options = play_options(&other);
    options.introspection_only = true;
    assert_int_equal(uv_loop_init(&other.loop), 0);
    assert_int_equal(varlink_server_new(&other.loop, &options, &other.server), 0);
    int CLEANUP_CLOSE fd = play_connect(&other);
    snprintf(
        expected, sizeof expected,
        "%s\"io.test.Play.Echo\"}}|%s\"io.test.Play.Root\"}}|%s\"io.test.Play.Count\"}}|",
        implemented, implemented, implemented);
    play_expect(&other, fd, CALL("Echo") CALL("Root") CALL("Count"), expected);
    assert_int_equal(other.called, 0);
    play_send(&other, fd, "{\"method\":\"org.varlink.service.GetInfo\"}|" CALL("Nope"));
    const char *received = play_received(fd);
    assert_non_null(strstr(received, "\"product\":\"p\""));
    assert_non_null(strstr(received, "MethodNotFound"));
    play_stop(&other);
}

/* ---- limits ---- */

static void test_message_size_at_the_limit_and_one_past(void **state) {
    (void)state;
    for (size_t past = 0; past < 2; past++) {
        int CLEANUP_CLOSE fd = play_connect(&play);
        static const char head[] = "{\"method\":\"io.test.Play.Root2\",\"parameters\":{\"a\":\"";
        size_t size = varlink_limits_default.message_bytes + past;
        char *wire = malloc(size + 1);
        memset(wire, 'x', size);
        memcpy(wire, head, strlen(head));
        memcpy(wire + size - 3, "\"}}", 4);
        int sndbuf = 256 * 1024;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf);
        assert_int_equal(send(fd, wire, size + 1, 0), size + 1);
        free(wire);
        play_turn(&play);
        if (past)
            assert_string_equal(play_received(fd), "$");
        else
            assert_non_null(strstr(play_received(fd), "MethodNotFound"));
    }
}

static void test_message_size_of_one_method(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    char wire[PLAY_SMALL_MAX + 16];
    (void)state;
    for (int past = 0; past < 2; past++) {
        static const char head[] = "{\"method\":\"io.test.Play.Small\",\"parameters\":{\"text\":\"";
        size_t size = PLAY_SMALL_MAX + past;
        memset(wire, 'x', size);
        memcpy(wire, head, strlen(head));
        memcpy(wire + size - 3, "\"}}|", 5);
        play_expect(&play, fd, wire, past ? INVALID("parameters") : "{\"parameters\":{}}|");
    }
}

static void test_connections_of_one_uid(void **state) {
    struct varlink_limits limits = play_limits();
    limits.connections_per_uid = 3;
    (void)state;
    struct play few;
    play_start_with(&few, &limits);
    int fds[3];
    for (int i = 0; i < 3; i++)
        fds[i] = play_connect(&few);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(varlink_server_add_connection_fd(few.server, pair[0]), -EDQUOT);
    assert_string_equal(play_received(pair[1]), "$");
    close(pair[1]);
    play_expect(&few, fds[2], ECHO_CALL("served"), ECHOED("served"));
    close(fds[0]);
    play_turn(&few);
    fds[0] = play_connect(&few); /* the place is free again */
    play_expect(&few, fds[0], ECHO_CALL("again"), ECHOED("again"));
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    play_stop(&few);
}

static void send_many(int fd, const char *text, int count) {
    for (int i = 0; i < count; i++)
        assert_int_equal(send(fd, text, strlen(text) + 1, 0), strlen(text) + 1);
}

static void outstanding_visit(const struct varlink_connection_info *info, void *userdata) {
    *(unsigned *)userdata = info->outstanding;
}

static void test_reading_stops_at_the_outstanding_limit(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    unsigned outstanding = 0;
    (void)state;
    play_send(&play, fd, CALL("Later"));
    send_many(fd, "{\"method\":\"io.test.Play.Echo\"}", 14);
    play_turn(&play);
    play_send(&play, fd, ECHO_CALL("read"));
    varlink_server_each_connection(play.server, outstanding_visit, &outstanding);
    assert_int_equal(outstanding, 16);
    play_send(&play, fd, ECHO_CALL("not read yet"));
    varlink_server_each_connection(play.server, outstanding_visit, &outstanding);
    assert_int_equal(outstanding, 16);
    struct varlink_call *later = play.later;
    play.later = NULL;
    varlink_call_reply(later, NULL);
    play_turn(&play);
    const char *received = play_received(fd);
    size_t answers = 0;
    for (const char *at = received; (at = strchr(at, '|')); at++)
        answers++;
    assert_int_equal(answers, 17);
    assert_non_null(strstr(received, ECHOED("read") ECHOED("not read yet")));
}

static void test_too_many_calls_behind_a_stream_end_it(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_send(&play, fd, MORE("Count"));
    send_many(fd, "{\"method\":\"io.test.Play.Echo\"}", 14);
    play_turn(&play);
    assert_int_equal(play.cancelled, 0);
    play_expect(&play, fd, CALL("Echo"), "$");
    assert_int_equal(play.cancelled, 1);
}

static void test_a_peer_that_never_reads_is_cut_off(void **state) {
    struct varlink_limits limits = play_limits();
    limits.write_queue_bytes = 64 * 1024;
    (void)state;
    struct play small;
    play_start_with(&small, &limits);
    int CLEANUP_CLOSE fd = play_connect(&small);
    static char call[32 * 1024];
    snprintf(call, sizeof call, "{\"method\":\"io.test.Play.Echo\",\"parameters\":{\"value\":\"");
    memset(call + strlen(call), 'x', 30000);
    strcat(call, "\"}}");
    size_t size = strlen(call) + 1, sent = 0;
    for (int i = 0; i < 10000 && play_connections(&small) > 0; i++) {
        if (send(fd, call, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size)
            sent++;
        play_turn(&small);
    }
    assert_int_equal(play_connections(&small), 0);
    int buffer = 0;
    socklen_t buffer_size = sizeof buffer;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, &buffer_size), 0);
    assert_true(sent > 2);
    assert_true(sent * 30000 <= limits.write_queue_bytes + 2 * (size_t)buffer);
    play_stop(&small);
}

/* ---- time ---- */

struct drip {
    uv_timer_t timer;
    int fd;
    unsigned count;
};

static void drip_one(uv_timer_t *timer) {
    struct drip *drip = timer->data;
    (void)send(drip->fd, " ", 1, MSG_NOSIGNAL);
    drip->count++;
}

static void test_a_message_must_be_whole_in_time(void **state) {
    enum { DEADLINE_MS = 40, DRIP_MS = 10, PATIENCE = 100 };
    struct varlink_limits limits = play_limits();
    limits.partial_message_ms = DEADLINE_MS;
    (void)state;
    struct play hasty;
    play_start_with(&hasty, &limits);
    int CLEANUP_CLOSE quiet = play_connect(&hasty); /* says nothing, which is no offence */
    int CLEANUP_CLOSE fd = play_connect(&hasty);
    play_expect(&hasty, fd, ECHO_CALL("whole"), ECHOED("whole"));
    uint64_t begin = uv_now(&hasty.loop);
    play_send(&hasty, fd, "{\"meth");
    struct drip drip = {.fd = fd};
    uv_timer_init(&hasty.loop, &drip.timer);
    drip.timer.data = &drip;
    uv_timer_start(&drip.timer, drip_one, DRIP_MS, DRIP_MS);
    while (play_connections(&hasty) > 1 && drip.count < PATIENCE)
        uv_run(&hasty.loop, UV_RUN_ONCE);
    assert_true(drip.count < PATIENCE); /* one more byte does not give more time */
    assert_true(uv_now(&hasty.loop) - begin >= DEADLINE_MS);
    uv_close((uv_handle_t *)&drip.timer, NULL);
    play_turn(&hasty);
    assert_string_equal(play_received(fd), "$");
    play_expect(&hasty, quiet, ECHO_CALL("fine"), ECHOED("fine"));
    play_stop(&hasty);
}

static void test_at_rest_no_timer_runs(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    int watch = play_connect(&play); /* without a stream, a connection may not be idle for ever */
    (void)state;
    assert_int_not_equal(uv_backend_timeout(&play.loop), -1);
    play_send(&play, watch, MORE("Count"));
    assert_int_equal(uv_backend_timeout(&play.loop), -1);
    play_send(&play, fd, "{\"method\":");
    assert_int_not_equal(uv_backend_timeout(&play.loop), -1);
    play_expect(&play, fd, "\"io.test.Play.Echo\"}|", "{\"parameters\":{}}|");
    assert_int_equal(uv_backend_timeout(&play.loop), -1);
    play_send(&play, fd, CALL("Later"));
    assert_int_not_equal(uv_backend_timeout(&play.loop), -1);
    varlink_call_reply(play.later, NULL);
    play_turn(&play);
    assert_int_equal(uv_backend_timeout(&play.loop), -1);
    close(watch);
    play_turn(&play);
    assert_int_not_equal(uv_backend_timeout(&play.loop), -1);
}

static void test_a_handler_that_does_not_answer(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    uint64_t begin = uv_now(&play.loop);
    play_send(&play, fd, CALL("Silent") ECHO_CALL("after"));
    while (play.cancelled == 0)
        uv_run(&play.loop, UV_RUN_ONCE);
    assert_true(uv_now(&play.loop) - begin >= PLAY_SILENT_MS);
    play_turn(&play);
    assert_string_equal(
        play_received(fd),
        "{\"error\":\"io.devtrust.Local.Timeout\",\"parameters\":{\"deadline_ms\":40}}|" ECHOED(
            "after"));
}

static void test_a_stream_that_does_not_begin(void **state) {
    static const char timeout[] =
        "{\"error\":\"io.devtrust.Local.Timeout\",\"parameters\":{\"deadline_ms\":40}}|";
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_send(&play, fd, MORE("Mute") ECHO_CALL("after"));
    while (play.cancelled == 0)
        uv_run(&play.loop, UV_RUN_ONCE);
    play_turn(&play);
    char expected[256];
    snprintf(expected, sizeof expected, "%s%s", timeout, ECHOED("after"));
    assert_string_equal(play_received(fd), expected);
    /* one that has begun may be silent */
    play_send(&play, fd, MORE("Mute"));
    assert_int_not_equal(uv_backend_timeout(&play.loop), -1);
    notify_number(1);
    assert_int_equal(uv_backend_timeout(&play.loop), -1);
    int CLEANUP_CLOSE other = play_connect(&play);
    play.speak_at_once = true;
    play_expect(&play, other, MORE("Mute"), "{\"parameters\":{},\"continues\":true}|");
    assert_int_equal(uv_backend_timeout(&play.loop), -1);
}

static void test_a_handler_may_close_the_server_when_time_is_over(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play.close_when_cancelled = true;
    play_send(&play, fd, CALL("Silent"));
    while (play.closed == 0)
        uv_run(&play.loop, UV_RUN_ONCE);
    assert_int_equal(play.cancelled, 1);
    assert_string_equal(play_received(fd), "$");
}

/* ---- ends ---- */

static void test_a_peer_that_leaves_cancels(void **state) {
    (void)state;
    int fd = play_connect(&play);
    play_send(&play, fd, CALL("Later"));
    close(fd);
    play_turn(&play);
    assert_int_equal(play.cancelled, 1);
    assert_int_equal(play_connections(&play), 0);
    fd = play_connect(&play);
    play_send(&play, fd, MORE("Count"));
    close(fd);
    play_turn(&play);
    assert_int_equal(play.cancelled, 2);
}

static void test_notify_to_a_peer_that_left_calls_nothing_back(void **state) {
    (void)state;
    int fd = play_connect(&play);
    play_send(&play, fd, MORE("Count"));
    close(fd);
    notify_number(1);
    assert_int_equal(play.cancelled, 0);
    notify_number(2);
    play_turn(&play);
    assert_int_equal(play.cancelled, 1);
    assert_int_equal(play_connections(&play), 0);
}

static void test_calls_before_the_end_are_heard(void **state) {
    (void)state;
    int fd = play_connect(&play);
    static const char wire[] = "{\"method\":\"io.test.Play.Echo\",\"oneway\":true}";
    assert_int_equal(send(fd, wire, sizeof wire, 0), sizeof wire);
    close(fd);
    play_turn(&play);
    assert_int_equal(play.called, 1);
}

static void test_a_handler_may_close_the_server(void **state) {
    (void)state;
    int CLEANUP_CLOSE other = play_connect(&play);
    int CLEANUP_CLOSE fd = play_connect(&play);
    play_send(&play, other, CALL("Later"));
    play_send(&play, fd, CALL("Close") ECHO_CALL("not reached"));
    assert_int_equal(play.cancelled, 2);
    assert_int_equal(play.closed, 1);
    assert_string_equal(play_received(fd), "$");
    assert_string_equal(play_received(other), "$");
}

/* ---- tables ---- */

static int new_with(const struct varlink_server_options *options) {
    uv_loop_t loop;
    struct varlink_server *server = NULL;
    assert_int_equal(uv_loop_init(&loop), 0);
    int r = varlink_server_new(&loop, options, &server);
    if (r == 0)
        varlink_server_close(server, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return r;
}

static void test_tables_must_match(void **state) {
    const struct method *methods[16];
    struct method row = *play_methods[0];
    size_t count = sizeof play_methods / sizeof play_methods[0];
    (void)state;
    struct varlink_server_options options = play_options(&play);
    options.methods = methods;
    memcpy(methods, play_methods, sizeof play_methods);
    assert_int_equal(new_with(&options), 0);
    options.method_count = count - 1; /* a method without a row */
    assert_int_equal(new_with(&options), -EINVAL);
    options.method_count = count + 1; /* a row without a method */
    methods[count] = &row;
    row.name = "io.test.Play.Extra";
    assert_int_equal(new_with(&options), -EINVAL);
    row.name = "io.nobody.Extra";
    assert_int_equal(new_with(&options), -EINVAL);
    row.name = "io.test.Play.Echo"; /* twice */
    assert_int_equal(new_with(&options), -EINVAL);
    options.method_count = count;
    methods[0] = &row;
    assert_int_equal(new_with(&options), 0);
    row.deadline_ms = 0;
    assert_int_equal(new_with(&options), -EINVAL);
    row = *play_methods[0];
    row.handler = NULL;
    assert_int_equal(new_with(&options), -EINVAL);
    methods[0] = play_methods[0];
    struct varlink_interface broken = {"io.test.Play", "interface io.test.Play\nmethod X("};
    options.interfaces = &broken;
    assert_int_equal(new_with(&options), -EINVAL);
    options.interfaces = play_interfaces;
    options.limits.partial_message_ms = 0;
    assert_int_equal(new_with(&options), -EINVAL);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_byte_by_byte),
        TEST(test_pipelined_calls_are_answered_in_order),
        TEST(test_five_thousand_pipelined_calls),
        TEST(test_oneway_is_never_answered),
        TEST(test_unknown_names),
        TEST(test_a_call_of_another_shape_is_told_so),
        TEST(test_what_is_no_json_object_ends_the_connection),
        TEST(test_service_interface),
        TEST(test_a_stream_needs_more),
        TEST(test_a_stream_and_the_calls_behind_it),
        TEST(test_a_slow_reader_gets_the_newest_only),
        TEST(test_the_last_words_of_a_stream_follow_its_newest),
        TEST(test_access_by_class),
        TEST(test_without_is_managed_root_alone_is),
        TEST(test_introspection_only),
        TEST(test_message_size_at_the_limit_and_one_past),
        TEST(test_message_size_of_one_method),
        TEST(test_connections_of_one_uid),
        TEST(test_reading_stops_at_the_outstanding_limit),
        TEST(test_too_many_calls_behind_a_stream_end_it),
        TEST(test_a_peer_that_never_reads_is_cut_off),
        TEST(test_a_message_must_be_whole_in_time),
        TEST(test_at_rest_no_timer_runs),
        TEST(test_a_handler_that_does_not_answer),
        TEST(test_a_stream_that_does_not_begin),
        TEST(test_a_peer_that_leaves_cancels),
        TEST(test_notify_to_a_peer_that_left_calls_nothing_back),
        TEST(test_calls_before_the_end_are_heard),
        TEST(test_a_handler_may_close_the_server),
        TEST(test_a_handler_may_close_the_server_when_time_is_over),
        TEST(test_tables_must_match),
    };
    return cmocka_run_group_tests_name("varlink_server", tests, NULL, NULL);
}
