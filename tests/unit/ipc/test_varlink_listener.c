/* A real socket: how many are taken at once, and what happens while descriptors are out. */
#include "play.h"

#include <sys/resource.h>

static struct play play;
static char *directory, *path;

static int setup(void **state) {
    (void)state;
    struct varlink_limits limits = play_limits();
    limits.connections_per_uid = 1000;
    play_start_with(&play, &limits);
    directory = play_directory();
    path = play_path(directory, "sock");
    int fd = transport_listen(path);
    assert_true(fd >= 0);
    assert_int_equal(varlink_server_listen_fd(play.server, fd), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    play_stop(&play);
    assert_int_equal(transport_connect(path), -ECONNREFUSED); /* nobody listens any more */
    char *lock = play_path(directory, "sock.lock");
    unlink(path);
    unlink(lock);
    assert_int_equal(rmdir(directory), 0);
    free(lock);
    free(path);
    free(directory);
    return 0;
}

static void test_so_many_are_taken_at_once(void **state) {
    enum { CLIENTS = 200 };
    int fds[CLIENTS];
    (void)state;
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = transport_connect(path);
        assert_true(fds[i] >= 0);
    }
    uv_run(&play.loop, UV_RUN_NOWAIT);
    assert_in_range(play_connections(&play), 1, CLIENTS / 2);
    while (play_connections(&play) < CLIENTS)
        uv_run(&play.loop, UV_RUN_ONCE);
    for (int i = 0; i < CLIENTS; i++) {
        play_expect(&play, fds[i], "{\"method\":\"io.test.Play.Echo\"}|", "{\"parameters\":{}}|");
        close(fds[i]);
    }
    play_turn(&play);
    assert_int_equal(play_connections(&play), 0);
}

static void wake_up(uv_timer_t *timer) {
    *(bool *)timer->data = true;
    uv_close((uv_handle_t *)timer, NULL);
}

/* How often the loop turns in that time. */
static unsigned turns_in(uint64_t ms) {
    uv_timer_t timer;
    bool over = false;
    unsigned turns = 0;
    uv_timer_init(&play.loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, wake_up, ms, 0);
    while (!over) {
        uv_run(&play.loop, UV_RUN_ONCE);
        turns++;
    }
    uv_run(&play.loop, UV_RUN_NOWAIT);
    return turns;
}

static void test_without_descriptors_the_others_wait(void **state) {
    struct rlimit old, few;
    (void)state;
    int CLEANUP_CLOSE served = transport_connect(path);
    play_turn(&play);
    int CLEANUP_CLOSE waits = transport_connect(path);
    int CLEANUP_CLOSE next = dup(waits); /* the lowest that is free */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    play_turn(&play);
    assert_int_equal(play_connections(&play), 1);
    /* the loop does not spin meanwhile, and those who are there are served */
    assert_in_range(turns_in(250), 1, 20);
    play_expect(&play, served, "{\"method\":\"io.test.Play.Echo\"}|", "{\"parameters\":{}}|");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    while (play_connections(&play) < 2)
        uv_run(&play.loop, UV_RUN_ONCE);
    play_expect(&play, waits, "{\"method\":\"io.test.Play.Echo\"}|", "{\"parameters\":{}}|");
}

static void test_a_server_may_close_while_it_pauses(void **state) {
    struct rlimit old, few;
    (void)state;
    int CLEANUP_CLOSE waits = transport_connect(path);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = (struct rlimit){.rlim_cur = (rlim_t)waits + 1, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    play_turn(&play);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(play_connections(&play), 0);
}

static void test_what_is_no_socket_is_no_listener(void **state) {
    (void)state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(varlink_server_listen_fd(play.server, fd) < 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* adopted, and closed */
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_so_many_are_taken_at_once),
        TEST(test_without_descriptors_the_others_wait),
        TEST(test_a_server_may_close_while_it_pauses),
        TEST(test_what_is_no_socket_is_no_listener),
    };
    return cmocka_run_group_tests_name("varlink_listener", tests, NULL, NULL);
}
