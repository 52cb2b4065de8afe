/* What a peer does not take at once: it comes whole and in order, and an answer that is too large
 * for anybody ends the connection. */
#include "play.h"

#include "common/buffer.h"

#define TEXT_SIZE 60000
#define ROOM (16 * 1024) /* for answers that go out together */
#define CALLS 8          /* more than a socket holds, less than the write queue */

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

/* Such that no part of it looks like another. */
static char *text_of_call(unsigned call) {
    char *text = malloc(TEXT_SIZE + 1);
    uint32_t state = call + 1;
    for (size_t i = 0; i < TEXT_SIZE; i++) {
        state = state * 1664525 + 1013904223;
        text[i] = (char)('a' + (state >> 24) % 26);
    }
    text[TEXT_SIZE] = '\0';
    return text;
}

static void send_call(int fd, unsigned number) {
    char CLEANUP_FREE *text = text_of_call(number);
    char CLEANUP_FREE *call = NULL;
    int size = asprintf(
        &call, "{\"method\":\"io.test.Play.Echo\",\"parameters\":{\"value\":\"%s\"}}", text);
    assert_int_equal(send(fd, call, (size_t)size + 1, MSG_NOSIGNAL), size + 1);
    play_turn(&play);
}

/* Reads a little at a time until `count` messages are whole. */
static void receive_all(int fd, unsigned count, struct buffer *ret) {
    for (unsigned ends = 0; ends < count;) {
        char chunk[4096];
        ssize_t n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
        assert_true(n > 0); /* a turn brings what the socket has room for */
        for (ssize_t i = 0; i < n; i++)
            ends += chunk[i] == '\0';
        assert_int_equal(buffer_append(ret, chunk, (size_t)n), 0);
        play_turn(&play);
    }
}

static void test_what_is_queued_comes_whole_and_in_order(void **state) {
    struct buffer CLEANUP_BUFFER received = BUFFER_INIT(2 * CALLS * TEXT_SIZE);
    (void)state;
    int CLEANUP_CLOSE fd = play_connect(&play);
    for (unsigned i = 0; i < CALLS; i++)
        send_call(fd, i);
    receive_all(fd, CALLS, &received);
    const char *at = (const char *)received.data;
    for (unsigned i = 0; i < CALLS; i++) {
        char CLEANUP_FREE *text = text_of_call(i);
        char CLEANUP_FREE *expected = NULL;
        assert_true(asprintf(&expected, "{\"parameters\":{\"value\":\"%s\"}}", text) > 0);
        assert_string_equal(at, expected);
        at += strlen(at) + 1;
    }
    assert_ptr_equal(at, received.data + received.size);
}

/* Small answers go on behind a large one. */
static void test_an_answer_at_the_maximum_and_one_past(void **state) {
    static const char wrapping[] = "{\"parameters\":{\"value\":\"\"}}";
    (void)state;
    for (size_t past = 0; past < 2; past++) {
        struct varlink_limits limits = varlink_limits_default;
        limits.write_queue_bytes = 2 * VARLINK_REPLY_MAX;
        limits.bytes_per_uid = 2 * limits.write_queue_bytes;
        play_stop(&play);
        play_start_with(&play, &limits);
        int CLEANUP_CLOSE fd = play_connect(&play);
        play_send(&play, fd, "{\"method\":\"io.test.Play.Later\"}|");
        size_t size = VARLINK_REPLY_MAX - strlen(wrapping) + past;
        char CLEANUP_FREE *text = malloc(size + 1);
        memset(text, 'x', size);
        text[size] = '\0';
        struct json_object *parameters = json_object_new_object();
        json_object_object_add(parameters, "value", json_object_new_string(text));
        varlink_call_reply(play.later, parameters);
        play.later = NULL;
        play_turn(&play);
        assert_int_equal(play_connections(&play), past ? 0 : 1);
        if (past)
            continue;
        struct buffer CLEANUP_BUFFER received = BUFFER_INIT(2 * VARLINK_REPLY_MAX);
        receive_all(fd, 1, &received);
        assert_int_equal(received.size, VARLINK_REPLY_MAX + 1);
        play_expect(&play, fd, "{\"method\":\"io.test.Play.Echo\"}|", "{\"parameters\":{}}|");
    }
}

/* ---- answers that go out together ---- */

/* A peer that sees each write of the server by itself. */
static int connect_by_records(void) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(varlink_server_add_connection_fd(play.server, fds[0]), 0);
    return fds[1];
}

/* The next write, with '|' for each NUL; "" for none, "$" for the end. Static storage. */
static const char *next_record(int fd) {
    static char text[64 * 1024];
    ssize_t size = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (size <= 0)
        return size == 0 ? "$" : "";
    for (ssize_t i = 0; i < size; i++)
        if (text[i] == '\0')
            text[i] = '|';
    text[size] = '\0';
    return text;
}

/* A turn may end between any two calls, where the machine has something else to do. */
#define ATTEMPTS 1000

static void test_calls_at_once_are_answered_at_once(void **state) {
    int CLEANUP_CLOSE fd = connect_by_records();
    static const char together[] =
        ECHOED("1") "{\"error\":\"org.varlink.service.MethodNotFound\","
                    "\"parameters\":{\"method\":\"io.test.Play.Nope\"}}|" ECHOED("2");
    bool seen = false;
    (void)state;
    for (int i = 0; i < ATTEMPTS && !seen; i++) {
        play_send(&play, fd, ECHO_CALL("1") CALL("Nope") ECHO_CALL("2"));
        const char *record = next_record(fd);
        seen = strcmp(record, together) == 0;
        while (*record)
            record = next_record(fd);
    }
    assert_true(seen);
}

static void test_no_answer_waits_for_a_call_that_does(void **state) {
    int CLEANUP_CLOSE fd = connect_by_records();
    (void)state;
    play_send(&play, fd, ECHO_CALL("1") CALL("Later") ECHO_CALL("2"));
    assert_string_equal(next_record(fd), ECHOED("1"));
    assert_string_equal(next_record(fd), "");
    varlink_call_reply(TAKE_PTR(play.later), NULL);
    assert_string_equal(next_record(fd), "{\"parameters\":{}}|"); /* from its own stack */
    play_turn(&play);
    assert_string_equal(next_record(fd), ECHOED("2"));
}

static void test_answers_come_before_the_end(void **state) {
    static const char *const last[] = {"nonsense|" ECHO_CALL("2"), CALL("Close") ECHO_CALL("2")};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(last); i++) {
        char sent[256];
        int CLEANUP_CLOSE fd = connect_by_records();
        snprintf(sent, sizeof sent, "%s%s", ECHO_CALL("1"), last[i]);
        play_send(&play, fd, sent);
        assert_string_equal(next_record(fd), ECHOED("1"));
        assert_string_equal(next_record(fd), "$");
    }
}

/* More than there is room for: they are longer than their calls, which fill a read. */
static void test_many_large_answers_come_whole_and_in_order(void **state) {
    enum { COUNT = 15, DIGITS = 1050 };
    int CLEANUP_CLOSE fd = play_connect(&play);
    struct buffer CLEANUP_BUFFER sent = BUFFER_INIT(ROOM - 1);
    struct buffer CLEANUP_BUFFER expected = BUFFER_INIT(2 * ROOM);
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        char text[DIGITS + 128];
        snprintf(text, sizeof text, "{\"method\":\"io.test.Play.N%0*d\"}|", DIGITS, i);
        assert_int_equal(buffer_append_string(&sent, text), 0);
        snprintf(
            text, sizeof text,
            "{\"error\":\"org.varlink.service.MethodNotFound\","
            "\"parameters\":{\"method\":\"io.test.Play.N%0*d\"}}|",
            DIGITS, i);
        assert_int_equal(buffer_append_string(&expected, text), 0);
    }
    assert_true(expected.size > ROOM);
    play_send(&play, fd, (const char *)sent.data);
    assert_string_equal(play_received(fd), (const char *)expected.data);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_queued_comes_whole_and_in_order),
        TEST(test_an_answer_at_the_maximum_and_one_past),
        TEST(test_calls_at_once_are_answered_at_once),
        TEST(test_no_answer_waits_for_a_call_that_does),
        TEST(test_answers_come_before_the_end),
        TEST(test_many_large_answers_come_whole_and_in_order),
    };
    return cmocka_run_group_tests_name("varlink_writer", tests, NULL, NULL);
}
