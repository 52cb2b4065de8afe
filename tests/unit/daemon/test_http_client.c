/* The HTTP client against a test peer: trust, names, redirects, limits, lost answers, reuse of
 * connections. */
#include "daemon/http_client.h"

#include "tests/unit/daemon/peer.h"

#include "common/cleanup.h"
#include "common/x509_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#define MIB (1024 * 1024)

struct fixture {
    uv_loop_t loop;
    struct pki_entity ca, other_ca, server, device;
    uint8_t pin[SHA256_SIZE];
    struct peer *peer;
    struct http_client *client;
    atomic_int requests, connections;
    atomic_bool saw_client;
    int64_t date_s;

    bool done, closed;
    struct http_answer answer;
    char body[256];
};

static bool answer_by_path(
    struct peer_connection *connection, const struct peer_request *request, void *userdata) {
    struct fixture *f = userdata;
    f->requests++;
    if (connection->number > f->connections)
        f->connections = connection->number;
    f->saw_client = request->client != NULL;
    if (strcmp(request->path, "/redirect") == 0)
        return peer_answer(connection, 302, "Location: https://127.0.0.1:1/\r\n", "", 0);
    if (strcmp(request->path, "/lost") == 0)
        return false;
    if (strcmp(request->path, "/half") == 0) {
        peer_say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        return false;
    }
    if (strcmp(request->path, "/declared") == 0) {
        peer_say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 31457280\r\n\r\n");
        peer_wait_end(connection);
        return false;
    }
    if (strcmp(request->path, "/endless") == 0) {
        static char block[65536];
        peer_say(connection, "HTTP/1.1 200 OK\r\n\r\n");
        for (int sent = 0; sent < 30 * MIB && peer_write(connection, block, sizeof(block));)
            sent += (int)sizeof(block);
        return false;
    }
    if (strcmp(request->path, "/silent") == 0) {
        peer_wait_end(connection);
        return false;
    }
    if (strcmp(request->path, "/echo") == 0)
        return peer_answer(
            connection, 200, "Content-Type: text/plain\r\n", request->body, request->body_size);
    return peer_answer(
        connection, 200,
        "ETag: \"e1\"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: 7\r\n", "good", 4);
}

static void on_date(int64_t server_s, void *userdata) {
    ((struct fixture *)userdata)->date_s = server_s;
}

static void on_done(const struct http_answer *answer, void *userdata) {
    struct fixture *f = userdata;
    f->answer = *answer;
    snprintf(f->body, sizeof(f->body), "%.*s", (int)answer->size, answer->body);
    f->done = true;
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    uv_loop_init(&f->loop);
    f->ca = pki_ca("test CA", NULL);
    f->other_ca = pki_ca("other CA", NULL);
    f->server = pki_server(&f->ca, "IP:127.0.0.1");
    f->device = pki_device(&f->ca, "11111111-2222-4333-8444-555555555555", NULL, 0, 0);
    x509_cert_spki_sha256(f->ca.certificate, f->pin);
    f->peer = peer_start(&f->server, f->ca.certificate, answer_by_path, f);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    http_client_close(f->client, peer_set_true, &f->closed);
    peer_loop_end(&f->loop);
    assert_true(f->closed);
    peer_stop(f->peer);
    pki_free(&f->ca);
    pki_free(&f->other_ca);
    pki_free(&f->server);
    pki_free(&f->device);
    free(f);
    return 0;
}

static void open_client(struct fixture *f, const uint8_t *pin, bool with_certificate) {
    const struct http_client_options options = {
        .loop = &f->loop,
        .ca_pin = pin,
        .certificate = with_certificate ? f->device.certificate : NULL,
        .key = f->device.key,
        .date_seen = on_date,
        .userdata = f,
    };
    assert_int_equal(http_client_new(&options, &f->client), 0);
}

static void get(struct fixture *f, const char *path) {
    char url[128];
    snprintf(url, sizeof(url), "%s%s", peer_url(f->peer), path);
    const struct http_request request = {
        .method = HTTP_GET,
        .url = url,
        .maximum = 64 * 1024,
        .deadline_ms = strcmp(path, "/silent") == 0 ? 200 : 20000,
        .done = on_done,
        .userdata = f,
    };
    f->done = false;
    assert_int_equal(http_client_send(f->client, &request, NULL), 0);
    assert_false(f->done);
    peer_run_until(&f->loop, &f->done);
}

static void pinned_ca_is_trusted(void **state) {
    struct fixture *f = *state;
    open_client(f, f->pin, false);
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_NONE);
    assert_int_equal(f->answer.status, 200);
    assert_string_equal(f->body, "good");
    assert_string_equal(f->answer.etag, "\"e1\"");
    assert_string_equal(f->answer.retry_after, "7");
    assert_int_equal(f->date_s, 784111777);
    assert_false(f->saw_client);
}

static void pinned_leaf_is_trusted(void **state) {
    struct fixture *f = *state;
    uint8_t pin[SHA256_SIZE];
    x509_cert_spki_sha256(f->server.certificate, pin);
    open_client(f, pin, false);
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_NONE);
}

static void other_ca_is_refused(void **state) {
    struct fixture *f = *state;
    uint8_t pin[SHA256_SIZE];
    x509_cert_spki_sha256(f->other_ca.certificate, pin);
    open_client(f, pin, false);
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_SERVER_TLS);
    assert_int_equal(f->requests, 0);
}

static void system_trust_refuses_private_ca(void **state) {
    struct fixture *f = *state;
    open_client(f, NULL, false);
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_SERVER_TLS);
    assert_int_equal(f->requests, 0);
}

static void start_other_server(struct fixture *f, struct pki_entity server) {
    peer_stop(f->peer);
    pki_free(&f->server);
    f->server = server;
    f->peer = peer_start(&f->server, f->ca.certificate, answer_by_path, f);
}

static void other_name_is_refused(void **state) {
    struct fixture *f = *state;
    start_other_server(f, pki_server(&f->ca, "DNS:other.example.com"));
    open_client(f, f->pin, false);
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_SERVER_TLS);
    assert_int_equal(f->requests, 0);
}

static void expired_server_is_refused(void **state) {
    struct fixture *f = *state;
    const struct pki_shape shape = {
        .name = "expired",
        .issuer = &f->ca,
        .san = "IP:127.0.0.1",
        .usage = "serverAuth",
        .begin_s = -7200,
        .end_s = -3600,
    };
    start_other_server(f, pki_make(&shape));
    open_client(f, f->pin, false);
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_SERVER_TLS);
}

/* The pinned certificate is in the chain, but did not sign the leaf. */
static void unrelated_pinned_certificate_is_refused(void **state) {
    struct fixture *f = *state;
    start_other_server(f, pki_server(&f->other_ca, "IP:127.0.0.1"));
    open_client(f, f->pin, false);
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_SERVER_TLS);
}

static void client_leaf_is_refused_as_server(void **state) {
    struct fixture *f = *state;
    const struct pki_shape shape = {
        .name = "client", .issuer = &f->ca, .san = "IP:127.0.0.1", .usage = "clientAuth"};
    start_other_server(f, pki_make(&shape));
    open_client(f, f->pin, false);
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_SERVER_TLS);
}

static void certificate_is_presented(void **state) {
    struct fixture *f = *state;
    open_client(f, f->pin, true);
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_NONE);
    assert_true(f->saw_client);
}

static void connection_is_reused(void **state) {
    struct fixture *f = *state;
    open_client(f, f->pin, true);
    for (int i = 0; i < 5; i++)
        get(f, "/");
    assert_int_equal(f->requests, 5);
    assert_int_equal(f->connections, 1);
}

static void connection_of_another_network_is_not_reused(void **state) {
    struct fixture *f = *state;
    open_client(f, f->pin, true);
    get(f, "/");
    http_client_network_changed(f->client);
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_NONE);
    assert_int_equal(f->connections, 2);
}

static void is_over(uv_timer_t *timer) {
    bool *over = timer->data;
    *over = true;
}

/* Real time: libcurl has a clock of its own. */
static void let_pass(struct fixture *f, uint64_t ms) {
    bool over = false;
    uv_timer_t timer = {.data = &over};
    uv_timer_init(&f->loop, &timer);
    uv_update_time(&f->loop);
    uv_timer_start(&timer, is_over, ms, 0);
    peer_run_until(&f->loop, &over);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* libcurl counts whole seconds; this one was used in the last one before the change. */
static void connection_of_just_before_is_not_reused_later(void **state) {
    struct fixture *f = *state;
    open_client(f, f->pin, true);
    get(f, "/");
    http_client_network_changed(f->client);
    let_pass(f, 3050); /* until then all connections are fresh ones */
    get(f, "/");
    assert_int_equal(f->answer.reason, REASON_NONE);
    assert_int_equal(f->connections, 2);
}

static void redirect_is_not_followed(void **state) {
    struct fixture *f = *state;
    open_client(f, f->pin, false);
    get(f, "/redirect");
    assert_int_equal(f->answer.reason, REASON_REDIRECT);
    assert_int_equal(f->requests, 1);
}

static void lost_and_half_answers_are_unreachable(void **state) {
    struct fixture *f = *state;
    open_client(f, f->pin, false);
    get(f, "/lost");
    assert_int_equal(f->answer.reason, REASON_SERVER_UNREACHABLE);
    get(f, "/half");
    assert_int_equal(f->answer.reason, REASON_SERVER_UNREACHABLE);
    get(f, "/silent");
    assert_int_equal(f->answer.reason, REASON_SERVER_UNREACHABLE);
    assert_int_equal(f->answer.status, 0);
}

static void large_answers_are_cut_off(void **state) {
    struct fixture *f = *state;
    open_client(f, f->pin, false);
    get(f, "/declared");
    assert_int_equal(f->answer.reason, REASON_SERVER_ANSWER);
    get(f, "/endless");
    assert_int_equal(f->answer.reason, REASON_SERVER_ANSWER);
    assert_true(f->answer.size <= 64 * 1024);
}

static void send_body(struct fixture *f, size_t size, size_t maximum) {
    CLEANUP_FREE char *body = malloc(size);
    char url[128];
    memset(body, 'x', size);
    snprintf(url, sizeof(url), "%s/echo", peer_url(f->peer));
    const struct http_request request = {
        .method = HTTP_PUT,
        .url = url,
        .body = body,
        .body_size = size,
        .maximum = maximum,
        .deadline_ms = 20000,
        .done = on_done,
        .userdata = f,
    };
    f->done = false;
    assert_int_equal(http_client_send(f->client, &request, NULL), 0);
    peer_run_until(&f->loop, &f->done);
}

static void the_limit_is_exact(void **state) {
    struct fixture *f = *state;
    open_client(f, f->pin, false);
    send_body(f, 1000, 1000);
    assert_int_equal(f->answer.reason, REASON_NONE);
    assert_int_equal(f->answer.size, 1000);
    send_body(f, 1001, 1000);
    assert_int_equal(f->answer.reason, REASON_SERVER_ANSWER);
}

static void cancelled_transfers_stay_silent(void **state) {
    struct fixture *f = *state;
    char url[128];
    struct http_transfer *transfer;
    open_client(f, f->pin, false);
    snprintf(url, sizeof(url), "%s/silent", peer_url(f->peer));
    const struct http_request request = {
        .url = url, .maximum = 1, .deadline_ms = 20000, .done = on_done, .userdata = f};
    assert_int_equal(http_client_send(f->client, &request, &transfer), 0);
    assert_int_equal(http_client_send(f->client, &request, NULL), 0);
    http_transfer_cancel(transfer);
    get(f, "/"); /* closing with one under way is tear_down's */
    assert_string_equal(f->body, "good");
}

static void a_retired_client_ends_its_transfers(void **state) {
    struct fixture *f = *state;
    char url[128];
    open_client(f, f->pin, false);
    snprintf(url, sizeof(url), "%s/", peer_url(f->peer));
    const struct http_request request = {
        .url = url, .maximum = 100, .deadline_ms = 20000, .done = on_done, .userdata = f};
    assert_int_equal(http_client_send(f->client, &request, NULL), 0);
    bool closed = false;
    http_client_retire(TAKE_PTR(f->client), peer_set_true, &closed);
    peer_run_until(&f->loop, &closed);
    assert_true(f->done);
    assert_string_equal(f->body, "good");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(pinned_ca_is_trusted),
        TEST(pinned_leaf_is_trusted),
        TEST(other_ca_is_refused),
        TEST(system_trust_refuses_private_ca),
        TEST(other_name_is_refused),
        TEST(expired_server_is_refused),
        TEST(unrelated_pinned_certificate_is_refused),
        TEST(client_leaf_is_refused_as_server),
        TEST(certificate_is_presented),
        TEST(connection_is_reused),
        TEST(connection_of_another_network_is_not_reused),
        TEST(connection_of_just_before_is_not_reused_later),
        TEST(redirect_is_not_followed),
        TEST(lost_and_half_answers_are_unreachable),
        TEST(large_answers_are_cut_off),
        TEST(the_limit_is_exact),
        TEST(cancelled_transfers_stay_silent),
        TEST(a_retired_client_ends_its_transfers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
