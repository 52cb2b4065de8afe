/* Ten lines a minute, and how many more there were. */
#include "common/log_limit.h"

#include "unit.h"

static void test_ten_a_minute(void **state) {
    struct log_limit limit = {0};
    unsigned left_out = 7;
    int64_t now_ms = 5000000;
    (void)state;
    for (unsigned i = 0; i < LOG_LIMIT_PER_MINUTE; i++) {
        assert_true(log_limit_take(&limit, now_ms + i, &left_out));
        assert_int_equal(left_out, 0);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_false(log_limit_take(&limit, now_ms + 59999, &left_out));
    assert_int_equal(left_out, 0);
    assert_true(log_limit_take(&limit, now_ms + 60000, &left_out));
    assert_int_equal(left_out, 3);
    assert_true(log_limit_take(&limit, now_ms + 60001, &left_out));
    assert_int_equal(left_out, 0); /* said once */
    assert_true(log_limit_take(&limit, now_ms + 60002, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
