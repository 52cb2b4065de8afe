/* A running agent whose clock is set: it looks at once at what is due, also when it was just
 * looking. Setting the machine's clock is not ours to do, so the clock is the test's, in memory
 * that both processes share, and what the kernel says then (timerfd_create(2),
 * TFD_TIMER_CANCEL_ON_SET) is said by the test: SIGUSR1 stands for clock_settime(). */
#include "play.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <cmocka.h>

#define DAY INT64_C(86400)
#define YEAR (365 * DAY)

static struct shared {
    _Atomic int64_t ahead_s;
    _Atomic int timer_fd; /* the agent's, in its process */
    _Atomic bool told;    /* the clock was set, and nobody has heard of it yet */
    _Atomic int heard;    /* how often somebody has */
    /* the clock jumps while the worker has it read for the so manieth time; 0: it does not */
    _Atomic int jump_at;
    _Atomic int64_t jump_to_s;
} * shared;

/* ---- the kernel ---- */

static void clock_was_set(int signal) {
    static const struct itimerspec past = {.it_value = {.tv_sec = 1}};
    int saved = errno;

    (void)signal;
    shared->told = true;
    (void)syscall(SYS_timerfd_settime, shared->timer_fd, TFD_TIMER_ABSTIME, &past, NULL);
    errno = saved;
}

ssize_t read(int fd, void *data, size_t size) {
    ssize_t n = syscall(SYS_read, fd, data, size);

    if (!shared || fd != shared->timer_fd || !atomic_exchange(&shared->told, false))
        return n;
    shared->heard++;
    errno = ECANCELED;
    return -1;
}

/* It is told once: here, if it is armed anew before it was read. */
int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old) {
    int r = (int)syscall(SYS_timerfd_settime, fd, flags, when, old);

    shared->timer_fd = fd;
    if (r < 0 || !(flags & TFD_TIMER_CANCEL_ON_SET) || !atomic_exchange(&shared->told, false))
        return r;
    shared->heard++;
    errno = ECANCELED;
    return -1;
}

static int64_t shifted_wall_s(void *unused) {
    const int64_t now_s = time(NULL) + shared->ahead_s;

    (void)unused;
    if (syscall(SYS_gettid) != getpid() && shared->jump_at > 0 && --shared->jump_at == 0) {
        shared->ahead_s = shared->jump_to_s;
        clock_was_set(SIGUSR1);
        while (shared->told) /* until the loop, on its thread, has heard of it */
            sched_yield();
    }
    return now_s;
}

static const struct clock_source shifted = {.wall_s = shifted_wall_s};

/* ---- the agent ---- */

static int setup(void **state) {
    struct play *play = calloc(1, sizeof *play);

    *state = play;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    shared->timer_fd = -1;
    if (getuid() != 0)
        return 0;
    play_init(play);
    play->clock = &shifted;
    return signal(SIGUSR1, clock_was_set) == SIG_ERR;
}

static int teardown(void **state) {
    if (getuid() == 0)
        play_deinit(*state);
    munmap(shared, sizeof *shared);
    shared = NULL;
    free(*state);
    return 0;
}

static bool has_reported(struct play *play) {
    return play->reports > 0;
}

static bool has_inspected(struct play *play) {
    return play->inspections > 0;
}

static bool has_asked(struct play *play) {
    return play->renews > 0;
}

/* Until the agent rests: what it was at, and had seen, is over. The first answer may have been on
 * its way already. */
static void rest(struct play *play) {
    static char ids[32][16];
    static unsigned count;

    for (int i = 0; i < 2; i++) {
        snprintf(ids[count % 32], sizeof ids[0], "rest-%u", count);
        play->inspection = ids[count++ % 32];
        play->inspections = 0;
        play_notify(play);
        assert_true(play_until(play, has_inspected));
    }
}

static void enrol(struct play *play) {
    play->request_id = "request-1";
    play_start_agent(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "installed");
    rest(play);
}

static void set_clock(struct play *play, int64_t ahead_s) {
    const int heard = shared->heard;
    const time_t end = time(NULL) + PLAY_PATIENCE_MS / 1000;

    shared->ahead_s = ahead_s;
    assert_int_equal(kill(play->agent, SIGUSR1), 0);
    while (shared->heard == heard && time(NULL) < end)
        sched_yield();
    assert_true(shared->heard > heard);
}

static void test_set_forward(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play);
    set_clock(play, 10 * DAY);
    rest(play);
    assert_int_equal(play->renews, 0); /* not yet */
    set_clock(play, YEAR);
    assert_true(play_until(play, has_asked));
    assert_string_equal(play->renew_reason, "due");
}

/* A year back, for good: the renewal comes after as long as it always does, in two weeks and not in
 * a year. */
static void test_set_back(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play);
    set_clock(play, -YEAR);
    rest(play);
    assert_int_equal(play->renews, 0);
    set_clock(play, 16 * DAY - YEAR);
    assert_true(play_until(play, has_asked));
    assert_string_equal(play->renew_reason, "due");
}

/* The same while the agent is looking, by the old clock, as when the network sets the clock of a
 * machine that has just woken: it looks once more. */
static void test_set_back_during_a_check(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play);
    shared->jump_to_s = -YEAR;
    shared->jump_at = 2; /* the first time for the plan, the second for whether it is due */
    set_clock(play, 0);
    rest(play);
    assert_int_equal(shared->jump_at, 0);
    assert_int_equal(play->renews, 0);
    set_clock(play, 16 * DAY - YEAR);
    assert_true(play_until(play, has_asked));
    assert_string_equal(play->renew_reason, "due");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_set_forward),
        TEST(test_set_back),
        TEST(test_set_back_during_a_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
