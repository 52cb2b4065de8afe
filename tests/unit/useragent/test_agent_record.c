/* The agent's record: what is written is read back; what is broken is set aside; a newer version is
 * left alone. */
#include "useragent/agent_record.h"

#include "home.h"
#include "pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct fixture {
    struct user_dirs dirs;
    struct pki pki;
    char path[USER_DIRS_PATH_MAX];
};

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);

    home_make(&fixture->dirs);
    pki_init(&fixture->pki, "Example");
    user_dirs_join(fixture->dirs.state, "devtrust/agent.json", fixture->path);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;

    home_remove(&fixture->dirs);
    pki_deinit(&fixture->pki);
    free(fixture);
    return 0;
}

static void fill(struct fixture *fixture, struct agent_record *record) {
    agent_record_init(record);
    strcpy(record->device_uuid, PKI_DEVICE);
    assert_int_equal(agent_record_add_issuer(record, fixture->pki.issuer), 0);
    strcpy(record->serial, "5b01");
    strcpy(record->request_id, "request-1");
    memset(record->spki, 0x11, SHA256_SIZE);
    record->not_before = 1000;
    record->not_after = 2000;
    record->installed_at = 1100;
    record->renew_at = 1500;
    record->renew_after_s = 400;
    record->store_count = 2;
    record->stores[0] = (struct agent_record_store){.verified = true, .issuer_found = true};
    strcpy(record->stores[0].location.path, "/home/alice/.pki/nssdb");
    record->stores[1] = (struct agent_record_store){.verified = false};
    strcpy(record->stores[1].location.path, "/home/alice/\"odd\"\t\\name/nssdb");
    record->intent = AGENT_INTENT_IMPORT;
    strcpy(record->intent_request_id, "request-2");
    memset(record->intent_spki, 0x22, SHA256_SIZE);
    record->old_count = 2;
    memset(record->old[0], 0x33, SHA256_SIZE);
    memset(record->old[1], 0x44, SHA256_SIZE);
}

static void test_round_trip(void **state) {
    struct fixture *fixture = *state;
    struct agent_record written, read;
    struct stat status;

    fill(fixture, &written);
    assert_int_equal(agent_record_write(&fixture->dirs, &written), 0);
    assert_int_equal(agent_record_read(&fixture->dirs, &read), 0);
    assert_string_equal(read.device_uuid, written.device_uuid);
    assert_string_equal(read.serial, written.serial);
    assert_string_equal(read.request_id, written.request_id);
    assert_memory_equal(read.spki, written.spki, SHA256_SIZE);
    assert_int_equal(read.not_before, 1000);
    assert_int_equal(read.not_after, 2000);
    assert_int_equal(read.installed_at, 1100);
    assert_int_equal(read.renew_at, 1500);
    assert_int_equal(read.renew_after_s, 400);
    assert_int_equal(read.store_count, 2);
    assert_string_equal(read.stores[1].location.path, written.stores[1].location.path);
    assert_true(read.stores[0].verified && read.stores[0].issuer_found);
    assert_false(read.stores[1].verified || read.stores[1].issuer_found);
    assert_int_equal(read.intent, AGENT_INTENT_IMPORT);
    assert_string_equal(read.intent_request_id, "request-2");
    assert_memory_equal(read.intent_spki, written.intent_spki, SHA256_SIZE);
    assert_int_equal(read.old_count, 2);
    assert_memory_equal(read.old, written.old, 2 * SHA256_SIZE);
    assert_int_equal(read.issuer_count, 1);
    assert_string_equal(read.issuers[0], written.issuers[0]);
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    agent_record_deinit(&written);
    agent_record_deinit(&read);
}

/* In homes that are older than UTF-8, and in nobody's favour but a file system's. */
static void test_path_that_is_not_utf8(void **state) {
    static const char odd[] = "/home/alice/.mozilla/firefox/Profil\xe9";
    struct fixture *fixture = *state;
    struct agent_record written, read;

    fill(fixture, &written);
    memcpy(written.stores[1].location.path, odd, strlen(odd) + 1);
    assert_int_equal(agent_record_write(&fixture->dirs, &written), 0);
    assert_int_equal(agent_record_read(&fixture->dirs, &read), 0);
    assert_int_equal(read.store_count, 2);
    assert_string_equal(read.stores[0].location.path, written.stores[0].location.path);
    assert_string_equal(read.stores[1].location.path, odd);
    agent_record_deinit(&written);
    agent_record_deinit(&read);
}

static void test_full_lists_fit(void **state) {
    struct fixture *fixture = *state;
    struct agent_record record, read;

    fill(fixture, &record);
    record.old_count = AGENT_RECORD_MAX_OLD;
    record.store_count = STORE_MAX;
    for (unsigned i = 0; i < STORE_MAX; i++) {
        memset(record.stores[i].location.path, 'a', USER_DIRS_PATH_MAX - 1);
        record.stores[i].location.path[0] = '/';
        record.stores[i].location.path[USER_DIRS_PATH_MAX - 1] = '\0';
    }
    assert_int_equal(agent_record_write(&fixture->dirs, &record), 0);
    assert_int_equal(agent_record_read(&fixture->dirs, &read), 0);
    assert_int_equal(read.old_count, AGENT_RECORD_MAX_OLD);
    assert_int_equal(read.store_count, STORE_MAX);
    agent_record_deinit(&record);
    agent_record_deinit(&read);
}

static void test_issuers_newest_first(void **state) {
    struct fixture *fixture = *state;
    struct agent_record record;
    struct pki others[OURS_MAX_ISSUERS];
    struct ours ours = {0};

    agent_record_init(&record);
    assert_int_equal(agent_record_add_issuer(&record, fixture->pki.issuer), 0);
    for (unsigned i = 0; i < OURS_MAX_ISSUERS; i++) {
        pki_init(&others[i], "Other");
        assert_int_equal(agent_record_add_issuer(&record, others[i].issuer), 0);
    }
    assert_int_equal(record.issuer_count, OURS_MAX_ISSUERS);
    assert_int_equal(agent_record_add_issuer(&record, others[1].issuer), 1);
    assert_int_equal(agent_record_add_to(&record, &ours), 0);
    assert_int_equal(ours.issuer_count, OURS_MAX_ISSUERS);
    assert_int_equal(X509_cmp(ours.issuers[0], others[1].issuer), 0);
    agent_record_keep_issuers(&record, 1);
    assert_int_equal(record.issuer_count, 1);
    ours_deinit(&ours);
    agent_record_deinit(&record);
    for (unsigned i = 0; i < OURS_MAX_ISSUERS; i++)
        pki_deinit(&others[i]);
}

static void put(struct fixture *fixture, const char *text) {
    struct agent_record record;
    FILE *file;

    /* makes the directories */
    agent_record_init(&record);
    assert_int_equal(agent_record_write(&fixture->dirs, &record), 0);
    file = fopen(fixture->path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_broken_is_set_aside(void **state) {
    struct fixture *fixture = *state;
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "{\"format\": \"devtrust-agent\", \"version\": 1, \"device\": \"not a uuid, but it is 36 "
        "long!!!!\"}",
        "{\"format\": \"devtrust-agent\", \"version\": 1, \"current\": {\"serial\": 5}}",
        "{\"format\": \"devtrust-agent\", \"version\": 1, \"current\": {\"serial\": \"5\", "
        "\"spki_sha256\": \"0000000000000000000000000000000000000000000000000000000000000000\", "
        "\"not_before\": 1, \"not_after\": 2, \"installed_at\": 1, \"renew_at\": 1, "
        "\"renew_after_s\": 1, \"stores\": [{\"kind\": \"nss_firefox\", \"path_hex\": \"2f0\", "
        "\"issuer_found\": true, \"verified\": true}]}}",
        "{\"format\": \"devtrust-agent\", \"version\": 1, \"intent\": {\"phase\": \"dance\"}}",
        "{\"format\": \"devtrust-agent\", \"version\": 1, \"intent\": {\"phase\": \"import\"}}",
        "{\"format\": \"devtrust-agent\", \"version\": 1, \"issuers\": [\"AAAA\"]}",
        "{\"format\": \"devtrust-agent\", \"version\": 1, \"intent\": {\"phase\": \"supersede\", "
        "\"old\": [\"zz\"]}}",
    };
    char aside[USER_DIRS_PATH_MAX + 16];
    struct agent_record record;

    snprintf(aside, sizeof aside, "%s.broken", fixture->path);
    for (unsigned i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        put(fixture, broken[i]);
        agent_record_init(&record);
        assert_int_equal(agent_record_read(&fixture->dirs, &record), -EBADMSG);
        assert_int_equal(record.issuer_count, 0);
        assert_int_equal(access(fixture->path, F_OK), -1);
        assert_int_equal(access(aside, F_OK), 0);
        unlink(aside);
    }
}

static void test_newer_is_left_alone(void **state) {
    struct fixture *fixture = *state;
    struct agent_record record;

    put(fixture, "{\"format\": \"devtrust-agent\", \"version\": 2, \"surprise\": true}");
    agent_record_init(&record);
    assert_int_equal(agent_record_read(&fixture->dirs, &record), -EPROTO);
    assert_int_equal(access(fixture->path, F_OK), 0);
}

static void test_no_home_is_made(void **state) {
    struct fixture *fixture = *state;
    struct agent_record record;

    home_remove(&fixture->dirs);
    agent_record_init(&record);
    assert_int_equal(agent_record_write(&fixture->dirs, &record), -ENOENT);
    assert_int_equal(access(fixture->dirs.home, F_OK), -1);
    assert_int_equal(agent_record_read(&fixture->dirs, &record), -ENOENT);
}

static void test_symbolic_link_is_not_followed(void **state) {
    struct fixture *fixture = *state;
    struct agent_record record;
    char target[USER_DIRS_PATH_MAX];

    put(fixture, "{}");
    unlink(fixture->path);
    user_dirs_join(fixture->dirs.home, "target", target);
    assert_int_equal(symlink(target, fixture->path), 0);
    agent_record_init(&record);
    assert_int_equal(agent_record_read(&fixture->dirs, &record), -ELOOP);
    /* writing replaces the link, not what it points to */
    assert_int_equal(agent_record_write(&fixture->dirs, &record), 0);
    assert_int_equal(access(target, F_OK), -1);
}

static void test_remove_takes_the_empty_directory(void **state) {
    struct fixture *fixture = *state;
    struct agent_record record;
    char directory[USER_DIRS_PATH_MAX], other[USER_DIRS_PATH_MAX];
    FILE *file;

    user_dirs_join(fixture->dirs.state, "devtrust", directory);
    agent_record_init(&record);
    assert_int_equal(agent_record_write(&fixture->dirs, &record), 0);
    assert_int_equal(agent_record_remove(&fixture->dirs), 0);
    assert_int_equal(access(directory, F_OK), -1);
    assert_int_equal(agent_record_remove(&fixture->dirs), 0);
    /* what is not ours keeps its directory */
    assert_int_equal(agent_record_write(&fixture->dirs, &record), 0);
    user_dirs_join(directory, "notes", other);
    file = fopen(other, "w");
    fclose(file);
    assert_int_equal(agent_record_remove(&fixture->dirs), 0);
    assert_int_equal(access(other, F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_path_that_is_not_utf8),
        TEST(test_full_lists_fit),
        TEST(test_issuers_newest_first),
        TEST(test_broken_is_set_aside),
        TEST(test_newer_is_left_alone),
        TEST(test_no_home_is_made),
        TEST(test_symbolic_link_is_not_followed),
        TEST(test_remove_takes_the_empty_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
