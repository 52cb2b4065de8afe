/* HTTP and TLS at their bounds: sizes, methods, versions, peers that say nothing or do not read. */
#include "running.h"

#include "server/event_hub.h"

static int group_setup(void **state) {
    return running_setup(state, NULL);
}

/* --- requests --- */

static void test_header_bound(void **state) {
    struct running *running = *state;
    static char header[HTTP_MAX_HEADERS + 64] = "X-Large: ";
    CLEANUP_ANSWER struct answer good, bad;
    const struct call call = {
        .listener = HTTP_LISTENER_DEVICES,
        .path = "/.well-known/est/cacerts",
        .headers = {header},
    };
    memset(header + 9, 'a', HTTP_MAX_HEADERS - 1024);
    client_call(running, &call, &good);
    assert_int_equal(good.status, 200);
    memset(header + 9, 'a', HTTP_MAX_HEADERS + 16);
    client_call(running, &call, &bad);
    assert_int_equal(bad.status, 400);
}

static long put_report(struct running *running, const char *body, size_t size) {
    CLEANUP_ANSWER struct answer answer;
    const struct call call = {
        .listener = HTTP_LISTENER_COMMAND,
        .method = "POST",
        .path = "/v1/command/status",
        .body = body,
        .size = size,
    };
    (void)client_try(running, &call, &answer);
    return answer.status;
}

static void test_body_bound(void **state) {
    struct running *running = *state;
    size_t huge = 31 * 1024 * 1024;
    char *body = malloc(huge);
    memset(body, ' ', huge);
    body[0] = '{';
    body[HTTP_MAX_BODY - 1] = '}';
    assert_int_equal(put_report(running, body, HTTP_MAX_BODY), 200);
    assert_int_equal(put_report(running, body, HTTP_MAX_BODY + 1), 413);
    /* the connection may be cut before all was sent, which is no answer at all */
    long status = put_report(running, body, huge);
    assert_true(status == 413 || status == 0);
    assert_int_equal(put_report(running, "{}", 2), 200);
    free(body);
}

static void test_methods(void **state) {
    struct running *running = *state;
    CLEANUP_ANSWER struct answer wrong, unknown, head;
    struct call call = {
        .listener = HTTP_LISTENER_DEVICES, .method = "POST", .path = "/.well-known/est/cacerts"};
    client_call(running, &call, &wrong);
    assert_int_equal(wrong.status, 405);
    assert_non_null(strcasestr((char *)wrong.headers.data, "\r\nAllow: GET\r\n"));
    call.method = "TRACE";
    client_call(running, &call, &unknown);
    assert_int_equal(unknown.status, 501);
    call.path = "/%2e%2e/v1/state";
    call.method = "GET";
    client_call(running, &call, &head);
    assert_int_equal(head.status, 404);
}

/* HEAD is GET without a body, for a stream too. */
static void test_head(void **state) {
    struct running *running = *state;
    char uuid[37], text[1024];
    static const char head[] = "HEAD /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"
                               "HEAD /v1/state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    int fd = client_connect(running, HTTP_LISTENER_DEVICES);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate(context, device.certificate);
    SSL_CTX_use_PrivateKey(context, device.key);
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    assert_int_equal(SSL_connect(tls), 1);
    assert_true(SSL_write(tls, head, sizeof(head) - 1) > 0);
    size_t size = 0;
    int count;
    while ((count = SSL_read(tls, text + size, (int)(sizeof(text) - 1 - size))) > 0)
        size += (size_t)count;
    text[size] = '\0';
    assert_non_null(strstr(text, "text/event-stream"));
    assert_non_null(strstr(text, "application/json"));
    assert_null(strstr(text, "epoch\""));
    SSL_free(tls);
    SSL_CTX_free(context);
    close(fd);
}

/* --- TLS --- */

static SSL *connect_tls(struct running *running, int version, int *ret_fd) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    *ret_fd = client_connect(running, HTTP_LISTENER_DEVICES);
    SSL *tls = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_fd(tls, *ret_fd);
    return tls;
}

static void test_versions(void **state) {
    struct running *running = *state;
    static const struct {
        int version;
        int good;
    } versions[] = {{TLS1_1_VERSION, false}, {TLS1_2_VERSION, true}, {TLS1_3_VERSION, true}};
    for (size_t i = 0; i < ARRAY_LENGTH(versions); i++) {
        int fd;
        SSL *tls = connect_tls(running, versions[i].version, &fd);
        assert_int_equal(SSL_connect(tls) == 1, versions[i].good);
        SSL_free(tls);
        close(fd);
    }
}

/* The server's own name and CA, and which CA it names for which listener. */
static void expect_ca_list(
    struct running *running, enum http_listener listener, enum ca_kind kind) {
    struct server *server = serving_server(running->serving);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int fd = client_connect(running, listener);
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    assert_int_equal(SSL_connect(tls), 1);
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(tls);
    assert_int_equal(sk_X509_NAME_num(names), 1);
    assert_int_equal(
        X509_NAME_cmp(
            sk_X509_NAME_value(names, 0), X509_get_subject_name(ca_issuer(server->ca, kind))),
        0);
    SSL_free(tls);
    SSL_CTX_free(context);
    close(fd);
}

static void test_ca_lists(void **state) {
    expect_ca_list(*state, HTTP_LISTENER_DEVICES, CA_DEVICE);
    expect_ca_list(*state, HTTP_LISTENER_PORTAL, CA_TRUST);
}

/* Plain HTTP on a TLS port, and noise, end the connection and nothing else. */
static void test_noise(void **state) {
    struct running *running = *state;
    static const char *const noises[] = {
        "GET /v1/state HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\xff\xff\x01", "\x80\x80\x80"};
    for (size_t i = 0; i < ARRAY_LENGTH(noises); i++) {
        char text[64];
        int fd = client_connect(running, HTTP_LISTENER_DEVICES);
        assert_true(send(fd, noises[i], strlen(noises[i]), MSG_NOSIGNAL) > 0);
        shutdown(fd, SHUT_WR);
        while (recv(fd, text, sizeof(text), 0) > 0)
            ;
        close(fd);
    }
    CLEANUP_ANSWER struct answer answer;
    get_as(running, NULL, "/.well-known/est/cacerts", &answer);
    assert_int_equal(answer.status, 200);
}

/* A session that was made with one certificate stands for it when it is resumed, and for no other
 * listener. */
static void test_resumption_keeps_the_peer(void **state) {
    struct running *running = *state;
    char uuid[37], text[4096];
    static const char get[] = "GET /v1/state HTTP/1.1\r\nHost: localhost\r\n\r\n";
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate(context, device.certificate);
    SSL_CTX_use_PrivateKey(context, device.key);
    SSL_SESSION *session = NULL;
    for (int round = 0; round < 2; round++) {
        int fd = client_connect(running, HTTP_LISTENER_DEVICES);
        SSL *tls = SSL_new(context);
        SSL_set_fd(tls, fd);
        if (session)
            SSL_set_session(tls, session);
        assert_int_equal(SSL_connect(tls), 1);
        assert_int_equal(SSL_session_reused(tls), round);
        assert_true(SSL_write(tls, get, sizeof(get) - 1) > 0);
        int size = SSL_read(tls, text, sizeof(text) - 1);
        assert_true(size > 0);
        text[size] = '\0';
        assert_non_null(strstr(text, "HTTP/1.1 200 OK"));
        SSL_SESSION_free(session);
        session = SSL_get1_session(tls);
        SSL_shutdown(tls); /* without it, OpenSSL takes the session for a broken one */
        SSL_free(tls);
        close(fd);
    }
    int fd = client_connect(running, HTTP_LISTENER_PORTAL);
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    SSL_set_session(tls, session);
    assert_int_equal(SSL_connect(tls), 1);
    assert_int_equal(SSL_session_reused(tls), 0);
    SSL_free(tls);
    close(fd);
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

/* Peers that leave while their request is with the writer. */
static void test_peers_that_leave(void **state) {
    struct running *running = *state;
    for (int i = 0; i < 40; i++) {
        char token[64], uuid[37], head[512];
        CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
        random_uuid(&random_system, uuid);
        make_token(running, "{}", token);
        CLEANUP_BUFFER struct buffer body = make_request(key, NULL, uuid);
        CLEANUP_BUFFER struct buffer credentials = BUFFER_INIT(256);
        est_base64_encode((const uint8_t *)token, strlen(token), &credentials);
        credentials.data[strcspn((char *)credentials.data, "\n")] = '\0';
        int fd, size = snprintf(
                    head, sizeof(head),
                    "POST /.well-known/est/device/simpleenroll HTTP/1.1\r\nHost: localhost\r\n"
                    "Authorization: Basic %s\r\nContent-Length: %zu\r\n\r\n",
                    (char *)credentials.data, body.size);
        SSL *tls = connect_tls(running, TLS1_3_VERSION, &fd);
        assert_int_equal(SSL_connect(tls), 1);
        assert_int_equal(SSL_write(tls, head, size), size);
        assert_int_equal(SSL_write(tls, body.data, (int)body.size), (int)body.size);
        if (i % 2) {
            const struct linger reset = {.l_onoff = 1};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        }
        close(fd);
        SSL_free(tls);
    }
    json_object_put(command(running, "status", "{}", 200));
}

/* --- streams --- */

struct flood {
    const char *device;
    size_t before, after;
};

/* More events than a peer can take while the loop does nothing else. */
static void run_flood(struct server *server, void *data) {
    struct flood *flood = data;
    flood->before = event_hub_count(server->hub);
    for (int i = 0; i < 1000; i++)
        event_hub_notify(server->hub, flood->device);
    flood->after = event_hub_count(server->hub);
}

/* A peer that does not read is cut off once it owes more than the bound, and nobody else notices.
 */
static void test_slow_reader(void **state) {
    struct running *running = *state;
    char uuid[37], other[37];
    struct event_stream slow, good;
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    CLEANUP(client_identity_deinit) struct client_identity reader = enrol_device(running, other);
    struct flood flood = {.device = uuid};
    event_stream_open(running, &device, &slow);
    assert_true(event_stream_wait(&slow, "event: state"));
    event_stream_open(running, &reader, &good);
    assert_true(event_stream_wait(&good, "event: state"));
    running_call(running, run_flood, &flood);
    assert_int_equal(flood.before, 2);
    assert_int_equal(flood.after, 1);
    assert_false(event_stream_wait(&slow, "never"));
    must(running, "distribution", "{\"value\":\"paused\"}");
    assert_true(event_stream_wait(&good, "event: state"));
    event_stream_close(&slow);
    event_stream_close(&good);
}

/* What a peer sends on its stream is neither read on for ever nor a second request. */
static void test_talkative_reader(void **state) {
    struct running *running = *state;
    char uuid[37];
    static char noise[64 * 1024];
    struct event_stream stream;
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    memset(noise, 'x', sizeof(noise));
    event_stream_open(running, &device, &stream);
    assert_true(event_stream_wait(&stream, "event: state"));
    assert_true(SSL_write(stream.tls, noise, 16000) > 0);
    must(running, "distribution", "{\"value\":\"paused\"}");
    must(running, "distribution", "{\"value\":\"on\"}");
    assert_true(event_stream_wait(&stream, "event: state"));
    event_stream_close(&stream);
}

static void end_requests(struct server *server, void *data) {
    (void)data;
    http_server_end_requests(server->http);
}

static void exchange(int fd, const char *request, char *ret, size_t size) {
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    size_t done = 0;
    while (done + 1 < size && !memmem(ret, done, "\r\n\r\n", 4)) {
        ssize_t count = read(fd, ret + done, size - 1 - done);
        assert_true(count > 0);
        done += (size_t)count;
    }
    ret[done] = '\0';
}

/* The writer is gone while the last answers go out: what comes in on an open connection then must
 * reach no handler. Last, since this server accepts nothing afterwards. */
static void test_requests_at_the_end(void **state) {
    struct running *running = *state;
    static const char request[] = "HEAD /crl/trust.crl HTTP/1.1\r\nHost: x\r\n\r\n";
    char text[2048];
    int fd = client_connect(running, HTTP_LISTENER_ADMIN);
    exchange(fd, request, text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 200"));
    running_call(running, end_requests, NULL);
    exchange(fd, request, text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 503"));
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_bound),
        cmocka_unit_test(test_body_bound),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_ca_lists),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_resumption_keeps_the_peer),
        cmocka_unit_test(test_peers_that_leave),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_talkative_reader),
        cmocka_unit_test(test_requests_at_the_end),
    };
    return cmocka_run_group_tests(tests, group_setup, running_teardown);
}
