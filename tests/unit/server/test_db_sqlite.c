/* The database connection: modes, versions, values, constraints, savepoints. */
#include "records.h"

#include <fcntl.h>
#include <unistd.h>

static void test_create_is_exclusive_and_private(void **state) {
    struct records *records = *state;
    struct db *db = NULL;
    struct stat info;

    assert_int_equal(db_open(records->path, DB_WRITE, &db), -ENOENT);
    assert_int_equal(db_open(records->path, DB_CREATE, &db), 0);
    assert_int_equal(stat(records->path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    db = db_close(db);
    assert_int_equal(db_open(records->path, DB_CREATE, &db), -EEXIST);
    assert_int_equal(db_open(records->path, DB_WRITE, &db), 0);
    db_close(db);
}

static void test_other_files_are_refused(void **state) {
    struct records *records = *state;
    struct db *db = NULL;
    static const char junk[] = "this is not a database, and it is longer than a page header is, "
                               "which is what is read first of all: one hundred bytes.";

    int fd = open(records->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(write(fd, junk, sizeof(junk)) == sizeof(junk));
    close(fd);
    assert_int_equal(db_open(records->path, DB_WRITE, &db), -EBADMSG);
    assert_null(db);
}

static void test_newer_version_is_left_alone(void **state) {
    struct records *records = *state;
    assert_true(db_execute(records->db, "PRAGMA user_version = 99", DB_NO_VALUES) >= 0);
    struct db *db = NULL;
    assert_int_equal(db_open(records->path, DB_WRITE, &db), -EPROTO);
    assert_int_equal(db_open(records->path, DB_READ, &db), -EPROTO);
}

static void test_reader_cannot_write(void **state) {
    struct records *records = *state;
    struct db *db = NULL;
    assert_int_equal(db_open(records->path, DB_READ, &db), 0);
    assert_true(settings_set(db, "a", "b") < 0);
    assert_int_equal(settings_set(records->db, "a", "b"), 0);
    char *value = NULL;
    assert_int_equal(settings_get(db, "a", &value), 0);
    assert_string_equal(value, "b");
    free(value);
    db_close(db);
}

static void test_durability_settings(void **state) {
    struct records *records = *state;
    int64_t value;
    assert_int_equal(db_query_int(records->db, "PRAGMA synchronous", DB_NO_VALUES, &value), 0);
    assert_int_equal(value, 2); /* FULL */
    assert_int_equal(db_query_int(records->db, "PRAGMA foreign_keys", DB_NO_VALUES, &value), 0);
    assert_int_equal(value, 1);
    CLEANUP_DB_STATEMENT struct db_statement *row = NULL;
    assert_int_equal(db_query(records->db, "PRAGMA journal_mode", DB_NO_VALUES, &row), 0);
    assert_int_equal(db_step(row), 1);
    assert_string_equal(db_column_text(row, 0), "wal");
}

static void test_values(void **state) {
    struct records *records = *state;
    static const uint8_t blob[] = {0, 1, 2, 0xff};
    CLEANUP_DB_STATEMENT struct db_statement *row = NULL;
    assert_int_equal(
        db_query(
            records->db, "SELECT ?, ?, ?, ?",
            DB_VALUES(
                DB_INT(INT64_MIN), DB_TEXT("\xc3\xa4"), DB_BLOB(blob, sizeof(blob)), DB_TEXT(NULL)),
            &row),
        0);
    assert_int_equal(db_step(row), 1);
    assert_true(db_column_int(row, 0) == INT64_MIN);
    assert_string_equal(db_column_text(row, 1), "\xc3\xa4");
    size_t size;
    assert_memory_equal(db_column_blob(row, 2, &size), blob, sizeof(blob));
    assert_int_equal(size, sizeof(blob));
    assert_null(db_column_text(row, 3));
    char text[3];
    assert_int_equal(db_column_copy(row, 1, text, sizeof(text)), 0);
    assert_int_equal(db_column_copy(row, 1, text, 2), -EMSGSIZE);
    assert_int_equal(db_column_copy(row, 3, text, sizeof(text)), 0);
    assert_string_equal(text, "");
    assert_int_equal(db_step(row), 0);
}

static void test_constraints_are_answers(void **state) {
    struct records *records = *state;
    records_fill(records->db);
    assert_int_equal(user_add(records->db, NOW, "u1", NULL, NULL, NULL), -EEXIST);
    /* a foreign key: no such user */
    assert_int_equal(
        db_execute(
            records->db,
            "INSERT INTO assignments (user_id, device, local_name, created_at)"
            " VALUES ('nobody', ?, 'x', 0)",
            DB_VALUES(DB_TEXT(DEVICE_A))),
        -EINVAL);
}

/* A query within its own loop gets a statement of its own. */
static void test_nested_query(void **state) {
    struct records *records = *state;
    static const char sql[] = "SELECT id FROM users ORDER BY id";
    records_fill(records->db);
    CLEANUP_DB_STATEMENT struct db_statement *outer = NULL;
    assert_int_equal(db_query(records->db, sql, DB_NO_VALUES, &outer), 0);
    assert_int_equal(db_step(outer), 1);
    CLEANUP_DB_STATEMENT struct db_statement *inner = NULL;
    assert_int_equal(db_query(records->db, sql, DB_NO_VALUES, &inner), 0);
    assert_int_equal(db_step(inner), 1);
    assert_string_equal(db_column_text(inner, 0), "u1");
    assert_int_equal(db_step(outer), 1);
    assert_string_equal(db_column_text(outer, 0), "u2");
}

static void test_savepoints(void **state) {
    struct records *records = *state;
    struct db *db = records->db;
    char *value = NULL;
    assert_int_equal(db_begin(db), 0);
    assert_int_equal(db_savepoint(db), 0);
    assert_int_equal(settings_set(db, "kept", "1"), 0);
    assert_int_equal(db_savepoint_release(db), 0);
    assert_int_equal(db_savepoint(db), 0);
    assert_int_equal(settings_set(db, "undone", "1"), 0);
    db_savepoint_rollback(db);
    assert_true(db_in_transaction(db));
    assert_int_equal(db_commit(db), 0);
    assert_false(db_in_transaction(db));
    assert_int_equal(settings_get(db, "undone", &value), -ENOENT);
    assert_int_equal(settings_get(db, "kept", &value), 0);
    free(value);
}

static void test_audit_cannot_be_changed(void **state) {
    struct records *records = *state;
    assert_int_equal(
        db_execute(
            records->db, "INSERT INTO audit (time, what, who) VALUES (1, 'a', 'b')", DB_NO_VALUES),
        1);
    assert_true(db_execute(records->db, "UPDATE audit SET who = 'c'", DB_NO_VALUES) < 0);
    assert_true(db_execute(records->db, "DELETE FROM audit", DB_NO_VALUES) < 0);
}

int main(void) {
#define EMPTY(test) cmocka_unit_test_setup_teardown(test, records_setup_empty, records_teardown)
#define READY(test) cmocka_unit_test_setup_teardown(test, records_setup, records_teardown)
    const struct CMUnitTest tests[] = {
        EMPTY(test_create_is_exclusive_and_private),
        EMPTY(test_other_files_are_refused),
        READY(test_newer_version_is_left_alone),
        READY(test_reader_cannot_write),
        READY(test_durability_settings),
        READY(test_values),
        READY(test_constraints_are_answers),
        READY(test_nested_query),
        READY(test_savepoints),
        READY(test_audit_cannot_be_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
