/* The files of managed users: what is written comes back, and what is broken or newer is not lost.
 */
#include "daemon/user_store.h"

#include "common/json_gate.h"
#include "tests/unit/daemon/state_dir.h"

#include <errno.h>
#include <json-c/json_tokener.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UUID "0b6f6c0e-5b0d-4b57-9d44-7a3f0a1c2b3d"

static struct state_dir dir;
static struct user_store *store;
static struct user_record found[8];
static enum reason problems[8];
static size_t count;

static void loaded(const struct user_record *record, enum reason problem, void *unused) {
    (void)unused;
    assert_true(count < 8);
    problems[count] = problem;
    assert_int_equal(user_record_copy(record, &found[count++]), 0);
}

static int setup(void **unused) {
    (void)unused;
    state_dir_make(&dir);
    count = 0;
    return user_store_open(dir.fd, &store);
}

static int teardown(void **unused) {
    (void)unused;
    for (size_t i = 0; i < count; i++)
        user_record_deinit(&found[i]);
    store = user_store_free(store);
    state_dir_remove(&dir);
    return 0;
}

static void full_record(struct user_record *ret) {
    user_record_init(ret, "u-1@example.com");
    strcpy(ret->name, "alice");
    ret->uid = 1000;
    ret->state = USER_DELIVERED;
    ret->held = ret->delivered = ret->due_ordered = true;
    ret->due = 5;
    ret->attempt = 3;
    ret->reason = REASON_STORE_FULL;
    ret->next_reason = REQUEST_STORE_ADDED;
    strcpy(ret->refused_epoch, UUID);
    ret->refused_generation = INT64_MAX;
    strcpy(ret->request.id, UUID);
    ret->request.reason = REQUEST_LOST;
    ret->request.key_type = KEY_TYPE_RSA3072;
    ret->request.deadline = 77;
    ret->request.csr = strdup("csr");
    memset(ret->request.spki, 'b', 64);
    ret->request.root = strdup("root");
    ret->request.intermediate = strdup("intermediate");
    ret->request.leaf = strdup("leaf");
    strcpy(ret->request.serial, "ab");
    ret->request.not_after = 99;
    strcpy(ret->installed.serial, "cd");
    strcpy(ret->installed.request_id, UUID);
    ret->installed.key_type = KEY_TYPE_P384;
    ret->installed.not_after = 11;
    ret->installed.renew_at = 10;
    ret->stores = json_tokener_parse("[{\"kind\":\"nss_chromium\",\"path\":\"/x\",\"ok\":true}]");
    memset(ret->issuer_spki, 'c', 64);
    memset(ret->root_spki, 'd', 64);
    strcpy(ret->device_uuid, UUID);
    rate_limit_count(&ret->rate, 1700000000);
    for (uint8_t i = 0; i < USER_RECORD_MAX_KEYS + 1; i++) {
        uint8_t spki[SHA256_SIZE] = {i};
        user_record_add_key(ret, spki);
    }
}

static void everything_comes_back(void **unused) {
    (void)unused;
    struct user_record record;
    full_record(&record);
    assert_int_equal(user_store_write(store, &record), 0);
    assert_int_equal(state_dir_mode(&dir, "users/u-1@example.com.json"), 0600);
    assert_int_equal(state_dir_mode(&dir, "users"), 0700);
    assert_int_equal(user_store_load(store, loaded, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(problems[0], REASON_NONE);
    struct json_object *before = user_record_to_json(&record),
                       *after = user_record_to_json(&found[0]);
    assert_true(json_object_equal(before, after));
    assert_int_equal(found[0].key_count, USER_RECORD_MAX_KEYS);
    const uint8_t oldest[SHA256_SIZE] = {0}, second[SHA256_SIZE] = {1};
    assert_false(user_record_knows_key(&found[0], oldest)); /* fell out */
    assert_true(user_record_knows_key(&found[0], second));
    assert_int_equal(found[0].rate.used, 1);
    json_object_put(before);
    json_object_put(after);
    user_record_deinit(&record);
}

static void removed_is_gone(void **unused) {
    (void)unused;
    struct user_record record;
    user_record_init(&record, "u1");
    assert_int_equal(user_store_write(store, &record), 0);
    assert_int_equal(user_store_remove(store, "u1"), 0);
    assert_int_equal(user_store_remove(store, "u1"), 0);
    assert_int_equal(user_store_load(store, loaded, NULL), 0);
    assert_int_equal(count, 0);
}

static void broken_ones_are_set_aside(void **unused) {
    (void)unused;
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "{\"format\":\"devtrust-other\",\"version\":1}",
        "{\"format\":\"devtrust-user\",\"version\":1,\"id\":\"u1\",\"state\":\"dancing\","
        "\"delivered\":true}",
        "{\"format\":\"devtrust-user\",\"version\":1,\"id\":\"other\",\"state\":\"waiting\","
        "\"delivered\":true}",
        "{\"format\":\"devtrust-user\",\"version\":1,\"id\":\"u1\",\"state\":\"signing\","
        "\"delivered\":true}",
        "{\"format\":\"devtrust-user\",\"version\":1,\"id\":\"u1\",\"state\":\"waiting\","
        "\"delivered\":1}"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        state_dir_write(&dir, "written", broken[i], strlen(broken[i]));
        assert_int_equal(renameat(dir.fd, "written", dir.fd, "users/u1.json"), 0);
        count = 0;
        assert_int_equal(user_store_load(store, loaded, NULL), 0);
        if (count != 1 || problems[0] != REASON_BROKEN_STATE)
            fail_msg("%s", broken[i]);
        assert_string_equal(found[0].id, "u1");
        assert_true(found[0].delivered); /* something may be in a store */
        assert_int_equal(found[0].uid, USER_UID_NONE);
        assert_false(state_dir_has(&dir, "users/u1.json"));
        assert_true(state_dir_has(&dir, "users/u1.json.broken"));
    }
}

static void a_newer_one_is_left_alone(void **unused) {
    (void)unused;
    static const char newer[] = "{\"format\":\"devtrust-user\",\"version\":2,\"new\":1}";
    state_dir_write(&dir, "written", newer, strlen(newer));
    assert_int_equal(renameat(dir.fd, "written", dir.fd, "users/u1.json"), 0);
    assert_int_equal(user_store_load(store, loaded, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(problems[0], REASON_NEWER_STATE);
    assert_true(state_dir_has(&dir, "users/u1.json"));
}

static void other_files_are_not_ours(void **unused) {
    (void)unused;
    static const char *const names[] = {
        "users/README", "users/.json", "users/a b.json", "users/u1.json.broken"};
    for (size_t i = 0; i < 4; i++) {
        state_dir_write(&dir, "written", "x", 1);
        assert_int_equal(renameat(dir.fd, "written", dir.fd, names[i]), 0);
    }
    state_dir_write(&dir, "written", "x", 1);
    assert_int_equal(renameat(dir.fd, "written", dir.fd, "users/.u1.json.abc123.tmp"), 0);
    assert_int_equal(user_store_load(store, loaded, NULL), 0);
    assert_int_equal(count, 0);
    for (size_t i = 0; i < 4; i++)
        assert_true(state_dir_has(&dir, names[i]));
    user_store_free(store);
    assert_int_equal(user_store_open(dir.fd, &store), 0);
    assert_false(state_dir_has(&dir, "users/.u1.json.abc123.tmp")); /* a killed writer's */
}

static void only_counted(const struct user_record *record, enum reason problem, void *userdata) {
    size_t *number = userdata;
    assert_int_equal(record->state, USER_ABSENT);
    assert_int_equal(problem, REASON_NONE);
    (*number)++;
}

/* Without fsync(): they are many. */
static void write_quickly(unsigned number) {
    char name[64];
    snprintf(name, sizeof(name), "users/u%u.json", number);
    int fd = openat(dir.fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_true(
        dprintf(
            fd,
            "{\"format\":\"devtrust-user\",\"version\":1,\"id\":\"u%u\",\"state\":\"absent\","
            "\"delivered\":false}",
            number) > 0);
    close(fd);
}

static void as_many_as_may_be(void **unused) {
    (void)unused;
    size_t number = 0;
    for (unsigned i = 0; i < USER_STORE_MAX; i++)
        write_quickly(i);
    assert_int_equal(user_store_load(store, only_counted, &number), 0);
    assert_int_equal(number, USER_STORE_MAX);
    write_quickly(USER_STORE_MAX);
    assert_int_equal(user_store_load(store, only_counted, &number), -E2BIG);
}

static void ids(void **unused) {
    (void)unused;
    char longest[USER_ID_SIZE + 1];
    memset(longest, 'x', sizeof(longest));
    longest[USER_ID_SIZE] = '\0';
    assert_false(user_record_id_is_valid(longest));
    longest[USER_ID_SIZE - 1] = '\0';
    assert_true(user_record_id_is_valid(longest));
    assert_true(user_record_id_is_valid(".."));
    assert_false(user_record_id_is_valid(""));
    assert_false(user_record_id_is_valid("a/b"));
    assert_false(user_record_id_is_valid("a\n"));
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(everything_comes_back),     TEST(removed_is_gone),
        TEST(broken_ones_are_set_aside), TEST(a_newer_one_is_left_alone),
        TEST(other_files_are_not_ours),  TEST(as_many_as_may_be),
        cmocka_unit_test(ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
