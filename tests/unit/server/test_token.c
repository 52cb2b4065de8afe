/* Tokens: shape, secrecy, verdicts, counting. */
#include "records.h"

#include "server/token.h"

static void split(const char *text, char id[16], char secret[64]) {
    assert_int_equal(sscanf(text, "%15[^.].%63s", id, secret), 2);
}

static enum token_verdict check(struct db *db, int64_t now_s, const char *id, const char *secret) {
    enum token_verdict verdict;
    assert_int_equal(token_check(db, now_s, id, secret, &verdict), 0);
    return verdict;
}

static void test_shape_and_secrecy(void **state) {
    struct db *db = ((struct records *)*state)->db;
    char text[TOKEN_TEXT_SIZE], other[TOKEN_TEXT_SIZE];
    int64_t count;
    assert_int_equal(token_create(db, &random_system, NOW, 1, NOW + 10, text), 0);
    assert_int_equal(token_create(db, &random_system, NOW, 1, NOW + 10, other), 0);
    assert_string_not_equal(text, other);
    assert_int_equal(strlen(text), TOKEN_ID_LENGTH + 1 + TOKEN_SECRET_LENGTH);
    assert_int_equal(text[TOKEN_ID_LENGTH], '.');
    for (size_t i = 0; i < strlen(text); i++)
        if (i != TOKEN_ID_LENGTH)
            assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz0123456789", text[i]));
    db_query_int(
        db, "SELECT count(*) FROM tokens WHERE secret_sha256 = ? OR id = ?",
        DB_VALUES(DB_BLOB(text + TOKEN_ID_LENGTH + 1, TOKEN_SECRET_LENGTH), DB_TEXT(text)), &count);
    assert_int_equal(count, 0);
}

static void test_verdicts(void **state) {
    struct db *db = ((struct records *)*state)->db;
    char text[TOKEN_TEXT_SIZE], id[16], secret[64], wrong[64];
    token_create(db, &random_system, NOW, 2, NOW + 10, text);
    split(text, id, secret);
    assert_int_equal(check(db, NOW, id, secret), TOKEN_GOOD);
    assert_int_equal(check(db, NOW + 9, id, secret), TOKEN_GOOD);
    assert_int_equal(check(db, NOW + 10, id, secret), TOKEN_SPENT);
    assert_int_equal(check(db, NOW, "nosuchid", secret), TOKEN_UNKNOWN);
    assert_int_equal(check(db, NOW, id, ""), TOKEN_UNKNOWN);
    for (size_t i = 0; i < strlen(secret); i++) {
        strcpy(wrong, secret);
        wrong[i] = wrong[i] == 'a' ? 'b' : 'a';
        assert_int_equal(check(db, NOW, id, wrong), TOKEN_UNKNOWN);
    }
    assert_int_equal(token_use(db, id), 0);
    assert_int_equal(check(db, NOW, id, secret), TOKEN_GOOD);
    assert_int_equal(token_use(db, id), 0);
    assert_int_equal(check(db, NOW, id, secret), TOKEN_SPENT);
    assert_int_equal(token_use(db, id), -ENOENT);
    assert_int_equal(token_revoke(db, NOW, id), 0);
    assert_int_equal(check(db, NOW, id, secret), TOKEN_UNKNOWN);
    assert_int_equal(token_revoke(db, NOW, id), -ENOENT);
}

static int no_random(void *ret, size_t size, void *userdata) {
    (void)ret, (void)size, (void)userdata;
    return -EIO;
}

static void test_no_token_without_randomness(void **state) {
    struct db *db = ((struct records *)*state)->db;
    const struct random_source broken = {.bytes = no_random};
    char text[TOKEN_TEXT_SIZE];
    int64_t count;
    assert_int_equal(token_create(db, &broken, NOW, 1, NOW + 10, text), -EIO);
    db_query_int(db, "SELECT count(*) FROM tokens", DB_NO_VALUES, &count);
    assert_int_equal(count, 0);
}

int main(void) {
#define READY(test) cmocka_unit_test_setup_teardown(test, records_setup, records_teardown)
    const struct CMUnitTest tests[] = {
        READY(test_shape_and_secrecy),
        READY(test_verdicts),
        READY(test_no_token_without_randomness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
