/* The wall timer: due times in the past and the future are the kernel's own. Setting the clock of
 * the machine that runs the tests is not ours to do, so the two answers that the kernel gives then
 * (ECANCELED from read and from timerfd_settime, see timerfd_create(2)) are given by the test. */
#include "common/wall_timer.h"

#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

/* How many of the next calls find the clock set. */
static int canceled_reads, canceled_sets;

ssize_t read(int fd, void *data, size_t size) {
    if (canceled_reads > 0) {
        canceled_reads--;
        errno = ECANCELED;
        return -1;
    }
    return syscall(SYS_read, fd, data, size);
}

/* The kernel arms the timer and tells of the clock at the same time. */
int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old) {
    assert_int_equal(flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
    int r = (int)syscall(SYS_timerfd_settime, fd, flags, when, old);
    if (r == 0 && canceled_sets > 0) {
        canceled_sets--;
        errno = ECANCELED;
        return -1;
    }
    return r;
}

static int setup(void **state) {
    canceled_reads = canceled_sets = 0;
    return wall_timer_new((struct wall_timer **)state);
}

static int teardown(void **state) {
    return wall_timer_free(*state) != NULL;
}

/* A due timer is readable at once; the time-out only ends a broken one. */
static int is_readable(struct wall_timer *timer, int timeout_ms) {
    struct pollfd poller = {.fd = wall_timer_fd(timer), .events = POLLIN};
    int r = poll(&poller, 1, timeout_ms);
    assert_true(r >= 0);
    return r;
}

static void test_new_is_quiet(void **state) {
    assert_int_equal(is_readable(*state, 0), 0);
    assert_int_equal(wall_timer_read(*state), WALL_TIMER_NOTHING);
    int flags = fcntl(wall_timer_fd(*state), F_GETFL);
    assert_true(flags & O_NONBLOCK);
    assert_true(fcntl(wall_timer_fd(*state), F_GETFD) & FD_CLOEXEC);
    assert_null(wall_timer_free(NULL));
}

static void test_past_is_due_once(void **state) {
    static const int64_t past[] = {1, 1000000000};
    for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
        assert_int_equal(wall_timer_set(*state, past[i]), 0);
        assert_int_equal(is_readable(*state, 10000), 1);
        assert_int_equal(wall_timer_read(*state), WALL_TIMER_DUE);
        assert_int_equal(is_readable(*state, 0), 0);
        assert_int_equal(wall_timer_read(*state), WALL_TIMER_NOTHING);
    }
}

static void test_future_is_quiet(void **state) {
    const int64_t future[] = {time(NULL) + 3600, INT64_C(253402300799), INT64_MAX, 0};
    for (size_t i = 0; i < sizeof(future) / sizeof(future[0]); i++) {
        assert_int_equal(wall_timer_set(*state, future[i]), 0);
        assert_int_equal(is_readable(*state, 0), 0);
        assert_int_equal(wall_timer_read(*state), WALL_TIMER_NOTHING);
        struct itimerspec armed;
        assert_int_equal(timerfd_gettime(wall_timer_fd(*state), &armed), 0);
        assert_true(armed.it_value.tv_sec > 3500); /* armed: only so is a clock change seen */
    }
}

static void test_set_replaces(void **state) {
    assert_int_equal(wall_timer_set(*state, 1), 0);
    assert_int_equal(is_readable(*state, 10000), 1);
    assert_int_equal(wall_timer_set(*state, time(NULL) + 3600), 0);
    assert_int_equal(wall_timer_read(*state), WALL_TIMER_NOTHING);
}

static void test_negative(void **state) {
    assert_int_equal(wall_timer_set(*state, -1), -EINVAL);
    assert_int_equal(wall_timer_set(*state, INT64_MIN), -EINVAL);
}

static void test_clock_set_while_waiting(void **state) {
    assert_int_equal(wall_timer_set(*state, 0), 0);
    canceled_reads = 1;
    assert_int_equal(wall_timer_read(*state), WALL_TIMER_CLOCK_SET);
    assert_int_equal(wall_timer_read(*state), WALL_TIMER_NOTHING);
}

/* The clock is set between the caller's look at it and the arming: the caller must hear of it. */
static void test_clock_set_while_arming(void **state) {
    for (int times = 1; times <= 2; times++) {
        canceled_sets = times;
        assert_int_equal(wall_timer_set(*state, time(NULL) + 3600), 0);
        assert_int_equal(canceled_sets, 0);
        assert_int_equal(is_readable(*state, 10000), 1);
        assert_int_equal(wall_timer_read(*state), WALL_TIMER_CLOCK_SET);
        assert_int_equal(wall_timer_read(*state), WALL_TIMER_NOTHING);
    }
    canceled_sets = 1;
    assert_int_equal(wall_timer_set(*state, time(NULL) + 3600), 0);
    assert_int_equal(
        wall_timer_set(*state, time(NULL) + 7200), 0); /* not told yet: nothing is lost */
    assert_int_equal(is_readable(*state, 10000), 1);
    assert_int_equal(wall_timer_read(*state), WALL_TIMER_CLOCK_SET);
    assert_int_equal(wall_timer_set(*state, time(NULL) + 3600), 0);
    assert_int_equal(wall_timer_read(*state), WALL_TIMER_NOTHING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_is_quiet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_past_is_due_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_future_is_quiet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_replaces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_negative, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_set_while_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_set_while_arming, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
