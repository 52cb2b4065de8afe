/* From the path of a store to the names of the browsers that read it. */
#include "common/browser_store.h"

#include "common/cleanup.h"
#include "unit.h"

static bool only_debians(const struct browser_family *family) {
    return strcmp(family->id, "chromium") == 0 || strcmp(family->id, "firefox-esr") == 0;
}

static bool both_chromes(const struct browser_family *family) {
    return strcmp(family->id, "chromium") == 0 || strcmp(family->id, "chrome") == 0;
}

static bool none(const struct browser_family *family) {
    (void)family;
    return false;
}

static void expect(
    const char *path, enum browser_kind kind, bool (*installed)(const struct browser_family *),
    const char *expected) {
    char name[BROWSER_STORE_NAME_SIZE];
    assert_string_equal(browser_store_name(path, kind, installed, name), expected);
}

static void test_names(void **state) {
    (void)state;
    expect("/home/a/.pki/nssdb", BROWSER_CHROMIUM, only_debians, "Chromium");
    expect("/home/a/.pki/nssdb", BROWSER_CHROMIUM, both_chromes, "Chromium, Google Chrome");
    expect("/home/a/.local/share/pki/nssdb", BROWSER_CHROMIUM, only_debians, "Chromium");
    expect("/home/a/.pki/nssdb", BROWSER_CHROMIUM, none, "Chromium and its relatives");
    expect("/home/a/.pki/nssdb", BROWSER_CHROMIUM, NULL, "Chromium and its relatives");
    expect("/somewhere/else", BROWSER_CHROMIUM, only_debians, "Chromium and its relatives");
    expect(
        "/home/a/.mozilla/firefox/1a2b3c4d.default-esr", BROWSER_FIREFOX, only_debians,
        "Firefox ESR, profile default-esr");
    expect(
        "/home/a/.config/mozilla/firefox/x.work", BROWSER_FIREFOX, none, "Firefox, profile work");
    expect("/mnt/profile", BROWSER_FIREFOX, only_debians, "Firefox, profile profile");
}

/* The place that says most wins, whatever else is part of the path. */
static void test_packages_of_their_own(void **state) {
    (void)state;
    expect(
        "/home/a/snap/firefox/common/.mozilla/firefox/x.default", BROWSER_FIREFOX, only_debians,
        "Firefox (snap), profile default");
    expect(
        "/home/a/.var/app/org.mozilla.firefox/.mozilla/firefox/x.default", BROWSER_FIREFOX,
        only_debians, "Firefox (Flatpak), profile default");
    expect(
        "/home/a/snap/chromium/current/.local/share/pki/nssdb", BROWSER_CHROMIUM, only_debians,
        "Chromium (snap)");
    expect(
        "/home/a/.var/app/com.brave.Browser/.pki/nssdb", BROWSER_CHROMIUM, only_debians,
        "Brave (Flatpak)");
    expect(
        "/home/a/.var/app/com.brave.Browser/data/pki/nssdb", BROWSER_CHROMIUM, only_debians,
        "Brave (Flatpak)");
}

static void test_parts_are_whole(void **state) {
    const struct browser_family *families[BROWSER_STORE_MAX_FAMILIES];
    (void)state;
    assert_int_equal(browser_store_families("/a/x.pki/nssdb", BROWSER_CHROMIUM, families), 0);
    assert_int_equal(browser_store_families("/a/.pki/nssdbx", BROWSER_CHROMIUM, families), 0);
    assert_int_equal(browser_store_families(".pki/nssdb", BROWSER_CHROMIUM, families), 0);
    assert_int_equal(browser_store_families("", BROWSER_CHROMIUM, families), 0);
    assert_true(browser_store_families("/a/.pki/nssdb", BROWSER_CHROMIUM, families) > 1);
    assert_string_equal(families[0]->id, "chromium");
    assert_int_equal(browser_store_families("/a/.pki/nssdb", BROWSER_FIREFOX, families), 0);
}

static void test_profiles(void **state) {
    (void)state;
    assert_string_equal(browser_store_profile("/x/1a2b3c4d.work"), "work");
    assert_string_equal(browser_store_profile("/x/1a2b.a.b"), "a.b");
    assert_string_equal(browser_store_profile("/x/Profile1"), "Profile1");
    assert_string_equal(browser_store_profile("/x/.hidden"), ".hidden");
    assert_string_equal(browser_store_profile("/x/end."), "end.");
    assert_string_equal(browser_store_profile("name"), "name");
}

static bool all(const struct browser_family *family) {
    (void)family;
    return true;
}

static void test_a_long_one_is_cut(void **state) {
    char path[1024] = "/home/a/.mozilla/firefox/x.", name[BROWSER_STORE_NAME_SIZE];
    (void)state;
    memset(path + strlen(path), 'a', 600);
    assert_int_equal(
        strlen(browser_store_name(path, BROWSER_FIREFOX, all, name)), BROWSER_STORE_NAME_SIZE - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_packages_of_their_own),
        cmocka_unit_test(test_parts_are_whole),
        cmocka_unit_test(test_profiles),
        cmocka_unit_test(test_a_long_one_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
