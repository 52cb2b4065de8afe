/* Firefox's policies.json on disk: nothing without the opt-in; merged, watched, and as it was
 * afterwards. */
#include "daemon/firefox_policy.h"
#include "daemon/firefox_policy_text.h"

#include "common/cleanup.h"
#include "tests/unit/daemon/state_dir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ADMIN_TEXT "{\n  \"policies\": {\n    \"DisableTelemetry\": true\n  }\n}\n"
#define START_S 1700000000

static struct state_dir state, etc;
static char folder[128]; /* etc/firefox/policies */
static char *directories[] = {folder, NULL};
static uv_loop_t loop;
static int64_t now;

static int64_t wall_s(void *unused) {
    (void)unused;
    return now;
}

static const struct clock_source fixed_clock = {.wall_s = wall_s, .monotonic_ms = wall_s};

static struct firefox_policy *make(bool enabled, enum policy_owner owner) {
    const struct firefox_policy_options options = {
        .loop = &loop,
        .clock = &fixed_clock,
        .state_dir_fd = state.fd,
        .enabled = enabled,
        .owner = owner,
        .directories = directories,
        .directory_owner = geteuid()};
    struct firefox_policy *policy = NULL;
    assert_int_equal(firefox_policy_new(&options, &policy), 0);
    return policy;
}

static struct firefox_policy *make_and_want(void) {
    struct firefox_policy *policy = make(true, POLICY_OWNER_DEVTRUST);
    firefox_policy_want(policy);
    return policy;
}

static void end(struct firefox_policy *policy) {
    firefox_policy_close(policy);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static int setup(void **unused) {
    (void)unused;
    now = START_S;
    state_dir_make(&state);
    state_dir_make(&etc);
    snprintf(folder, sizeof(folder), "%s/firefox/policies", etc.path);
    return uv_loop_init(&loop);
}

static int teardown(void **unused) {
    (void)unused;
    state_dir_remove(&state);
    state_dir_remove(&etc);
    return uv_loop_close(&loop);
}

static int open_folder(void) {
    assert_int_equal(atomic_file_make_dirs(folder, 0755), 0);
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void put(const char *text) {
    int fd CLEANUP_CLOSE = open_folder();
    assert_int_equal(atomic_file_write(fd, FIREFOX_POLICY_FILE, text, strlen(text), 0640), 0);
}

static void expect_text(const char *expected) {
    char *text CLEANUP_FREE = NULL;
    size_t size;
    int fd CLEANUP_CLOSE = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -ENOENT : atomic_file_read(fd, FIREFOX_POLICY_FILE, 1 << 20, &text, &size);
    if (!expected) {
        assert_int_equal(r, -ENOENT);
        return;
    }
    assert_int_equal(r, 0);
    assert_string_equal(text, expected);
}

static bool is_set(void) {
    char *text CLEANUP_FREE = NULL;
    size_t size;
    int fd CLEANUP_CLOSE = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && atomic_file_read(fd, FIREFOX_POLICY_FILE, 1 << 20, &text, &size) == 0 &&
           firefox_policy_look(text, size) == FIREFOX_POLICY_SET;
}

/* The one entry of the status; code "": none. */
static void expect(
    const struct firefox_policy *policy, bool installed, int64_t since, const char *code) {
    struct json_object *array = json_object_new_array(), *object, *member = NULL;
    assert_int_equal(firefox_policy_add_status(policy, array), 0);
    assert_int_equal(json_object_array_length(array), 1);
    object = json_object_array_get_idx(array, 0);
    json_object_object_get_ex(object, "code", &member);
    assert_string_equal(member ? json_object_get_string(member) : "", code);
    if (member)
        assert_true(json_object_object_get_ex(object, "remedy", NULL));
    assert_true(json_object_object_get_ex(object, "installed", &member));
    assert_int_equal(json_object_get_boolean(member), installed);
    member = NULL;
    json_object_object_get_ex(object, "since", &member);
    assert_int_equal(json_object_get_int64(member), since);
    assert_true(json_object_object_get_ex(object, "family", &member));
    assert_string_equal(json_object_get_string(member), "firefox");
    json_object_put(array);
}

static bool shows(const struct firefox_policy *policy, const char *text) {
    struct json_object *array = json_object_new_array();
    assert_int_equal(firefox_policy_add_status(policy, array), 0);
    bool found = strstr(json_object_to_json_string(array), text) != NULL;
    json_object_put(array);
    return found;
}

static void nothing_without_the_opt_in(void **unused) {
    (void)unused;
    struct firefox_policy *policy = make(false, POLICY_OWNER_DEVTRUST);
    struct json_object *array = json_object_new_array();
    firefox_policy_want(policy);
    assert_int_equal(firefox_policy_add_status(policy, array), 0);
    assert_int_equal(json_object_array_length(array), 0);
    json_object_put(array);
    assert_false(state_dir_has(&etc, "firefox"));
    assert_false(state_dir_has(&state, "firefox-policy.json"));
    end(policy);
}

static void made_and_removed_with_its_directories(void **unused) {
    (void)unused;
    struct firefox_policy *policy = make_and_want();
    assert_true(is_set());
    expect(policy, true, START_S, "");
    assert_true(state_dir_has(&state, "firefox-policy.json"));
    firefox_policy_release(policy);
    assert_false(state_dir_has(&etc, "firefox"));
    assert_false(state_dir_has(&state, "firefox-policy.json"));
    end(policy);
}

static void merged_and_as_it_was_afterwards(void **unused) {
    (void)unused;
    struct stat status;
    char path[160];
    put(ADMIN_TEXT);
    struct firefox_policy *policy = make_and_want();
    assert_true(is_set());
    snprintf(path, sizeof(path), "%s/" FIREFOX_POLICY_FILE, folder);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    firefox_policy_release(policy);
    expect_text(ADMIN_TEXT);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    end(policy);
}

static void since_stands_over_a_restart(void **unused) {
    (void)unused;
    struct firefox_policy *policy = make_and_want();
    end(policy);
    now += 100;
    policy = make_and_want();
    expect(policy, true, START_S, "");
    firefox_policy_release(policy);
    end(policy);
}

static void the_opt_in_is_withdrawn(void **unused) {
    (void)unused;
    put(ADMIN_TEXT);
    end(make_and_want());
    assert_true(is_set());
    end(make(false, POLICY_OWNER_DEVTRUST));
    expect_text(ADMIN_TEXT);
    assert_false(state_dir_has(&state, "firefox-policy.json"));
}

static void a_directory_that_is_no_longer_configured(void **unused) {
    (void)unused;
    put(ADMIN_TEXT);
    end(make_and_want());
    char first[sizeof(folder)];
    memcpy(first, folder, sizeof(folder));
    snprintf(folder, sizeof(folder), "%s/other", etc.path);
    struct firefox_policy *policy = make_and_want();
    assert_true(is_set());
    firefox_policy_release(policy);
    end(policy);
    memcpy(folder, first, sizeof(folder));
    expect_text(ADMIN_TEXT);
}

/* The record is written before the file; a kill may come in between, or leave a temp file. */
static void after_a_kill_the_removal_is_still_exact(void **unused) {
    (void)unused;
    put(ADMIN_TEXT);
    end(make_and_want());
    put(ADMIN_TEXT); /* as if our write had not happened */
    int fd CLEANUP_CLOSE = open_folder();
    int temp = openat(fd, ".policies.json.AbCdEf.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    close(temp);
    struct firefox_policy *policy = make(true, POLICY_OWNER_DEVTRUST);
    firefox_policy_release(policy);
    expect_text(ADMIN_TEXT);
    assert_int_equal(faccessat(fd, ".policies.json.AbCdEf.tmp", F_OK, 0), -1);
    end(policy);
}

static void what_an_administrator_says_wins(void **unused) {
    (void)unused;
    static const struct {
        const char *text, *code;
    } cases[] = {
        {"{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":\"Ask Every "
         "Time\"}}}",
         "policy-conflict"},
        {"{\"policies\":{\"Preferences\":\"{}\"}}", "policy-conflict"},
        {"[]", "policy-conflict"},
        {"{\"\\u0070olicies\":{\"Preferences\":{}}}", "policy-conflict"},
        {"{\"policies\":{}", "policy-broken-file"},
        {"", "policy-broken-file"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        put(cases[i].text);
        struct firefox_policy *policy = make_and_want();
        expect(policy, false, 0, cases[i].code);
        expect_text(cases[i].text);
        firefox_policy_release(policy);
        expect_text(cases[i].text);
        end(policy);
    }
}

static void what_an_administrator_has_set_is_good(void **unused) {
    (void)unused;
    static const char text[] = "{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":"
                               "{\"Value\":\"Select Automatically\",\"Status\":\"locked\"}}}}";
    put(text);
    struct firefox_policy *policy = make_and_want();
    expect(policy, true, START_S, "");
    assert_false(state_dir_has(&state, "firefox-policy.json"));
    firefox_policy_release(policy);
    expect_text(text);
    end(policy);
}

static void files_that_are_not_plain_are_left_alone(void **unused) {
    (void)unused;
    char path[160], target[160];
    put(ADMIN_TEXT);
    snprintf(path, sizeof(path), "%s/" FIREFOX_POLICY_FILE, folder);
    snprintf(target, sizeof(target), "%s/real.json", etc.path);
    assert_int_equal(rename(path, target), 0);
    assert_int_equal(symlink(target, path), 0);
    struct firefox_policy *policy = make_and_want();
    expect(policy, false, 0, "policy-conflict");
    firefox_policy_release(policy);
    end(policy);
    assert_true(state_dir_has(&etc, "real.json"));

    assert_int_equal(unlink(path), 0);
    put(ADMIN_TEXT);
    chmod(path, 0666);
    policy = make_and_want();
    expect(policy, false, 0, "policy-directory");
    firefox_policy_release(policy);
    end(policy);
    expect_text(ADMIN_TEXT);
}

static void an_unsafe_directory_is_not_written(void **unused) {
    (void)unused;
    put(ADMIN_TEXT);
    chmod(folder, 0775);
    struct firefox_policy *policy = make_and_want();
    expect(policy, false, 0, "policy-directory");
    expect_text(ADMIN_TEXT);
    chmod(folder, 0755);
    while (!is_set()) /* the watch sees it */
        uv_run(&loop, UV_RUN_ONCE);
    expect(policy, true, START_S, "");
    firefox_policy_release(policy);
    expect_text(ADMIN_TEXT);
    end(policy);
}

/* A management tool writes its file anew; then the preference is put in again. */
static void the_administrators_changes_are_followed(void **unused) {
    (void)unused;
    static const char other[] = "{\"policies\":{\"DisablePocket\":true}}";
    put(ADMIN_TEXT);
    struct firefox_policy *policy = make_and_want();
    put(other);
    while (!is_set())
        uv_run(&loop, UV_RUN_ONCE);
    put("{\"policies\":{");
    while (!shows(policy, "policy-broken-file"))
        uv_run(&loop, UV_RUN_ONCE);
    put(other);
    while (!is_set())
        uv_run(&loop, UV_RUN_ONCE);
    firefox_policy_release(policy);
    expect_text(other);
    end(policy);
}

static void another_tools_policy_is_only_looked_at(void **unused) {
    (void)unused;
    static const char text[] = "{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":"
                               "\"Select Automatically\"}}}";
    struct firefox_policy *policy = make(true, POLICY_OWNER_EXTERNAL);
    firefox_policy_want(policy);
    assert_false(state_dir_has(&etc, "firefox"));
    expect(policy, false, 0, "policy-external");
    end(policy);
    put(ADMIN_TEXT);
    policy = make(true, POLICY_OWNER_EXTERNAL);
    firefox_policy_want(policy);
    expect(policy, false, 0, "policy-external");
    expect_text(ADMIN_TEXT);
    put(text);
    while (shows(policy, "policy-external"))
        uv_run(&loop, UV_RUN_ONCE);
    expect(policy, true, START_S, "");
    firefox_policy_release(policy);
    expect_text(text);
    end(policy);
    /* what was ours goes when another tool takes over */
    put(ADMIN_TEXT);
    end(make_and_want());
    policy = make(true, POLICY_OWNER_EXTERNAL);
    firefox_policy_want(policy);
    expect_text(ADMIN_TEXT);
    end(policy);
}

static void a_record_that_is_newer_or_broken(void **unused) {
    (void)unused;
    static const char newer[] = "{\"format\":\"devtrust-policy\",\"version\":2}";
    struct firefox_policy *policy = NULL;
    const struct firefox_policy_options options = {
        .loop = &loop,
        .clock = &fixed_clock,
        .state_dir_fd = state.fd,
        .enabled = true,
        .directories = directories,
        .directory_owner = geteuid()};
    state_dir_write(&state, "firefox-policy.json", newer, strlen(newer));
    assert_int_equal(firefox_policy_new(&options, &policy), -EPROTO);
    state_dir_write(&state, "firefox-policy.json", "broken", 6);
    assert_int_equal(firefox_policy_new(&options, &policy), 0);
    assert_true(state_dir_has(&state, "firefox-policy.json.broken"));
    end(policy);
}

static struct firefox_place_facts examine(const struct firefox_policy *policy) {
    struct firefox_place_facts facts;
    assert_int_equal(firefox_policy_examine(policy, 0, &facts), 0);
    assert_string_equal(facts.directory, folder);
    assert_int_equal(firefox_policy_examine(policy, 1, &(struct firefox_place_facts){0}), -ENOENT);
    return facts;
}

/* No loop runs here, so nothing is restored meanwhile. */
static void it_is_examined_and_repaired(void **unused) {
    (void)unused;
    struct firefox_policy *policy = make_and_want();
    assert_true(firefox_policy_is_enabled(policy));
    struct firefox_place_facts facts = examine(policy);
    assert_true(facts.is_wanted && facts.is_made && facts.is_readable && facts.error == 0);
    assert_int_equal(facts.finding, FIREFOX_POLICY_SET);
    assert_false(firefox_policy_repair(policy));
    put(ADMIN_TEXT); /* mode 0640 */
    assert_int_equal(examine(policy).finding, FIREFOX_POLICY_ABSENT);
    assert_false(examine(policy).is_readable);
    put("{");
    assert_int_equal(examine(policy).finding, FIREFOX_POLICY_BROKEN);
    assert_false(firefox_policy_repair(policy)); /* an administrator's: it is left alone */
    expect_text("{");
    put(ADMIN_TEXT);
    assert_true(firefox_policy_repair(policy));
    assert_int_equal(examine(policy).finding, FIREFOX_POLICY_SET);
    chmod(folder, 0777);
    assert_int_equal(examine(policy).error, -EPERM);
    chmod(folder, 0755);
    firefox_policy_release(policy);
    expect_text(ADMIN_TEXT);
    assert_false(examine(policy).is_wanted);
    assert_false(firefox_policy_repair(policy));
    expect_text(ADMIN_TEXT);
    end(policy);
    policy = make(false, POLICY_OWNER_DEVTRUST);
    assert_false(firefox_policy_is_enabled(policy));
    assert_int_equal(firefox_policy_examine(policy, 0, &(struct firefox_place_facts){0}), -ENOENT);
    end(policy);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_without_the_opt_in),
        TEST(made_and_removed_with_its_directories),
        TEST(merged_and_as_it_was_afterwards),
        TEST(since_stands_over_a_restart),
        TEST(the_opt_in_is_withdrawn),
        TEST(a_directory_that_is_no_longer_configured),
        TEST(after_a_kill_the_removal_is_still_exact),
        TEST(what_an_administrator_says_wins),
        TEST(what_an_administrator_has_set_is_good),
        TEST(files_that_are_not_plain_are_left_alone),
        TEST(an_unsafe_directory_is_not_written),
        TEST(the_administrators_changes_are_followed),
        TEST(another_tools_policy_is_only_looked_at),
        TEST(a_record_that_is_newer_or_broken),
        TEST(it_is_examined_and_repaired),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
