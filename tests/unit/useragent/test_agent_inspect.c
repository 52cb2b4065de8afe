/* Inspections and repairs by the whole agent, against a scripted devtrustd: an answer comes
 * whatever the worker does, and a repair gives up nothing that works. */
#include "play.h"

#include <fcntl.h>
#include <limits.h>
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

/* ---- conditions ---- */

static bool has_reported(struct play *play) {
    return play->reports > 0 && !play->held;
}

static bool has_submitted(struct play *play) {
    return play->submits > 0;
}

static bool has_inspected(struct play *play) {
    return play->inspections > 0;
}

static bool has_renewed(struct play *play) {
    return play->renews > 0;
}

static void enrol(struct play *play) {
    play->request_id = "request-1";
    play_start_agent(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "installed");
    play->reports = 0;
}

/* Asks under a new id and waits for the answer. */
static void look(struct play *play, bool repair) {
    static char ids[64][16];
    static unsigned count;

    snprintf(ids[count % 64], sizeof ids[0], "look-%u", count);
    play->inspection = ids[count++ % 64];
    play->full = true;
    play->repair = repair;
    play->inspections = 0;
    play_notify(play);
    assert_true(play_until(play, has_inspected));
}

static struct json_object *array_of(struct play *play, const char *name) {
    struct json_object *array = NULL;

    json_object_object_get_ex(play->inspected, name, &array);
    return array;
}

static const char *text_of(struct json_object *object, const char *name) {
    struct json_object *value = NULL;

    return json_object_object_get_ex(object, name, &value) ? json_object_get_string(value) : "";
}

static const char *result_of(struct play *play, const char *id, const char **ret_code) {
    struct json_object *checks = array_of(play, "checks");

    for (size_t i = 0; i < json_object_array_length(checks); i++) {
        struct json_object *check = json_object_array_get_idx(checks, i);

        if (strcmp(text_of(check, "id"), id) != 0)
            continue;
        *ret_code = text_of(check, "code");
        return text_of(check, "result");
    }
    *ret_code = "";
    return "";
}

static void expect(struct play *play, const char *id, const char *result, const char *code) {
    const char *own_code;

    if (strcmp(result_of(play, id, &own_code), result) != 0 || strcmp(own_code, code) != 0)
        print_message("%s\n", json_object_to_json_string(play->inspected));
    assert_string_equal(result_of(play, id, &own_code), result);
    assert_string_equal(own_code, code);
}

static bool did(struct play *play, const char *action) {
    struct json_object *actions = array_of(play, "actions");

    for (size_t i = 0; actions && i < json_object_array_length(actions); i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(actions, i)), action) == 0)
            return true;
    return false;
}

static void keys_in_store(struct play *play, unsigned keys) {
    char text[8192];

    home_certutil("-K", play->database, text, sizeof text);
    assert_int_equal(home_count(text, "devtrust " PKI_DEVICE), keys);
}

/* ---- well ---- */

static void test_full(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play);
    look(play, false);
    assert_int_equal(play->certificates_inspected, 1);
    expect(play, "store", "ok", "");
    expect(play, "store-key", "ok", "");
    expect(play, "store-single", "ok", "");
    expect(play, "agent-record", "ok", "");
    assert_null(array_of(play, "actions"));
    play->full = false;
    play->inspection = "plain";
    play->inspections = 0;
    play_notify(play);
    assert_true(play_until(play, has_inspected));
    assert_null(array_of(play, "checks"));
}

/* ---- repair ---- */

static void remove_database(struct play *play) {
    char text[256];
    const char *argv[] = {"rm", "-rf", play->database, NULL};

    assert_int_equal(home_run(argv, text, sizeof text), 0);
}

static void test_repair_of_nothing(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play);
    look(play, true);
    expect(play, "store", "ok", "");
    assert_null(array_of(play, "actions"));
    assert_int_equal(play->renews, 0);
    keys_in_store(play, 1);
}

/* The wait after a refusal is for what the agent does by itself, not for somebody who asks. */
static void test_repair_asks_anew(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play);
    play_kill_agent(play);
    remove_database(play);
    play->watch = NULL;
    play_start_agent(play);
    assert_true(play_until(play, has_renewed)); /* by itself; refused for an hour */
    assert_string_equal(play->renew_reason, "lost");
    look(play, false);
    expect(play, "store", "failure", "store-missing");
    assert_int_equal(play->renews, 1);

    play->renews = 0;
    play->advance_on_renew = true;
    look(play, true);
    assert_true(did(play, "renewal-lost"));
    assert_true(play_until(play, has_renewed));
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "installed");
    keys_in_store(play, 1);
    look(play, false);
    expect(play, "store-key", "ok", "");
}

/* A restored backup has brought back what was superseded, and its certificate was deleted by hand:
 * a key that nothing names. */
static void test_repair_sweeps(void **state) {
    struct play *play = *state;
    char backup[USER_DIRS_PATH_MAX], spec[USER_DIRS_PATH_MAX + 8], from[USER_DIRS_PATH_MAX + 8],
        text[8192], name[256] = "", *at, *end;
    const char *copy[] = {"cp", "-a", play->database, backup, NULL};
    const char *list[] = {"certutil", "-L", "-d", from, NULL};
    const char *delete[] = {"certutil", "-D", "-d", from, "-n", name, NULL};
    const char *merge[] = {"certutil", "--merge", "-d", spec, "--source-dir", from, NULL};

    REQUIRE_ROOT();
    enrol(play);
    snprintf(backup, sizeof backup, "%s/backup", play->directory);
    snprintf(from, sizeof from, "sql:%s", backup);
    snprintf(spec, sizeof spec, "sql:%s", play->database);
    assert_int_equal(home_run(copy, text, sizeof text), 0);
    assert_int_equal(home_run(list, text, sizeof text), 0);
    at = strstr(text, "Example Device Trust");
    end = strstr(at, "  ");
    memcpy(name, at, (size_t)(end - at));
    assert_int_equal(home_run(delete, text, sizeof text), 0);
    play->request_id = "request-2";
    play_notify(play);
    assert_true(play_until(play, has_reported));
    keys_in_store(play, 1);
    assert_int_equal(home_run(merge, text, sizeof text), 0);
    keys_in_store(play, 2);

    look(play, false);
    expect(play, "store-single", "warning", "store-double");
    keys_in_store(play, 2);
    look(play, true);
    assert_true(did(play, "swept"));
    expect(play, "store-single", "ok", "");
    expect(play, "store-key", "ok", "");
    keys_in_store(play, 1);
    assert_int_equal(play->renews, 0);
}

static void test_repair_while_a_certificate_comes(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play);
    play->submit = PLAY_HOLD;
    play->submits = 0;
    play->request_id = "request-2";
    play_notify(play);
    assert_true(play_until(play, has_submitted));
    look(play, true);
    assert_true(did(play, "busy"));
    expect(play, "store-key", "ok", "");
    varlink_call_reply(play->held, play_bundle(play, play->csr[0]));
    play->held = NULL;
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "installed");
    keys_in_store(play, 1);
}

static void test_repair_in_idle_changes_nothing(void **state) {
    struct play *play = *state;
    char path[USER_DIRS_PATH_MAX];

    REQUIRE_ROOT();
    enrol(play);
    play->mode = "idle";
    user_dirs_join(play->dirs.state, "devtrust", path);
    assert_int_equal(chmod(path, 0777), 0);
    look(play, true);
    assert_null(array_of(play, "actions"));
    expect(play, "home-permissions", "failure", "home-permissions");
    expect(play, "store-key", "ok", "");
}

/* ---- whatever the worker does ---- */

/* Another program holds SQLite's locks; NSS waits for it. */
static pid_t lock_store(struct play *play) {
    char path[USER_DIRS_PATH_MAX], byte;
    int ready[2];
    pid_t pid;

    user_dirs_join(play->database, "key4.db", path);
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000000, .l_len = 512};

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fcntl(open(path, O_RDWR), F_SETLKW, &lock) < 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        pause();
    }
    close(ready[1]); /* its end is an end, too */
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end(pid_t pid) {
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_store_that_hangs(void **state) {
    struct play *play = *state;
    pid_t other;

    REQUIRE_ROOT();
    play->answer_within_ms = 20;
    enrol(play);
    other = lock_store(play);
    look(play, false);
    expect(play, "store", "failure", "store-busy");
    /* and again while the worker may still be at the first */
    look(play, false);
    expect(play, "store", "failure", "store-busy");
    end(other);
    play_kill_agent(play);
    play->watch = NULL;
    play->answer_within_ms = 0;
    play_start_agent(play);
    look(play, false);
    expect(play, "store", "ok", "");
    expect(play, "store-key", "ok", "");
}

/* A plain question is not answered with "nothing": devtrustd says that no answer came. */
static bool has_renewed_or_inspected(struct play *play) {
    return play->renews > 0 || play->inspections > 0;
}

static void test_locked_store_is_no_lost_one(void **state) {
    struct play *play = *state;
    pid_t other;

    REQUIRE_ROOT();
    enrol(play);
    other = lock_store(play);
    look(play, true);
    expect(play, "store", "failure", "store-busy");
    expect(play, "store-key", "not_applicable", "store-busy");
    assert_false(did(play, "renewal-lost"));
    end(other);
    play->inspections = 0;
    play->inspection = "again";
    play_notify(play);
    assert_true(play_until(play, has_renewed_or_inspected));
    assert_int_equal(play->renews, 0);
    keys_in_store(play, 1);
}

static void test_another_job_hangs(void **state) {
    struct play *play = *state;
    pid_t other;

    REQUIRE_ROOT();
    play->answer_within_ms = 20;
    enrol(play);
    other = lock_store(play);
    play->submit = PLAY_HOLD;
    play->submits = 0;
    play->request_id = "request-2";
    play_notify(play);
    assert_true(play_until(play, has_submitted)); /* the stores are being opened meanwhile */
    look(play, true);
    expect(play, "store", "failure", "store-busy");
    assert_true(did(play, "busy"));
    end(other);
    varlink_call_reply(play->held, play_bundle(play, play->csr[0]));
    play->held = NULL;
    assert_true(play_until(play, has_reported));
}

static pid_t start_browser(struct play *play) {
    char program[128], text[256], link[64], target[PATH_MAX];
    const char *argv[] = {"cp", "/bin/sleep", program, NULL};
    pid_t pid;

    snprintf(program, sizeof program, "%s/chromium", play->directory);
    assert_int_equal(home_run(argv, text, sizeof text), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setgroups(0, NULL) < 0 || setresgid(PLAY_UID, PLAY_UID, PLAY_UID) < 0 ||
            setresuid(PLAY_UID, PLAY_UID, PLAY_UID) < 0)
            _exit(1);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, "sleep", "600", NULL);
        _exit(1);
    }
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    for (;;) {
        ssize_t size = readlink(link, target, sizeof target - 1);

        target[size > 0 ? size : 0] = '\0';
        if (strcmp(target, program) == 0)
            return pid;
        usleep(1000);
    }
}

/* The import waits until the browser has read its policy: for an hour here. */
static void test_while_waiting_for_policy(void **state) {
    struct play *play = *state;
    pid_t browser;

    REQUIRE_ROOT();
    browser = start_browser(play);
    play->install_not_before = time(NULL) + 3600;
    play->request_id = "request-1";
    play_start_agent(play);
    assert_true(play_until(play, has_submitted));
    look(play, false);
    expect(play, "store", "ok", ""); /* opened, and made, while the server worked */
    expect(play, "store-certificate", "warning", "no-certificate");
    expect(play, "browser-restart", "not_applicable", "no-certificate");
    assert_int_equal(play->reports, 0);
    end(browser);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_full),
        TEST(test_repair_of_nothing),
        TEST(test_repair_asks_anew),
        TEST(test_repair_sweeps),
        TEST(test_repair_while_a_certificate_comes),
        TEST(test_repair_in_idle_changes_nothing),
        TEST(test_store_that_hangs),
        TEST(test_locked_store_is_no_lost_one),
        TEST(test_another_job_hangs),
        TEST(test_while_waiting_for_policy),
    };

    if (credential_key_harden() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
