/* What a full inspection says of real databases, homes and processes: each finding, well and not.
 */
#include "work_fixture.h"

#include "useragent/agent_checks_internal.h"
#include "useragent/browser_check.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#define DAY 86400

/* ---- asking ---- */

static struct json_object *answer; /* the parameters of Inspected */

static struct inspection *order(bool full, enum agent_mode mode) {
    struct agent_inspection wanted = {.id = "look", .full = full};
    struct inspection *inspection = NULL;

    assert_int_equal(inspection_new(&wanted, mode, &inspection), 0);
    return inspection;
}

static void drop_answer(void) {
    json_object_put(answer);
    answer = NULL;
}

static void look_in_mode(struct fixture *fixture, enum agent_mode mode) {
    struct inspection *inspection = order(true, mode);

    drop_answer();
    agent_work_inspect(&fixture->work, inspection);
    answer = inspection_close(inspection, false);
    assert_non_null(answer);
    inspection_free(inspection);
    agent_work_close(&fixture->work);
}

static void look(struct fixture *fixture) {
    look_in_mode(fixture, AGENT_MODE_CERTIFICATE);
}

static const char *text_of(struct json_object *object, const char *name) {
    struct json_object *value = NULL;

    return json_object_object_get_ex(object, name, &value) ? json_object_get_string(value) : "";
}

static struct json_object *array_of(const char *name) {
    struct json_object *array = NULL;

    assert_true(json_object_object_get_ex(answer, name, &array));
    return array;
}

/* The first check of this id whose subject ends so. */
static struct json_object *find(const char *id, const char *subject) {
    struct json_object *checks = array_of("checks");

    for (size_t i = 0; i < json_object_array_length(checks); i++) {
        struct json_object *check = json_object_array_get_idx(checks, i);
        const char *own = text_of(check, "subject");

        if (strcmp(text_of(check, "id"), id) == 0 && strlen(own) >= strlen(subject) &&
            strcmp(own + strlen(own) - strlen(subject), subject) == 0)
            return check;
    }
    return NULL;
}

static void expect(const char *id, const char *subject, const char *result, const char *code) {
    struct json_object *check = find(id, subject);

    if (!check)
        print_message("%s\n", json_object_to_json_string(answer));
    assert_non_null(check);
    if (strcmp(text_of(check, "result"), result) != 0 || strcmp(text_of(check, "code"), code) != 0)
        print_message("%s\n", json_object_to_json_string(check));
    assert_string_equal(text_of(check, "result"), result);
    assert_string_equal(text_of(check, "code"), code);
}

static void expect_detail(const char *id, const char *subject, const char *part) {
    assert_non_null(find(id, subject));
    assert_non_null(strstr(text_of(find(id, subject), "detail"), part));
}

#define DATABASE "pki/nssdb"

static void database(struct fixture *fixture, const char *file, char *ret) {
    user_dirs_join(fixture->work.dirs.data, file ? file : DATABASE, ret);
}

static void make_dir(const char *parent, const char *path) {
    char all[USER_DIRS_PATH_MAX], text[512];
    const char *argv[] = {"mkdir", "-p", "-m", "0700", all, NULL};

    user_dirs_join(parent, path, all);
    assert_int_equal(home_run(argv, text, sizeof text), 0);
}

static void remove_all(const char *path) {
    char text[512];
    const char *argv[] = {"rm", "-rf", path, NULL};

    assert_int_equal(home_run(argv, text, sizeof text), 0);
}

static void store_checks_are(const char *result, const char *code) {
    static const char *const ids[] = {
        "store-certificate", "store-key", "store-single", "store-expiry"};

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        expect(ids[i], DATABASE, result, code);
}

/* ---- stores ---- */

static void test_well(void **state) {
    struct fixture *fixture = *state;
    const char *serial = fixture->work.record.serial;

    complete(fixture, "request-1");
    look(fixture);
    assert_string_equal(text_of(answer, "id"), "look");
    assert_int_equal(json_object_array_length(array_of("certificates")), 1);
    assert_int_equal(json_object_array_length(array_of("stores")), 1);
    expect("store", DATABASE, "ok", "");
    store_checks_are("ok", "");
    expect_detail("store-certificate", DATABASE, serial);
    expect_detail("store-expiry", DATABASE, "T");
    expect("home-permissions", fixture->work.dirs.home, "ok", "");
    expect("agent-record", "devtrust/agent.json", "ok", "");
    assert_false(json_object_object_get_ex(answer, "actions", NULL));
}

static void test_not_full_has_no_checks(void **state) {
    struct fixture *fixture = *state;
    struct inspection *inspection = order(false, AGENT_MODE_CERTIFICATE);

    complete(fixture, "request-1");
    agent_work_inspect(&fixture->work, inspection);
    answer = inspection_close(inspection, false);
    inspection_free(inspection);
    assert_int_equal(json_object_array_length(array_of("certificates")), 1);
    assert_false(json_object_object_get_ex(answer, "checks", NULL));
}

static void test_nothing_yet(void **state) {
    struct fixture *fixture = *state;

    look(fixture);
    expect("store", DATABASE, "not_applicable", "");
    assert_null(find("store-key", ""));
    expect("agent-record", "agent.json", "not_applicable", "");
    /* a database of a browser's, without a certificate as yet */
    agent_work_open(&fixture->work);
    look(fixture);
    expect("store", DATABASE, "ok", "");
    expect("store-certificate", DATABASE, "warning", "no-certificate");
    expect("store-key", DATABASE, "not_applicable", "no-certificate");
    look_in_mode(fixture, AGENT_MODE_IDLE);
    expect("store-certificate", DATABASE, "not_applicable", "");
}

static void test_lost_store(void **state) {
    struct fixture *fixture = *state;
    char path[USER_DIRS_PATH_MAX];

    complete(fixture, "request-1");
    agent_work_close(&fixture->work);
    database(fixture, NULL, path);
    remove_all(path);
    look(fixture);
    expect("store", DATABASE, "failure", "store-missing");
    store_checks_are("not_applicable", "store-missing");
    look_in_mode(fixture, AGENT_MODE_REMOVE);
    expect("store", DATABASE, "not_applicable", "");
}

static void test_broken_store(void **state) {
    struct fixture *fixture = *state;
    char path[USER_DIRS_PATH_MAX];
    FILE *file;

    complete(fixture, "request-1");
    agent_work_close(&fixture->work);
    database(fixture, DATABASE "/cert9.db", path);
    file = fopen(path, "w");
    fclose(file);
    look(fixture);
    expect("store", DATABASE, "failure", "store-corrupt");
    store_checks_are("not_applicable", "store-corrupt");
}

static void test_lost_key(void **state) {
    struct fixture *fixture = *state;
    char path[USER_DIRS_PATH_MAX];

    complete(fixture, "request-1");
    agent_work_close(&fixture->work);
    database(fixture, DATABASE "/key4.db", path);
    assert_int_equal(unlink(path), 0);
    look(fixture);
    expect("store-certificate", DATABASE, "ok", "");
    expect("store-key", DATABASE, "failure", "store-key");
}

static void test_older_one(void **state) {
    struct fixture *fixture = *state;

    complete(fixture, "request-1");
    fixture->work.record.spki[0] ^= 1;
    look(fixture);
    expect("store-certificate", DATABASE, "failure", "store-stale");
    expect("store-key", DATABASE, "ok", "");
    look_in_mode(fixture, AGENT_MODE_REMOVE);
    expect("store-certificate", DATABASE, "warning", "removing");
}

/* Two whole ones, as between import and supersede; and a key whose certificate somebody deleted. */
static void test_doubles_and_orphans(void **state) {
    struct fixture *fixture = *state;
    char path[USER_DIRS_PATH_MAX], spec[USER_DIRS_PATH_MAX + 8], text[4096], *name = NULL;
    const char *argv[] = {"certutil", "-D", "-d", spec, "-n", NULL, NULL};

    complete(fixture, "request-1");
    prepare(fixture, "request-2");
    assert_int_equal(x509_subject_text(fixture->work.bundle.leaf, NID_commonName, &name), 0);
    assert_int_equal(agent_work_import(&fixture->work), AGENT_EVENT_VERIFIED);
    look(fixture);
    expect("store-single", DATABASE, "warning", "store-double");
    expect_detail("store-single", DATABASE, "certificates: 2, keys: 2");
    database(fixture, NULL, path);
    snprintf(spec, sizeof spec, "sql:%s", path);
    argv[5] = name;
    assert_int_equal(home_run(argv, text, sizeof text), 0);
    free(name);
    look(fixture);
    expect("store-single", DATABASE, "warning", "store-double");
    expect_detail(
        "store-single", DATABASE, "certificates: 1, keys: 2, keys without certificate: 1");
}

static int64_t shifted_by_s;

static int64_t shifted_wall_s(void *userdata) {
    (void)userdata;
    return clock_wall_s(&clock_system) + shifted_by_s;
}

static int64_t shifted_monotonic_ms(void *userdata) {
    (void)userdata;
    return clock_monotonic_ms(&clock_system);
}

static void test_time(void **state) {
    static const struct clock_source shifted = {shifted_wall_s, shifted_monotonic_ms, NULL};
    struct fixture *fixture = *state;

    shifted_by_s = 0;
    fixture->work.clock = &shifted;
    complete(fixture, "request-1"); /* 30 days from five minutes ago */
    look(fixture);
    expect("store-expiry", DATABASE, "ok", "");
    shifted_by_s = 26 * DAY;
    look(fixture);
    expect("store-expiry", DATABASE, "ok", "");
    shifted_by_s = 28 * DAY;
    look(fixture);
    expect("store-expiry", DATABASE, "warning", "renewal-overdue");
    shifted_by_s = 31 * DAY;
    look(fixture);
    expect("store-expiry", DATABASE, "failure", "expired");
    shifted_by_s = -DAY;
    look(fixture);
    expect("store-expiry", DATABASE, "failure", "not-yet-valid");
}

/* ---- browsers ---- */

static void test_browser_stores(void **state) {
    struct fixture *fixture = *state;
    const struct user_dirs *dirs = &fixture->work.dirs;

    make_dir(dirs->config, "chromium");
    complete(fixture, "request-1");
    look(fixture);
    expect("browser-store", "chromium", "ok", "");
    expect_detail("browser-store", "chromium", DATABASE);
    look_in_mode(fixture, AGENT_MODE_REMOVE);
    expect("browser-store", "chromium", "ok", "");

    /* an old browser, or a program that knows only the old place, makes it: the other is hidden */
    make_dir(dirs->home, ".pki/nssdb");
    look(fixture);
    expect("browser-store", "chromium", "failure", "store-hidden");
    expect_detail("browser-store", "chromium", ".pki/nssdb");
    look_in_mode(fixture, AGENT_MODE_IDLE);
    expect("browser-store", "chromium", "not_applicable", "no-certificate");
    /* the next certificate goes there too */
    complete(fixture, "request-2");
    look(fixture);
    expect("browser-store", "chromium", "ok", "");
    expect_detail("browser-store", "chromium", ".pki/nssdb");
}

/* What a check left open a moment ago is not what there is now. */
static void test_looks_anew(void **state) {
    struct fixture *fixture = *state;

    complete(fixture, "request-1");
    assert_int_equal(agent_work_check(&fixture->work), AGENT_EVENT_CHECKED);
    assert_true(store_set_is_open(&fixture->work.set));
    make_dir(fixture->work.dirs.home, ".pki/nssdb");
    look(fixture);
    expect("store", ".pki/nssdb", "not_applicable", "");
}

static void test_other_browsers(void **state) {
    struct fixture *fixture = *state;
    const struct user_dirs *dirs = &fixture->work.dirs;

    complete(fixture, "request-1");
    look(fixture);
    assert_null(find("browser-store", "opera"));
    make_dir(dirs->config, "opera");
    look(fixture);
    expect("browser-store", "opera", "ok", "");
    /* one with a home of its own */
    make_dir(dirs->home, "snap/chromium");
    look(fixture);
    expect("browser-store", "chromium-snap", "warning", "no-certificate");
    expect_detail("browser-store", "chromium-snap", "snap/chromium/current/.local/share/pki/nssdb");
    expect("store", "snap/chromium/current/.local/share/pki/nssdb", "not_applicable", "");
    complete(fixture, "request-2");
    look(fixture);
    expect("browser-store", "chromium-snap", "ok", "");
    expect("browser-store", "opera", "ok", "");
}

/* Each profile below a root is a store. */
static void test_firefox(void **state) {
    struct fixture *fixture = *state;
    const struct user_dirs *dirs = &fixture->work.dirs;
    char path[USER_DIRS_PATH_MAX];
    FILE *file;

    make_dir(dirs->home, "snap/firefox/common/.mozilla/firefox/abcd.default");
    complete(fixture, "request-1");
    look(fixture);
    expect("browser-store", "firefox-snap", "not_applicable", "");
    user_dirs_join(dirs->home, "snap/firefox/common/.mozilla/firefox/profiles.ini", path);
    file = fopen(path, "w");
    fputs("[Profile0]\nName=default\nIsRelative=1\nPath=abcd.default\n", file);
    fclose(file);
    look(fixture);
    expect("browser-store", "firefox-snap", "warning", "no-certificate");
    expect_detail("browser-store", "firefox-snap", "abcd.default");
    look_in_mode(fixture, AGENT_MODE_IDLE);
    expect("browser-store", "firefox-snap", "not_applicable", "no-certificate");
    complete(fixture, "request-2");
    look(fixture);
    expect("browser-store", "firefox-snap", "ok", "");
    expect("store-key", "abcd.default", "ok", "");
}

/* More profiles than stores are looked after: it is said of one that has no place. */
static void test_more_profiles_than_stores(void **state) {
    struct fixture *fixture = *state;
    char root[USER_DIRS_PATH_MAX], path[USER_DIRS_PATH_MAX], name[16];
    FILE *file;

    make_dir(fixture->work.dirs.home, "snap/firefox/common/.mozilla/firefox");
    user_dirs_join(fixture->work.dirs.home, "snap/firefox/common/.mozilla/firefox", root);
    user_dirs_join(root, "profiles.ini", path);
    file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i <= STORE_MAX; i++) {
        snprintf(name, sizeof name, "p%02d", i);
        make_dir(root, name);
        fprintf(file, "[Profile%d]\nIsRelative=1\nPath=%s\n", i, name);
        if (i != STORE_MAX - 2) /* beside them Chromium's own */
            continue;
        fflush(file);
        look(fixture);
        expect("browser-store", "firefox-snap", "warning", "no-certificate");
    }
    fclose(file);
    look(fixture);
    expect("browser-store", "firefox-snap", "warning", "browser-not-served");
    expect_detail("browser-store", "firefox-snap", "p15");
    look_in_mode(fixture, AGENT_MODE_IDLE);
    expect("browser-store", "firefox-snap", "not_applicable", "no-certificate");
}

/* A program by the name of a browser, of this user, until the test ends. */
static pid_t start_browser(const struct fixture *fixture, const char *name) {
    char program[USER_DIRS_PATH_MAX], text[256], link[64], target[PATH_MAX];
    const char *argv[] = {"cp", "/bin/sleep", program, NULL};
    pid_t pid;

    user_dirs_join(fixture->work.dirs.home, name, program);
    assert_int_equal(home_run(argv, text, sizeof text), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, "sleep", "600", NULL);
        _exit(1);
    }
    /* it runs when the link names the copy */
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    for (;;) {
        ssize_t size = readlink(link, target, sizeof target - 1);

        target[size > 0 ? size : 0] = '\0';
        if (strcmp(target, program) == 0)
            return pid;
        usleep(1000);
    }
}

static void stop_browser(pid_t pid) {
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_restart(void **state) {
    struct fixture *fixture = *state;
    struct agent_record_store *store = &fixture->work.record.stores[0];
    int64_t now = clock_wall_s(&clock_system);
    pid_t pid = start_browser(fixture, "vivaldi-bin"),
          other = start_browser(fixture, "firefox-esr");
    struct browser_run runs[BROWSER_RUNS_MAX];
    int64_t started = clock_wall_s(&clock_system);
    int count = browser_check_list(runs);
    bool seen = false;

    for (int i = 0; i < count; i++)
        if (strcmp(runs[i].family->id, "vivaldi") == 0) {
            seen = true;
            assert_in_range(runs[i].started_s, now - 60, started + 1);
        }
    assert_true(seen);
    look(fixture);
    expect("browser-restart", "vivaldi", "not_applicable", "no-certificate");
    complete(fixture, "request-1");
    assert_true(store->present_since >= now);
    look(fixture);
    expect("browser-restart", "vivaldi", "warning", "browser-restart");
    /* it was there before the browser */
    store->present_since = now - 120;
    look(fixture);
    expect("browser-restart", "vivaldi", "ok", "");
    store->present_since = AGENT_RECORD_UNKNOWN;
    look(fixture);
    expect("browser-restart", "vivaldi", "not_applicable", "presence-unknown");
    /* it looks anew by itself for certificates, but not for its policy */
    assert_null(find("browser-restart", "firefox-esr"));
    fixture->work.settings.firefox_policy_since = now - 120;
    look(fixture);
    expect("browser-restart", "firefox-esr", "ok", "");
    fixture->work.settings.firefox_policy_since = started + 5;
    look(fixture);
    expect("browser-restart", "firefox-esr", "warning", "browser-old-policy");
    stop_browser(pid);
    stop_browser(other);
    look(fixture);
    assert_null(find("browser-restart", "vivaldi"));
}

static bool is_listed(const char *id) {
    struct browser_run runs[BROWSER_RUNS_MAX];
    int count = browser_check_list(runs);

    for (int i = 0; i < count; i++)
        if (strcmp(runs[i].family->id, id) == 0)
            return true;
    return false;
}

/* A browser that has ended keeps its name until its parent has waited for it. */
static void test_ended_browser(void **state) {
    pid_t pid = start_browser(*state, "vivaldi-bin");
    siginfo_t info;

    assert_true(is_listed("vivaldi"));
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_false(is_listed("vivaldi"));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Since when the certificate is there without a break: renewals do not break it, a loss does. */
static void test_present_since(void **state) {
    struct fixture *fixture = *state;
    struct agent_record *record = &fixture->work.record;
    struct agent_record read;
    char path[USER_DIRS_PATH_MAX];

    complete(fixture, "request-1");
    assert_true(record->stores[0].present_since > 0);
    record->stores[0].present_since = 1000;
    complete(fixture, "request-2");
    assert_int_equal(record->stores[0].present_since, 1000);
    assert_int_equal(agent_record_read(&fixture->work.dirs, &read), 0);
    assert_int_equal(read.stores[0].present_since, 1000);
    agent_record_deinit(&read);

    agent_work_close(&fixture->work);
    database(fixture, NULL, path);
    remove_all(path);
    assert_int_equal(agent_work_check(&fixture->work), AGENT_EVENT_CHECKED);
    assert_string_equal(fixture->work.wanted, "lost");
    assert_int_equal(record->stores[0].present_since, AGENT_RECORD_ABSENT);
    assert_int_equal(agent_record_read(&fixture->work.dirs, &read), 0);
    assert_int_equal(read.stores[0].present_since, AGENT_RECORD_ABSENT);
    agent_record_deinit(&read);
    complete(fixture, "request-3");
    assert_true(record->stores[0].present_since > 1000);

    /* a record of an older version does not say; nor does one that was rebuilt */
    record->stores[0].present_since = AGENT_RECORD_UNKNOWN;
    complete(fixture, "request-4");
    assert_int_equal(record->stores[0].present_since, AGENT_RECORD_UNKNOWN);
    assert_int_equal(agent_record_read(&fixture->work.dirs, &read), 0);
    assert_int_equal(read.stores[0].present_since, AGENT_RECORD_UNKNOWN);
    agent_record_deinit(&read);
    record->stores[0].present_since = 1000;
    assert_int_equal(agent_record_remove(&fixture->work.dirs), 0);
    restart(fixture);
    fixture->work.settings.present = true;
    assert_int_equal(agent_work_check(&fixture->work), AGENT_EVENT_RESUME_SUPERSEDE);
    assert_int_equal(record->stores[0].present_since, AGENT_RECORD_UNKNOWN);
}

/* ---- home ---- */

static void change_mode(const char *directory, const char *file, mode_t mode) {
    char path[USER_DIRS_PATH_MAX];

    user_dirs_join(directory, file, path);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_permissions(void **state) {
    struct fixture *fixture = *state;
    const struct user_dirs *dirs = &fixture->work.dirs;

    complete(fixture, "request-1");
    change_mode(dirs->data, DATABASE "/key4.db", 0644);
    look(fixture);
    expect("home-permissions", "key4.db", "warning", "home-permissions"); /* nobody comes there */
    expect_detail("home-permissions", "key4.db", "mode 0644");
    change_mode(dirs->data, DATABASE, 0755);
    look(fixture);
    expect("home-permissions", DATABASE, "warning", "home-permissions");
    expect("home-permissions", "key4.db", "failure", "home-permissions");
    change_mode(dirs->data, DATABASE "/key4.db", 0600);
    change_mode(dirs->data, DATABASE, 0700);
    change_mode(dirs->state, "devtrust", 0777);
    look(fixture);
    expect("home-permissions", "state/devtrust", "failure", "home-permissions");
    change_mode(dirs->state, "devtrust", 0700);
    change_mode(dirs->home, "", 0770);
    look(fixture);
    expect("home-permissions", dirs->home, "failure", "home-permissions");
    change_mode(dirs->home, "", 0700);
    look(fixture);
    expect("home-permissions", dirs->home, "ok", "");
}

static void write_record_text(const struct fixture *fixture, const char *text) {
    char path[USER_DIRS_PATH_MAX];
    FILE *file;

    user_dirs_join(fixture->work.dirs.state, "devtrust/agent.json", path);
    file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

static void test_record(void **state) {
    struct fixture *fixture = *state;
    char path[USER_DIRS_PATH_MAX];

    complete(fixture, "request-1");
    write_record_text(fixture, "{\"format\": \"devtrust-agent\", \"version\": 2}");
    look(fixture);
    expect("agent-record", "agent.json", "failure", "newer-state");
    write_record_text(fixture, "{\"format\": \"devtrust-a");
    look(fixture);
    expect("agent-record", "agent.json", "failure", "broken-state");
    user_dirs_join(fixture->work.dirs.state, "devtrust/agent.json", path);
    assert_int_equal(access(path, F_OK), 0); /* looking sets nothing aside */
    assert_int_equal(unlink(path), 0);
    look(fixture);
    expect("agent-record", "agent.json", "failure", "record-missing");
}

static void body_disk(
    struct fixture *fixture, const char *size, const char *result, const char *code) {
    char text[256];
    const char *argv[] = {"mount", "-t", "tmpfs", "-o", text, "tmpfs", NULL, NULL};
    char output[512];

    snprintf(text, sizeof text, "size=%s,mode=0700", size);
    argv[6] = fixture->work.dirs.home;
    assert_int_equal(home_run(argv, output, sizeof output), 0);
    look(fixture);
    expect("home-disk", fixture->work.dirs.home, result, code);
    expect_detail("home-disk", fixture->work.dirs.home, " free");
}

static void in_own_mounts(
    struct fixture *fixture, const char *size, const char *result, const char *code) {
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(77);
        body_disk(fixture, size, result, code);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_disk(void **state) {
    struct fixture *fixture = *state;

    if (getuid() != 0)
        skip();
    in_own_mounts(fixture, "256m", "ok", "");
    in_own_mounts(fixture, "16m", "warning", "disk-low");
    in_own_mounts(fixture, "512k", "failure", "store-full");
}

/* ---- repair ---- */

static bool did(const struct fixture *fixture, const char *action) {
    for (size_t i = 0; i < fixture->work.action_count; i++)
        if (strcmp(fixture->work.actions[i], action) == 0)
            return true;
    return false;
}

static void test_repair_sweeps_orphans(void **state) {
    struct fixture *fixture = *state;
    struct agent_work *work = &fixture->work;
    char path[USER_DIRS_PATH_MAX], spec[USER_DIRS_PATH_MAX + 8], text[4096], *name = NULL;
    const char *argv[] = {"certutil", "-D", "-d", spec, "-n", NULL, NULL};
    struct agent_record before;

    complete(fixture, "request-1");
    assert_int_equal(agent_record_copy(&work->record, &before), 0);
    prepare(fixture, "request-2");
    assert_int_equal(x509_subject_text(work->bundle.leaf, NID_commonName, &name), 0);
    assert_int_equal(agent_work_import(work), AGENT_EVENT_VERIFIED);
    agent_work_close(work);
    database(fixture, NULL, path);
    snprintf(spec, sizeof spec, "sql:%s", path);
    argv[5] = name;
    assert_int_equal(home_run(argv, text, sizeof text), 0);
    free(name);
    /* the record never heard of the second one */
    agent_record_deinit(&work->record);
    work->record = before;
    expect_in_store(fixture, 1, 2);

    agent_work_begin_repair(work, true);
    assert_int_equal(agent_work_check(work), AGENT_EVENT_RESUME_SUPERSEDE);
    assert_null(work->wanted);
    assert_int_equal(agent_work_supersede(work), AGENT_EVENT_SUPERSEDED);
    agent_work_finish(work);
    assert_true(did(fixture, "swept"));
    expect_in_store(fixture, 1, 1);
    look(fixture);
    expect("store-single", DATABASE, "ok", "");
    assert_string_equal(
        json_object_get_string(json_object_array_get_idx(array_of("actions"), 0)), "swept");
    /* told once */
    look(fixture);
    assert_false(json_object_object_get_ex(answer, "actions", NULL));
}

static void test_repair_of_what_is_lost(void **state) {
    struct fixture *fixture = *state;
    struct agent_work *work = &fixture->work;
    char path[USER_DIRS_PATH_MAX];

    complete(fixture, "request-1");
    write_record_text(fixture, "{");
    change_mode(work->dirs.state, "devtrust", 0777);
    agent_work_close(work);
    database(fixture, NULL, path);
    remove_all(path);
    agent_work_begin_repair(work, true);
    assert_int_equal(agent_work_check(work), AGENT_EVENT_CHECKED);
    assert_string_equal(work->wanted, "lost");
    assert_true(did(fixture, "renewal-lost"));
    assert_true(did(fixture, "state-permissions"));
    /* the loss was written down, and so the record is whole again */
    assert_int_equal(agent_record_probe(&work->dirs), 0);
    agent_work_begin_repair(work, false);
    assert_int_equal(work->action_count, 0);
    assert_int_equal(agent_work_check(work), AGENT_EVENT_CHECKED);
    assert_int_equal(work->action_count, 0);
}

static void test_repair_writes_the_record(void **state) {
    struct fixture *fixture = *state;
    struct agent_work *work = &fixture->work;

    complete(fixture, "request-1");
    assert_int_equal(agent_record_remove(&work->dirs), 0);
    agent_work_begin_repair(work, true);
    assert_int_equal(agent_work_check(work), AGENT_EVENT_CHECKED);
    assert_null(work->wanted);
    assert_true(did(fixture, "record-written"));
    assert_int_equal(agent_record_probe(&work->dirs), 0);
    look(fixture);
    expect("agent-record", "agent.json", "ok", "");
}

/* ---- the answer itself ---- */

static void expect_two_stores(struct inspection *inspection) {
    static struct store_set set;

    set.count = 2;
    strcpy(set.items[0].location.path, "/h/one");
    strcpy(set.items[1].location.path, "/h/two");
    inspection_expect(inspection, &set);
}

static void test_late(void **state) {
    struct inspection *inspection = order(true, AGENT_MODE_CERTIFICATE);
    const struct store_certificates none = {0};

    (void)state;
    expect_two_stores(inspection);
    inspection_store_done(inspection, 0, REASON_NONE, &none);
    assert_true(inspection_is_open(inspection));
    answer = inspection_close(inspection, true);
    assert_false(inspection_is_open(inspection));
    assert_null(find("store", "/h/one"));
    expect("store", "/h/two", "failure", "store-busy");
    assert_string_equal(
        text_of(json_object_array_get_idx(array_of("stores"), 1), "code"), "store-busy");
    assert_string_equal(text_of(json_object_array_get_idx(array_of("stores"), 0), "code"), "");
    /* the worker comes back: nobody waits any more */
    inspection_add(inspection, AGENT_CHECK_STORE, "/h/two", AGENT_RESULT_OK, REASON_NONE, NULL);
    inspection_store_done(inspection, 1, REASON_NONE, &none);
    assert_null(inspection_close(inspection, false));
    inspection_free(inspection);
}

/* Who only asks for certificates and got none would take that for an answer. */
static void test_late_and_nothing_known(void **state) {
    struct inspection *inspection = order(false, AGENT_MODE_CERTIFICATE);
    const struct store_certificates none = {0};

    (void)state;
    expect_two_stores(inspection);
    assert_null(inspection_close(inspection, true));
    inspection_free(inspection);
    inspection = order(false, AGENT_MODE_CERTIFICATE);
    expect_two_stores(inspection);
    inspection_store_done(inspection, 1, REASON_NONE, &none);
    answer = inspection_close(inspection, true);
    assert_int_equal(json_object_array_length(array_of("certificates")), 0);
    inspection_free(inspection);
    drop_answer();
    inspection = order(true, AGENT_MODE_CERTIFICATE);
    answer = inspection_close(inspection, true);
    expect("store", "", "failure", "store-busy");
    inspection_free(inspection);
}

/* More than fit: what is not well is kept, in its order. */
static void test_too_many(void **state) {
    struct inspection *inspection = order(true, AGENT_MODE_CERTIFICATE);
    struct json_object *checks;
    size_t length;

    (void)state;
    for (int i = 0; i < AGENT_CHECKS_MAX + 5; i++) {
        char subject[USER_DIRS_PATH_MAX];

        snprintf(subject, sizeof subject, "/%d", i);
        inspection_add(
            inspection, AGENT_CHECK_STORE, subject,
            i == 100     ? AGENT_RESULT_FAILURE
            : i % 4 == 3 ? AGENT_RESULT_WARNING
                         : AGENT_RESULT_OK,
            REASON_NONE, "%d", i);
    }
    answer = inspection_close(inspection, false);
    checks = array_of("checks");
    assert_int_equal(json_object_array_length(checks), AGENT_CHECKS_SENT);
    expect("store", "/100", "failure", "");
    expect("store", "/127", "warning", "");
    assert_null(find("store", "/128"));
    assert_non_null(find("store", "/0"));
    inspection_free(inspection);
    drop_answer();

    /* the longest of everything: what is well goes first, and the call keeps to its size */
    inspection = order(true, AGENT_MODE_CERTIFICATE);
    for (int i = 0; i < AGENT_CHECKS_MAX; i++) {
        char subject[2 * USER_DIRS_PATH_MAX], detail[2 * AGENT_DETAIL_SIZE];

        memset(subject, 's', sizeof subject - 1);
        subject[sizeof subject - 1] = '\0';
        memset(detail, 'd', sizeof detail - 1);
        detail[sizeof detail - 1] = '\0';
        inspection_add(
            inspection, AGENT_CHECK_STORE, subject, i < 20 ? AGENT_RESULT_FAILURE : AGENT_RESULT_OK,
            REASON_STORE_ERROR, "%s", detail);
    }
    answer = inspection_close(inspection, false);
    assert_int_equal(json_object_array_length(array_of("checks")), 20);
    assert_int_equal(
        strlen(text_of(json_object_array_get_idx(array_of("checks"), 0), "detail")), 256);
    (void)json_object_to_json_string_length(answer, JSON_C_TO_STRING_PLAIN, &length);
    assert_true(length < (size_t)64 * 1024);
    inspection_free(inspection);
}

static void test_foreign_text(void **state) {
    char text[8];

    (void)state;
    agent_message_clean("abc", text, sizeof text);
    assert_string_equal(text, "abc");
    agent_message_clean(
        "a\xff\xfe"
        "b",
        text, sizeof text);
    assert_string_equal(text, "a??b");
    agent_message_clean("123456\xc3\xa4", text, sizeof text); /* would be cut in the middle */
    assert_string_equal(text, "123456");
    agent_message_clean("12345\xc3\xa4", text, sizeof text);
    assert_string_equal(text, "12345\xc3\xa4");
    agent_message_clean("\xc3", text, sizeof text);
    assert_string_equal(text, "?");
    agent_message_clean("", text, sizeof text);
    assert_string_equal(text, "");
}

static int setup_answer(void **state) {
    answer = NULL;
    return setup(state);
}

static int teardown_answer(void **state) {
    drop_answer();
    return teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_answer, teardown_answer)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_well),
        TEST(test_not_full_has_no_checks),
        TEST(test_nothing_yet),
        TEST(test_lost_store),
        TEST(test_broken_store),
        TEST(test_lost_key),
        TEST(test_older_one),
        TEST(test_doubles_and_orphans),
        TEST(test_time),
        TEST(test_browser_stores),
        TEST(test_looks_anew),
        TEST(test_other_browsers),
        TEST(test_firefox),
        TEST(test_more_profiles_than_stores),
        TEST(test_restart),
        TEST(test_ended_browser),
        TEST(test_present_since),
        TEST(test_permissions),
        TEST(test_record),
        TEST(test_disk),
        TEST(test_repair_sweeps_orphans),
        TEST(test_repair_of_what_is_lost),
        TEST(test_repair_writes_the_record),
        TEST(test_late),
        TEST(test_late_and_nothing_known),
        TEST(test_too_many),
        TEST(test_foreign_text),
    };

    if (credential_key_harden() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
