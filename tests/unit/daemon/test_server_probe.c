/* The probe against a test peer: what each kind of bad server is called, and who is told. */
#include "daemon/server_probe.h"

#include "tests/unit/daemon/server_peer.h"

#include "common/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DEVICE "11111111-2222-4333-8444-555555555555"
#define OTHER_DEVICE "22222222-2222-4333-8444-555555555555"
#define ENROLLED(device_)                                                                          \
    "{\"epoch\":\"" SERVER_PEER_EPOCH "\",\"generation\":7,\"enrolled\":true,"                     \
    "\"organisation\":\"Example\",\"device\":\"" device_ "\",\"distribution\":\"on\","             \
    "\"key_type\":\"p256\",\"lifetime_s\":1000,\"renew_after_s\":500,\"users\":[]}"

struct told {
    bool done;
    int times;
    struct server_probe_answer answer;
    int64_t generation;
};

struct fixture {
    uv_loop_t loop;
    struct server_peer *server;
    struct server_probe *probe;
    struct pki_entity identity, other;
    uint8_t pin[SHA256_SIZE];
    struct told told, second;
    bool closed;
};

static void open_probe(struct fixture *f, uint64_t deadline_ms) {
    assert_int_equal(server_probe_new(&f->loop, &clock_system, deadline_ms, &f->probe), 0);
}

static void close_probe(struct fixture *f) {
    f->closed = false;
    server_probe_close(TAKE_PTR(f->probe), peer_set_true, &f->closed);
    peer_run_until(&f->loop, &f->closed);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    uv_loop_init(&f->loop);
    f->server = server_peer_start();
    f->identity = pki_device(&f->server->device_issuer, DEVICE, NULL, 0, 0);
    f->other = pki_device(&f->server->device_issuer, DEVICE, NULL, 0, 0);
    assert_int_equal(hex_decode(f->server->pin, f->pin, SHA256_SIZE), 0);
    server_peer_set_state(f->server, ENROLLED(DEVICE));
    open_probe(f, 0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    if (f->probe)
        close_probe(f);
    peer_loop_end(&f->loop);
    server_peer_stop(f->server);
    pki_free(&f->identity);
    pki_free(&f->other);
    free(f);
    return 0;
}

static void on_answer(const struct server_probe_answer *answer, void *userdata) {
    struct told *told = userdata;
    told->done = true;
    told->times++;
    told->answer = *answer;
    told->generation = answer->state ? answer->state->generation : -1;
}

static int ask_as(
    struct fixture *f, const struct pki_entity *identity, const char *url, struct told *told) {
    const struct http_client_options options = {
        .ca_pin = f->pin,
        .certificate = identity->certificate,
        .issuer = f->server->device_issuer.certificate,
        .key = identity->key,
    };
    told->done = false;
    return server_probe_ask(f->probe, &options, url, DEVICE, on_answer, told);
}

static int ask(struct fixture *f, struct told *told) {
    return ask_as(f, &f->identity, peer_url(f->server->peer), told);
}

static enum reason probe(struct fixture *f) {
    assert_int_equal(ask(f, &f->told), 0);
    assert_false(f->told.done); /* never from inside the call */
    peer_run_until(&f->loop, &f->told.done);
    return f->told.answer.reason;
}

static void a_good_server(void **state) {
    struct fixture *f = *state;
    snprintf(
        f->server->headers, sizeof(f->server->headers), "Date: Wed, 18 Nov 2026 11:06:40 GMT\r\n");
    assert_int_equal(probe(f), REASON_NONE);
    assert_int_equal(f->told.answer.status, 200);
    assert_int_equal(f->told.generation, 7);
    assert_int_equal(f->told.answer.date_s, 1795000000);
    assert_in_range(f->told.answer.wall_s, time(NULL) - 60, time(NULL) + 1); /* a tick behind */
    assert_int_equal(
        f->server->last_state_client,
        ASN1_INTEGER_get(X509_get0_serialNumber(f->identity.certificate)));
}

static void each_probe_makes_its_own_connection(void **state) {
    struct fixture *f = *state;
    assert_int_equal(probe(f), REASON_NONE);
    int before = f->server->peer->count;
    assert_int_equal(probe(f), REASON_NONE);
    assert_int_equal(f->server->peer->count, before + 1);
}

static void what_is_wrong_has_its_code(void **state) {
    struct fixture *f = *state;
    server_peer_set_state(f->server, "{\"epoch\":1}");
    assert_int_equal(probe(f), REASON_STATE_INVALID);
    assert_string_equal(f->told.answer.detail, "epoch");
    server_peer_set_state(f->server, "<html>");
    assert_int_equal(probe(f), REASON_STATE_INVALID);
    server_peer_set_state(f->server, ENROLLED(OTHER_DEVICE));
    assert_int_equal(probe(f), REASON_STATE_INVALID);
    assert_string_equal(f->told.answer.detail, "device");
    f->server->state_status = 503;
    assert_int_equal(probe(f), REASON_SERVER_ERROR);
    assert_int_equal(f->told.answer.status, 503);
    f->server->state_status = 403;
    assert_int_equal(probe(f), REASON_SERVER_REFUSED);
    f->server->state_status = 204;
    assert_int_equal(probe(f), REASON_SERVER_ANSWER);
    assert_null(f->told.answer.state);
    f->pin[0] ^= 1;
    assert_int_equal(probe(f), REASON_SERVER_TLS);
    assert_int_equal(f->told.answer.date_s, 0);
}

static void nobody_there(void **state) {
    struct fixture *f = *state;
    assert_int_equal(ask_as(f, &f->identity, "https://127.0.0.1:1", &f->told), 0);
    peer_run_until(&f->loop, &f->told.done);
    assert_int_equal(f->told.answer.reason, REASON_SERVER_UNREACHABLE);
    assert_true(strlen(f->told.answer.detail) > 0);
    assert_int_equal(f->told.answer.status, 0);
}

/* A socket that listens and never speaks. */
static void a_server_that_hangs(void **state) {
    struct fixture *f = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    char url[64];
    int CLEANUP_CLOSE fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 4), 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    snprintf(url, sizeof(url), "https://127.0.0.1:%d", ntohs(address.sin_port));
    close_probe(f);
    open_probe(f, 20);
    assert_int_equal(ask_as(f, &f->identity, url, &f->told), 0);
    peer_run_until(&f->loop, &f->told.done);
    assert_int_equal(f->told.answer.reason, REASON_SERVER_TIMEOUT);
}

static void those_who_ask_at_once_share_one(void **state) {
    struct fixture *f = *state;
    assert_int_equal(ask(f, &f->told), 0);
    assert_int_equal(ask(f, &f->second), 0);
    PEER_RUN_UNTIL(&f->loop, f->told.done && f->second.done);
    assert_int_equal(f->server->state_requests, 1);
    assert_int_equal(f->told.times, 1);
    assert_int_equal(f->second.times, 1);
}

static void who_cancels_is_not_told(void **state) {
    struct fixture *f = *state;
    assert_int_equal(ask(f, &f->told), 0);
    assert_int_equal(ask(f, &f->second), 0);
    server_probe_cancel(f->probe, &f->told);
    peer_run_until(&f->loop, &f->second.done);
    assert_false(f->told.done);
}

static void another_identity_begins_anew(void **state) {
    struct fixture *f = *state;
    const char *url = peer_url(f->server->peer);
    assert_int_equal(ask(f, &f->told), 0);
    assert_int_equal(ask_as(f, &f->other, url, &f->second), 0);
    PEER_RUN_UNTIL(&f->loop, f->told.done && f->second.done);
    assert_int_equal(f->told.answer.reason, REASON_NONE);
    assert_int_equal(
        f->server->last_state_client,
        ASN1_INTEGER_get(X509_get0_serialNumber(f->other.certificate)));
}

static void a_change_of_identity_begins_anew(void **state) {
    struct fixture *f = *state;
    const struct http_client_options options = {
        .ca_pin = f->pin,
        .certificate = f->other.certificate,
        .issuer = f->server->device_issuer.certificate,
        .key = f->other.key,
    };
    const char *url = peer_url(f->server->peer);
    server_probe_identity_changed(
        f->probe, &options, url, DEVICE); /* nothing runs: nothing begins */
    assert_int_equal(ask(f, &f->told), 0);
    server_probe_identity_changed(f->probe, &options, url, DEVICE);
    peer_run_until(&f->loop, &f->told.done);
    assert_int_equal(f->told.answer.reason, REASON_NONE);
    assert_int_equal(
        f->server->last_state_client,
        ASN1_INTEGER_get(X509_get0_serialNumber(f->other.certificate)));
    assert_int_equal(f->told.times, 1);
}

static void those_who_wait_are_bounded(void **state) {
    struct fixture *f = *state;
    struct told many[SERVER_PROBE_MAX_WAITING] = {0};
    for (int i = 0; i < SERVER_PROBE_MAX_WAITING; i++)
        assert_int_equal(ask(f, &many[i]), 0);
    assert_int_equal(ask(f, &f->told), -EBUSY);
    server_probe_cancel(f->probe, &many[3]);
    assert_int_equal(ask(f, &f->told), 0);
    peer_run_until(&f->loop, &f->told.done); /* the newest first */
    for (int i = 0; i < SERVER_PROBE_MAX_WAITING; i++)
        assert_int_equal(many[i].times, 0); /* one in each turn of the loop */
    peer_run_until(&f->loop, &many[0].done);
    for (int i = 0; i < SERVER_PROBE_MAX_WAITING; i++)
        assert_int_equal(many[i].times, i == 3 ? 0 : 1);
}

static void it_closes_while_it_runs(void **state) {
    struct fixture *f = *state;
    assert_int_equal(ask(f, &f->told), 0);
    close_probe(f);
    assert_false(f->told.done);
}

static void on_answer_cancel_second(const struct server_probe_answer *answer, void *userdata) {
    struct fixture *f = userdata;
    (void)answer;
    server_probe_cancel(f->probe, &f->told);
    server_probe_cancel(f->probe, &f->second);
    f->closed = true;
}

/* The list is told newest first. */
static void one_who_is_told_may_cancel_another(void **state) {
    struct fixture *f = *state;
    const struct http_client_options options = {
        .ca_pin = f->pin, .certificate = f->identity.certificate, .key = f->identity.key};
    assert_int_equal(ask(f, &f->told), 0);
    assert_int_equal(ask(f, &f->second), 0);
    assert_int_equal(
        server_probe_ask(
            f->probe, &options, peer_url(f->server->peer), DEVICE, on_answer_cancel_second, f),
        0);
    peer_run_until(&f->loop, &f->closed);
    assert_int_equal(f->told.times + f->second.times, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_good_server),
        TEST(each_probe_makes_its_own_connection),
        TEST(what_is_wrong_has_its_code),
        TEST(nobody_there),
        TEST(a_server_that_hangs),
        TEST(those_who_ask_at_once_share_one),
        TEST(who_cancels_is_not_told),
        TEST(another_identity_begins_anew),
        TEST(a_change_of_identity_begins_anew),
        TEST(those_who_wait_are_bounded),
        TEST(it_closes_while_it_runs),
        TEST(one_who_is_told_may_cancel_another),
    };
    return cmocka_run_group_tests_name("server probe", tests, NULL, NULL);
}
