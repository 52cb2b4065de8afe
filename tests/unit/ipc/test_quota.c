/* Shares of connections: per uid, in total, and what is kept for root. */
#include "play.h"

#include "ipc/quota.h"

static int take_as(struct quota *quota, uid_t uid, bool stranger) {
    struct quota_account *account = quota_account(quota, uid);
    assert_non_null(account);
    return quota_take(quota, account, stranger);
}

static int take(struct quota *quota, uid_t uid) {
    return take_as(quota, uid, false);
}

static void release(struct quota *quota, uid_t uid) {
    quota_release(quota, quota_account(quota, uid));
}

static void test_one_uid_has_its_share(void **state) {
    struct quota quota;
    (void)state;
    quota_init(&quota, 2, 100);
    assert_int_equal(take(&quota, 1000), 0);
    assert_int_equal(take(&quota, 1000), 0);
    assert_int_equal(take(&quota, 1000), -EDQUOT);
    assert_int_equal(take(&quota, 1001), 0);
    assert_int_equal(quota_account(&quota, 1000)->connections, 2);
    release(&quota, 1000);
    assert_int_equal(take(&quota, 1000), 0);
    release(&quota, 1000);
    release(&quota, 1000);
    release(&quota, 1001);
    assert_int_equal(quota.used, 0);
    quota_deinit(&quota);
}

static void test_the_last_places_are_for_root(void **state) {
    struct quota quota;
    (void)state;
    quota_init(&quota, 2, 10);
    for (uid_t uid = 1000; uid < 1008; uid++)
        assert_int_equal(take(&quota, uid), 0);
    assert_int_equal(take(&quota, 2000), -EUSERS);
    assert_int_equal(take(&quota, 0), 0);
    assert_int_equal(take(&quota, 0), 0);
    assert_int_equal(take(&quota, 0), -EDQUOT);
    assert_int_equal(quota.used, 10);
    quota_deinit(&quota);
}

static void test_strangers_share_half(void **state) {
    struct quota quota;
    (void)state;
    quota_init(&quota, 2, 10);
    for (uid_t uid = 100000; uid < 100005; uid++)
        assert_int_equal(take_as(&quota, uid, true), 0);
    assert_int_equal(take_as(&quota, 100005, true), -EUSERS);
    assert_int_equal(take_as(&quota, 100000, true), -EUSERS);
    assert_int_equal(take_as(&quota, 1000, false), 0);
    assert_int_equal(take_as(&quota, 0, true), 0);
    release(&quota, 100000);
    release(&quota, 100001);
    release(&quota, 100002);
    assert_int_equal(take_as(&quota, 100005, true), 0);
    quota_deinit(&quota);
}

static void test_a_total_no_larger_than_a_share(void **state) {
    struct quota quota;
    (void)state;
    quota_init(&quota, 4, 2);
    assert_int_equal(take(&quota, 1000), 0);
    assert_int_equal(take(&quota, 1000), 0);
    assert_int_equal(take(&quota, 1000), -EUSERS);
    assert_int_equal(take(&quota, 0), -EUSERS);
    quota_deinit(&quota);
}

static void test_many_uids(void **state) {
    struct quota quota;
    (void)state;
    quota_init(&quota, 1, 1001);
    for (uid_t uid = 1; uid <= 1000; uid++)
        assert_int_equal(take(&quota, uid), 0);
    for (uid_t uid = 1; uid <= 1000; uid += 2)
        release(&quota, uid);
    for (uid_t uid = 1; uid <= 1000; uid++)
        assert_int_equal(quota_account(&quota, uid)->connections, uid % 2 ? 0 : 1);
    assert_int_equal(quota.used, 500);
    quota_deinit(&quota);
}

static unsigned accounts(const struct quota *quota) {
    const struct quota_account *account;
    unsigned count = 0;
    TAILQ_FOREACH(account, &quota->accounts, all)
    count++;
    return count;
}

static void test_who_left_is_remembered_for_a_while(void **state) {
    struct quota quota;
    (void)state;
    quota_init(&quota, 1, 1000);
    assert_int_equal(take(&quota, 1), 0);
    struct quota_account *stays = quota_account(&quota, 1);
    for (uid_t uid = 2; uid <= 1 + QUOTA_REMEMBERED; uid++) {
        assert_int_equal(take(&quota, uid), 0);
        quota_account(&quota, uid)->refused = 1;
        release(&quota, uid);
    }
    assert_int_equal(accounts(&quota), 1 + QUOTA_REMEMBERED);
    for (uid_t uid = 2; uid <= 1 + QUOTA_REMEMBERED; uid++)
        assert_int_equal(quota_account(&quota, uid)->refused, 1);
    /* who comes back and leaves again is the youngest */
    assert_int_equal(take(&quota, 2), 0);
    release(&quota, 2);
    /* one more, and the oldest is forgotten; never who has a connection */
    assert_int_equal(take(&quota, 500), 0);
    release(&quota, 500);
    assert_int_equal(accounts(&quota), 1 + QUOTA_REMEMBERED);
    assert_int_equal(quota_account(&quota, 2)->refused, 1);
    assert_ptr_equal(quota_account(&quota, 1), stays);
    assert_int_equal(quota_account(&quota, 3)->refused, 0);
    quota_deinit(&quota);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_uid_has_its_share),
        cmocka_unit_test(test_the_last_places_are_for_root),
        cmocka_unit_test(test_strangers_share_half),
        cmocka_unit_test(test_a_total_no_larger_than_a_share),
        cmocka_unit_test(test_many_uids),
        cmocka_unit_test(test_who_left_is_remembered_for_a_while),
    };
    return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
