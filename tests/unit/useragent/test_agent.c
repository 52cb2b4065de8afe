/* The agent whole, against a scripted devtrustd: from the request to the certificate and away
 * again, and killed in between. */
#include "play.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int setup(void **state) {
    struct play *play = calloc(1, sizeof *play);

    *state = play;
    if (getuid() == 0)
        play_init(play);
    return 0;
}

static int teardown(void **state) {
    if (getuid() == 0)
        play_deinit(*state);
    free(*state);
    return 0;
}

static bool has_reported(struct play *play) {
    return play->reports > 0 && !play->held;
}

static bool has_submitted(struct play *play) {
    return play->submits > 0;
}

static bool report_is_held(struct play *play) {
    return play->held && play->reports > 0;
}

static void expect_stores(struct play *play, unsigned certificates, unsigned keys) {
    char text[8192];

    home_certutil("-L", play->database, text, sizeof text);
    assert_int_equal(home_count(text, "Device Trust Certificate"), certificates);
    assert_int_equal(home_count(text, "u,u,u"), certificates);
    home_certutil("-K", play->database, text, sizeof text);
    assert_int_equal(home_count(text, "devtrust " PKI_DEVICE), keys);
}

static void enrol(struct play *play, const char *request_id) {
    unsigned submits = play->submits;

    play->request_id = request_id;
    play->reports = 0;
    if (play->agent <= 0)
        play_start_agent(play);
    play_notify(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "installed");
    assert_string_equal(play->reported_id, request_id);
    assert_int_equal(play->submits, submits + 1);
}

static void read_record(struct play *play, struct agent_record *ret) {
    agent_record_init(ret);
    assert_int_equal(agent_record_read(&play->dirs, ret), 0);
}

/* Read as a file: the agent's own reading would sweep away what the agent is just writing. */
static bool record_is_quiet(struct play *play) {
    char path[USER_DIRS_PATH_MAX], text[32 * 1024];
    size_t size;
    FILE *file;

    user_dirs_join(play->dirs.state, "devtrust/agent.json", path);
    file = fopen(path, "r");
    if (!file)
        return false;
    size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    return strstr(text, "\"current\"") && !strstr(text, "\"intent\"");
}

/* The agent writes its last record after the acknowledgement; waiting for it needs a loop that
 * turns. */
static bool quiet_soon(struct play *play) {
    usleep(1000);
    return record_is_quiet(play);
}

static void nap(uv_timer_t *timer) {
    (void)timer;
}

static void await_quiet(struct play *play) {
    uv_timer_t timer;

    uv_timer_init(&play->loop, &timer);
    uv_timer_start(&timer, nap, 2, 2);
    assert_true(play_until(play, quiet_soon));
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&play->loop, UV_RUN_NOWAIT);
}

static void test_install_renew_remove(void **state) {
    struct play *play = *state;
    struct agent_record record;
    char first[64], text[8192];

    REQUIRE_ROOT();
    enrol(play, "request-1");
    expect_stores(play, 1, 1);
    await_quiet(play);
    read_record(play, &record);
    assert_string_equal(record.serial, play->serial);
    assert_string_equal(record.request_id, "request-1");
    assert_int_equal(record.store_count, 1);
    assert_int_equal(record.renew_at, play->renew_at);
    assert_true(record.renew_at >= record.installed_at + 14 * 86400 * 9 / 10);
    assert_true(record.renew_at <= record.installed_at + 14 * 86400 * 11 / 10);
    agent_record_deinit(&record);
    memcpy(first, play->serial, sizeof first);

    enrol(play, "request-2");
    expect_stores(play, 1, 1);
    assert_string_not_equal(first, play->serial);
    await_quiet(play);

    play->reports = 0;
    play->mode = "remove";
    play_notify(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "removed");
    home_certutil("-L", play->database, text, sizeof text);
    assert_null(strstr(text, "Example"));
    home_certutil("-K", play->database, text, sizeof text);
    assert_non_null(strstr(text, "no keys found"));
}

static bool record_is_gone(struct play *play) {
    char path[USER_DIRS_PATH_MAX];

    usleep(1000);
    user_dirs_join(play->dirs.state, "devtrust", path);
    return access(path, F_OK) < 0;
}

static void test_removal_leaves_nothing(void **state) {
    struct play *play = *state;
    uv_timer_t timer;

    REQUIRE_ROOT();
    enrol(play, "request-1");
    play->reports = 0;
    play->mode = "remove";
    play_notify(play);
    assert_true(play_until(play, has_reported));
    uv_timer_init(&play->loop, &timer);
    uv_timer_start(&timer, nap, 2, 2);
    assert_true(play_until(play, record_is_gone));
    uv_close((uv_handle_t *)&timer, NULL);
    /* and it starts anew when managed again */
    play->mode = "certificate";
    enrol(play, "request-2");
    expect_stores(play, 1, 1);
}

static void test_removal_without_anything(void **state) {
    struct play *play = *state;
    char path[USER_DIRS_PATH_MAX];

    REQUIRE_ROOT();
    play->mode = "remove";
    play_start_agent(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "removed");
    user_dirs_join(play->dirs.home, ".local", path);
    assert_int_equal(access(path, F_OK), -1);
}

static bool has_reported_twice(struct play *play) {
    return play->reports >= 2;
}

/* devtrustd's disk is full: neither an installation nor a removal is done before it is told. */
static void test_postponed_report(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    play->request_id = "request-1";
    play->postpone_reports = 1;
    play_start_agent(play);
    assert_true(play_until(play, has_reported_twice));
    assert_string_equal(play->outcome, "installed");
    assert_null(play->request_id);
    expect_stores(play, 1, 1);

    play->reports = 0;
    play->postpone_reports = 1;
    play->mode = "remove";
    play_notify(play);
    assert_true(play_until(play, has_reported_twice));
    assert_string_equal(play->outcome, "removed");
}

static bool has_attached(struct play *play) {
    return play->watches > 0;
}

static void test_idle_changes_nothing(void **state) {
    struct play *play = *state;
    char path[USER_DIRS_PATH_MAX];

    REQUIRE_ROOT();
    play->mode = "idle";
    play->request_id = "request-1";
    play->inspection = "look";
    play_start_agent(play);
    assert_true(play_until(play, has_attached));
    while (play->inspections == 0)
        uv_run(&play->loop, UV_RUN_ONCE);
    assert_int_equal(play->submits, 0);
    user_dirs_join(play->dirs.home, ".local", path);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_retry_after(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    play->submit = PLAY_RETRY;
    play->request_id = "request-1";
    play_start_agent(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "installed");
    assert_int_equal(play->submits, 2);
    assert_string_equal(play->csr[0], play->csr[1]);
}

static bool agent_is_back(struct play *play) {
    return play->watches > 1 && play->submits > 1;
}

static void test_lost_connection_resubmits(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    play->submit = PLAY_HOLD;
    play->request_id = "request-1";
    play_start_agent(play);
    assert_true(play_until(play, has_submitted));
    varlink_server_close(play->server, NULL, NULL);
    play->watch = NULL;
    uv_run(&play->loop, UV_RUN_NOWAIT);
    play->submit = PLAY_ISSUE;
    play_listen(play);
    assert_true(play_until(play, agent_is_back));
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->csr[0], play->csr[1]);
    assert_string_equal(play->outcome, "installed");
    expect_stores(play, 1, 1);
}

static void test_other_request_gets_another_key(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    play->submit = PLAY_HOLD;
    play->request_id = "request-1";
    play_start_agent(play);
    assert_true(play_until(play, has_submitted));
    play->submit = PLAY_ISSUE;
    play->request_id = "request-2";
    play_notify(play);
    varlink_call_error(play->held, "io.devtrust.Agent.StaleRequest", NULL);
    play->held = NULL;
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->reported_id, "request-2");
    assert_string_not_equal(play->csr[0], play->csr[1]);
    expect_stores(play, 1, 1);
}

static void test_certificate_for_another_key(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    play->submit = PLAY_OTHER_KEY;
    play->request_id = "request-1";
    play_start_agent(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "failed");
    assert_string_equal(play->code, "leaf-key");
    expect_stores(play, 0, 0);
}

static void test_renews_by_itself(void **state) {
    struct play *play = *state;
    char first[64];

    REQUIRE_ROOT();
    play->renew_after_s = 6;
    play->life_s = 20;
    play->advance_on_renew = true;
    enrol(play, "request-1");
    memcpy(first, play->serial, sizeof first);
    play->reports = 0;
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "installed");
    assert_string_equal(play->reported_id, "renewed");
    assert_string_equal(play->renew_reason, "due");
    assert_string_not_equal(play->serial, first);
    expect_stores(play, 1, 1);
}

static bool has_asked(struct play *play) {
    return play->renews > 0;
}

static bool has_renewed(struct play *play) {
    return has_reported(play) && strcmp(play->reported_id, "renewed") == 0;
}

static void test_lost_certificate_is_asked_for(void **state) {
    struct play *play = *state;
    char text[4096];
    const char *argv[] = {"rm", "-r", play->database, NULL};

    REQUIRE_ROOT();
    enrol(play, "request-1");
    await_quiet(play);
    play_kill_agent(play);
    assert_int_equal(home_run(argv, text, sizeof text), 0);
    play_start_agent(play);
    assert_true(play_until(play, has_asked));
    assert_string_equal(play->renew_reason, "lost");
}

static void test_new_store_is_asked_for(void **state) {
    struct play *play = *state;
    char path[USER_DIRS_PATH_MAX];

    REQUIRE_ROOT();
    enrol(play, "request-1");
    await_quiet(play);
    play_kill_agent(play);
    /* a browser of before made this: it hides the other */
    user_dirs_join(play->dirs.home, ".pki", path);
    mkdir(path, 0700);
    user_dirs_join(play->dirs.home, ".pki/nssdb", path);
    mkdir(path, 0700);
    play_chown_home(play);
    play->advance_on_renew = true;
    play->reports = 0;
    play_start_agent(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->renew_reason, "store_added");
    assert_string_equal(play->outcome, "installed");
    expect_stores(play, 1, 1);
    memcpy(play->database, path, sizeof path);
    expect_stores(play, 1, 1);
}

/* ---- two stores ---- */

/* A profile of Firefox with a database of its own. */
static void make_profile(struct play *play, char ret_database[USER_DIRS_PATH_MAX]) {
    char root[USER_DIRS_PATH_MAX], path[USER_DIRS_PATH_MAX], text[4096];
    const char *make[] = {"mkdir", "-p", ret_database, NULL};
    FILE *file;

    user_dirs_join(play->dirs.home, ".mozilla/firefox", root);
    user_dirs_join(root, "one.default", ret_database);
    assert_int_equal(home_run(make, text, sizeof text), 0);
    user_dirs_join(root, "profiles.ini", path);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs("[Profile0]\nIsRelative=1\nPath=one.default\n", file);
    fclose(file);
    assert_int_equal(home_certutil("-N", ret_database, text, sizeof text), 0);
    play_chown_home(play);
}

static void copy(const char *from, const char *to) {
    char text[4096];
    const char *argv[] = {"cp", "-rpT", from, to, NULL};

    assert_int_equal(home_run(argv, text, sizeof text), 0);
}

static void expect_both(struct play *play, const char *profile) {
    char first[USER_DIRS_PATH_MAX];

    expect_stores(play, 1, 1);
    memcpy(first, play->database, sizeof first);
    memcpy(play->database, profile, sizeof first);
    expect_stores(play, 1, 1);
    memcpy(play->database, first, sizeof first);
}

/* What one store still holds of the past is looked at with each check; nothing of that is a reason
 * to miss the renewal of the others. */
static void test_a_broken_store_holds_up_no_renewal(void **state) {
    struct play *play = *state;
    char profile[USER_DIRS_PATH_MAX], path[USER_DIRS_PATH_MAX];
    FILE *file;

    REQUIRE_ROOT();
    make_profile(play, profile);
    enrol(play, "request-1");
    await_quiet(play);
    expect_both(play, profile);
    user_dirs_join(profile, "cert9.db", path);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs("no database", file);
    fclose(file);
    play->renew_after_s = 6;
    play->life_s = 20;
    play->advance_on_renew = true;
    enrol(play, "request-2");
    assert_string_equal(play->store_code, "store-corrupt");
    play->reports = 0;
    assert_true(play_until(play, has_asked));
    assert_string_equal(play->renew_reason, "due");
}

/* Killed while it imported into the second store, which keeps the one before: that is asked for
 * again, and not only when the certificate that the first one got is due. */
static void test_killed_between_two_stores(void **state) {
    struct play *play = *state;
    char profile[USER_DIRS_PATH_MAX], saved[USER_DIRS_PATH_MAX];
    char before[SHA256_HEX_SIZE], text[8192];
    struct agent_record first, second;

    REQUIRE_ROOT();
    make_profile(play, profile);
    enrol(play, "request-1");
    await_quiet(play);
    read_record(play, &first);
    hex_encode(first.spki, SHA256_SIZE, before);
    agent_record_deinit(&first);
    snprintf(saved, sizeof saved, "%s/saved", play->directory);
    copy(profile, saved);
    enrol(play, "request-2");
    await_quiet(play);
    play_kill_agent(play);
    expect_both(play, profile);
    copy(saved, profile);
    /* as it was written when the first one had it: the old key is to go */
    read_record(play, &second);
    second.intent = AGENT_INTENT_SUPERSEDE;
    assert_int_equal(hex_decode(before, second.old[0], SHA256_SIZE), 0);
    second.old_count = 1;
    assert_int_equal(agent_record_write(&play->dirs, &second), 0);
    agent_record_deinit(&second);
    play_chown_home(play);
    play->advance_on_renew = true;
    play->reports = 0;
    play_start_agent(play);
    assert_true(play_until(play, has_asked));
    assert_string_equal(play->renew_reason, "lost");
    /* that the second one lacks it is said, too */
    assert_int_equal(play->stores_reported, 2);
    assert_int_equal(play->stores_not_ok, 1);
    assert_string_equal(play->store_code, "store-stale");
    home_certutil("-L", profile, text, sizeof text);
    assert_int_equal(home_count(text, "u,u,u"), 1); /* it works until then */
    assert_true(play_until(play, has_renewed));
    assert_int_equal(play->stores_not_ok, 0);
    await_quiet(play);
    expect_both(play, profile);
}

static void test_record_is_rebuilt(void **state) {
    struct play *play = *state;
    struct agent_record record;
    char path[USER_DIRS_PATH_MAX], serial[64];

    REQUIRE_ROOT();
    enrol(play, "request-1");
    await_quiet(play);
    memcpy(serial, play->serial, sizeof serial);
    play_kill_agent(play);
    user_dirs_join(play->dirs.state, "devtrust/agent.json", path);
    assert_int_equal(unlink(path), 0);
    play_start_agent(play);
    await_quiet(play);
    read_record(play, &record);
    assert_string_equal(record.serial, serial);
    assert_string_equal(record.request_id, "request-1");
    assert_int_equal(record.store_count, 1);
    agent_record_deinit(&record);
    assert_int_equal(play->submits, 1);
    expect_stores(play, 1, 1);
}

static void test_inspection(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play, "request-1");
    play->inspection = "look-1";
    play_notify(play);
    while (play->inspections == 0)
        uv_run(&play->loop, UV_RUN_ONCE);
    assert_int_equal(play->certificates_inspected, 1);
    assert_int_equal(play->verified_inspected, 1);
    play->inspection = "look-2";
    play_notify(play);
    while (play->inspections == 1)
        uv_run(&play->loop, UV_RUN_ONCE);
    assert_int_equal(play->verified_inspected, 2);
}

/* ---- bad stores ---- */

static void test_master_password_is_reported(void **state) {
    struct play *play = *state;
    char spec[USER_DIRS_PATH_MAX + 8], old[USER_DIRS_PATH_MAX], new[USER_DIRS_PATH_MAX], text[4096];
    const char *argv[] = {"certutil", "-W", "-d", spec, "-f", old, "-@", new, NULL};
    FILE *file;

    REQUIRE_ROOT();
    enrol(play, "request-1");
    await_quiet(play);
    play->reports = 0;
    play->mode = "remove";
    play_notify(play);
    assert_true(play_until(play, has_reported));
    user_dirs_join(play->dirs.home, "old", old);
    user_dirs_join(play->dirs.home, "new", new);
    file = fopen(old, "w");
    fputs("\n", file);
    fclose(file);
    file = fopen(new, "w");
    fputs("correct horse\n", file);
    fclose(file);
    snprintf(spec, sizeof spec, "sql:%s", play->database);
    assert_int_equal(home_run(argv, text, sizeof text), 0);
    play_chown_home(play);

    play->mode = "certificate";
    play->request_id = "request-2";
    play->reports = 0;
    play_notify(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "failed");
    assert_string_equal(play->code, "store-password");
    /* the second time the store is looked at before the server is asked */
    play->submits = 0;
    play->reports = 0;
    play->request_id = "request-3";
    play_notify(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->code, "store-password");
    assert_int_equal(play->submits, 0);
    /* nothing of ours is there, so the removal is done */
    play->mode = "remove";
    play->reports = 0;
    play_notify(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "removed");
}

static void test_corrupt_store_is_reported(void **state) {
    struct play *play = *state;
    char path[USER_DIRS_PATH_MAX];
    struct stat status;
    FILE *file;

    REQUIRE_ROOT();
    enrol(play, "request-1");
    await_quiet(play);
    user_dirs_join(play->database, "key4.db", path);
    file = fopen(path, "w");
    fclose(file);
    play->request_id = "request-2";
    play->reports = 0;
    play_notify(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "failed");
    assert_string_equal(play->code, "store-corrupt");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 0);
    assert_int_equal(play->submits, 1); /* the server was not asked for nothing */
}

static void test_missing_home_is_reported(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    home_remove(&play->dirs);
    play->request_id = "request-1";
    play_start_agent(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "failed");
    assert_string_equal(play->code, "store-missing");
    assert_int_equal(access(play->dirs.home, F_OK), -1);
}

/* ---- killed ---- */

static void test_killed_before_the_acknowledgement(void **state) {
    struct play *play = *state;
    char serial[64];

    REQUIRE_ROOT();
    play->hold_report = true;
    play->request_id = "request-1";
    play_start_agent(play);
    assert_true(play_until(play, report_is_held));
    memcpy(serial, play->serial, sizeof serial);
    play_kill_agent(play);
    play->held = NULL;
    play->hold_report = false;
    play->reports = 0;
    play_start_agent(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "installed");
    assert_string_equal(play->serial, serial);
    assert_string_equal(play->reported_id, "request-1");
    assert_int_equal(play->submits, 1);
    expect_stores(play, 1, 1);
}

struct killing {
    uv_timer_t timer;
    struct play *play;
    bool done;
};

static void kill_now(uv_timer_t *timer) {
    struct killing *killing = timer->data;

    play_kill_agent(killing->play);
    killing->done = true;
}

/* Some milliseconds into a renewal; where exactly it hits differs from run to run, what must hold
 * does not. */
static void kill_in(struct play *play, unsigned delay_ms) {
    struct killing killing = {.play = play};

    uv_timer_init(&play->loop, &killing.timer);
    killing.timer.data = &killing;
    uv_timer_start(&killing.timer, kill_now, delay_ms, 0);
    while (!killing.done)
        uv_run(&play->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&killing.timer, NULL);
    uv_run(&play->loop, UV_RUN_NOWAIT);
}

static bool certificate_works(struct play *play) {
    return play->inspections > 0;
}

static void test_killed_at_any_moment(void **state) {
    struct play *play = *state;
    static char ids[24][16];

    REQUIRE_ROOT();
    enrol(play, "request-0");
    for (unsigned i = 0; i < 24; i++) {
        snprintf(ids[i], sizeof ids[i], "request-%u", i + 1);
        play->request_id = ids[i];
        play->reports = 0;
        play_notify(play);
        kill_in(play, i);
        play->watch = NULL;
        play->held = NULL;
        /* whatever happened: a certificate works, before anything new is asked for */
        play->mode = "idle";
        play->inspection = "look";
        play->inspections = play->verified_inspected = 0;
        play_start_agent(play);
        assert_true(play_until(play, certificate_works));
        assert_true(play->verified_inspected >= 1);
        play->mode = "certificate";
        if (play->request_id) {
            play->reports = 0;
            play_notify(play);
            assert_true(play_until(play, has_reported));
            assert_string_equal(play->outcome, "installed");
        }
        await_quiet(play);
        expect_stores(play, 1, 1);
    }
}

static bool has_removed(struct play *play) {
    return strcmp(play->outcome, "removed") == 0;
}

static void test_killed_while_removing(void **state) {
    struct play *play = *state;
    static char ids[8][16];
    char text[8192];

    REQUIRE_ROOT();
    for (unsigned i = 0; i < 8; i++) {
        snprintf(ids[i], sizeof ids[i], "request-%u", i);
        play->mode = "certificate";
        enrol(play, ids[i]);
        play->mode = "remove";
        play->reports = 0;
        play_notify(play);
        kill_in(play, i * 2);
        play->watch = NULL;
        /* an installation that was not acknowledged may be reported first */
        play->outcome[0] = '\0';
        play_start_agent(play);
        assert_true(play_until(play, has_removed));
        home_certutil("-L", play->database, text, sizeof text);
        assert_null(strstr(text, "Example"));
        home_certutil("-K", play->database, text, sizeof text);
        assert_non_null(strstr(text, "no keys found"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_install_renew_remove),
        TEST(test_removal_leaves_nothing),
        TEST(test_removal_without_anything),
        TEST(test_postponed_report),
        TEST(test_idle_changes_nothing),
        TEST(test_retry_after),
        TEST(test_lost_connection_resubmits),
        TEST(test_other_request_gets_another_key),
        TEST(test_certificate_for_another_key),
        TEST(test_renews_by_itself),
        TEST(test_lost_certificate_is_asked_for),
        TEST(test_new_store_is_asked_for),
        TEST(test_a_broken_store_holds_up_no_renewal),
        TEST(test_killed_between_two_stores),
        TEST(test_record_is_rebuilt),
        TEST(test_inspection),
        TEST(test_master_password_is_reported),
        TEST(test_corrupt_store_is_reported),
        TEST(test_missing_home_is_reported),
        TEST(test_killed_before_the_acknowledgement),
        TEST(test_killed_at_any_moment),
        TEST(test_killed_while_removing),
    };

    if (credential_key_harden() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
