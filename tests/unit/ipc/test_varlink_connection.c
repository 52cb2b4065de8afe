/* One connection against raw bytes on a socket pair: its limits, its deadlines, its end. */
#include "play.h"

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
    assert_string_equal(play_received(fd), PLAY_TIMEOUT ECHOED("after"));
}

static void test_a_stream_that_does_not_begin(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_send(&play, fd, MORE("Mute") ECHO_CALL("after"));
    while (play.cancelled == 0)
        uv_run(&play.loop, UV_RUN_ONCE);
    play_turn(&play);
    assert_string_equal(play_received(fd), PLAY_TIMEOUT ECHOED("after"));
    /* one that has begun may be silent */
    play_send(&play, fd, MORE("Mute"));
    assert_int_not_equal(uv_backend_timeout(&play.loop), -1);
    play_notify(&play, 1);
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
    play_notify(&play, 1);
    assert_int_equal(play.cancelled, 0);
    play_notify(&play, 2);
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

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
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
        TEST(test_a_handler_may_close_the_server_when_time_is_over),
        TEST(test_a_peer_that_leaves_cancels),
        TEST(test_notify_to_a_peer_that_left_calls_nothing_back),
        TEST(test_calls_before_the_end_are_heard),
        TEST(test_a_handler_may_close_the_server),
    };
    return cmocka_run_group_tests_name("varlink_connection", tests, NULL, NULL);
}
