/* What the agent tells a person, and what it hears of the machine's waking: a real agent and a real
 * bus, on which a stand-in shows notifications (test_notifier.c has the rules of showing), another
 * speaks as logind; and a process that bears Firefox's name. */
#include "play.h"

#include "tests/unit/ipc/bus_fixture.h"

#include <sys/mman.h>

#define SERVICE "org.freedesktop.Notifications"

struct fixture {
    struct play play; /* first: what play_until() hands on is this */
    struct bus_fixture bus;
    struct bus_fixture_server desktop;
    sd_bus *logind;
    pid_t firefox;
    uint32_t ids;
    int told, closed;
    char summary[256], body[2048];
};

static int answer(sd_bus_message *call, void *userdata, sd_bus_error *error) {
    struct fixture *f = userdata;
    const char *application, *icon, *summary, *body;
    uint32_t replaces;
    (void)error;
    if (sd_bus_message_is_method_call(call, SERVICE, "GetCapabilities")) {
        BUS_MUST(sd_bus_reply_method_return(call, "as", 1, "body"));
    } else if (sd_bus_message_is_method_call(call, SERVICE, "Notify")) {
        BUS_MUST(
            sd_bus_message_read(call, "susss", &application, &replaces, &icon, &summary, &body));
        snprintf(f->summary, sizeof f->summary, "%s", summary);
        snprintf(f->body, sizeof f->body, "%s", body);
        f->told++;
        BUS_MUST(sd_bus_reply_method_return(call, "u", ++f->ids));
    } else if (sd_bus_message_is_method_call(call, SERVICE, "CloseNotification")) {
        f->closed++;
        BUS_MUST(sd_bus_reply_method_return(call, ""));
    } else {
        return 0;
    }
    return 1;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (getuid() != 0)
        return 0;
    play_init(&f->play);
    bus_fixture_open(&f->bus);
    assert_int_equal(chmod(f->bus.directory, 0755), 0); /* the agent is another user */
    bus_fixture_start(&f->bus);
    f->play.bus = f->bus.address;
    bus_fixture_serve(&f->play.loop, &f->desktop, bus_fixture_peer(&f->bus, SERVICE), answer, f);
    f->logind = bus_fixture_peer(&f->bus, "org.freedesktop.login1");
    return 0;
}

static void end_firefox(struct fixture *f) {
    if (f->firefox <= 0)
        return;
    kill(f->firefox, SIGKILL);
    waitpid(f->firefox, NULL, 0);
    f->firefox = 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    if (getuid() == 0) {
        end_firefox(f);
        play_kill_agent(&f->play);
        bus_fixture_serve_no_more(&f->desktop);
        sd_bus_flush_close_unref(f->logind);
        play_deinit(&f->play);
        bus_fixture_close(&f->bus);
    }
    free(f);
    return 0;
}

static bool has_reported(struct play *play) {
    return play->reports > 0;
}
static bool has_told(struct play *play) {
    return ((struct fixture *)play)->told > 0;
}
static bool has_closed(struct play *play) {
    return ((struct fixture *)play)->closed > 0;
}

static void enrol(struct fixture *f) {
    f->play.request_id = "request-1";
    play_start_agent(&f->play);
    assert_true(play_until(&f->play, has_reported));
    assert_string_equal(f->play.outcome, "installed");
    f->play.request_id = NULL;
}

static void test_the_home_comes_too_late(void **state) {
    struct fixture *f = *state;
    REQUIRE_ROOT();
    home_remove(&f->play.dirs);
    f->play.request_id = "request-1";
    play_start_agent(&f->play);
    assert_true(play_until(&f->play, has_told));
    assert_string_equal(f->summary, "Please sign out and in again");
    assert_non_null(strstr(f->body, "home directory was not there"));
    assert_true(play_until(&f->play, has_reported));
    assert_string_equal(f->play.code, "store-missing");
    /* it is there after all, and the next request finds it */
    assert_int_equal(mkdir(f->play.dirs.home, 0700), 0);
    play_chown_home(&f->play);
    f->play.request_id = "request-2";
    play_notify(&f->play);
    assert_true(play_until(&f->play, has_closed));
    assert_string_equal(f->play.outcome, "installed");
    assert_int_equal(f->told, 1);
}

static void test_the_certificate_ends_and_the_server_is_away(void **state) {
    struct fixture *f = *state;
    REQUIRE_ROOT();
    enrol(f);
    assert_int_equal(f->told, 0);
    f->play.expiry = 2 * 86400;
    play_notify(&f->play);
    assert_true(play_until(&f->play, has_told));
    assert_non_null(strstr(f->summary, "ends soon"));
    assert_non_null(strstr(f->body, "ends at 1970-01-03 00:00 UTC"));
    assert_non_null(strstr(f->body, "since 1970-01-02 00:00 UTC"));
    f->play.expiry = 0;
    play_notify(&f->play);
    assert_true(play_until(&f->play, has_closed));
    assert_int_equal(f->told, 1);
}

static void start_firefox(struct fixture *f) {
    char path[160], text[64];
    snprintf(path, sizeof path, "%s/firefox-esr", f->play.directory);
    const char *copy[] = {"cp", "/bin/sleep", path, NULL};
    assert_int_equal(home_run(copy, text, sizeof text), 0);
    f->firefox = fork();
    if (f->firefox == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (setgroups(0, NULL) < 0 || setuid(PLAY_UID) < 0)
            _exit(1);
        execl(path, "firefox-esr", "600", NULL);
        _exit(1);
    }
}

static void logind_says(struct fixture *f, bool sleeps) {
    BUS_MUST(sd_bus_emit_signal(
        f->logind, "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep",
        "b", sleeps));
    BUS_MUST(sd_bus_flush(f->logind));
}

/* Told while it runs; when it is gone, seen at the machine's waking (or within a minute). */
static void test_a_browser_is_older_than_its_policy(void **state) {
    struct fixture *f = *state;
    REQUIRE_ROOT();
    start_firefox(f);
    enrol(f);
    f->play.firefox_since = time(NULL) + 60;
    play_notify(&f->play);
    assert_true(play_until(&f->play, has_told));
    assert_non_null(strstr(f->summary, "restart your browser"));
    assert_non_null(strstr(f->body, "Firefox"));
    end_firefox(f);
    logind_says(f, false);
    assert_true(play_until(&f->play, has_closed));
    assert_int_equal(f->told, 1);
}

/* The agent's clock, in memory that both processes share; its timer keeps to the kernel's. */
static int64_t *ahead_s;
static int64_t shifted_wall_s(void *unused) {
    (void)unused;
    return time(NULL) + *ahead_s;
}
static const struct clock_source shifted = {.wall_s = shifted_wall_s};

static bool has_inspected(struct play *play) {
    return play->inspections > 0;
}
static bool has_asked(struct play *play) {
    return play->renews > 0;
}

/* Whoever answers is at rest: what it was at is over. */
static void rest(struct fixture *f, const char *id) {
    f->play.inspections = 0;
    f->play.inspection = id;
    play_notify(&f->play);
    assert_true(play_until(&f->play, has_inspected));
}

/* After sixty days of sleep the renewal is compared with the clock because logind says so, whatever
 * the timer does. */
static void test_a_renewal_is_looked_at_after_sleep(void **state) {
    struct fixture *f = *state;
    REQUIRE_ROOT();
    ahead_s =
        mmap(NULL, sizeof *ahead_s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(ahead_s != MAP_FAILED);
    f->play.clock = &shifted;
    enrol(f);
    rest(f, "before");
    logind_says(f, true);
    *ahead_s = 60 * INT64_C(86400);
    rest(f, "asleep");
    assert_int_equal(f->play.renews, 0);
    logind_says(f, false);
    assert_true(play_until(&f->play, has_asked));
    assert_string_equal(f->play.renew_reason, "due");
    munmap(ahead_s, sizeof *ahead_s);
}

int main(void) {
#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_home_comes_too_late),
        TEST(test_the_certificate_ends_and_the_server_is_away),
        TEST(test_a_browser_is_older_than_its_policy),
        TEST(test_a_renewal_is_looked_at_after_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
