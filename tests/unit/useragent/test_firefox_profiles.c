/* Firefox's profiles as its own files name them, and whatever else may stand there. */
#include "useragent/firefox_profiles.h"

#include "home.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct user_dirs dirs;
static char root[USER_DIRS_PATH_MAX]; /* ~/.mozilla/firefox */

static void make_dirs(const char *path) {
    const char *argv[] = {"mkdir", "-p", path, NULL};
    char text[256];

    assert_int_equal(home_run(argv, text, sizeof text), 0);
}

static void make(const char *base, const char *name) {
    char path[USER_DIRS_PATH_MAX];

    assert_int_equal(user_dirs_join(base, name, path), 0);
    make_dirs(path);
}

static void put(const char *base, const char *name, const char *text) {
    char path[USER_DIRS_PATH_MAX];
    FILE *file;

    assert_int_equal(user_dirs_join(base, name, path), 0);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int setup(void **state) {
    (void)state;
    home_make(&dirs);
    assert_int_equal(user_dirs_join(dirs.home, ".mozilla/firefox", root), 0);
    make_dirs(root);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    home_remove(&dirs);
    return 0;
}

/* The paths below `base`, in order, joined by blanks. */
static void expect(const char *base, const char *wanted) {
    CLEANUP_FIREFOX_PROFILES struct firefox_profiles profiles = {0};
    char found[4096] = "";
    size_t length = strlen(base);

    assert_int_equal(firefox_profiles_list(&dirs, &profiles), 0);
    for (size_t i = 0; i < profiles.count; i++) {
        const char *path = profiles.paths[i];

        if (strncmp(path, base, length) == 0 && path[length] == '/')
            path += length + 1;
        snprintf(
            found + strlen(found), sizeof found - strlen(found), "%s%s", found[0] ? " " : "", path);
    }
    assert_string_equal(found, wanted);
    assert_false(profiles.more);
}

static void test_no_firefox(void **state) {
    (void)state;
    expect(root, "");
}

static void test_as_firefox_writes_it(void **state) {
    (void)state;
    make(root, "aaaa.default");
    make(root, "bbbb.default-esr");
    put(root, "profiles.ini",
        "[Install4F96D1932A9F858E]\nDefault=bbbb.default-esr\nLocked=1\n\n"
        "[Profile1]\nName=default\nIsRelative=1\nPath=aaaa.default\nDefault=1\n\n"
        "[Profile0]\nName=default-esr\nIsRelative=1\nPath=bbbb.default-esr\n\n"
        "[General]\nStartWithLastProfile=1\nVersion=2\n\n");
    expect(root, "bbbb.default-esr aaaa.default");
}

static void test_only_what_exists(void **state) {
    (void)state;
    make(root, "here");
    put(root, "file", "");
    put(root, "profiles.ini",
        "[Profile0]\nIsRelative=1\nPath=gone\n[Profile1]\nIsRelative=1\nPath=file\n"
        "[Profile2]\nIsRelative=1\nPath=here");
    expect(root, "here");
}

static void test_absolute_path(void **state) {
    char elsewhere[USER_DIRS_PATH_MAX], text[3 * USER_DIRS_PATH_MAX];

    (void)state;
    assert_int_equal(user_dirs_join(dirs.home, "my ; pro#files", elsewhere), 0);
    make_dirs(elsewhere);
    snprintf(
        text, sizeof text, "[Profile0]\r\nName=x\r\nIsRelative=0\r\nPath=%s\r\n[Profile1]\nPath=%s",
        elsewhere, elsewhere);
    put(root, "profiles.ini", text);
    expect(dirs.home, "my ; pro#files");
}

static void test_relative_paths_stay_below(void **state) {
    (void)state;
    make(dirs.home, ".mozilla/other");
    make(root, "Profiles/deep");
    make(root, "..odd");
    put(root, "profiles.ini",
        "[Profile0]\nIsRelative=1\nPath=../other\n[Profile1]\nIsRelative=1\nPath=Profiles/../../"
        "other\n"
        "[Profile2]\nIsRelative=1\nPath=/etc\n[Profile3]\nIsRelative=0\nPath=Profiles/deep\n"
        "[Profile4]\nIsRelative=1\nPath=..\n[Profile5]\nIsRelative=1\nPath=Profiles/deep\n"
        "[Profile6]\nIsRelative=1\nPath=..odd\n[Install1]\nDefault=../other\n");
    expect(root, "Profiles/deep ..odd");
}

/* One database behind two names is one store. */
static void test_each_directory_once(void **state) {
    char link[USER_DIRS_PATH_MAX];

    (void)state;
    make(root, "one");
    assert_int_equal(user_dirs_join(root, "other", link), 0);
    assert_int_equal(symlink("one", link), 0);
    put(root, "profiles.ini",
        "[Profile0]\nIsRelative=1\nPath=other\n[Profile1]\nIsRelative=1\nPath=one\n"
        "[Profile2]\nIsRelative=1\nPath=./one\n");
    expect(root, "other");
}

static void test_installs_ini_alone(void **state) {
    (void)state;
    make(root, "one");
    put(root, "installs.ini", "[4F96D1932A9F858E]\nDefault=one\nLocked=1\n");
    expect(root, "one");
}

/* Firefox 138 and later: profiles of a group are not named in profiles.ini. */
static void test_group(void **state) {
    (void)state;
    make(root, "aaaa.default");
    make(root, "Qwer1234.Profile 1");
    make(root, "Crash Reports");
    put(root, "Qwer1234.Profile 1/times.json", "{}");
    put(root, "aaaa.default/times.json", "{}");
    put(root, "profiles.ini", "[Profile0]\nIsRelative=1\nPath=aaaa.default\n");
    expect(root, "aaaa.default");
    put(root, "profiles.ini", "[Profile0]\nIsRelative=1\nPath=aaaa.default\nStoreID=5b874bd5\n");
    expect(root, "aaaa.default Qwer1234.Profile 1");
}

static void test_all_roots(void **state) {
    static const char *const roots[] = {
        ".mozilla/firefox",
        ".config/mozilla/firefox",
        "snap/firefox/common/.mozilla/firefox",
        ".var/app/org.mozilla.firefox/.mozilla/firefox",
    };
    CLEANUP_FIREFOX_PROFILES struct firefox_profiles profiles = {0};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char path[USER_DIRS_PATH_MAX];

        assert_int_equal(user_dirs_join(dirs.home, roots[i], path), 0);
        make(path, "p");
        put(path, "profiles.ini", "[Profile0]\nIsRelative=1\nPath=p\n");
    }
    make(dirs.home, ".thunderbird/p");
    put(dirs.home, ".thunderbird/profiles.ini", "[Profile0]\nIsRelative=1\nPath=p\n");
    assert_int_equal(firefox_profiles_list(&dirs, &profiles), 0);
    assert_int_equal(profiles.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_non_null(strstr(profiles.paths[i], roots[i]));
    firefox_profiles_deinit(&profiles);
    dirs.thunderbird = true;
    assert_int_equal(firefox_profiles_list(&dirs, &profiles), 0);
    assert_int_equal(profiles.count, 5);
    assert_non_null(strstr(profiles.paths[4], ".thunderbird/p"));
}

static void test_most_and_one_more(void **state) {
    CLEANUP_FIREFOX_PROFILES struct firefox_profiles profiles = {0};
    char text[8192] = "", name[32];

    (void)state;
    for (unsigned i = 0; i <= FIREFOX_PROFILES_MAX; i++) {
        snprintf(name, sizeof name, "p%u", i);
        make(root, name);
        snprintf(
            text + strlen(text), sizeof text - strlen(text), "[Profile%u]\nIsRelative=1\nPath=%s\n",
            i, name);
        if (i == FIREFOX_PROFILES_MAX - 1) {
            put(root, "profiles.ini", text);
            assert_int_equal(firefox_profiles_list(&dirs, &profiles), 0);
            assert_int_equal(profiles.count, FIREFOX_PROFILES_MAX);
            assert_false(profiles.more);
            firefox_profiles_deinit(&profiles);
        }
    }
    put(root, "profiles.ini", text);
    assert_int_equal(firefox_profiles_list(&dirs, &profiles), 0);
    assert_int_equal(profiles.count, FIREFOX_PROFILES_MAX);
    assert_true(profiles.more);
}

/* Path of the longest length that fits, and one byte more. */
static void test_longest_path(void **state) {
    struct firefox_profiles profiles = {0};
    static char text[2 * USER_DIRS_PATH_MAX] = "[Profile0]\nIsRelative=0\nPath=/";
    bool group = false;
    size_t head = strlen(text) - 1;

    (void)state;
    memset(text + head + 1, '/', USER_DIRS_PATH_MAX - 2);
    assert_int_equal(
        firefox_profiles_parse("/", text, head + USER_DIRS_PATH_MAX - 1, &profiles, &group), 0);
    assert_int_equal(profiles.count, 1);
    firefox_profiles_deinit(&profiles);
    text[head + USER_DIRS_PATH_MAX - 1] = '/';
    assert_int_equal(
        firefox_profiles_parse("/", text, head + USER_DIRS_PATH_MAX, &profiles, &group), 0);
    assert_int_equal(profiles.count, 0);
}

static void test_no_text_file(void **state) {
    char path[USER_DIRS_PATH_MAX];

    (void)state;
    make(root, "one");
    make(root, "profiles.ini"); /* a directory */
    assert_int_equal(user_dirs_join(root, "installs.ini", path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect(root, "");
}

static void test_nonsense(void **state) {
    static const char text[] = "Path=before\n[Profile0\nIsRelative=1\nPath=one\n[]\n=\n[Profile]\n"
                               "Path\n;Path=one\n#\n[Profile2]\nIsRelative=1\nPath=o\0ne\n";
    CLEANUP_FIREFOX_PROFILES struct firefox_profiles profiles = {0};
    bool group = false;

    (void)state;
    make(root, "one");
    assert_int_equal(firefox_profiles_parse(root, text, sizeof text - 1, &profiles, &group), 0);
    assert_int_equal(profiles.count, 0);
    assert_false(group);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_no_firefox),
        TEST(test_as_firefox_writes_it),
        TEST(test_only_what_exists),
        TEST(test_absolute_path),
        TEST(test_relative_paths_stay_below),
        TEST(test_each_directory_once),
        TEST(test_installs_ini_alone),
        TEST(test_group),
        TEST(test_all_roots),
        TEST(test_most_and_one_more),
        TEST(test_longest_path),
        TEST(test_no_text_file),
        TEST(test_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
