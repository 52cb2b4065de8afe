/* Real directories under inotify: what concerns a store is told, what does not is not, and at rest
 * there is nothing to read. */
#include "useragent/store_watch.h"

#include "home.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct fixture {
    struct user_dirs dirs;
    struct store_watch *watch;
    uint64_t stores;
};

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);

    home_make(&fixture->dirs);
    assert_int_equal(store_watch_new(&fixture->watch), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;

    store_watch_free(fixture->watch);
    home_remove(&fixture->dirs);
    free(fixture);
    return 0;
}

static bool is_readable(struct fixture *fixture, int timeout_ms) {
    struct pollfd fd = {.fd = store_watch_fd(fixture->watch), .events = POLLIN};

    return poll(&fd, 1, timeout_ms) > 0;
}

/* Returns whether the list of stores is another. */
static bool scan(struct fixture *fixture) {
    struct store_watch_table *table = NULL;
    uint64_t before = fixture->stores;

    store_watch_begin(fixture->watch);
    assert_int_equal(store_watch_scan(fixture->watch, &fixture->dirs, &table, &fixture->stores), 0);
    store_watch_take(fixture->watch, table);
    /* what the scan itself let go of */
    (void)store_watch_read(fixture->watch);
    assert_false(is_readable(fixture, 0));
    return fixture->stores != before;
}

/* inotify tells at once, before the system call that made it happen returns. */
static bool is_told(struct fixture *fixture) {
    return store_watch_read(fixture->watch);
}

static void make_dirs(const struct fixture *fixture, const char *name) {
    char path[USER_DIRS_PATH_MAX], text[256];
    const char *argv[] = {"mkdir", "-p", path, NULL};

    user_dirs_join(fixture->dirs.home, name, path);
    assert_int_equal(home_run(argv, text, sizeof text), 0);
}

static void put(const struct fixture *fixture, const char *name, const char *text) {
    char path[USER_DIRS_PATH_MAX];
    FILE *file;

    user_dirs_join(fixture->dirs.home, name, path);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void drop(const struct fixture *fixture, const char *name) {
    char path[USER_DIRS_PATH_MAX], text[256];
    const char *argv[] = {"rm", "-rf", path, NULL};

    user_dirs_join(fixture->dirs.home, name, path);
    assert_int_equal(home_run(argv, text, sizeof text), 0);
}

static void test_chromium_starts_for_the_first_time(void **state) {
    struct fixture *fixture = *state;

    assert_true(scan(fixture));
    assert_false(scan(fixture));
    make_dirs(fixture, ".local");
    assert_true(is_told(fixture));
    assert_false(scan(fixture));
    make_dirs(fixture, ".local/share/pki/nssdb");
    assert_true(is_told(fixture));
    (void)scan(fixture);
    put(fixture, ".local/share/pki/nssdb/cert9.db", "");
    (void)is_told(fixture);
    assert_true(scan(fixture));
    assert_false(is_readable(fixture, 0));
}

static void test_the_older_place_comes(void **state) {
    struct fixture *fixture = *state;

    make_dirs(fixture, ".local/share/pki/nssdb");
    scan(fixture);
    make_dirs(fixture, ".pki");
    assert_true(is_told(fixture));
    assert_false(scan(fixture));
    make_dirs(fixture, ".pki/nssdb");
    assert_true(is_told(fixture));
    assert_true(scan(fixture));
    /* and goes again: the other one is read once more */
    drop(fixture, ".pki");
    assert_true(is_told(fixture));
    assert_true(scan(fixture));
    make_dirs(fixture, ".pki/nssdb");
    assert_true(is_told(fixture));
    assert_true(scan(fixture));
}

static void test_a_database_is_deleted(void **state) {
    struct fixture *fixture = *state;

    make_dirs(fixture, ".local/share/pki/nssdb");
    put(fixture, ".local/share/pki/nssdb/cert9.db", "x");
    put(fixture, ".local/share/pki/nssdb/key4.db", "x");
    scan(fixture);
    /* as SQLite writes: nobody's business */
    put(fixture, ".local/share/pki/nssdb/cert9.db-journal", "x");
    put(fixture, ".local/share/pki/nssdb/cert9.db", "xy");
    drop(fixture, ".local/share/pki/nssdb/cert9.db-journal");
    assert_false(is_told(fixture));
    drop(fixture, ".local/share/pki/nssdb/key4.db");
    assert_true(is_told(fixture));
    assert_true(scan(fixture));
    drop(fixture, ".local/share/pki");
    assert_true(is_told(fixture));
    assert_true(scan(fixture));
}

static void test_what_does_not_matter(void **state) {
    struct fixture *fixture = *state;

    make_dirs(fixture, ".local/share/pki/nssdb");
    make_dirs(fixture, ".config/chromium/Default");
    scan(fixture);
    put(fixture, "letter.txt", "x");
    make_dirs(fixture, "pictures");
    make_dirs(fixture, ".local/share/pkix");
    put(fixture, ".local/share/recently-used.xbel", "x");
    put(fixture, ".config/chromium/Default/Cookies", "x");
    make_dirs(fixture, ".config/google-chrome"); /* reads the shared one */
    assert_false(is_told(fixture));
    assert_false(scan(fixture));
}

#define ROOT ".mozilla/firefox"

static void test_firefox_profiles(void **state) {
    struct fixture *fixture = *state;

    scan(fixture);
    make_dirs(fixture, ROOT);
    assert_true(is_told(fixture));
    assert_false(scan(fixture));
    make_dirs(fixture, ROOT "/abcd.default");
    assert_true(is_told(fixture));
    put(fixture, ROOT "/abcd.default/times.json", "{}");
    put(fixture, ROOT "/profiles.ini", "[Profile0]\nName=d\nIsRelative=1\nPath=abcd.default\n");
    assert_true(is_told(fixture));
    assert_true(scan(fixture));
    /* the browser at work */
    put(fixture, ROOT "/abcd.default/prefs-1.js", "x");
    drop(fixture, ROOT "/abcd.default/prefs-1.js");
    assert_false(is_readable(fixture, 0));
    put(fixture, ROOT "/profiles.ini", "[Profile0]\nName=d\nIsRelative=1\nPath=other.default\n");
    assert_true(is_told(fixture));
    assert_true(scan(fixture));
}

/* Only where it was asked for. */
static void test_thunderbird(void **state) {
    struct fixture *fixture = *state;
    const char *ini = "[Profile0]\nName=d\nIsRelative=1\nPath=abcd.default\n";

    make_dirs(fixture, ".thunderbird");
    scan(fixture);
    make_dirs(fixture, ".thunderbird/abcd.default");
    put(fixture, ".thunderbird/profiles.ini", "");
    assert_false(is_told(fixture));
    fixture->dirs.thunderbird = true;
    assert_false(scan(fixture));
    put(fixture, ".thunderbird/profiles.ini", ini);
    assert_true(is_told(fixture));
    assert_true(scan(fixture));
}

/* An update of the snap: "current" leads to another revision. */
static void test_a_link_leads_elsewhere(void **state) {
    struct fixture *fixture = *state;
    char link[USER_DIRS_PATH_MAX];

    make_dirs(fixture, "snap/chromium/1/.local/share/pki/nssdb");
    make_dirs(fixture, "snap/chromium/2/.local/share");
    user_dirs_join(fixture->dirs.home, "snap/chromium/current", link);
    assert_int_equal(symlink("1", link), 0);
    put(fixture, "snap/chromium/current/.local/share/pki/nssdb/cert9.db", "x");
    scan(fixture);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("2", link), 0);
    assert_true(is_told(fixture));
    assert_true(scan(fixture));
    make_dirs(fixture, "snap/chromium/current/.local/share/pki/nssdb");
    assert_true(is_told(fixture));
}

static void make_place(const struct fixture *fixture, const struct browser_place *place) {
    char path[USER_DIRS_PATH_MAX], text[256];
    const char *argv[] = {"mkdir", "-p", path, NULL};

    assert_int_equal(user_dirs_place(&fixture->dirs, place, path), 0);
    assert_int_equal(home_run(argv, text, sizeof text), 0);
}

/* A home in which every browser of the table has been used: each of its places is still followed,
 * one after the other, the last to be looked at included. */
static void test_every_place_of_every_family(void **state) {
    struct fixture *fixture = *state;
    unsigned places = 0;

    fixture->dirs.thunderbird = true;
    for (const struct browser_family *family = browser_families; family->id; family++)
        if (family->data.path)
            make_place(fixture, &family->data);
    (void)scan(fixture);
    for (const struct browser_family *family = browser_families; family->id; family++)
        for (const struct browser_place *place = family->stores; place->path; place++) {
            char path[USER_DIRS_PATH_MAX];

            assert_int_equal(user_dirs_place(&fixture->dirs, place, path), 0);
            if (access(path, F_OK) == 0)
                continue; /* shared with a family before */
            make_place(fixture, place);
            if (!is_told(fixture))
                fail_msg("%s: %s", family->id, path);
            (void)scan(fixture);
            places++;
        }
    assert_true(places > 25);
}

static void test_data_home_elsewhere(void **state) {
    struct fixture *fixture = *state;
    char directory[] = "/tmp/devtrust-data-XXXXXX", text[256];
    char path[USER_DIRS_PATH_MAX];
    const char *make[] = {"mkdir", "-p", path, NULL};
    const char *remove[] = {"rm", "-rf", directory, NULL};

    assert_non_null(mkdtemp(directory));
    snprintf(fixture->dirs.data, sizeof fixture->dirs.data, "%s/data", directory);
    scan(fixture);
    assert_int_equal(user_dirs_join(fixture->dirs.data, "pki/nssdb", path), 0);
    assert_int_equal(home_run(make, text, sizeof text), 0);
    assert_true(is_told(fixture));
    scan(fixture);
    assert_int_equal(home_run(remove, text, sizeof text), 0);
    assert_true(is_told(fixture));
}

/* What happens while a scan is under way, in a directory that the last one did not know. */
static void test_during_a_scan(void **state) {
    struct fixture *fixture = *state;
    struct store_watch_table *table = NULL;

    scan(fixture);
    make_dirs(fixture, ".pki");
    assert_true(is_told(fixture));
    store_watch_begin(fixture->watch);
    assert_int_equal(store_watch_scan(fixture->watch, &fixture->dirs, &table, &fixture->stores), 0);
    make_dirs(fixture, ".pki/nssdb");
    assert_true(is_told(fixture));
    store_watch_take(fixture->watch, table);
    /* a scan that failed leaves the one before in force */
    store_watch_begin(fixture->watch);
    store_watch_take(fixture->watch, NULL);
    drop(fixture, ".pki");
    assert_true(is_told(fixture));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_chromium_starts_for_the_first_time),
        TEST(test_the_older_place_comes),
        TEST(test_a_database_is_deleted),
        TEST(test_what_does_not_matter),
        TEST(test_thunderbird),
        TEST(test_firefox_profiles),
        TEST(test_a_link_leads_elsewhere),
        TEST(test_every_place_of_every_family),
        TEST(test_data_home_elsewhere),
        TEST(test_during_a_scan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
