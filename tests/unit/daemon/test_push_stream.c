/* The push stream against a test peer: half a line for ever, dripping bytes, endless lines, ends of
 * every kind, and what becomes a hint. */
#include "daemon/push_stream.h"

#include "daemon/http_client.h"

#include "tests/unit/daemon/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define EPOCH "0c6d2f6e-51a4-4d4b-9a3f-0d2f1c9b7a11"
#define STREAM "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"

struct fixture {
    uv_loop_t loop;
    struct pki_entity ca, server;
    uint8_t pin[SHA256_SIZE];
    struct peer *peer;
    struct http_client *client;
    struct push_stream *stream;
    struct clock_source clock;
    struct random_source random;
    bool draws_fixed;
    int64_t wall_offset_s, monotonic_offset_ms, cap_ms;
    char url[64];
    bool closed;

    atomic_int connections;
    const char *volatile script; /* what the peer says, after which it waits for the end */
    volatile int drips;          /* then this many single bytes; −1: until the end */
    volatile bool ends;          /* it closes the connection itself */

    int hints, changes;
    char epoch[37];
    int64_t generation;
    char *long_script; /* a peer's thread may be at it until the peer stops */
};

static bool answer(
    struct peer_connection *connection, const struct peer_request *request, void *userdata) {
    struct fixture *f = userdata;
    const char *accept = peer_header(request, "Accept");
    assert(strcmp(request->path, "/v1/events") == 0 && strcmp(accept, "text/event-stream") == 0);
    f->connections++;
    bool more = peer_say(connection, f->script);
    for (int i = 0; more && i != f->drips; i++) {
        more = peer_say(connection, "x");
        usleep(2000); /* the peer's pace; nothing depends on it */
    }
    if (!f->ends)
        peer_wait_end(connection);
    return false;
}

static void on_hint(const char *epoch, int64_t generation, void *userdata) {
    struct fixture *f = userdata;
    f->hints++;
    snprintf(f->epoch, sizeof(f->epoch), "%s", epoch ? epoch : "");
    f->generation = generation;
}

static void on_changed(void *userdata) {
    ((struct fixture *)userdata)->changes++;
}

static int64_t shifted_wall_s(void *userdata) {
    return clock_wall_s(&clock_system) + ((struct fixture *)userdata)->wall_offset_s;
}

static int64_t shifted_monotonic_ms(void *userdata) {
    return clock_monotonic_ms(&clock_system) + ((struct fixture *)userdata)->monotonic_offset_ms;
}

/* The system's numbers, or always the same. */
static int maybe_fixed(void *ret, size_t size, void *userdata) {
    if (!((struct fixture *)userdata)->draws_fixed)
        return random_system.bytes(ret, size, NULL);
    memset(ret, 0xff, size);
    return 0;
}

static void longest_timer(uv_handle_t *handle, void *userdata) {
    int64_t *longest_ms = userdata;
    if (handle->type != UV_TIMER || !uv_is_active(handle))
        return;
    int64_t due_ms = (int64_t)uv_timer_get_due_in((uv_timer_t *)handle);
    if (due_ms > *longest_ms)
        *longest_ms = due_ms;
}

static void open_stream(struct fixture *f) {
    f->random = (struct random_source){maybe_fixed, f};
    const struct push_stream_options options = {
        .loop = &f->loop,
        .clock = &f->clock,
        .random = &f->random,
        .hint = on_hint,
        .changed = on_changed,
        .userdata = f,
        .retry_base_ms = 1,
        .retry_cap_ms = f->cap_ms,
        .default_ping_s = 1,
    };
    assert_int_equal(push_stream_new(&options, &f->stream), 0);
}

static void reopen(struct fixture *f) {
    bool closed = false;
    push_stream_close(f->stream, peer_set_true, &closed);
    peer_run_until(&f->loop, &closed);
    open_stream(f);
}

/* The longest wait that is allowed. */
static int most(void *ret, size_t size, void *userdata) {
    (void)userdata;
    memset(ret, 0x7F, size);
    return 0;
}
static const struct random_source random_most = {most, NULL};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    uv_loop_init(&f->loop);
    f->ca = pki_ca("test CA", NULL);
    f->server = pki_server(&f->ca, "IP:127.0.0.1");
    x509_cert_spki_sha256(f->ca.certificate, f->pin);
    f->peer = peer_start(&f->server, f->ca.certificate, answer, f);
    snprintf(f->url, sizeof(f->url), "%s", peer_url(f->peer));
    f->clock = (struct clock_source){shifted_wall_s, shifted_monotonic_ms, f};
    const struct http_client_options client = {.loop = &f->loop, .ca_pin = f->pin};
    assert_int_equal(http_client_new(&client, &f->client), 0);
    f->cap_ms = 20;
    open_stream(f);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    bool stream_closed = false;
    push_stream_close(f->stream, peer_set_true, &stream_closed);
    http_client_close(f->client, peer_set_true, &f->closed);
    peer_loop_end(&f->loop);
    assert_true(stream_closed && f->closed);
    peer_stop(f->peer);
    free(f->long_script);
    pki_free(&f->ca);
    pki_free(&f->server);
    free(f);
    return 0;
}

static void play(struct fixture *f, const char *script, int drips, bool ends) {
    f->script = script;
    f->drips = drips;
    f->ends = ends;
    push_stream_use(f->stream, f->client, f->url);
}

#define RUN_UNTIL(condition) PEER_RUN_UNTIL(&f->loop, condition)

static void events_become_hints(void **state) {
    struct fixture *f = *state;
    play(
        f,
        STREAM ": ping\n\nevent: state\nid: 1\ndata: {\"epoch\":\"" EPOCH
               "\",\"generation\":9223372036854775807,\"splay_s\":0,\"ping_s\":30}\n\n",
        0, false);
    RUN_UNTIL(f->epoch[0]);
    assert_string_equal(f->epoch, EPOCH);
    assert_true(f->generation == INT64_MAX);
    assert_true(push_stream_is_connected(f->stream));
    assert_int_equal(push_stream_reason(f->stream), REASON_NONE);
    assert_true(push_stream_last_event_s(f->stream) > 0);
    assert_int_equal(push_stream_ping_s(f->stream), 30);
    assert_true(push_stream_silent_ms(f->stream) >= 0);
    assert_true(f->hints <= 2); /* opening, and the event if it came in another piece */
}

static void opening_is_a_hint(void **state) {
    struct fixture *f = *state;
    play(f, STREAM, 0, false);
    RUN_UNTIL(f->hints == 1);
    assert_string_equal(f->epoch, "");
    assert_true(push_stream_is_connected(f->stream));
    assert_int_equal(push_stream_last_event_s(f->stream), 0);
}

static void what_is_no_json_is_a_hint_too(void **state) {
    struct fixture *f = *state;
    play(f, STREAM "data: {\"epoch\":\n\n", 0, false);
    RUN_UNTIL(push_stream_last_event_s(f->stream) > 0 && f->hints > 0);
    assert_string_equal(f->epoch, "");
}

static void the_newest_of_several_counts(void **state) {
    struct fixture *f = *state;
    play(
        f,
        STREAM "data: {\"epoch\":\"" EPOCH "\",\"generation\":7}\n\n"
               "data: {\"epoch\":\"" EPOCH "\",\"generation\":3}\n\n",
        0, false);
    RUN_UNTIL(f->epoch[0] && f->generation == 3);
    assert_true(push_stream_is_connected(f->stream));
}

static void half_a_line_for_ever_is_dead(void **state) {
    struct fixture *f = *state;
    play(f, STREAM "data: {\"epo", 0, false);
    RUN_UNTIL(f->connections == 2);
    assert_true(f->changes >= 2);
}

static void dripping_bytes_are_dead_too(void **state) {
    struct fixture *f = *state;
    play(f, STREAM "data: ", -1, false);
    RUN_UNTIL(push_stream_is_connected(f->stream));
    RUN_UNTIL(!push_stream_is_connected(f->stream));
    /* by the watchdog, long before the line is too long (SERVER_ANSWER) */
    assert_int_equal(push_stream_reason(f->stream), REASON_SERVER_UNREACHABLE);
    RUN_UNTIL(f->connections == 2);
}

static void silence_in_place_of_an_answer_is_dead(void **state) {
    struct fixture *f = *state;
    play(f, "", 0, false);
    RUN_UNTIL(f->connections == 2);
    assert_int_equal(f->hints, 0);
    assert_int_equal(push_stream_reason(f->stream), REASON_SERVER_UNREACHABLE);
}

static void a_line_without_an_end_is_cut(void **state) {
    struct fixture *f = *state;
    size_t size = 10 * 1024 * 1024, head = strlen(STREAM);
    char *script = f->long_script = malloc(head + size + 1);
    memcpy(script, STREAM, head);
    memset(script + head, 'x', size);
    script[head + size] = '\0';
    play(f, script, 0, true);
    RUN_UNTIL(push_stream_reason(f->stream) == REASON_SERVER_ANSWER);
    f->script = STREAM;
    f->ends = false;
    RUN_UNTIL(push_stream_is_connected(f->stream));
}

static void every_end_is_a_disconnect(void **state) {
    struct fixture *f = *state;
    play(f, STREAM "data: x\n\n", 0, true);
    RUN_UNTIL(f->connections == 3);
    assert_true(f->hints >= 2);
    f->script = "";
    RUN_UNTIL(f->connections == 5);
    assert_int_equal(push_stream_reason(f->stream), REASON_SERVER_UNREACHABLE);
}

static void expect_reason(struct fixture *f, const char *script, enum reason reason) {
    int before = f->connections;
    play(f, script, 0, true);
    RUN_UNTIL(f->connections > before && push_stream_reason(f->stream) == reason);
    assert_false(push_stream_is_connected(f->stream));
    assert_int_equal(f->hints, 0);
}

static void what_is_no_stream(void **state) {
    struct fixture *f = *state;
    expect_reason(
        f, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", REASON_SERVER_ANSWER);
    expect_reason(f, "HTTP/1.1 200 OK\r\n\r\ndata: x\n\n", REASON_SERVER_ANSWER);
    expect_reason(f, "HTTP/1.1 204 No\r\n\r\n", REASON_SERVER_ANSWER);
    expect_reason(
        f,
        "HTTP/1.1 403 No\r\nContent-Type: application/problem+json\r\nContent-Length: 25\r\n\r\n"
        "{\"code\":\"device-removed\"}",
        REASON_DEVICE_REMOVED);
    expect_reason(
        f, "HTTP/1.1 302 No\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        REASON_REDIRECT);
    expect_reason(f, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", REASON_SERVER_ERROR);
}

/* The first wait after an end, with a fixed draw; a short one may be over, and the stream open. */
static int64_t first_wait_ms(struct fixture *f, const char *script) {
    int64_t longest_ms = 0;
    const int before = f->changes;
    f->draws_fixed = true;
    play(f, script, 0, true);
    RUN_UNTIL(f->changes >= before + 2); /* open, and ended */
    f->draws_fixed = false;
    uv_walk(&f->loop, longest_timer, &longest_ms);
    return longest_ms;
}

static void a_large_fleet_comes_back_over_its_splay(void **state) {
    struct fixture *f = *state;
#define EVENT(splay_) STREAM "data: {\"epoch\":\"" EPOCH "\",\"generation\":1," splay_ "}\n\n"
    f->cap_ms = 300000;
    reopen(f);
    assert_in_range(first_wait_ms(f, EVENT("\"splay_s\":0")), 0, 9999);
    assert_in_range(first_wait_ms(f, EVENT("\"splay_s\":100")), 10000, 100000);
    assert_in_range(first_wait_ms(f, EVENT("\"splay_s\":86400")), 100001, 300000);
    assert_in_range(first_wait_ms(f, EVENT("\"ping_s\":1")), 0, 9999);
#undef EVENT
}

static void a_sleep_of_the_machine_renews_the_stream(void **state) {
    struct fixture *f = *state;
    play(f, STREAM "data: {\"epoch\":\"" EPOCH "\",\"generation\":1,\"ping_s\":600}\n\n", 0, false);
    RUN_UNTIL(f->epoch[0]);
    push_stream_refresh(f->stream); /* nothing was silent: it stays */
    assert_true(push_stream_is_connected(f->stream));
    f->wall_offset_s = 3600;
    push_stream_refresh(f->stream);
    assert_false(push_stream_is_connected(f->stream));
    assert_int_equal(push_stream_silent_ms(f->stream), -1);
    RUN_UNTIL(f->connections == 2);
}

static void a_network_that_is_back_ends_the_wait(void **state) {
    struct fixture *f = *state;
    bool closed = false;
    push_stream_close(f->stream, peer_set_true, &closed);
    const struct push_stream_options options = {
        .loop = &f->loop,
        .clock = &f->clock,
        .random = &random_most,
        .hint = on_hint,
        .changed = on_changed,
        .userdata = f,
        .retry_base_ms = 3600 * 1000,
        .retry_cap_ms = 3600 * 1000,
    };
    assert_int_equal(push_stream_new(&options, &f->stream), 0);
    play(f, "", 0, true);
    RUN_UNTIL(f->connections == 1 && push_stream_reason(f->stream) != REASON_NONE);
    f->script = STREAM "\n";
    f->ends = false;
    f->drips = 0;
    push_stream_refresh(f->stream);
    RUN_UNTIL(push_stream_is_connected(f->stream));
    assert_int_equal(f->connections, 2);
}

/* What was open before is open in name only. */
static void an_open_stream_is_opened_anew_on_another_network(void **state) {
    struct fixture *f = *state;
    play(f, STREAM "\n", 0, false);
    RUN_UNTIL(push_stream_is_connected(f->stream));
    push_stream_reopen(f->stream); /* a storm of changes costs one handshake now and then */
    assert_true(push_stream_is_connected(f->stream));
    f->monotonic_offset_ms = PUSH_STREAM_SETTLED_MS;
    push_stream_reopen(f->stream);
    assert_false(push_stream_is_connected(f->stream));
    RUN_UNTIL(push_stream_is_connected(f->stream));
    assert_int_equal(f->connections, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(events_become_hints),
        TEST(opening_is_a_hint),
        TEST(what_is_no_json_is_a_hint_too),
        TEST(the_newest_of_several_counts),
        TEST(half_a_line_for_ever_is_dead),
        TEST(dripping_bytes_are_dead_too),
        TEST(silence_in_place_of_an_answer_is_dead),
        TEST(a_line_without_an_end_is_cut),
        TEST(every_end_is_a_disconnect),
        TEST(what_is_no_stream),
        TEST(a_large_fleet_comes_back_over_its_splay),
        TEST(a_sleep_of_the_machine_renews_the_stream),
        TEST(a_network_that_is_back_ends_the_wait),
        TEST(an_open_stream_is_opened_anew_on_another_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
