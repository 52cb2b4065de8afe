/* The start after a kill, state by state as the record can stand on disk: what is finished, what is
 * undone, what is left alone. */
#include "work_fixture.h"

#include "useragent/nss_headers.h"

#include <dlfcn.h>

/* As the record stood before the last write of an import. */
static void write_as_importing(
    struct fixture *fixture, const struct agent_record *before, const uint8_t *spki) {
    struct agent_record record;

    assert_int_equal(agent_record_copy(before, &record), 0);
    record.intent = AGENT_INTENT_IMPORT;
    strcpy(record.intent_request_id, "request-2");
    memcpy(record.intent_spki, spki, SHA256_SIZE);
    assert_int_equal(agent_record_write(&fixture->work.dirs, &record), 0);
    agent_record_deinit(&record);
}

static void test_import_that_works_is_kept(void **state) {
    struct fixture *fixture = *state;
    struct agent_record before;
    uint8_t spki[SHA256_SIZE];

    complete(fixture, "request-1");
    assert_int_equal(agent_record_copy(&fixture->work.record, &before), 0);
    install(fixture, "request-2");
    memcpy(spki, fixture->work.record.spki, SHA256_SIZE);
    write_as_importing(fixture, &before, spki);
    expect_in_store(fixture, 2, 2);

    assert_int_equal(restart(fixture), AGENT_EVENT_RESUME_SUPERSEDE);
    assert_string_equal(fixture->work.record.request_id, "request-2");
    assert_memory_equal(fixture->work.record.spki, spki, SHA256_SIZE);
    assert_int_equal(agent_work_supersede(&fixture->work), AGENT_EVENT_SUPERSEDED);
    assert_string_equal(fixture->work.report.request_id, "request-2");
    assert_string_equal(fixture->work.report.serial, fixture->work.record.serial);
    agent_work_finish(&fixture->work);
    assert_int_equal(fixture->work.record.intent, AGENT_INTENT_NONE);
    expect_in_store(fixture, 1, 1);
    agent_record_deinit(&before);
}

static void test_import_without_its_key_is_undone(void **state) {
    struct fixture *fixture = *state;
    struct agent_record before;
    uint8_t spki[SHA256_SIZE];
    char path[USER_DIRS_PATH_MAX], spec[USER_DIRS_PATH_MAX + 8], file_path[USER_DIRS_PATH_MAX],
        text[4096];
    const char *argv[] = {"certutil", "-A", "-d", spec,      "-n", "half",
                          "-t",       ",,", "-i", file_path, NULL};
    FILE *file;

    complete(fixture, "request-1");
    assert_int_equal(agent_record_copy(&fixture->work.record, &before), 0);
    /* the leaf is in, the key was not yet */
    prepare(fixture, "request-2");
    memcpy(spki, credential_key_spki(fixture->work.key), SHA256_SIZE);
    user_dirs_join(fixture->work.dirs.home, "leaf.pem", file_path);
    file = fopen(file_path, "w");
    PEM_write_X509(file, fixture->work.bundle.leaf);
    fclose(file);
    agent_work_close(&fixture->work);
    user_dirs_join(fixture->work.dirs.data, "pki/nssdb", path);
    snprintf(spec, sizeof spec, "sql:%s", path);
    assert_int_equal(home_run(argv, text, sizeof text), 0);
    write_as_importing(fixture, &before, spki);
    home_certutil("-L", path, text, sizeof text);
    assert_int_equal(home_count(text, "half"), 1);

    assert_int_equal(restart(fixture), AGENT_EVENT_RECOVERED);
    assert_string_equal(fixture->work.record.request_id, "request-1");
    assert_int_equal(fixture->work.record.intent, AGENT_INTENT_NONE);
    expect_in_store(fixture, 1, 1);
    home_certutil("-L", path, text, sizeof text);
    assert_int_equal(home_count(text, "half"), 0);
    fixture->work.settings.present = true;
    assert_int_equal(agent_work_check(&fixture->work), AGENT_EVENT_CHECKED);
    assert_null(fixture->work.wanted);
    agent_record_deinit(&before);
}

static void test_supersede_is_repeated(void **state) {
    struct fixture *fixture = *state;

    complete(fixture, "request-1");
    install(fixture, "request-2");
    expect_in_store(fixture, 2, 2);
    assert_int_equal(restart(fixture), AGENT_EVENT_RESUME_SUPERSEDE);
    assert_int_equal(agent_work_supersede(&fixture->work), AGENT_EVENT_SUPERSEDED);
    expect_in_store(fixture, 1, 1);
    assert_string_equal(fixture->work.report.request_id, "request-2");
}

/* The new one is on record but does not work any more: the old one, the only one that works, must
 * not go. */
static void test_supersede_without_a_working_successor_deletes_nothing(void **state) {
    struct fixture *fixture = *state;
    char path[USER_DIRS_PATH_MAX], spec[USER_DIRS_PATH_MAX + 8], text[4096], *name = NULL;
    const char *argv[] = {"certutil", "-D", "-d", spec, "-n", NULL, NULL};

    complete(fixture, "request-1");
    prepare(fixture, "request-2");
    assert_int_equal(x509_subject_text(fixture->work.bundle.leaf, NID_commonName, &name), 0);
    assert_int_equal(agent_work_import(&fixture->work), AGENT_EVENT_VERIFIED);
    agent_work_close(&fixture->work);
    user_dirs_join(fixture->work.dirs.data, "pki/nssdb", path);
    snprintf(spec, sizeof spec, "sql:%s", path);
    argv[5] = name;
    assert_int_equal(home_run(argv, text, sizeof text), 0);
    free(name);

    assert_int_equal(restart(fixture), AGENT_EVENT_RECOVERED);
    expect_in_store(fixture, 1, 2);
    fixture->work.settings.present = true;
    assert_int_equal(agent_work_check(&fixture->work), AGENT_EVENT_CHECKED);
    assert_string_equal(fixture->work.wanted, "lost");
    expect_in_store(fixture, 1, 2);
    /* and the next one cleans up */
    complete(fixture, "request-3");
    expect_in_store(fixture, 1, 1);
}

static void test_removal_is_resumed(void **state) {
    struct fixture *fixture = *state;

    complete(fixture, "request-1");
    fixture->work.record.intent = AGENT_INTENT_REMOVE;
    assert_int_equal(agent_record_write(&fixture->work.dirs, &fixture->work.record), 0);
    assert_int_equal(restart(fixture), AGENT_EVENT_RESUME_REMOVE);
    assert_int_equal(agent_work_remove(&fixture->work), AGENT_EVENT_GONE);
    expect_in_store(fixture, 0, 0);
}

/* What a locked database may hold cannot be said to be gone. */
static void test_removal_from_a_broken_store_on_record_is_no_success(void **state) {
    struct fixture *fixture = *state;
    char path[USER_DIRS_PATH_MAX];
    FILE *file;

    complete(fixture, "request-1");
    agent_work_close(&fixture->work);
    user_dirs_join(fixture->work.dirs.data, "pki/nssdb/cert9.db", path);
    file = fopen(path, "w");
    fclose(file);
    assert_int_equal(agent_work_remove(&fixture->work), AGENT_EVENT_FAILED);
    assert_int_equal(fixture->work.report.reason, REASON_STORE_CORRUPT);
}

/* Nothing that is looked for is found there, which must not pass for gone; however often it is
 * tried, and whether the agent knows of a record or not. */
static void test_removal_from_a_home_that_is_away_is_no_success(void **state) {
    struct fixture *fixture = *state;
    char away[USER_DIRS_PATH_MAX + 8];
    const char *home = fixture->work.dirs.home;

    complete(fixture, "request-1");
    agent_work_close(&fixture->work);
    snprintf(away, sizeof away, "%s.away", home);
    assert_int_equal(rename(home, away), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(agent_work_remove(&fixture->work), AGENT_EVENT_FAILED);
        assert_int_equal(fixture->work.report.reason, REASON_STORE_MISSING);
    }
    assert_int_equal(restart(fixture), AGENT_EVENT_RECOVERED);
    fixture->work.settings.present = true;
    assert_int_equal(agent_work_remove(&fixture->work), AGENT_EVENT_FAILED);
    assert_int_equal(fixture->work.report.reason, REASON_STORE_MISSING);

    assert_int_equal(rename(away, home), 0);
    assert_int_equal(agent_work_remove(&fixture->work), AGENT_EVENT_GONE);
    expect_in_store(fixture, 0, 0);
}

static void test_removal_without_any_order_is_no_success(void **state) {
    struct fixture *fixture = *state;

    fixture->work.settings.present = false;
    assert_int_equal(agent_work_remove(&fixture->work), AGENT_EVENT_FAILED);
    assert_int_equal(fixture->work.report.reason, REASON_NOT_ENROLLED);
}

/* The store fails between import and the record of its success: the old one stays the one. */
static void test_record_that_cannot_be_written(void **state) {
    struct fixture *fixture = *state;
    char directory[USER_DIRS_PATH_MAX], aside[USER_DIRS_PATH_MAX];
    FILE *file;

    complete(fixture, "request-1");
    prepare(fixture, "request-2");
    /* a file where the directory should be */
    user_dirs_join(fixture->work.dirs.state, "devtrust", directory);
    user_dirs_join(fixture->work.dirs.state, "aside", aside);
    assert_int_equal(rename(directory, aside), 0);
    file = fopen(directory, "w");
    fclose(file);
    assert_int_equal(agent_work_import(&fixture->work), AGENT_EVENT_FAILED);
    assert_null(fixture->work.key);
    assert_string_equal(fixture->work.report.request_id, "request-2");
    assert_string_equal(fixture->work.record.request_id, "request-1");
    unlink(directory);
    assert_int_equal(rename(aside, directory), 0);
    expect_in_store(fixture, 1, 1);
}

/* Takes NSS's place: the database is open, but its keys cannot be read. */
static bool keys_are_unreadable;

SECKEYPrivateKeyList *PK11_ListPrivKeysInSlot(PK11SlotInfo *slot, char *nickname, void *context) {
    SECKEYPrivateKeyList *(*real)(PK11SlotInfo *, char *, void *);

    if (keys_are_unreadable) {
        PORT_SetError(SEC_ERROR_PKCS11_GENERAL_ERROR);
        return NULL;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "PK11_ListPrivKeysInSlot");
    return real(slot, nickname, context);
}

static void test_store_that_cannot_be_read_is_no_lost_one(void **state) {
    struct fixture *fixture = *state;

    complete(fixture, "request-1");
    fixture->work.record.stores[0].present_since = 1;
    keys_are_unreadable = true;
    assert_int_equal(agent_work_check(&fixture->work), AGENT_EVENT_CHECKED);
    keys_are_unreadable = false;
    assert_null(fixture->work.wanted);
    assert_int_equal(fixture->work.record.stores[0].present_since, 1);
    assert_int_equal(agent_work_check(&fixture->work), AGENT_EVENT_CHECKED);
    assert_null(fixture->work.wanted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_import_that_works_is_kept),
        TEST(test_import_without_its_key_is_undone),
        TEST(test_supersede_is_repeated),
        TEST(test_supersede_without_a_working_successor_deletes_nothing),
        TEST(test_removal_is_resumed),
        TEST(test_removal_from_a_broken_store_on_record_is_no_success),
        TEST(test_removal_from_a_home_that_is_away_is_no_success),
        TEST(test_removal_without_any_order_is_no_success),
        TEST(test_record_that_cannot_be_written),
        TEST(test_store_that_cannot_be_read_is_no_lost_one),
    };

    if (credential_key_harden() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
