/* The policy on disk: written before it is needed, merged, watched, removed without a trace. */
#include "daemon/chrome_policy.h"
#include "daemon/policy.h"

#include "common/cleanup.h"
#include "tests/unit/daemon/state_dir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define OURS POLICY_MERGE_FILE
#define ADMIN_TEXT "{\"" POLICY_MERGE_KEY "\":[\"administrator\"]}"
#define HOME "trust.example.com"
#define START_S 1700000000

static struct state_dir state, etc;
static char managed[128]; /* etc/chromium/policies/managed */
static char *directories[] = {managed, NULL};
static char portal[] = "https://portal.example.com", refused[] = "https://evil.example.org",
            second[] = "https://second.example.com";
static char *patterns[] = {portal, refused, second};
static uv_loop_t loop;
static int64_t now;
static int changes;

static int64_t wall_s(void *unused) {
    (void)unused;
    return now;
}

static const struct clock_source fixed_clock = {.wall_s = wall_s, .monotonic_ms = wall_s};

static void on_changed(void *unused) {
    (void)unused;
    changes++;
}

static struct policy *make(enum policy_owner owner) {
    const struct policy_options options = {
        .loop = &loop,
        .clock = &fixed_clock,
        .state_dir_fd = state.fd,
        .owner = owner,
        .directories = directories,
        .directory_owner = geteuid(),
        .changed = on_changed};
    struct policy *policy = NULL;
    assert_int_equal(policy_new(&options, &policy), 0);
    return policy;
}

static void end(struct policy *policy) {
    policy_close(policy);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static int setup(void **unused) {
    (void)unused;
    now = START_S;
    changes = 0;
    state_dir_make(&state);
    state_dir_make(&etc);
    snprintf(managed, sizeof(managed), "%s/chromium/policies/managed", etc.path);
    return uv_loop_init(&loop);
}

static int teardown(void **unused) {
    (void)unused;
    state_dir_remove(&state);
    state_dir_remove(&etc);
    return uv_loop_close(&loop);
}

static void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", managed, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* free() it; NULL: absent. */
static char *get(const char *name) {
    char *text = NULL;
    size_t size;
    int fd CLEANUP_CLOSE = open(managed, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && atomic_file_read(fd, name, 1 << 20, &text, &size) == 0 ? text : NULL;
}

static bool has(const char *name, const char *part) {
    char *text CLEANUP_FREE = get(name);
    return text && strstr(text, part);
}

static void want(struct policy *policy, size_t count) {
    assert_int_equal(policy_want(policy, "Trust CA", HOME, patterns, count), 0);
}

static void expect_code(const struct policy *policy, const char *code) {
    struct json_object *status = policy_status(policy), *member = NULL;
    assert_int_equal(json_object_array_length(status), 1);
    json_object_object_get_ex(json_object_array_get_idx(status, 0), "code", &member);
    const char *found = member ? json_object_get_string(member) : "";
    if (strcmp(found, code) != 0)
        fail_msg("%s instead of %s", found, code);
    if (code[0])
        assert_true(
            json_object_object_get_ex(json_object_array_get_idx(status, 0), "remedy", NULL));
    json_object_put(status);
}

static void made_and_removed_with_its_directories(void **unused) {
    (void)unused;
    struct policy *policy = make(POLICY_OWNER_DEVTRUST);
    int64_t since = -1;
    assert_false(policy_ready(policy, &since));
    want(policy, 1);
    assert_true(policy_ready(policy, &since));
    assert_int_equal(since, START_S);
    assert_true(has(OURS, portal));
    assert_true(state_dir_has(&state, "policy.json"));
    expect_code(policy, "");
    policy_release(policy);
    assert_false(policy_ready(policy, &since));
    assert_false(state_dir_has(&etc, "chromium"));
    assert_false(state_dir_has(&state, "policy.json"));
    end(policy);
}

static void what_others_put_there_stays(void **unused) {
    (void)unused;
    struct policy *policy = make(POLICY_OWNER_DEVTRUST);
    want(policy, 1);
    put("admin.json", ADMIN_TEXT);
    policy_release(policy);
    assert_true(has("admin.json", "administrator"));
    assert_null(get(OURS));
    end(policy);
}

static void after_a_kill_the_removal_is_still_exact(void **unused) {
    (void)unused;
    struct policy *policy = make(POLICY_OWNER_DEVTRUST);
    want(policy, 1);
    end(policy);                              /* the next one knows nothing but the record */
    put(".zz-devtrust.json.AbCdEf.tmp", "{"); /* a writer that was killed */
    policy = make(POLICY_OWNER_DEVTRUST);
    policy_release(policy);
    assert_false(state_dir_has(&etc, "chromium"));
    end(policy);
}

static void since_stands_while_the_rules_do(void **unused) {
    (void)unused;
    struct policy *policy = make(POLICY_OWNER_DEVTRUST);
    int64_t since;
    want(policy, 1);
    end(policy);
    now += 100;
    policy = make(POLICY_OWNER_DEVTRUST);
    assert_false(policy_ready(policy, &since)); /* not looked at yet */
    policy_keep(policy);
    assert_true(policy_ready(policy, &since));
    assert_int_equal(since, START_S);
    put("admin.json", ADMIN_TEXT);
    want(policy, 1);
    assert_true(policy_ready(policy, &since));
    assert_int_equal(since, START_S);
    want(policy, 3); /* another rule: browsers must take it up first */
    assert_true(policy_ready(policy, &since));
    assert_int_equal(since, START_S + 100);
    assert_true(has(OURS, second));
    policy_release(policy);
    end(policy);
}

static void a_refused_pattern_is_left_out_and_named(void **unused) {
    (void)unused;
    struct policy *policy = make(POLICY_OWNER_DEVTRUST);
    want(policy, 3);
    assert_false(has(OURS, "evil"));
    assert_true(has(OURS, portal) && has(OURS, second));
    expect_code(policy, "pattern-refused");
    policy_release(policy);
    end(policy);
}

static void run_until_change(int expected) {
    while (changes < expected)
        uv_run(&loop, UV_RUN_ONCE);
}

static void the_administrators_changes_are_followed(void **unused) {
    (void)unused;
    struct policy *policy = make(POLICY_OWNER_DEVTRUST);
    char path[256];
    assert_int_equal(atomic_file_make_dirs(managed, 0755), 0);
    put("admin.json", ADMIN_TEXT);
    want(policy, 1);
    assert_true(has(OURS, "administrator") && has(OURS, portal));
    put("admin.json", "{\"" POLICY_MERGE_KEY "\":[\"another\"]}");
    while (!has(OURS, "another"))
        run_until_change(changes + 1);
    assert_false(has(OURS, "administrator"));
    snprintf(path, sizeof(path), "%s/admin.json", managed);
    unlink(path);
    while (has(OURS, "another"))
        run_until_change(changes + 1);
    assert_true(has(OURS, portal));
    put("broken.json", "{");
    run_until_change(changes + 1);
    expect_code(policy, "policy-broken-file");
    assert_true(has(OURS, portal));
    put("zzz.json", ADMIN_TEXT);
    run_until_change(changes + 1);
    expect_code(policy, "policy-conflict");
    policy_release(policy);
    assert_true(has("broken.json", "{"));
    end(policy);
}

static void our_file_is_restored(void **unused) {
    (void)unused;
    struct policy *policy = make(POLICY_OWNER_DEVTRUST);
    int64_t since;
    want(policy, 1);
    now += 50;
    put(OURS, "{}");
    while (!has(OURS, portal))
        run_until_change(changes + 1);
    assert_true(policy_ready(policy, &since));
    assert_int_equal(since, START_S + 50);
    policy_release(policy);
    end(policy);
}

static void an_unsafe_directory_is_not_written(void **unused) {
    (void)unused;
    struct policy *policy = make(POLICY_OWNER_DEVTRUST);
    int64_t since;
    assert_int_equal(atomic_file_make_dirs(managed, 0755), 0);
    chmod(managed, 0775);
    want(policy, 1);
    assert_null(get(OURS));
    assert_false(policy_ready(policy, &since));
    expect_code(policy, "policy-directory");
    chmod(managed, 0755);
    run_until_change(1); /* the watch sees it */
    assert_true(has(OURS, portal));
    assert_true(policy_ready(policy, &since));
    expect_code(policy, "");
    policy_release(policy);
    assert_true(state_dir_has(&etc, "chromium/policies/managed"));
    end(policy);
}

static struct policy_place_facts examine(const struct policy *policy) {
    struct policy_place_facts facts;
    assert_int_equal(policy_examine(policy, 0, &facts), 0);
    assert_string_equal(facts.path, managed);
    assert_int_equal(policy_examine(policy, 1, &(struct policy_place_facts){0}), -ENOENT);
    return facts;
}

static void it_is_examined_as_it_is_on_disk(void **unused) {
    (void)unused;
    char path[256];
    struct policy *policy = make(POLICY_OWNER_DEVTRUST);
    assert_int_equal(examine(policy).error, -ENOENT);
    assert_false(examine(policy).is_wanted);
    want(policy, 1);
    struct policy_place_facts facts = examine(policy);
    assert_true(facts.error >= 0 && facts.is_wanted && facts.is_made && !facts.is_external);
    assert_true(facts.own_is_json && facts.own_is_same && facts.own_is_readable);
    assert_int_equal(facts.own_error, 0);
    assert_int_equal(facts.rules, 1);
    assert_int_equal(facts.since, START_S);
    /* no loop runs here, so nothing is restored meanwhile */
    put("broken.json", "{");
    put("zzz.json", ADMIN_TEXT);
    facts = examine(policy);
    assert_string_equal(facts.broken_file, "broken.json");
    assert_string_equal(facts.conflict_file, "zzz.json");
    put(OURS, "{}");
    facts = examine(policy);
    assert_true(facts.own_is_json && !facts.own_is_same);
    put(OURS, "{");
    assert_false(examine(policy).own_is_json);
    snprintf(path, sizeof(path), "%s/" OURS, managed);
    assert_int_equal(chmod(path, 0600), 0);
    assert_false(examine(policy).own_is_readable);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(examine(policy).own_error, -ENOENT);
    chmod(managed, 0777);
    assert_int_equal(examine(policy).error, -EPERM);
    chmod(managed, 0755);
    policy_release(policy);
    end(policy);
}

static void what_nobody_told_of_is_repaired(void **unused) {
    (void)unused;
    char path[256];
    struct policy *policy = make(POLICY_OWNER_DEVTRUST);
    assert_false(policy_repair(policy)); /* nobody wants it */
    assert_false(state_dir_has(&etc, "chromium"));
    want(policy, 1);
    assert_false(policy_repair(policy));
    assert_int_equal(changes, 0);
    snprintf(path, sizeof(path), "%s/" OURS, managed);
    assert_int_equal(chmod(path, 0600), 0);
    (void)policy_repair(policy);
    assert_true(examine(policy).own_is_readable);
    assert_int_equal(unlink(path), 0);
    assert_true(policy_repair(policy));
    assert_int_equal(changes, 1);
    assert_true(examine(policy).own_is_same);
    put(OURS, "{");
    assert_true(policy_repair(policy));
    assert_true(examine(policy).own_is_same);
    assert_false(policy_repair(policy));
    policy_release(policy);
    end(policy);
}

static void checked_by_owner_and_kind(void **unused) {
    (void)unused;
    char link[160];
    assert_int_equal(chrome_policy_open(managed, geteuid()), -ENOENT);
    assert_int_equal(atomic_file_make_dirs(managed, 0755), 0);
    assert_int_equal(chrome_policy_open(managed, geteuid() + 1), -EPERM);
    chmod(managed, 0757);
    assert_int_equal(chrome_policy_open(managed, geteuid()), -EPERM);
    snprintf(link, sizeof(link), "%s/link", etc.path);
    assert_int_equal(symlink(managed, link), 0);
    int fd = chrome_policy_open(link, geteuid());
    assert_true(fd == -ELOOP || fd == -ENOTDIR);
    chmod(managed, 0755);
    fd = chrome_policy_open(managed, geteuid());
    assert_true(fd >= 0);
    close(fd);
}

static void another_tools_policy_is_only_looked_at(void **unused) {
    (void)unused;
    static const struct policy_merge none = {0};
    const struct policy_rules rules = {"Trust CA", patterns, 1};
    struct policy *policy = make(POLICY_OWNER_EXTERNAL);
    char *text CLEANUP_FREE = NULL;
    int64_t since = -1;
    want(policy, 1);
    assert_false(state_dir_has(&etc, "chromium"));
    expect_code(policy, "policy-external");
    assert_true(policy_ready(policy, &since));
    assert_int_equal(since, 0);
    assert_int_equal(atomic_file_make_dirs(managed, 0755), 0);
    assert_int_equal(policy_merge_render(&none, &rules, &text), 0);
    assert_false(examine(policy).others_have_rules);
    put("intune.json", text);
    assert_true(examine(policy).others_have_rules && examine(policy).is_external);
    want(policy, 1);
    assert_true(policy_ready(policy, &since));
    assert_int_equal(since, START_S);
    expect_code(policy, "");
    assert_null(get(OURS));
    policy_release(policy);
    assert_true(has("intune.json", portal));
    end(policy);
}

static void a_newer_record_is_left_alone(void **unused) {
    (void)unused;
    static const char newer[] = "{\"format\":\"devtrust-policy\",\"version\":2}";
    struct policy *policy = NULL;
    const struct policy_options options = {
        .loop = &loop,
        .clock = &fixed_clock,
        .state_dir_fd = state.fd,
        .directories = directories,
        .directory_owner = geteuid(),
        .changed = on_changed};
    state_dir_write(&state, "policy.json", newer, strlen(newer));
    assert_int_equal(policy_new(&options, &policy), -EPROTO);
    state_dir_write(&state, "policy.json", "broken", 6);
    assert_int_equal(policy_new(&options, &policy), 0);
    assert_true(state_dir_has(&state, "policy.json.broken"));
    end(policy);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(made_and_removed_with_its_directories),
        TEST(what_others_put_there_stays),
        TEST(after_a_kill_the_removal_is_still_exact),
        TEST(since_stands_while_the_rules_do),
        TEST(a_refused_pattern_is_left_out_and_named),
        TEST(the_administrators_changes_are_followed),
        TEST(our_file_is_restored),
        TEST(an_unsafe_directory_is_not_written),
        TEST(it_is_examined_as_it_is_on_disk),
        TEST(what_nobody_told_of_is_repaired),
        TEST(checked_by_owner_and_kind),
        TEST(another_tools_policy_is_only_looked_at),
        TEST(a_newer_record_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
