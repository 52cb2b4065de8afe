/* What a user may use: bytes, open calls, connections and idle time; and descriptors, which he may
 * not send. */
#include "play.h"

#include "ipc/varlink_observer.h"

#include <dirent.h>

static struct play play;
static const char *const echo = "{\"method\":\"io.test.Play.Echo\"}|";
static const char *const answer = "{\"parameters\":{}}|";

static void start_with(const struct varlink_limits *limits) {
    play_start_with(&play, limits);
}

static int teardown(void **state) {
    (void)state;
    play_stop(&play);
    return 0;
}

static void take_uid(const struct varlink_uid_info *info, void *userdata) {
    struct varlink_uid_info *wanted = userdata;
    if (wanted->uid == info->uid)
        *wanted = *info;
}

static struct varlink_uid_info used_by(uid_t uid) {
    struct varlink_uid_info info = {.uid = uid};
    varlink_server_each_uid(play.server, take_uid, &info);
    return info;
}

/* The loop runs until so many connections are left; their own deadlines see to that. */
static void wait_for_connections(unsigned count) {
    while (play_connections(&play) > count)
        uv_run(&play.loop, UV_RUN_ONCE);
    play_turn(&play);
    assert_int_equal(play_connections(&play), count);
}

/* ---- bytes ---- */

static void send_partial(int fd, size_t size) {
    char *text = malloc(size + 1);
    memset(text, ' ', size);
    text[size] = '\0';
    play_send(&play, fd, text);
    free(text);
}

static void test_too_many_bytes_of_one_uid(void **state) {
    struct varlink_limits limits = play_limits();
    (void)state;
    limits.bytes_per_uid = 60000;
    start_with(&limits);
    int CLEANUP_CLOSE small = play_connect(&play);
    int CLEANUP_CLOSE large = play_connect(&play);
    int CLEANUP_CLOSE last = play_connect(&play);
    send_partial(small, 20000);
    send_partial(large, 30000);
    send_partial(last, 10000);
    assert_int_equal(used_by(geteuid()).bytes, 60000);
    assert_int_equal(play_connections(&play), 3);
    send_partial(small, 1); /* one past it, and who has most goes */
    assert_string_equal(play_received(large), "$");
    assert_int_equal(play_connections(&play), 2);
    assert_int_equal(used_by(geteuid()).bytes, 30001);
    assert_int_equal(used_by(geteuid()).refused, 1);
}

static void test_unread_answers_of_one_uid(void **state) {
    enum { SIZE = 30000, CONNECTIONS = 8 };
    struct varlink_limits limits = play_limits();
    int fds[CONNECTIONS];
    char *call = malloc(SIZE + 100);
    (void)state;
    limits.bytes_per_uid = 4 * SIZE;
    limits.idle_ms = 3600000;
    start_with(&limits);
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = play_connect(&play);
    snprintf(call, SIZE, "{\"method\":\"io.test.Play.Echo\",\"parameters\":{\"value\":\"");
    memset(call + strlen(call), 'x', SIZE);
    call[SIZE] = '\0';
    strcat(call, "\"}}");
    /* each of them is far from the limit of a connection's queue */
    for (int round = 0; round < 1000 && used_by(geteuid()).refused == 0; round++)
        for (int i = 0; i < CONNECTIONS; i++) {
            (void)send(fds[i], call, strlen(call) + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
            play_turn(&play);
        }
    assert_true(used_by(geteuid()).refused > 0);
    assert_true(used_by(geteuid()).bytes <= 4 * SIZE);
    assert_true(play_connections(&play) > 0);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    play_turn(&play);
    assert_int_equal(used_by(geteuid()).bytes, 0);
    free(call);
}

/* ---- open calls ---- */

static void test_open_calls_of_one_uid(void **state) {
    struct varlink_limits limits = play_limits();
    (void)state;
    limits.outstanding_per_uid = 4;
    start_with(&limits);
    int CLEANUP_CLOSE first = play_connect(&play);
    int CLEANUP_CLOSE second = play_connect(&play);
    int CLEANUP_CLOSE stream = play_connect(&play);
    play_send(&play, first, "{\"method\":\"io.test.Play.Later\"}|");
    for (int i = 0; i < 3; i++)
        play_send(&play, first, echo);
    play_send(&play, first, echo); /* the fifth is not read */
    assert_int_equal(used_by(geteuid()).outstanding, 4);
    assert_true(used_by(geteuid()).delayed > 0);
    for (int i = 0; i < 3; i++) /* but each connection may have one */
        play_expect(&play, second, echo, answer);
    play_send(&play, stream, "{\"method\":\"io.test.Play.Count\",\"more\":true}|");
    assert_non_null(play.count);
    play_expect(&play, stream, echo, "$"); /* nobody would see it leave */
    varlink_call_reply(play.later, NULL);
    play_turn(&play);
    size_t answers = 0;
    for (const char *at = play_received(first); (at = strchr(at, '|')); at++)
        answers++;
    assert_int_equal(answers, 5);
    assert_int_equal(used_by(geteuid()).outstanding, 0);
}

/* ---- idleness ---- */

/* Waited for, and long enough for what a test does before, however busy the machine is. */
#define SOON_MS 1000

static void test_who_says_nothing_is_cut_off(void **state) {
    struct varlink_limits limits = play_limits();
    (void)state;
    limits.first_message_ms = SOON_MS;
    start_with(&limits);
    int CLEANUP_CLOSE busy = play_connect(&play);
    int CLEANUP_CLOSE quiet = play_connect(&play);
    play_expect(&play, busy, echo, answer);
    wait_for_connections(1);
    assert_string_equal(play_received(quiet), "$");
    assert_int_equal(used_by(geteuid()).refused, 1);
    play_expect(&play, busy, echo, answer);
}

static void test_idle_connections_end(void **state) {
    struct varlink_limits limits = play_limits();
    (void)state;
    limits.first_message_ms = limits.idle_ms = SOON_MS;
    start_with(&limits);
    int CLEANUP_CLOSE idle = play_connect(&play);
    int CLEANUP_CLOSE waiting = play_connect(&play);
    play_expect(&play, idle, echo, answer);
    play_send(&play, waiting, "{\"method\":\"io.test.Play.Later\"}|");
    wait_for_connections(1);
    assert_string_equal(play_received(idle), "$");
    assert_int_equal(used_by(geteuid()).refused, 0); /* no offence */
    assert_string_equal(play_received(waiting), "");
    varlink_call_reply(play.later, NULL);
    assert_string_equal(play_received(waiting), answer);
    wait_for_connections(0);
}

static void test_a_stream_lets_the_others_be_idle(void **state) {
    struct varlink_limits limits = play_limits();
    (void)state;
    limits.first_message_ms = limits.idle_ms = SOON_MS;
    start_with(&limits);
    int CLEANUP_CLOSE early = play_connect(&play);
    int CLEANUP_CLOSE watch = play_connect(&play);
    play_send(&play, watch, "{\"method\":\"io.test.Play.Count\",\"more\":true}|");
    int CLEANUP_CLOSE late = play_connect(&play);
    play_turn(&play);
    assert_int_equal(uv_backend_timeout(&play.loop), -1); /* none of them has a deadline */
    struct varlink_call *count = play.count;
    play.count = NULL;
    varlink_call_reply(count, NULL);
    assert_int_not_equal(uv_backend_timeout(&play.loop), -1);
    wait_for_connections(0);
    assert_string_equal(play_received(early), "$");
    assert_string_equal(play_received(late), "$");
}

static void test_a_stream_of_another_uid_does_not(void **state) {
    struct varlink_limits limits = play_limits();
    (void)state;
    limits.first_message_ms = limits.idle_ms = SOON_MS;
    start_with(&limits);
    if (geteuid() != 0)
        skip();
    int CLEANUP_CLOSE watch = play_connect(&play);
    play_send(&play, watch, "{\"method\":\"io.test.Play.Count\",\"more\":true}|");
    int CLEANUP_CLOSE other = play_connect_as(&play, 4711);
    wait_for_connections(1);
    assert_string_equal(play_received(other), "$");
}

/* ---- descriptors ---- */

static unsigned open_descriptors(void) {
    DIR CLEANUP_CLOSEDIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    return count;
}

/* Sends `text` and `count` copies of `passed`. */
static void send_with_descriptors(int fd, const char *text, int passed, size_t count) {
    enum { MOST = 253 }; /* SCM_MAX_FD */
    union {
        char bytes[CMSG_SPACE(MOST * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {(char *)text, strlen(text)};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (size_t i = 0; i < count; i++)
        memcpy(CMSG_DATA(header) + i * sizeof(int), &passed, sizeof(int));
    assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), strlen(text));
}

static void test_who_sends_descriptors_is_cut_off(void **state) {
    static const size_t counts[] = {1, 2, 64, 65, 253};
    static const char *const texts[] = {"{", "{\"method\":\"io.test.Play.Later\"}"};
    (void)state;
    start_with(NULL);
    for (size_t i = 0; i < 2 * sizeof counts / sizeof counts[0]; i++) {
        int fd = play_connect(&play);
        int pipe_fds[2];
        assert_int_equal(pipe(pipe_fds), 0);
        play_expect(&play, fd, echo, answer);
        unsigned before = open_descriptors();
        send_with_descriptors(fd, texts[i % 2], pipe_fds[1], counts[i / 2]);
        send_with_descriptors(fd, texts[i % 2], pipe_fds[1], counts[i / 2]);
        play_turn(&play);
        assert_string_equal(play_received(fd), "$");
        assert_int_equal(open_descriptors(), before - 1); /* the connection's */
        close(pipe_fds[1]);
        char byte;
        assert_int_equal(read(pipe_fds[0], &byte, 1), 0); /* nobody holds the other end */
        close(pipe_fds[0]);
        close(fd);
    }
    assert_int_equal(play.called, 10);
    assert_null(play.later);
    assert_int_equal(used_by(geteuid()).refused, 10);
}

#define TEST(name_) cmocka_unit_test_teardown(name_, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_too_many_bytes_of_one_uid),
        TEST(test_unread_answers_of_one_uid),
        TEST(test_open_calls_of_one_uid),
        TEST(test_who_says_nothing_is_cut_off),
        TEST(test_idle_connections_end),
        TEST(test_a_stream_lets_the_others_be_idle),
        TEST(test_a_stream_of_another_uid_does_not),
        TEST(test_who_sends_descriptors_is_cut_off),
    };
    return cmocka_run_group_tests_name("varlink_usage", tests, NULL, NULL);
}
