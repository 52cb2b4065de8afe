/* The table of browser families: every row is fit for its readers, and paths find their family. */
#include "common/browser_family.h"

#include "unit.h"

#include <stdbool.h>

static void check_place(const struct browser_place *place) {
    assert_true(place->path[0] != '/');
    assert_null(strstr(place->path, ".."));
}

static void check_evidence(const struct browser_evidence *evidence) {
    assert_true(
        strncmp(evidence->how, "traced with ", 12) == 0 ||
        strcmp(evidence->how, "documented") == 0 || strcmp(evidence->how, "remembered") == 0 ||
        strcmp(evidence->how, "not known") == 0);
    assert_true(strlen(evidence->source) > 0);
}

static void test_every_family(void **state) {
    (void)state;
    for (const struct browser_family *family = browser_families; family->id; family++) {
        assert_ptr_equal(browser_family_find(family->id), family);
        assert_true(strlen(family->name) > 0);
        assert_non_null(family->executables[0]);
        for (const char *const *path = family->executables; *path; path++)
            assert_int_equal((*path)[0], '/');
        assert_non_null(family->processes[0]);
        assert_non_null(family->stores[0].path);
        for (const struct browser_place *place = family->stores; place->path; place++)
            check_place(place);
        /* Chromium's databases say nothing of who made them */
        assert_true(family->kind == BROWSER_FIREFOX || family->data.path);
        check_evidence(&family->store_evidence);
        check_evidence(&family->policy_evidence);
        assert_int_equal(
            family->policy_directory == NULL,
            strcmp(family->policy_evidence.how, "not known") == 0);
        if (family->policy_directory)
            assert_int_equal(family->policy_directory[0], '/');
        /* a directory that nobody asked for is made for what Debian has, and for nothing else */
        assert_int_equal(family->policy_make, strcmp(family->id, "chromium") == 0);
    }
}

/* Ids are in messages, in documents and in what help desks search for. */
static void test_ids(void **state) {
    static const char *const ids[] = {
        "chromium",        "chrome",       "edge",          "brave",
        "vivaldi",         "opera",        "chromium-snap", "chromium-flatpak",
        "chrome-flatpak",  "edge-flatpak", "brave-flatpak", "brave-snap",
        "vivaldi-flatpak", "vivaldi-snap", "opera-flatpak", "opera-snap",
        "firefox-esr",     "firefox",      "firefox-snap",  "firefox-flatpak",
    };
    size_t count = 0;

    (void)state;
    for (const struct browser_family *family = browser_families; family->id; family++)
        assert_string_equal(family->id, ids[count++]);
    assert_int_equal(count, sizeof ids / sizeof *ids);
    assert_null(browser_family_find("lynx"));
}

static const char *of_executable(const char *path) {
    const struct browser_family *family = browser_family_of_executable(path);
    return family ? family->id : "none";
}

static void test_executables(void **state) {
    (void)state;
    assert_string_equal(of_executable("/usr/lib/chromium/chromium"), "chromium");
    assert_string_equal(of_executable("/usr/lib/chromium/chromium (deleted)"), "chromium");
    assert_string_equal(of_executable("/opt/google/chrome/chrome"), "chrome");
    assert_string_equal(of_executable("/home/a/.cache/build/chrome"), "chrome");
    assert_string_equal(of_executable("chrome"), "chrome");
    assert_string_equal(
        of_executable("/snap/chromium/2839/usr/lib/chromium-browser/chrome"), "chromium-snap");
    assert_string_equal(of_executable("/app/chromium/chrome"), "chromium-flatpak");
    assert_string_equal(of_executable("/usr/lib/firefox-esr/firefox-esr"), "firefox-esr");
    assert_string_equal(of_executable("/usr/lib/firefox/firefox"), "firefox");
    assert_string_equal(
        of_executable("/snap/firefox/4090/usr/lib/firefox/firefox"), "firefox-snap");
    assert_string_equal(of_executable("/app/lib/firefox/firefox-bin"), "firefox-flatpak");
    assert_string_equal(of_executable("/opt/vivaldi/vivaldi-bin"), "vivaldi");
    assert_string_equal(of_executable("/app/extra/chrome"), "chrome-flatpak");
    assert_string_equal(of_executable("/app/extra/msedge"), "edge-flatpak");
    assert_string_equal(of_executable("/app/brave/brave"), "brave-flatpak");
    assert_string_equal(of_executable("/snap/brave/1/opt/brave.com/brave/brave"), "brave-snap");
    assert_string_equal(of_executable("/app/vivaldi/vivaldi"), "vivaldi-flatpak");
    assert_string_equal(of_executable("/snap/vivaldi/1/opt/vivaldi/vivaldi-bin"), "vivaldi-snap");
    assert_string_equal(of_executable("/app/opera/opera"), "opera-flatpak");
    assert_string_equal(
        of_executable("/snap/opera/1/usr/lib/x86_64-linux-gnu/opera/opera"), "opera-snap");
    assert_string_equal(of_executable("/app/extra/other"), "none");
    assert_string_equal(of_executable("/usr/bin/chromium-notes"), "none");
    assert_string_equal(of_executable("/snap/chromium/1/bin/chromedriver"), "none");
    assert_string_equal(of_executable("/home/chrome/bin/vi"), "none");
    assert_string_equal(of_executable("/usr/lib/chromium/"), "none");
    assert_string_equal(of_executable(""), "none");
}

static const char *of_comm(const char *comm) {
    const struct browser_family *family = browser_family_of_comm(comm);
    return family ? family->id : "none";
}

static void test_comms(void **state) {
    (void)state;
    assert_string_equal(of_comm("chromium"), "chromium");
    assert_string_equal(of_comm("chromium-headle"), "chromium"); /* the kernel's 15 bytes */
    assert_string_equal(of_comm("chromium-headless-shell"), "none");
    assert_string_equal(of_comm("chromium-browse"), "chromium");
    assert_string_equal(of_comm("firefox-esr"), "firefox-esr");
    assert_string_equal(of_comm("chrom"), "none");
    assert_string_equal(of_comm(""), "none");
}

static void test_policies(void **state) {
    (void)state;
    assert_string_equal(browser_family_of_policy("/etc/opt/edge/policies/managed")->id, "edge");
    assert_string_equal(
        browser_family_of_policy("/etc/chromium-browser/policies/managed")->id, "chromium-snap");
    /* what several read is Chromium's, or the distribution's package's */
    assert_string_equal(browser_family_of_policy("/etc/chromium/policies/managed")->id, "chromium");
    assert_string_equal(browser_family_of_policy("/etc/opt/chrome/policies/managed")->id, "chrome");
    assert_null(browser_family_of_policy("/etc/opt/edge/policies"));
}

/* Whether a line of the unit, "ReadWritePaths=-/a -/b", has a directory above this one. */
static bool is_writable_by(const char *line, const char *directory) {
    for (const char *path = strstr(line, "-/"); path; path = strstr(path, " -/")) {
        path += *path == ' ' ? 2 : 1;
        size_t length = strcspn(path, " \n");
        if (strncmp(path, directory, length) == 0 && directory[length] == '/')
            return true;
    }
    return false;
}

/* What the unit's sandbox forbids would be said to be wrong with the directory. */
static void test_the_unit_may_write_each_policy(void **state) {
    char line[2048] = "";
    FILE *unit = fopen("systemd/devtrustd.service", "re");

    (void)state;
    assert_non_null(unit);
    while (fgets(line, sizeof line, unit) && strncmp(line, "ReadWritePaths=", 15) != 0)
        ;
    fclose(unit);
    assert_int_equal(strncmp(line, "ReadWritePaths=", 15), 0);
    assert_false(is_writable_by(line, "/etc/chromiumx/policies"));
    for (const struct browser_family *family = browser_families; family->id; family++)
        if (family->policy_directory && !is_writable_by(line, family->policy_directory))
            fail_msg("%s: %s", family->id, family->policy_directory);
}

/* Of what is confined each has stores that nothing else reads, but where it sees the home. */
static void test_the_confined_have_their_own(void **state) {
    (void)state;
    for (const struct browser_family *family = browser_families; family->id; family++) {
        const struct browser_place *last = family->stores;

        if (!family->process_prefix)
            continue;
        while (last[1].path)
            last++;
        assert_int_equal(last->base, BROWSER_HOME);
        assert_int_equal(strncmp(last->path, family->data.path, strlen(family->data.path)), 0);
        for (const struct browser_family *other = browser_families; other->id; other++)
            if (other != family && other->data.path)
                assert_string_not_equal(other->data.path, family->data.path);
    }
}

static void test_installed(void **state) {
    struct browser_family family = {.executables = {"/nowhere/browser", "/bin/sh"}};

    (void)state;
    assert_true(browser_family_is_installed(&family));
    family.executables[1] = NULL;
    assert_false(browser_family_is_installed(&family));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_family),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_executables),
        cmocka_unit_test(test_comms),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_installed),
        cmocka_unit_test(test_the_unit_may_write_each_policy),
        cmocka_unit_test(test_the_confined_have_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
