/* What the machine tells, over a real bus. The services are stand-ins that speak as logind,
 * NetworkManager and systemd-networkd do (org.freedesktop.login1(5), org.freedesktop.network1(5),
 * NetworkManager's D-Bus reference); tests/system has the real logind and networkd. */
#include "daemon/machine_events.h"

#include "tests/unit/ipc/bus_fixture.h"

#define LOGIND "org.freedesktop.login1"
#define LOGIND_PATH "/org/freedesktop/login1"
#define NM "org.freedesktop.NetworkManager"
#define NM_PATH "/org/freedesktop/NetworkManager"
#define NETWORKD "org.freedesktop.network1"
#define LINK_PATH "/org/freedesktop/network1/link/_33"

struct fixture {
    struct bus_fixture base;
    struct machine_events *events;
    struct bus_fixture_server logind;
    sd_bus *network;
    int resumed, back, accounts, logins;
    int64_t login_uid;
    uint32_t users[8]; /* of the stand-in for logind; until 0 */
};

static void on_resumed(void *userdata) {
    ((struct fixture *)userdata)->resumed++;
}
static void on_back(void *userdata) {
    ((struct fixture *)userdata)->back++;
}
static void on_accounts(void *userdata) {
    ((struct fixture *)userdata)->accounts++;
}
static void on_login(int64_t uid, void *userdata) {
    struct fixture *f = userdata;
    f->logins++;
    f->login_uid = uid;
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    bus_fixture_open(&f->base);
    bus_fixture_start(&f->base);
    const struct machine_events_options options = {
        .loop = &f->base.loop,
        .random = &random_system,
        .bus_address = f->base.address,
        .accounts_dir = f->base.directory,
        .resumed = on_resumed,
        .network_back = on_back,
        .login_changed = on_login,
        .accounts_changed = on_accounts,
        .userdata = f,
    };
    BUS_MUST(machine_events_new(&options, &f->events));
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    machine_events_close(f->events);
    if (f->logind.peer)
        bus_fixture_serve_no_more(&f->logind);
    sd_bus_flush_close_unref(f->network);
    bus_fixture_close(&f->base);
    free(f);
    return 0;
}

static int answer_as_logind(sd_bus_message *call, void *userdata, sd_bus_error *error) {
    struct fixture *f = userdata;
    sd_bus_message *reply = NULL;
    (void)error;
    if (!sd_bus_message_is_method_call(call, "org.freedesktop.login1.Manager", "ListUsers"))
        return 0;
    BUS_MUST(sd_bus_message_new_method_return(call, &reply));
    BUS_MUST(sd_bus_message_open_container(reply, 'a', "(uso)"));
    for (const uint32_t *uid = f->users; *uid; uid++)
        BUS_MUST(sd_bus_message_append(
            reply, "(uso)", *uid, "somebody", "/org/freedesktop/login1/user/_x"));
    BUS_MUST(sd_bus_message_close_container(reply));
    BUS_MUST(sd_bus_send(NULL, reply, NULL));
    sd_bus_message_unref(reply);
    return 1;
}

static void start_logind(struct fixture *f) {
    bus_fixture_serve(
        &f->base.loop, &f->logind, bus_fixture_peer(&f->base, LOGIND), answer_as_logind, f);
}

static enum login login(const struct fixture *f, int64_t uid) {
    return machine_events_login(f->events, uid);
}

#define SAY(peer_, path_, interface_, member_, ...)                                                \
    do {                                                                                           \
        BUS_MUST(sd_bus_emit_signal((peer_), (path_), (interface_), (member_), __VA_ARGS__));      \
        BUS_MUST(sd_bus_flush(peer_));                                                             \
    } while (0)
#define LOGIND_SAYS(f_, member_, ...)                                                              \
    SAY((f_)->logind.peer, LOGIND_PATH, "org.freedesktop.login1.Manager", (member_), __VA_ARGS__)

static void who_is_signed_in(void **state) {
    struct fixture *f = *state;
    assert_int_equal(login(f, 1000), LOGIN_UNKNOWN);
    f->users[0] = 1000;
    f->users[1] = 42;
    start_logind(f);
    BUS_UNTIL(&f->base, login(f, 1000) == LOGIN_YES);
    assert_int_equal(f->login_uid, -1);
    assert_int_equal(login(f, 42), LOGIN_YES);
    assert_int_equal(login(f, 1001), LOGIN_NO);
    assert_int_equal(login(f, -1), LOGIN_UNKNOWN);
    LOGIND_SAYS(f, "UserNew", "uo", 1001, "/org/freedesktop/login1/user/_1001");
    BUS_UNTIL(&f->base, login(f, 1001) == LOGIN_YES);
    assert_int_equal(f->login_uid, 1001);
    LOGIND_SAYS(f, "UserRemoved", "uo", 1000, "/org/freedesktop/login1/user/_1000");
    BUS_UNTIL(&f->base, login(f, 1000) == LOGIN_NO);
    assert_int_equal(f->login_uid, 1000);
    /* logind goes: nothing is known; comes back: it is asked */
    bus_fixture_serve_no_more(&f->logind);
    BUS_UNTIL(&f->base, login(f, 1001) == LOGIN_UNKNOWN);
    f->users[0] = 7;
    start_logind(f);
    BUS_UNTIL(&f->base, login(f, 7) == LOGIN_YES);
    assert_int_equal(login(f, 1001), LOGIN_NO);
}

static void waking(void **state) {
    struct fixture *f = *state;
    start_logind(f);
    BUS_UNTIL(&f->base, f->logins > 0);
    LOGIND_SAYS(f, "PrepareForSleep", "s", "what this signal never holds");
    LOGIND_SAYS(f, "PrepareForSleep", "b", 1);
    LOGIND_SAYS(f, "UserNew", "uo", 1, "/x");
    BUS_UNTIL(&f->base, f->login_uid == 1);
    assert_int_equal(f->resumed, 0);
    LOGIND_SAYS(f, "PrepareForSleep", "b", 0);
    BUS_UNTIL(&f->base, f->resumed == 1);
    assert_int_equal(f->back, 0);
}

static void the_network_by_network_manager(void **state) {
    struct fixture *f = *state;
    start_logind(f);
    f->network = bus_fixture_peer(&f->base, NM);
    sd_bus *pretender = bus_fixture_peer(&f->base, NULL);
    BUS_UNTIL(&f->base, f->logins > 0); /* the owner of NM was asked for before */
    SAY(pretender, NM_PATH, NM, "StateChanged", "u", 70);
    SAY(f->network, NM_PATH, NM, "StateChanged", "u", 20); /* disconnected */
    SAY(f->network, NM_PATH, NM, "StateChanged", "u", 40); /* connecting */
    LOGIND_SAYS(f, "UserNew", "uo", 1, "/x");
    BUS_UNTIL(&f->base, f->login_uid == 1);
    assert_int_equal(f->back, 0);
    SAY(f->network, NM_PATH, NM, "StateChanged", "u", 50);
    BUS_UNTIL(&f->base, f->back == 1);
    /* a storm makes one more, when the rest is over */
    for (int i = 0; i < 20; i++)
        SAY(f->network, NM_PATH, NM, "StateChanged", "u", 60 + 10 * (i % 2));
    BUS_UNTIL(&f->base, f->back == 2);
    LOGIND_SAYS(f, "UserNew", "uo", 2, "/x");
    BUS_UNTIL(&f->base, f->login_uid == 2);
    assert_true(f->back <= 3); /* a bus that is slow may part it in two */
    sd_bus_flush_close_unref(pretender);
}

static void networkd_says(
    struct fixture *f, const char *path, const char *interface, const char *state) {
    SAY(f->network, path, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
        interface, 2, "CarrierState", "s", "carrier", "OperationalState", "s", state, 0);
}

static void the_network_by_networkd(void **state) {
    struct fixture *f = *state;
    start_logind(f);
    f->network = bus_fixture_peer(&f->base, NETWORKD);
    BUS_UNTIL(&f->base, f->logins > 0);
    networkd_says(f, LINK_PATH, "org.freedesktop.network1.Link", "no-carrier");
    networkd_says(f, LINK_PATH, "org.freedesktop.network1.Other", "routable");
    SAY(f->network, LINK_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as",
        "org.freedesktop.network1.Link", 1, "OperationalState", "u", 1, 0);
    LOGIND_SAYS(f, "UserNew", "uo", 1, "/x");
    BUS_UNTIL(&f->base, f->login_uid == 1);
    assert_int_equal(f->back, 0);
    networkd_says(f, LINK_PATH, "org.freedesktop.network1.Link", "routable");
    BUS_UNTIL(&f->base, f->back == 1);
    networkd_says(f, "/org/freedesktop/network1", "org.freedesktop.network1.Manager", "routable");
    BUS_UNTIL(&f->base, f->back == 2);
}

static void write_file(const struct fixture *f, const char *name) {
    char path[128], temporary[136];
    snprintf(path, sizeof path, "%s/%s", f->base.directory, name);
    snprintf(temporary, sizeof temporary, "%s+", path);
    FILE *file = fopen(temporary, "we");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(rename(temporary, path), 0);
}

static void accounts(void **state) {
    struct fixture *f = *state;
    char path[128];
    write_file(f, "group");
    write_file(f, "passwd");
    write_file(f, "passwd");
    BUS_UNTIL(&f->base, f->accounts > 0);
    assert_int_equal(f->accounts, 1);
    snprintf(path, sizeof path, "%s/passwd", f->base.directory);
    unlink(path);
    snprintf(path, sizeof path, "%s/group", f->base.directory);
    unlink(path);
}

static void more_logins_than_there_is_room_for(void **state) {
    static struct logins logins;
    (void)state;
    logins_begin(&logins);
    for (uint32_t uid = 1; uid <= LOGINS_MAX; uid++)
        logins_add(&logins, uid);
    logins_add(&logins, 1);
    assert_int_equal(logins_state(&logins, LOGINS_MAX), LOGIN_YES);
    assert_int_equal(logins_state(&logins, LOGINS_MAX + 1), LOGIN_NO);
    logins_add(&logins, LOGINS_MAX + 1);
    assert_int_equal(logins_state(&logins, LOGINS_MAX + 1), LOGIN_UNKNOWN);
    logins_remove(&logins, 1);
    assert_int_equal(logins_state(&logins, 1), LOGIN_UNKNOWN);
    assert_int_equal(logins_state(&logins, 2), LOGIN_YES);
    logins_forget(&logins);
    assert_int_equal(logins_state(&logins, 2), LOGIN_UNKNOWN);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(who_is_signed_in),
        TEST(waking),
        TEST(the_network_by_network_manager),
        TEST(the_network_by_networkd),
        TEST(accounts),
        cmocka_unit_test(more_logins_than_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
