/* Notifications over a real bus. Who shows them is a stand-in that keeps to the Desktop
 * Notifications Specification: ids, replaces_id, capabilities, NotificationClosed. */
#include "useragent/notifier.h"

#include "tests/unit/ipc/bus_fixture.h"

#define SERVICE "org.freedesktop.Notifications"
#define SERVICE_PATH "/org/freedesktop/Notifications"
#define TITLE "Please act"
#define REST_MS 200

struct fixture {
    struct bus_fixture base;
    struct notifier *notifier;
    struct bus_fixture_server desktop;
    bool markup, refuses;
    uint32_t last_id;
    int told, replaced, closed;
    uint32_t closed_id;
    char summary[256], body[2048];
};

static void answer_capabilities(struct fixture *f, sd_bus_message *call) {
    if (f->markup)
        BUS_MUST(sd_bus_reply_method_return(call, "as", 2, "body", "body-markup"));
    else
        BUS_MUST(sd_bus_reply_method_return(call, "as", 1, "body"));
}

static void answer_notify(struct fixture *f, sd_bus_message *call) {
    const char *application, *icon, *summary, *body;
    uint32_t replaces;
    if (f->refuses) {
        BUS_MUST(sd_bus_reply_method_errorf(call, "org.example.Full", "no"));
        return;
    }
    assert_string_equal(sd_bus_message_get_signature(call, 1), "susssasa{sv}i");
    BUS_MUST(sd_bus_message_read(call, "susss", &application, &replaces, &icon, &summary, &body));
    snprintf(f->summary, sizeof f->summary, "%s", summary);
    snprintf(f->body, sizeof f->body, "%s", body);
    if (replaces) {
        assert_int_equal(replaces, f->last_id);
        f->replaced++;
    } else {
        f->last_id++;
        f->told++;
    }
    BUS_MUST(sd_bus_reply_method_return(call, "u", f->last_id));
}

static int answer(sd_bus_message *call, void *userdata, sd_bus_error *error) {
    struct fixture *f = userdata;
    (void)error;
    if (sd_bus_message_is_method_call(call, SERVICE, "GetCapabilities")) {
        answer_capabilities(f, call);
    } else if (sd_bus_message_is_method_call(call, SERVICE, "Notify")) {
        answer_notify(f, call);
    } else if (sd_bus_message_is_method_call(call, SERVICE, "CloseNotification")) {
        BUS_MUST(sd_bus_message_read(call, "u", &f->closed_id));
        f->closed++;
        BUS_MUST(sd_bus_reply_method_return(call, ""));
    } else {
        return 0;
    }
    return 1;
}

static void start_desktop(struct fixture *f) {
    bus_fixture_serve(&f->base.loop, &f->desktop, bus_fixture_peer(&f->base, SERVICE), answer, f);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    bus_fixture_open(&f->base);
    bus_fixture_start(&f->base);
    const struct notifier_options options = {
        .loop = &f->base.loop,
        .random = &random_system,
        .bus_address = f->base.address,
        .settle_ms = 1,
        .rest_ms = REST_MS,
    };
    BUS_MUST(notifier_new(&options, &f->notifier));
    f->markup = true;
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    notifier_close(f->notifier);
    if (f->desktop.peer)
        bus_fixture_serve_no_more(&f->desktop);
    bus_fixture_close(&f->base);
    free(f);
    return 0;
}

static void told_once_replaced_withdrawn(void **state) {
    struct fixture *f = *state;
    start_desktop(f);
    uv_update_time(&f->base.loop);
    uint64_t before = uv_now(&f->base.loop);
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, "one");
    BUS_UNTIL(&f->base, f->told == 1);
    assert_string_equal(f->summary, TITLE);
    assert_string_equal(f->body, "one");
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, "one");
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, "two");
    BUS_UNTIL(&f->base, f->replaced == 1);
    assert_string_equal(f->body, "two");
    notifier_clear(f->notifier, NOTICE_EXPIRY);
    notifier_clear(f->notifier, NOTICE_EXPIRY);
    BUS_UNTIL(&f->base, f->closed == 1);
    assert_int_equal(f->closed_id, f->last_id);
    /* it comes and goes: told again, but no sooner than the rest */
    for (int i = 0; i < 20; i++) {
        notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, "three");
        notifier_clear(f->notifier, NOTICE_EXPIRY);
    }
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, "four");
    BUS_UNTIL(&f->base, f->told == 2);
    assert_true(uv_now(&f->base.loop) - before >= REST_MS);
    assert_string_equal(f->body, "four");
}

static void what_he_closes_stays_closed(void **state) {
    struct fixture *f = *state;
    start_desktop(f);
    notifier_set(f->notifier, NOTICE_SIGN_IN, TITLE, "one");
    BUS_UNTIL(&f->base, f->told == 1);
    BUS_MUST(sd_bus_emit_signal(
        f->desktop.peer, SERVICE_PATH, SERVICE, "NotificationClosed", "uu", f->last_id, 2));
    BUS_MUST(sd_bus_flush(f->desktop.peer));
    /* another cause is told on the same connection, so the signal has come */
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, "other");
    BUS_UNTIL(&f->base, f->told == 2);
    notifier_set(f->notifier, NOTICE_SIGN_IN, TITLE, "two");
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, "other words");
    BUS_UNTIL(&f->base, f->replaced == 1);
    assert_int_equal(f->told, 2);
    assert_string_equal(f->body, "other words");
    notifier_clear(f->notifier, NOTICE_SIGN_IN); /* nothing to withdraw */
    notifier_clear(f->notifier, NOTICE_EXPIRY);
    BUS_UNTIL(&f->base, f->closed == 1);
}

static void no_markup_gets_in(void **state) {
    struct fixture *f = *state;
    char longest[NOTIFIER_TEXT_SIZE];
    start_desktop(f);
    notifier_set(f->notifier, NOTICE_EXPIRY, "<b>", "<a href=\"x\">&amp;</a>");
    BUS_UNTIL(&f->base, f->told == 1);
    assert_string_equal(f->summary, "<b>"); /* never markup, by the specification */
    assert_string_equal(f->body, "&lt;a href=\"x\"&gt;&amp;amp;&lt;/a&gt;");
    /* a cut never leaves half an escape, nor half a character */
    memset(longest, '<', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, longest);
    BUS_UNTIL(&f->base, f->replaced == 1);
    assert_int_equal(strlen(f->body) % 4, 0);
    assert_string_equal(f->body + strlen(f->body) - 4, "&lt;");
    for (size_t i = 0; i + 2 < sizeof longest; i += 2)
        memcpy(longest + i, "\xC3\xA9", 3);
    longest[0] = longest[1] = '&';
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, longest);
    BUS_UNTIL(&f->base, f->replaced == 2);
    BUS_MUST(strlen(f->body) < NOTIFIER_TEXT_SIZE ? 0 : -1);
    assert_int_equal(strlen(f->body) % 2, 0);
}

static void plain_where_the_desktop_reads_no_markup(void **state) {
    struct fixture *f = *state;
    f->markup = false;
    start_desktop(f);
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, "a < b & c");
    BUS_UNTIL(&f->base, f->told == 1);
    assert_string_equal(f->body, "a < b & c");
}

/* Nobody shows it when it comes; somebody does later; who shows it is replaced by another. */
static void the_desktop_may_come_late_and_may_go(void **state) {
    struct fixture *f = *state;
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, "one");
    /* what is asked of nobody fails before this later question is answered */
    sd_bus *peer = bus_fixture_peer(&f->base, "org.example.Mark");
    uv_run(&f->base.loop, UV_RUN_NOWAIT);
    start_desktop(f);
    BUS_UNTIL(&f->base, f->told == 1);
    bus_fixture_serve_no_more(&f->desktop);
    start_desktop(f);
    f->markup = false;
    notifier_set(f->notifier, NOTICE_SIGN_IN, TITLE, "a & b");
    BUS_UNTIL(&f->base, f->told == 2);
    assert_string_equal(f->body, "a & b");                  /* the new one was asked what it can */
    notifier_set(f->notifier, NOTICE_EXPIRY, TITLE, "two"); /* was told; its id is nobody's now */
    notifier_clear(f->notifier, NOTICE_SIGN_IN);
    BUS_UNTIL(&f->base, f->closed == 1);
    assert_int_equal(f->told, 2);
    sd_bus_flush_close_unref(peer);
}

static void without_one_it_does_nothing(void **state) {
    (void)state;
    notifier_set(NULL, NOTICE_EXPIRY, TITLE, "one");
    notifier_clear(NULL, NOTICE_EXPIRY);
    notifier_close(NULL);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(told_once_replaced_withdrawn),
        TEST(what_he_closes_stays_closed),
        TEST(no_markup_gets_in),
        TEST(plain_where_the_desktop_reads_no_markup),
        TEST(the_desktop_may_come_late_and_may_go),
        cmocka_unit_test(without_one_it_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
