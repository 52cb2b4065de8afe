/* As many events of a kind as a minute may have, and no more. */
#include "common/log_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static unsigned taken(struct log_limit *limit, unsigned tries, int64_t now_ms) {
    unsigned count = 0;
    for (unsigned i = 0; i < tries; i++)
        count += log_limit_take(limit, now_ms) ? 1 : 0;
    return count;
}

static void test_so_many_in_a_minute(void **state) {
    (void)state;
    struct log_limit limit = {0};
    assert_int_equal(taken(&limit, LOG_LIMIT_PER_MINUTE, 5000), LOG_LIMIT_PER_MINUTE);
    assert_int_equal(taken(&limit, 100, 5000), 0);
    assert_int_equal(taken(&limit, 100, 64999), 0);
    assert_int_equal(taken(&limit, 100, 65000), LOG_LIMIT_PER_MINUTE);
    assert_int_equal(taken(&limit, 1, 65001), 0);
}

static void test_a_minute_begins_with_its_first(void **state) {
    (void)state;
    struct log_limit limit = {0};
    assert_int_equal(taken(&limit, 1, 0), 1);
    assert_int_equal(taken(&limit, 100, 59999), LOG_LIMIT_PER_MINUTE - 1);
    assert_int_equal(taken(&limit, 1, 1000000), 1);
    assert_int_equal(taken(&limit, 100, 1059999), LOG_LIMIT_PER_MINUTE - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_so_many_in_a_minute),
        cmocka_unit_test(test_a_minute_begins_with_its_first),
    };
    return cmocka_run_group_tests_name("log limit", tests, NULL, NULL);
}
