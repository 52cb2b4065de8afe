/* What is forgotten, and what never is. */
#include "records.h"

#include "server/retention.h"
#include "server/token.h"

#define KEEP 1000

static int64_t rows(struct db *db, const char *table) {
    char query[64];
    int64_t count;
    snprintf(query, sizeof(query), "SELECT count(*) FROM %s", table);
    assert_int_equal(db_query_int(db, query, DB_NO_VALUES, &count), 0);
    return count;
}

static bool is_known(struct db *db, X509 *certificate) {
    return records_status(db, certificate, NOW, 0).known;
}

static void test_expired_user_certificates_go_after_a_while(void **state) {
    struct db *db = ((struct records *)*state)->db;
    records_fill(db);
    X509 *old = records_issue_until(db, 1, DEVICE_A, "u1", REQUEST_1, NOW);
    X509 *current = records_issue_until(db, 2, DEVICE_A, "u1", REQUEST_2, NOW + 1);
    certificate_confirm(db, records_id(db, old), true, NOW - 5);
    certificate_confirm(db, records_id(db, current), true, NOW - 4); /* supersedes the other */

    assert_int_equal(retention_forget(db, NOW + KEEP - 1, KEEP), 0);
    assert_true(is_known(db, old));
    assert_int_equal(retention_forget(db, NOW + KEEP, KEEP), 1);
    assert_false(is_known(db, old));
    assert_true(is_known(db, current));
    assert_int_equal(retention_forget(db, NOW + KEEP, KEEP), 0);
    assert_int_equal(retention_forget(db, NOW + KEEP + 1, KEEP), 1); /* the last one as well */
    X509_free(old), X509_free(current);
}

static void test_the_newest_of_a_device_stays(void **state) {
    struct db *db = ((struct records *)*state)->db;
    records_fill(db);
    X509 *first = records_issue_until(db, 1, DEVICE_A, "", "", NOW - 20);
    X509 *second = records_issue_until(db, 2, DEVICE_A, "", "", NOW - 10);
    X509 *other = records_issue_until(db, 3, DEVICE_B, "", "", NOW - 30);
    X509 *user = records_issue_until(db, 4, DEVICE_B, "u1", REQUEST_1, NOW + 500000);

    assert_int_equal(retention_forget(db, NOW + 100 * KEEP, KEEP), 1);
    assert_false(is_known(db, first));
    assert_true(is_known(db, second));
    assert_true(is_known(db, other)); /* a user's is no newer one of the device */
    assert_true(is_known(db, user));
    X509_free(first), X509_free(second), X509_free(other), X509_free(user);
}

/* The answer to its renewal may never have reached it. */
static void test_the_one_that_a_device_used_last_stays(void **state) {
    struct db *db = ((struct records *)*state)->db;
    records_fill(db);
    X509 *first = records_issue_until(db, 1, DEVICE_A, "", "", NOW - 30);
    X509 *used = records_issue_until(db, 2, DEVICE_A, "", "", NOW - 20);
    X509 *lost = records_issue_until(db, 3, DEVICE_A, "", "", NOW - 10);
    certificate_confirm(db, records_id(db, first), false, NOW - 60);
    certificate_confirm(db, records_id(db, used), false, NOW - 50); /* revokes the first */

    assert_int_equal(retention_forget(db, NOW + 100 * KEEP, KEEP), 1);
    assert_false(is_known(db, first));
    assert_true(is_known(db, used));
    assert_true(is_known(db, lost));
    certificate_confirm(db, records_id(db, lost), false, NOW); /* it has come after all */
    assert_int_equal(retention_forget(db, NOW + 100 * KEEP, KEEP), 1);
    assert_false(is_known(db, used));
    assert_true(is_known(db, lost));
    X509_free(first), X509_free(used), X509_free(lost);
}

static void test_tokens_go_after_a_while(void **state) {
    struct db *db = ((struct records *)*state)->db;
    char text[TOKEN_TEXT_SIZE];
    token_create(db, &random_system, NOW, 1, NOW + 10, text);
    token_create(db, &random_system, NOW, 1, NOW + 20, text);
    assert_int_equal(retention_forget(db, NOW + 10 + KEEP - 1, KEEP), 0);
    assert_int_equal(retention_forget(db, NOW + 10 + KEEP, KEEP), 1);
    assert_int_equal(rows(db, "tokens"), 1);
}

static void test_a_pass_is_bounded(void **state) {
    struct db *db = ((struct records *)*state)->db;
    char text[TOKEN_TEXT_SIZE];
    assert_int_equal(db_begin(db), 0);
    for (int i = 0; i < RETENTION_BATCH + 1; i++)
        assert_int_equal(token_create(db, &random_system, NOW, 1, NOW + 10, text), 0);
    assert_int_equal(db_commit(db), 0);
    assert_int_equal(retention_forget(db, NOW + 10 + KEEP, KEEP), RETENTION_BATCH);
    assert_int_equal(retention_forget(db, NOW + 10 + KEEP, KEEP), 1);
    assert_int_equal(rows(db, "tokens"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_expired_user_certificates_go_after_a_while, records_setup, records_teardown),
        cmocka_unit_test_setup_teardown(
            test_the_newest_of_a_device_stays, records_setup, records_teardown),
        cmocka_unit_test_setup_teardown(
            test_the_one_that_a_device_used_last_stays, records_setup, records_teardown),
        cmocka_unit_test_setup_teardown(
            test_tokens_go_after_a_while, records_setup, records_teardown),
        cmocka_unit_test_setup_teardown(test_a_pass_is_bounded, records_setup, records_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
