/* The bus connection against a real dbus-daemon: that it comes, is away, restarts; senders that are
 * what they say, and those that are not; floods; calls. */
#include "tests/unit/ipc/bus_fixture.h"

#include <errno.h>

#define SERVICE "org.example.Service"
#define PATH "/org/example/Service"
#define INTERFACE "org.example.Service"

struct fixture {
    struct bus_fixture base;
    struct bus *bus;
    sd_bus *service;
    int64_t signals, last;
    int comes, goes, replies, failures;
    bool close_on_signal;
};

static void on_number(struct sd_bus_message *signal, void *userdata) {
    struct fixture *f = userdata;
    int64_t number;
    BUS_MUST(sd_bus_message_read(signal, "x", &number));
    f->signals++;
    f->last = number;
    if (f->close_on_signal)
        bus_close(f->bus);
}

static void on_sender(const char *sender, bool present, void *userdata) {
    struct fixture *f = userdata;
    assert_string_equal(sender, SERVICE);
    if (present)
        f->comes++;
    else
        f->goes++;
}

static void on_reply(struct sd_bus_message *reply, void *userdata) {
    struct fixture *f = userdata;
    if (reply)
        f->replies++;
    else
        f->failures++;
}

static const struct bus_match matches[] = {
    {SERVICE, PATH, INTERFACE, "Number", on_number},
};

static int open_bus(struct fixture *f) {
    const struct bus_options options = {
        .loop = &f->base.loop,
        .random = &random_system,
        .address = f->base.address,
        .matches = matches,
        .match_count = 1,
        .sender_changed = on_sender,
        .userdata = f,
        .retry_base_ms = 1,
        .retry_cap_ms = 50,
    };
    return bus_new(&options, &f->bus);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    bus_fixture_open(&f->base);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    bus_close(f->bus);
    sd_bus_flush_close_unref(f->service);
    bus_fixture_close(&f->base);
    free(f);
    return 0;
}

static void say(sd_bus *peer, const char *destination, int64_t number) {
    sd_bus_message *message = NULL;
    BUS_MUST(sd_bus_message_new_signal(peer, &message, PATH, INTERFACE, "Number"));
    BUS_MUST(sd_bus_message_append(message, "x", number));
    if (destination)
        BUS_MUST(sd_bus_message_set_destination(message, destination));
    BUS_MUST(sd_bus_send(peer, message, NULL));
    BUS_MUST(sd_bus_flush(peer));
    sd_bus_message_unref(message);
}

/* The unique name of the connection under test: of all on the bus the one that is nobody of ours.
 */
static void find_name(sd_bus *peer, sd_bus *other, char ret[256]) {
    char **names = NULL;
    const char *own = NULL, *others = NULL;
    BUS_MUST(sd_bus_get_unique_name(peer, &own));
    BUS_MUST(sd_bus_get_unique_name(other, &others));
    BUS_MUST(sd_bus_list_names(peer, &names, NULL));
    ret[0] = '\0';
    for (char **name = names; *name; free(*name++))
        if (**name == ':' && strcmp(*name, own) != 0 && strcmp(*name, others) != 0)
            snprintf(ret, 256, "%s", *name);
    free(names);
    assert_true(ret[0] == ':');
}

static void test_signals_come_from_their_sender(void **state) {
    struct fixture *f = *state;
    bus_fixture_start(&f->base);
    f->service = bus_fixture_peer(&f->base, SERVICE);
    BUS_MUST(open_bus(f));
    assert_int_equal(f->comes, 0); /* never from inside a call */
    BUS_UNTIL(&f->base, f->comes == 1);
    assert_true(bus_has(f->bus, SERVICE));
    assert_false(bus_has(f->bus, "org.example.Other"));
    say(f->service, NULL, 1);
    BUS_UNTIL(&f->base, f->signals == 1);
    assert_int_equal(f->last, 1);
}

/* dbus-daemon delivers what is addressed to us from anybody, and sd-bus would take it. */
static void test_a_pretender_is_not_heard(void **state) {
    struct fixture *f = *state;
    char name[256];
    bus_fixture_start(&f->base);
    f->service = bus_fixture_peer(&f->base, SERVICE);
    sd_bus *pretender = bus_fixture_peer(&f->base, NULL);
    BUS_MUST(open_bus(f));
    BUS_UNTIL(&f->base, f->comes == 1);
    find_name(f->service, pretender, name);
    say(pretender, name, 666);
    say(pretender, NULL, 667);
    say(f->service, name, 1); /* a sender may address us */
    BUS_UNTIL(&f->base, f->signals >= 1);
    assert_int_equal(f->last, 1);
    /* the name changes hands: the one before is a stranger from then on */
    BUS_MUST(sd_bus_release_name(f->service, SERVICE));
    BUS_MUST(sd_bus_request_name(pretender, SERVICE, 0));
    BUS_UNTIL(&f->base, f->comes == 2);
    assert_int_equal(f->goes, 1);
    say(f->service, name, 668);
    BUS_MUST(sd_bus_call_method(
        f->service, "org.freedesktop.DBus", "/", "org.freedesktop.DBus.Peer", "Ping", NULL, NULL,
        NULL)); /* the bus has passed 668 on */
    say(pretender, NULL, 2);
    BUS_UNTIL(&f->base, f->signals >= 2);
    assert_int_equal(f->last, 2);
    sd_bus_flush_close_unref(pretender);
    BUS_UNTIL(&f->base, f->goes == 2);
    assert_false(bus_has(f->bus, SERVICE));
}

static void test_a_bus_may_be_late_and_may_restart(void **state) {
    struct fixture *f = *state;
    BUS_MUST(open_bus(f));
    for (int round = 1; round <= 2; round++) {
        bus_fixture_start(&f->base);
        f->service = bus_fixture_peer(&f->base, SERVICE);
        BUS_UNTIL(&f->base, f->comes == round);
        say(f->service, NULL, round);
        BUS_UNTIL(&f->base, f->signals == round);
        bus_fixture_stop(&f->base);
        f->service = sd_bus_close_unref(f->service);
        BUS_UNTIL(&f->base, f->goes == round);
        assert_false(bus_has(f->bus, SERVICE));
    }
}

static bool ticked;
static void on_tick(uv_timer_t *timer) {
    (void)timer;
    ticked = true;
}

/* A thousand signals that are there at once: the loop gets its turn between them. */
static void test_a_flood_does_not_hold_the_loop(void **state) {
    struct fixture *f = *state;
    static uv_timer_t tick; /* the loop has it until it is empty */
    bus_fixture_start(&f->base);
    f->service = bus_fixture_peer(&f->base, SERVICE);
    BUS_MUST(open_bus(f));
    BUS_UNTIL(&f->base, f->comes == 1);
    for (int i = 1; i <= 1000; i++)
        say(f->service, NULL, i);
    uv_timer_init(&f->base.loop, &tick);
    int64_t most = 0;
    while (f->signals < 1000) {
        int64_t before = f->signals;
        uv_timer_start(&tick, on_tick, 0, 0);
        ticked = false;
        BUS_UNTIL(&f->base, ticked);
        most = f->signals - before > most ? f->signals - before : most;
        uv_run(&f->base.loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(f->last, 1000);
    assert_true(most <= 4 * BUS_TURN_MAX); /* a turn by the descriptor, one by the timer */
    uv_close((uv_handle_t *)&tick, NULL);
}

static int ping(struct fixture *f, const char *destination) {
    sd_bus_message *call = NULL;
    int r =
        bus_call_new(f->bus, destination, "/", "org.freedesktop.DBus.Peer", "Ping", false, &call);
    return r < 0 ? r : bus_call_send(f->bus, call, on_reply, f);
}

static void test_calls_are_answered_or_fail(void **state) {
    struct fixture *f = *state;
    BUS_MUST(open_bus(f));
    assert_int_equal(ping(f, SERVICE), -ENOTCONN);
    bus_fixture_start(&f->base);
    f->service = bus_fixture_peer(&f->base, SERVICE);
    BUS_UNTIL(&f->base, f->comes == 1);
    BUS_MUST(ping(f, "org.freedesktop.DBus"));
    BUS_UNTIL(&f->base, f->replies == 1);
    BUS_MUST(ping(f, "org.example.Nobody"));
    BUS_UNTIL(&f->base, f->failures == 1);
    /* the service does not answer: as many wait as may, and all hear of the end */
    for (int i = 0; i < BUS_CALLS_MAX; i++)
        BUS_MUST(ping(f, SERVICE));
    assert_int_equal(ping(f, SERVICE), -EBUSY);
    bus_fixture_stop(&f->base);
    BUS_UNTIL(&f->base, f->failures == 1 + BUS_CALLS_MAX);
    assert_int_equal(f->replies, 1);
}

static void test_it_may_be_closed_by_what_it_tells(void **state) {
    struct fixture *f = *state;
    bus_fixture_start(&f->base);
    f->service = bus_fixture_peer(&f->base, SERVICE);
    BUS_MUST(open_bus(f));
    BUS_UNTIL(&f->base, f->comes == 1);
    BUS_MUST(ping(f, SERVICE));
    f->close_on_signal = true;
    say(f->service, NULL, 1);
    say(f->service, NULL, 2);
    BUS_UNTIL(&f->base, f->signals == 1);
    f->bus = NULL;
    uv_run(&f->base.loop, UV_RUN_NOWAIT);
    assert_int_equal(f->signals, 1);
    assert_int_equal(f->failures + f->goes, 0);
}

static void test_only_unix_sockets_are_addresses(void **state) {
    struct fixture *f = *state;
    const struct bus_options options = {.loop = &f->base.loop, .random = &random_system};
    static const char *const bad[] = {
        "", "tcp:host=localhost,port=1", "unixexec:path=/bin/true", "unix:path=/a;tcp:host=b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bus_options one = options;
        struct bus *bus;
        one.address = bad[i];
        assert_int_equal(bus_new(&one, &bus), -EINVAL);
    }
}

static void test_the_users_bus_is_found(void **state) {
    char address[BUS_ADDRESS_SIZE];
    (void)state;
    unsetenv("DBUS_SESSION_BUS_ADDRESS");
    unsetenv("XDG_RUNTIME_DIR");
    assert_int_equal(bus_user_address(address), -ENOENT);
    setenv("XDG_RUNTIME_DIR", "/run/user/1000", 1);
    BUS_MUST(bus_user_address(address));
    assert_string_equal(address, "unix:path=/run/user/1000/bus");
    setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/a/b,guid=1;tcp:host=b", 1);
    BUS_MUST(bus_user_address(address));
    assert_string_equal(address, "unix:path=/a/b,guid=1");
    setenv("DBUS_SESSION_BUS_ADDRESS", "unixexec:path=/bin/true", 1);
    assert_int_equal(bus_user_address(address), -EPROTONOSUPPORT);
    char longest[BUS_ADDRESS_SIZE + 1];
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "unix:", 5);
    longest[BUS_ADDRESS_SIZE - 1] = '\0';
    setenv("DBUS_SESSION_BUS_ADDRESS", longest, 1);
    BUS_MUST(bus_user_address(address));
    longest[BUS_ADDRESS_SIZE - 1] = 'a';
    longest[BUS_ADDRESS_SIZE] = '\0';
    setenv("DBUS_SESSION_BUS_ADDRESS", longest, 1);
    assert_int_equal(bus_user_address(address), -ENAMETOOLONG);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_signals_come_from_their_sender),    TEST(test_a_pretender_is_not_heard),
        TEST(test_a_bus_may_be_late_and_may_restart), TEST(test_a_flood_does_not_hold_the_loop),
        TEST(test_calls_are_answered_or_fail),        TEST(test_it_may_be_closed_by_what_it_tells),
        TEST(test_only_unix_sockets_are_addresses),   cmocka_unit_test(test_the_users_bus_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
