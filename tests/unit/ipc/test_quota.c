/* Shares of connections: per uid, in total, and what is kept for root. */
#include "play.h"

#include "ipc/quota.h"

static void test_one_uid_has_its_share(void **state) {
    struct quota quota = {.per_uid = 2, .total = 100};
    (void)state;
    assert_int_equal(quota_take(&quota, 1000), 0);
    assert_int_equal(quota_take(&quota, 1000), 0);
    assert_int_equal(quota_take(&quota, 1000), -EDQUOT);
    assert_int_equal(quota_take(&quota, 1001), 0);
    assert_int_equal(quota_used(&quota, 1000), 2);
    quota_release(&quota, 1000);
    assert_int_equal(quota_take(&quota, 1000), 0);
    quota_release(&quota, 1000);
    quota_release(&quota, 1000);
    quota_release(&quota, 1001);
    assert_int_equal(quota.used, 0);
    assert_null(quota.entries); /* nothing is kept at rest */
}

static void test_the_last_places_are_for_root(void **state) {
    struct quota quota = {.per_uid = 2, .total = 10};
    (void)state;
    for (uid_t uid = 1000; uid < 1008; uid++)
        assert_int_equal(quota_take(&quota, uid), 0);
    assert_int_equal(quota_take(&quota, 2000), -EUSERS);
    assert_int_equal(quota_take(&quota, 0), 0);
    assert_int_equal(quota_take(&quota, 0), 0);
    assert_int_equal(quota_take(&quota, 0), -EDQUOT);
    assert_int_equal(quota.used, 10);
    quota_deinit(&quota);
}

static void test_a_total_no_larger_than_a_share(void **state) {
    struct quota quota = {.per_uid = 4, .total = 2};
    (void)state;
    assert_int_equal(quota_take(&quota, 1000), 0);
    assert_int_equal(quota_take(&quota, 1000), 0);
    assert_int_equal(quota_take(&quota, 1000), -EUSERS);
    assert_int_equal(quota_take(&quota, 0), -EUSERS);
    quota_deinit(&quota);
}

static void test_many_uids(void **state) {
    struct quota quota = {.per_uid = 1, .total = 1001};
    (void)state;
    for (uid_t uid = 1; uid <= 1000; uid++)
        assert_int_equal(quota_take(&quota, uid), 0);
    for (uid_t uid = 1; uid <= 1000; uid += 2)
        quota_release(&quota, uid);
    for (uid_t uid = 1; uid <= 1000; uid++)
        assert_int_equal(quota_used(&quota, uid), uid % 2 ? 0 : 1);
    quota_release(&quota, 5); /* holds none: nothing changes */
    assert_int_equal(quota.used, 500);
    quota_deinit(&quota);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_uid_has_its_share),
        cmocka_unit_test(test_the_last_places_are_for_root),
        cmocka_unit_test(test_a_total_no_larger_than_a_share),
        cmocka_unit_test(test_many_uids),
    };
    return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
