/* The relay behind `ipc bridge`, between sockets of the test's own; and the program of --bridge. */
#include "ipc/ctl/bridge.h"
#include "ipc/ctl/bridge_program.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#define MIB ((size_t)1024 * 1024)

/* ---- relay: near (what stands for ssh) <-> relay <-> far (what stands for the daemon) ---- */

static struct {
    int in[2], out[2]; /* pipes: the test writes in[1], reads out[0] */
    int socket[2];     /* the relay has [0], the test [1] */
    pthread_t thread;
    int result;
} relay;

static void *relay_thread(void *userdata) {
    (void)userdata;
    relay.result = bridge_relay(relay.in[0], relay.out[1], relay.socket[0]);
    close(relay.socket[0]); /* as the process does by ending */
    close(relay.out[1]);
    close(relay.in[0]);
    return NULL;
}

static int relay_setup(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    relay.result = 77;
    assert_int_equal(pipe2(relay.in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(relay.out, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, relay.socket), 0);
    assert_int_equal(fcntl(relay.socket[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&relay.thread, NULL, relay_thread, NULL), 0);
    return 0;
}

static void end_with(int expected) {
    pthread_join(relay.thread, NULL);
    assert_int_equal(relay.result, expected);
}

static void expect_bytes(int fd, const char *expected) {
    char got[256] = "";
    size_t size = 0;
    while (size < strlen(expected)) {
        ssize_t part = read(fd, got + size, strlen(expected) - size);
        assert_true(part > 0);
        size += (size_t)part;
    }
    assert_string_equal(got, expected);
}

static void expect_end(int fd) {
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0);
}

static void put(int fd, const char *text) {
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_half_close(void **state) {
    (void)state;
    put(relay.in[1], "call");
    expect_bytes(relay.socket[1], "call");
    put(relay.socket[1], "answer 1");
    expect_bytes(relay.out[0], "answer 1");
    put(relay.in[1], "last");
    close(relay.in[1]);
    expect_bytes(relay.socket[1], "last");
    expect_end(relay.socket[1]);
    put(relay.socket[1], "answer 2"); /* what is said after that still comes through */
    expect_bytes(relay.out[0], "answer 2");
    close(relay.socket[1]);
    expect_end(relay.out[0]);
    end_with(0);
    close(relay.out[0]);
}

static void test_far_end_closes_first(void **state) {
    (void)state;
    put(relay.socket[1], "farewell");
    close(relay.socket[1]);
    expect_bytes(relay.out[0], "farewell");
    expect_end(relay.out[0]);
    end_with(0); /* although `in` is open */
    close(relay.in[1]);
    close(relay.out[0]);
}

/* Unread bytes at the far end make of its closing a reset. */
static void test_far_end_resets(void **state) {
    (void)state;
    put(relay.in[1], "unread");
    struct pollfd readable = {.fd = relay.socket[1], .events = POLLIN};
    assert_int_equal(poll(&readable, 1, -1), 1);
    close(relay.socket[1]);
    end_with(0);
    close(relay.in[1]);
    close(relay.out[0]);
}

static void test_reader_leaves(void **state) {
    (void)state;
    close(relay.out[0]);
    end_with(0); /* although the far end says nothing and stays */
    expect_end(relay.socket[1]);
    close(relay.socket[1]);
    close(relay.in[1]);
}

static void *write_a_mib(void *userdata) {
    int fd = *(int *)userdata;
    for (size_t i = 0; i < MIB; i += 4096) {
        uint8_t block[4096];
        for (size_t j = 0; j < sizeof block; j++)
            block[j] = (uint8_t)((i + j) * 31 >> 3);
        if (write(fd, block, sizeof block) != sizeof block)
            return NULL;
    }
    return userdata;
}

static void read_a_mib(int fd) {
    for (size_t i = 0; i < MIB;) {
        uint8_t block[5000];
        ssize_t size = read(fd, block, MIB - i < sizeof block ? MIB - i : sizeof block);
        assert_true(size > 0);
        for (ssize_t j = 0; j < size; j++)
            assert_int_equal(block[j], (uint8_t)((i + (size_t)j) * 31 >> 3));
        i += (size_t)size;
    }
}

/* Much more than the buffers hold, both ways at once, byte for byte. */
static void test_much(void **state) {
    pthread_t up, down;
    void *done;
    (void)state;
    assert_int_equal(pthread_create(&up, NULL, write_a_mib, &relay.in[1]), 0);
    assert_int_equal(pthread_create(&down, NULL, write_a_mib, &relay.socket[1]), 0);
    read_a_mib(relay.socket[1]);
    read_a_mib(relay.out[0]);
    pthread_join(up, &done);
    assert_non_null(done);
    pthread_join(down, &done);
    assert_non_null(done);
    close(relay.in[1]);
    expect_end(relay.socket[1]);
    close(relay.socket[1]);
    end_with(0);
    close(relay.out[0]);
}

/* Writes until nothing has been taken for as long as it takes a byte to come through the other
 * way, twice: the relay is alive and takes no more. */
static size_t fill(int fd, int ping, int pong) {
    static const char block[4096];
    size_t total = 0;
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (int quiet = 0; quiet < 2 && total < 8 * MIB;) {
        ssize_t size = write(fd, block, sizeof block);
        if (size > 0) {
            total += (size_t)size;
            quiet = 0;
            continue;
        }
        put(ping, "x");
        expect_bytes(pong, "x");
        quiet++;
    }
    return total;
}

static void test_buffers_are_bounded(void **state) {
    static char byte;
    (void)state;
    int small = 4096;
    assert_int_equal(setsockopt(relay.socket[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    size_t taken = fill(relay.in[1], relay.socket[1], relay.out[0]);
    /* a pipe's 64 KiB, our buffer, a socket's smallest */
    assert_in_range(taken, BRIDGE_BUFFER_SIZE, 4 * BRIDGE_BUFFER_SIZE);
    close(relay.in[1]);
    for (size_t i = 0; i < taken; i++)
        assert_int_equal(read(relay.socket[1], &byte, 1), 1);
    expect_end(relay.socket[1]);
    close(relay.socket[1]);
    end_with(0);
    close(relay.out[0]);
}

static void test_flags_of_others_are_left_alone(void **state) {
    (void)state;
    put(relay.in[1], "a");
    expect_bytes(relay.socket[1], "a");
    assert_false(fcntl(relay.in[1], F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(relay.in[0], F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(relay.out[1], F_GETFL) & O_NONBLOCK);
    close(relay.in[1]);
    expect_end(relay.socket[1]);
    close(relay.socket[1]);
    end_with(0);
    close(relay.out[0]);
}

/* ---- the program ---- */

static void test_program_is_words(void **state) {
    struct bridge_program program = {0};
    char got[64] = "";
    int fd = -1;
    (void)state;
    assert_int_equal(bridge_program_start(&program, "  echo a;b\t$HOME  >x \n", &fd), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&readable, 1, -1), 1);
    assert_true(read(fd, got, sizeof got - 1) > 0);
    assert_string_equal(got, "a;b $HOME >x\n");
    close(fd);
    bridge_program_end(&program);
    assert_int_equal(program.pid, 0);
    assert_true(WIFEXITED(program.status) && WEXITSTATUS(program.status) == 0);
}

static void test_program_refused(void **state) {
    struct bridge_program program = {0};
    char words[2 * (BRIDGE_PROGRAM_MAX_WORDS + 1) + 8], length[BRIDGE_PROGRAM_MAX_LENGTH + 1];
    int fd = -1;
    (void)state;
    static const char *const bad[] = {"", "  ", "a 'b'", "a \"b\"", "a\\ b"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(bridge_program_start(&program, bad[i], &fd), -EINVAL);
    assert_int_equal(bridge_program_start(&program, "/nonexistent/program x", &fd), -ENOENT);
    assert_int_equal(bridge_program_start(&program, "/etc/passwd", &fd), -EACCES);
    /* at the maximum, and one past it */
    snprintf(words, sizeof words, "true");
    for (int i = 1; i < BRIDGE_PROGRAM_MAX_WORDS; i++)
        strcat(words, " x");
    assert_int_equal(bridge_program_start(&program, words, &fd), 0);
    close(fd);
    bridge_program_end(&program);
    strcat(words, " x");
    fd = -1;
    assert_int_equal(bridge_program_start(&program, words, &fd), -EINVAL);
    memset(length, ' ', sizeof length);
    memcpy(length, "true", 4);
    length[BRIDGE_PROGRAM_MAX_LENGTH] = '\0';
    assert_int_equal(bridge_program_start(&program, length, &fd), -E2BIG);
    assert_int_equal(fd, -1);
    length[BRIDGE_PROGRAM_MAX_LENGTH - 1] = '\0';
    assert_int_equal(bridge_program_start(&program, length, &fd), 0);
    close(fd);
    bridge_program_end(&program);
}

static void test_program_that_does_not_end(void **state) {
    struct bridge_program program = {0};
    int fd = -1;
    (void)state;
    assert_int_equal(bridge_program_start(&program, "sleep 1000", &fd), 0);
    close(fd);
    assert_false(bridge_program_has_ended(&program, 0));
    bridge_program_end(&program);
    assert_int_equal(program.pid, 0);
    assert_true(WIFSIGNALED(program.status) && WTERMSIG(program.status) == SIGTERM);
    /* one that does not care about that either */
    assert_int_equal(bridge_program_start(&program, "env --ignore-signal=TERM sleep 1000", &fd), 0);
    close(fd);
    bridge_program_end(&program);
    assert_true(WIFSIGNALED(program.status) && WTERMSIG(program.status) == SIGKILL);
    bridge_program_end(&program); /* nothing runs: nothing to do */
}

#define RELAY_TEST(name_) cmocka_unit_test_setup(name_, relay_setup)

int main(void) {
    const struct CMUnitTest tests[] = {
        RELAY_TEST(test_half_close),
        RELAY_TEST(test_far_end_closes_first),
        RELAY_TEST(test_far_end_resets),
        RELAY_TEST(test_reader_leaves),
        RELAY_TEST(test_much),
        RELAY_TEST(test_buffers_are_bounded),
        RELAY_TEST(test_flags_of_others_are_left_alone),
        cmocka_unit_test(test_program_is_words),
        cmocka_unit_test(test_program_refused),
        cmocka_unit_test(test_program_that_does_not_end),
    };
    return cmocka_run_group_tests_name("bridge", tests, NULL, NULL);
}
