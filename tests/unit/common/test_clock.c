/* The clocks: the system's are the right ones, and a test's own are asked instead. */
#include "common/clock.h"

#include "unit.h"

#include <time.h>

static void test_system(void **state) {
    (void)state;
    time_t before = time(NULL);
    int64_t wall = clock_wall_s(&clock_system);
    time_t after = time(NULL);
    assert_true(wall >= before - 1 && wall <= after + 1); /* time(2) may be a tick behind */

    struct timespec first, last;
    clock_gettime(CLOCK_BOOTTIME, &first);
    int64_t monotonic = clock_monotonic_ms(&clock_system);
    clock_gettime(CLOCK_BOOTTIME, &last);
    assert_true(monotonic >= first.tv_sec * 1000 + first.tv_nsec / 1000000);
    assert_true(monotonic <= last.tv_sec * 1000 + last.tv_nsec / 1000000);
}

/* A machine that has been suspended for a day, by a time namespace's offset (time_namespaces(7)):
 * the day is in the clock, though not in CLOCK_MONOTONIC. */
static void suspended_for_a_day(void *unused) {
    (void)unused;
    if (unshare(CLONE_NEWTIME) < 0 ||
        unit_tell_kernel("/proc/self/timens_offsets", "boottime 86400 0") < 0)
        _exit(UNIT_CANNOT);
    pid_t inside = fork(); /* children are in the new namespace */
    if (inside == 0) {
        struct timespec awake;
        clock_gettime(CLOCK_MONOTONIC, &awake);
        _exit(clock_monotonic_ms(&clock_system) / 1000 - awake.tv_sec >= 86400 ? 0 : 1);
    }
    int status = 0;
    if (inside < 0 || waitpid(inside, &status, 0) < 0)
        _exit(UNIT_CANNOT);
    _exit(WEXITSTATUS(status));
}

static void test_goes_on_while_suspended(void **state) {
    (void)state;
    int r = unit_in_child(suspended_for_a_day, NULL);
    if (r == UNIT_CANNOT)
        skip();
    assert_int_equal(r, 0);
}

static int64_t fake_wall_s(void *userdata) {
    return *(int64_t *)userdata;
}

static int64_t fake_monotonic_ms(void *userdata) {
    return *(int64_t *)userdata + 1;
}

static void test_own(void **state) {
    (void)state;
    int64_t now = 4102444800;
    const struct clock_source clock = {fake_wall_s, fake_monotonic_ms, &now};
    assert_int_equal(clock_wall_s(&clock), 4102444800);
    assert_int_equal(clock_monotonic_ms(&clock), 4102444801);
    now = -1;
    assert_int_equal(clock_wall_s(&clock), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_system),
        cmocka_unit_test(test_goes_on_while_suspended),
        cmocka_unit_test(test_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
