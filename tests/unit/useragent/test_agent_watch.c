/* The agent follows its home: a store that comes is filled, one that goes is missed, by itself and
 * at once, against a scripted devtrustd. */
#include "play.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int setup(void **state) {
    struct play *play = calloc(1, sizeof *play);

    *state = play;
    if (getuid() != 0)
        return 0;
    play_init(play);
    play->settle_ms = 20;
    play->advance_on_renew = true;
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

static bool has_inspected(struct play *play) {
    return play->inspections > 0;
}

/* Until the agent rests: what it was at when it reported is over. */
static void settle(struct play *play) {
    static char ids[32][16];
    static unsigned count;

    snprintf(ids[count % 32], sizeof ids[0], "rest-%u", count);
    play->inspection = ids[count++ % 32];
    play->inspections = 0;
    play_notify(play);
    assert_true(play_until(play, has_inspected));
}

static void enrol(struct play *play) {
    play->request_id = "request-1";
    play_start_agent(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->outcome, "installed");
    settle(play);
    play->reports = 0;
}

static void run(const char *const argv[]) {
    char text[512];

    assert_int_equal(home_run(argv, text, sizeof text), 0);
}

/* Made beside the home and moved into it, so that it comes whole and as the user's. */
static void make_in_home(
    struct play *play, const char *parent, const char *name, const char *file, const char *text) {
    char made[USER_DIRS_PATH_MAX], target[USER_DIRS_PATH_MAX], path[2 * USER_DIRS_PATH_MAX];
    const char *make[] = {"mkdir", "-p", path, NULL};
    const char *own[] = {"chown", "-R", "65534:65534", made, NULL};
    const char *move[] = {"mv", made, target, NULL};
    const char *mode[] = {"chmod", "-R", "u=rwX,go=", made, NULL};

    user_dirs_join(play->dirs.home, "made", made);
    snprintf(path, sizeof path, "%s%s%s", made, parent[0] ? "/" : "", parent);
    run(make);
    if (file) {
        char name_of_file[2 * USER_DIRS_PATH_MAX];
        FILE *stream;

        snprintf(name_of_file, sizeof name_of_file, "%s/%s", made, file);
        stream = fopen(name_of_file, "w");
        fputs(text, stream);
        fclose(stream);
    }
    run(own);
    run(mode);
    user_dirs_join(play->dirs.home, name, target);
    run(move);
}

static void expect_in(struct play *play, const char *database, unsigned keys) {
    char path[USER_DIRS_PATH_MAX], text[8192];

    user_dirs_join(play->dirs.home, database, path);
    home_certutil("-K", path, text, sizeof text);
    assert_int_equal(home_count(text, "devtrust " PKI_DEVICE), keys);
}

static void test_the_older_place_comes(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play);
    make_in_home(play, "nssdb", ".pki", NULL, NULL);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->renew_reason, "store_added");
    assert_string_equal(play->outcome, "installed");
    settle(play);
    expect_in(play, ".pki/nssdb", 1);
    assert_int_equal(play->renews, 1);
}

static void test_a_new_profile(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play);
    make_in_home(
        play, "firefox/abcd.default", ".mozilla", "firefox/profiles.ini",
        "[Profile0]\nName=default\nIsRelative=1\nPath=abcd.default\n");
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->renew_reason, "store_added");
    settle(play);
    expect_in(play, ".mozilla/firefox/abcd.default", 1);
    expect_in(play, ".local/share/pki/nssdb", 1);
}

static void move_in_home(struct play *play, const char *from, const char *to) {
    char source[USER_DIRS_PATH_MAX], target[USER_DIRS_PATH_MAX];
    const char *argv[] = {"mv", "-T", source, target, NULL};

    user_dirs_join(play->dirs.home, from, source);
    user_dirs_join(play->dirs.home, to, target);
    run(argv);
}

static void expect_empty(struct play *play, const char *database) {
    char path[USER_DIRS_PATH_MAX], text[8192];

    user_dirs_join(play->dirs.home, database, path);
    home_certutil("-L", path, text, sizeof text);
    /* no line of a certificate, which ends with its trust */
    assert_null(strstr(text, ",,"));
    assert_null(strstr(text, "u,u,u"));
}

static void next_request(struct play *play, const char *mode, const char *request_id) {
    play->reports = 0;
    play->mode = mode;
    play->request_id = request_id;
    play_notify(play);
    assert_true(play_until(play, has_reported));
    settle(play);
}

/* As upgrades do it, from the older places of both families to the newer: nothing is asked for, the
 * report names the new places, and in the end the issuer goes, too. */
static void test_stores_move(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    make_in_home(play, "nssdb", ".pki", NULL, NULL);
    make_in_home(
        play, "firefox/abcd.default", ".mozilla", "firefox/profiles.ini",
        "[Profile0]\nName=default\nIsRelative=1\nPath=abcd.default\n");
    make_in_home(play, "share/pki", ".local", NULL, NULL);
    make_in_home(play, "", ".config", NULL, NULL);
    enrol(play);
    expect_in(play, ".pki/nssdb", 1);
    expect_in(play, ".mozilla/firefox/abcd.default", 1);
    move_in_home(play, ".pki/nssdb", ".local/share/pki/nssdb");
    assert_true(play_until(play, has_reported));
    settle(play);
    play->reports = 0;
    move_in_home(play, ".mozilla", ".config/mozilla");
    assert_true(play_until(play, has_reported));
    settle(play);
    assert_string_equal(play->reported_id, "request-1");
    assert_int_equal(play->renews, 0);
    expect_in(play, ".local/share/pki/nssdb", 1);
    expect_in(play, ".config/mozilla/firefox/abcd.default", 1);
    next_request(play, "certificate", "request-2");
    expect_in(play, ".local/share/pki/nssdb", 1);
    expect_in(play, ".config/mozilla/firefox/abcd.default", 1);
    next_request(play, "remove", NULL);
    assert_string_equal(play->outcome, "removed");
    expect_empty(play, ".local/share/pki/nssdb");
    expect_empty(play, ".config/mozilla/firefox/abcd.default");
}

/* A profile copied by hand brings certificate and key along. It comes whole: half of one, looked at
 * meanwhile, would be a store without a certificate. */
static void test_a_store_is_copied(void **state) {
    struct play *play = *state;
    char source[USER_DIRS_PATH_MAX], made[USER_DIRS_PATH_MAX];
    const char *copy[] = {"cp", "-a", source, made, NULL};

    REQUIRE_ROOT();
    make_in_home(
        play, "firefox/one", ".mozilla", "firefox/profiles.ini",
        "[Profile0]\nIsRelative=1\nPath=one\n[Profile1]\nIsRelative=1\nPath=two\n");
    enrol(play);
    user_dirs_join(play->dirs.home, ".mozilla/firefox/one", source);
    user_dirs_join(play->dirs.home, "made", made);
    run(copy);
    move_in_home(play, "made", ".mozilla/firefox/two");
    assert_true(play_until(play, has_reported));
    settle(play);
    assert_int_equal(play->renews, 0);
    next_request(play, "certificate", "request-2");
    expect_in(play, ".mozilla/firefox/one", 1);
    expect_in(play, ".mozilla/firefox/two", 1);
    next_request(play, "remove", NULL);
    expect_empty(play, ".mozilla/firefox/one");
    expect_empty(play, ".mozilla/firefox/two");
}

static void test_a_store_goes(void **state) {
    struct play *play = *state;
    char away[USER_DIRS_PATH_MAX];
    const char *argv[] = {"mv", play->database, away, NULL}; /* whole, before the agent looks */

    REQUIRE_ROOT();
    enrol(play);
    user_dirs_join(play->dirs.home, "away", away);
    run(argv);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->renew_reason, "lost");
    settle(play);
    expect_in(play, ".local/share/pki/nssdb", 1);
}

/* Nothing is asked for where nothing is wanted. */
static void test_in_idle(void **state) {
    struct play *play = *state;

    REQUIRE_ROOT();
    enrol(play);
    play->mode = "idle";
    settle(play);
    make_in_home(play, "nssdb", ".pki", NULL, NULL);
    settle(play);
    play->mode = "certificate";
    play_notify(play);
    assert_true(play_until(play, has_reported));
    assert_string_equal(play->renew_reason, "store_added");
    assert_int_equal(play->renews, 1);
    settle(play);
    expect_in(play, ".pki/nssdb", 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_the_older_place_comes), TEST(test_a_new_profile), TEST(test_stores_move),
        TEST(test_a_store_is_copied),     TEST(test_a_store_goes),  TEST(test_in_idle),
    };

    if (credential_key_harden() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
