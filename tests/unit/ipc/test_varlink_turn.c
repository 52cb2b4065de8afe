/* Whose turn it is: a user's rate of messages, which delays and loses nothing, and how long others
 * wait for him. The peers are other users, so these tests are for root. */
#include "play.h"

#include "ipc/varlink_observer.h"

#define GREEDY 4711
#define HONEST 4712

static struct play play;
static const char *const echo = "{\"method\":\"io.test.Play.Echo\"}|";
static const char *const slow = "{\"method\":\"io.test.Play.Slow\"}|";
static const char *const answer = "{\"parameters\":{}}|";

static void start_with(const struct rate *messages, const struct rate *connects) {
    struct varlink_limits limits = play_limits();
    if (messages)
        limits.messages_per_uid = *messages;
    if (connects)
        limits.connects_per_uid = *connects;
    play_start_with(&play, &limits);
    if (geteuid() != 0)
        skip();
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

static size_t answers(int fd) {
    size_t count = 0;
    for (const char *at = play_received(fd); (at = strchr(at, '|')); at++)
        count++;
    return count;
}

static void send_times(int fd, const char *text, unsigned times) {
    size_t size = strlen(text);
    for (unsigned i = 0; i < times; i++) {
        assert_int_equal(send(fd, text, size - 1, MSG_NOSIGNAL), size - 1);
        assert_int_equal(send(fd, "", 1, MSG_NOSIGNAL), 1); /* the NUL in the place of the bar */
    }
}

/* ---- a rate ---- */

static void test_past_his_rate_a_user_waits(void **state) {
    static const struct rate rate = {.per_s = 1, .burst = 5};
    (void)state;
    start_with(&rate, NULL);
    int CLEANUP_CLOSE first = play_connect_as(&play, GREEDY);
    int CLEANUP_CLOSE second = play_connect_as(&play, GREEDY);
    int CLEANUP_CLOSE honest = play_connect_as(&play, HONEST);
    int CLEANUP_CLOSE root = play_connect(&play);
    assert_int_equal(used_by(GREEDY).messages_left, 5);
    send_times(first, echo, 4);
    play_turn(&play);
    assert_int_equal(used_by(GREEDY).messages_left, 1);
    assert_int_equal(used_by(GREEDY).delayed, 0);
    send_times(first, echo, 2);
    play_turn(&play);
    send_times(second, echo, 1);
    play_turn(&play);
    assert_int_equal(play.called, 5); /* on whichever connection */
    assert_int_equal(used_by(GREEDY).messages_left, 0);
    assert_int_equal(used_by(GREEDY).delayed, 1);
    assert_int_equal(used_by(GREEDY).refused, 0);
    /* nobody else waits */
    play_expect(&play, honest, echo, answer);
    for (int i = 0; i < 20; i++)
        play_expect(&play, root, echo, answer);
    assert_int_equal(used_by(0).delayed, 0);
    assert_int_equal(used_by(0).messages_left, 5);
    /* and nothing is lost */
    while (play.called < 5 + 21 + 2)
        uv_run(&play.loop, UV_RUN_ONCE);
    assert_int_equal(answers(first), 6);
    assert_int_equal(answers(second), 1);
    assert_int_equal(used_by(GREEDY).outstanding, 0);
}

static void test_who_waits_is_not_read(void **state) {
    static const struct rate rate = {.per_s = 1, .burst = 1};
    (void)state;
    start_with(&rate, NULL);
    int CLEANUP_CLOSE fd = play_connect_as(&play, GREEDY);
    send_times(fd, echo, 3);
    play_turn(&play);
    size_t kept = used_by(GREEDY).bytes;
    assert_int_equal(play.called, 1);
    assert_true(kept > 0);
    send_times(fd, echo, 100);
    play_turn(&play);
    assert_int_equal(used_by(GREEDY).bytes, kept);
    /* nor is a message that he has begun held against him meanwhile */
    assert_int_equal(play_connections(&play), 1);
}

static void test_who_comes_back_has_no_fresh_rate(void **state) {
    static const struct rate rate = {.per_s = 1, .burst = 3};
    (void)state;
    start_with(&rate, NULL);
    for (unsigned i = 0; i < 3; i++) {
        int fd = play_connect_as(&play, GREEDY);
        play_expect(&play, fd, echo, answer);
        close(fd);
        play_turn(&play);
    }
    int fd = play_connect_as(&play, GREEDY);
    play_expect(&play, fd, echo, "");
    close(fd); /* while he waits */
    play_turn(&play);
    while (play_connections(&play) > 0)
        uv_run(&play.loop, UV_RUN_ONCE);
    assert_int_equal(used_by(GREEDY).connections + used_by(GREEDY).outstanding, 0);
}

static void test_a_long_message_costs_more(void **state) {
    static const struct rate rate = {.per_s = 1, .burst = 100};
    char call[10 * 1024 + 1];
    (void)state;
    start_with(&rate, NULL);
    int CLEANUP_CLOSE fd = play_connect_as(&play, GREEDY);
    memset(call, ' ', sizeof call);
    memcpy(call, echo, strlen(echo) - 1);
    call[sizeof call - 1] = '\0';
    assert_int_equal(send(fd, call, sizeof call, 0), sizeof call);
    play_turn(&play);
    assert_string_equal(play_received(fd), answer);
    assert_int_equal(used_by(GREEDY).messages_left, 100 - 41);
}

static void test_a_call_that_is_much_work_costs_more(void **state) {
    static const struct rate rate = {.per_s = 1, .burst = 25};
    static const char *const dear = "{\"method\":\"io.test.Play.Dear\"}|";
    (void)state;
    start_with(&rate, NULL);
    int CLEANUP_CLOSE fd = play_connect_as(&play, GREEDY);
    int CLEANUP_CLOSE root = play_connect(&play);
    play_expect(&play, fd, dear, answer);
    assert_int_equal(used_by(GREEDY).messages_left, 25 - 10);
    play_expect(&play, fd, dear, answer);
    play_expect(&play, fd, dear, answer); /* there are tokens, if not as many */
    assert_int_equal(used_by(GREEDY).messages_left, 0);
    play_expect(&play, fd, echo, "");
    assert_int_equal(used_by(GREEDY).delayed, 1);
    for (int i = 0; i < 10; i++)
        play_expect(&play, root, dear, answer);
    assert_int_equal(used_by(0).messages_left, 25);
}

/* ---- turns ---- */

static void test_users_take_turns(void **state) {
    enum { CONNECTIONS = 6, EACH = 10 };
    int fds[CONNECTIONS];
    (void)state;
    start_with(NULL, NULL);
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = play_connect_as(&play, GREEDY);
        send_times(fds[i], slow, EACH);
    }
    uv_run(&play.loop, UV_RUN_NOWAIT); /* all of it has come */
    assert_true(play.called < 3);
    int CLEANUP_CLOSE honest = play_connect_as(&play, HONEST);
    send_times(honest, slow, 2);
    unsigned before = play.called;
    size_t got = 0;
    for (unsigned turns = 0; got < 2; turns++) {
        assert_true(turns < 8);
        uv_run(&play.loop, UV_RUN_NOWAIT);
        got += answers(honest);
    }
    /* in that time, the other had as many turns, and one more when the call came */
    assert_in_range(play.called - before, 2, 6);
    while (play.called < CONNECTIONS * EACH + 2)
        uv_run(&play.loop, UV_RUN_NOWAIT);
    for (int i = 0; i < CONNECTIONS; i++) {
        assert_int_equal(answers(fds[i]), EACH);
        close(fds[i]);
    }
}

static void test_the_connections_of_a_user_take_turns(void **state) {
    (void)state;
    start_with(NULL, NULL);
    int CLEANUP_CLOSE first = play_connect_as(&play, GREEDY);
    int CLEANUP_CLOSE second = play_connect_as(&play, GREEDY);
    send_times(first, slow, 12);
    send_times(second, slow, 12);
    for (size_t got = 0; got < 6; got += answers(second))
        uv_run(&play.loop, UV_RUN_NOWAIT);
    assert_in_range(answers(first), 4, 8);
}

static void test_who_leaves_while_he_waits(void **state) {
    (void)state;
    start_with(NULL, NULL);
    int gone = play_connect_as(&play, GREEDY);
    int CLEANUP_CLOSE stays = play_connect_as(&play, GREEDY);
    send_times(gone, slow, 10);
    send_times(stays, slow, 10);
    uv_run(&play.loop, UV_RUN_NOWAIT);
    close(gone);
    size_t got = 0;
    while (got < 10) {
        uv_run(&play.loop, UV_RUN_NOWAIT);
        got += answers(stays);
    }
    play_turn(&play);
    assert_int_equal(play_connections(&play), 1);
}

static void test_a_pause_ends_with_the_last_connection(void **state) {
    struct varlink_limits limits = play_limits();
    (void)state;
    limits.messages_per_uid = (struct rate){.per_s = 1, .burst = 1};
    limits.bytes_per_uid = 200;
    play_start_with(&play, &limits);
    if (geteuid() != 0)
        skip();
    int CLEANUP_CLOSE root = play_connect(&play);
    play_send(&play, root, "{\"method\":\"io.test.Play.Count\",\"more\":true}|");
    assert_int_equal(uv_backend_timeout(&play.loop), -1); /* a stream has no deadline */
    int CLEANUP_CLOSE paused = play_connect_as(&play, GREEDY);
    int other = play_connect_as(&play, GREEDY);
    send_times(paused, echo, 5);
    play_turn(&play);
    assert_int_equal(used_by(GREEDY).delayed, 1);
    play_send(
        &play, other,
        "                                                                                ");
    assert_int_equal(used_by(GREEDY).connections, 1); /* who had more bytes is gone */
    assert_int_not_equal(uv_backend_timeout(&play.loop), -1);
    close(other);
    play_turn(&play);
    assert_int_equal(used_by(GREEDY).connections, 0);
    assert_int_equal(uv_backend_timeout(&play.loop), -1);
}

static void test_a_server_that_closes_while_some_wait(void **state) {
    static const struct rate rate = {.per_s = 1, .burst = 5};
    (void)state;
    start_with(&rate, NULL);
    int CLEANUP_CLOSE paused = play_connect_as(&play, GREEDY);
    int CLEANUP_CLOSE root = play_connect(&play);
    send_times(paused, echo, 10);
    play_turn(&play);
    send_times(root, slow, 10);
    uv_run(&play.loop, UV_RUN_NOWAIT);
    varlink_server_close(play.server, play_server_closed, &play);
    uv_run(&play.loop, UV_RUN_DEFAULT);
    assert_int_equal(play.closed, 1);
}

/* ---- connects ---- */

static int try_connect_as(uid_t uid) {
    int pair[2];
    assert_int_equal(seteuid(uid), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(seteuid(0), 0);
    int r = varlink_server_add_connection_fd(play.server, pair[0]);
    close(pair[1]);
    play_turn(&play);
    return r;
}

static void test_a_user_who_connects_too_often(void **state) {
    static const struct rate rate = {.per_s = 1, .burst = 3};
    (void)state;
    start_with(NULL, &rate);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(try_connect_as(GREEDY), 0);
    assert_int_equal(try_connect_as(GREEDY), -EBUSY);
    assert_int_equal(used_by(GREEDY).refused, 1);
    assert_int_equal(play_connections(&play), 0);
    assert_int_equal(try_connect_as(HONEST), 0);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(try_connect_as(0), 0);
}

#define TEST(name_) cmocka_unit_test_teardown(name_, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_past_his_rate_a_user_waits),
        TEST(test_who_waits_is_not_read),
        TEST(test_who_comes_back_has_no_fresh_rate),
        TEST(test_a_long_message_costs_more),
        TEST(test_a_call_that_is_much_work_costs_more),
        TEST(test_users_take_turns),
        TEST(test_the_connections_of_a_user_take_turns),
        TEST(test_who_leaves_while_he_waits),
        TEST(test_a_pause_ends_with_the_last_connection),
        TEST(test_a_server_that_closes_while_some_wait),
        TEST(test_a_user_who_connects_too_often),
    };
    return cmocka_run_group_tests_name("varlink_turn", tests, NULL, NULL);
}
