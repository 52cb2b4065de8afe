/* The portal, the status endpoint and the CRLs of a running server, asked as browsers and proxies
 * ask. */
#include "running.h"

#include "server/portal_token.h"

struct fixture {
    struct running *running;
    struct managed managed;
};

static int group_setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    void *running;

    if (running_setup(&running, NULL) < 0)
        return -1;
    f->running = running;
    managed_setup(f->running, "u1", &f->managed);
    *state = f;
    return 0;
}

static int group_teardown(void **state) {
    struct fixture *f = *state;
    void *running = f->running;

    managed_teardown(&f->managed);
    free(f);
    return running_teardown(&running);
}

/* --- asking --- */

static void get(
    struct fixture *f, const char *path, const struct client_identity *identity, const char *header,
    const char *second_header, struct answer *ret) {
    const struct call call = {
        .listener = HTTP_LISTENER_PORTAL,
        .path = path,
        .headers = {header, second_header},
        .identity = identity,
    };

    client_call(f->running, &call, ret);
}

static void text_of(const struct answer *answer, const char *name, char *ret, size_t size) {
    CLEANUP_JSON struct json_object *object = answer_json(answer);
    struct json_object *value = NULL;

    ret[0] = '\0';
    if (json_object_object_get_ex(object, name, &value))
        snprintf(ret, size, "%s", json_object_get_string(value));
}

static void expect(const struct answer *answer, const char *name, const char *expected) {
    char text[512];

    text_of(answer, name, text, sizeof(text));
    assert_string_equal(text, expected);
}

/* What stands between `before` and the next quote in the page. */
static void cut(const struct answer *answer, const char *before, char *ret, size_t size) {
    const char *begin = strstr((const char *)answer->body.data, before);

    assert_non_null(begin);
    begin += strlen(before);
    snprintf(ret, size, "%.*s", (int)strcspn(begin, "\"<"), begin);
}

struct visit {
    char cookie[256], check_path[256], check_host[300];
};

static void visit_from_url(const char *url, struct visit *ret) {
    const char *path = strstr(url, "/check?");
    const char *host = url + strlen("https://");

    assert_non_null(path);
    snprintf(ret->check_path, sizeof(ret->check_path), "%s", path);
    snprintf(ret->check_host, sizeof(ret->check_host), "Host: %.*s", (int)(path - host), host);
}

static void begin_visit(struct fixture *f, struct visit *ret) {
    CLEANUP_ANSWER struct answer page;
    char url[512];
    const char *cookie;

    get(f, "/", NULL, NULL, NULL, &page);
    assert_int_equal(page.status, 200);
    cut(&page, "data-status=\"", url, sizeof(url));
    assert_string_equal(url, "checking");
    cut(&page, "data-check=\"", url, sizeof(url));
    visit_from_url(url, ret);
    cookie = strcasestr((char *)page.headers.data, "Set-Cookie: ");
    assert_non_null(cookie);
    cookie += strlen("Set-Cookie: ");
    snprintf(ret->cookie, sizeof(ret->cookie), "Cookie: %.*s", (int)strcspn(cookie, ";"), cookie);
}

static void check(
    struct fixture *f, const struct visit *visit, const struct client_identity *identity, char *ret,
    size_t size) {
    CLEANUP_ANSWER struct answer answer;

    get(f, visit->check_path, identity, visit->check_host, "Origin: " PORTAL_URL, &answer);
    assert_int_equal(answer.status, 200);
    text_of(&answer, "answer", ret, size);
}

static void submit(
    struct fixture *f, const char *cookie, const char *answer_text,
    const struct client_identity *identity, struct answer *ret) {
    char body[512];
    const struct call call = {
        .listener = HTTP_LISTENER_PORTAL,
        .method = "POST",
        .path = "/session",
        .body = body,
        .headers = {"Content-Type: application/json", "Origin: " PORTAL_URL, cookie},
        .identity = identity,
    };

    if (answer_text)
        snprintf(body, sizeof(body), "{\"answer\":\"%s\"}", answer_text);
    else
        snprintf(body, sizeof(body), "{\"answer\":null}");
    client_call(f->running, &call, ret);
}

/* Page, check, session, as the page's script does it. */
static void whole_check(
    struct fixture *f, const struct client_identity *on_check_host, struct answer *ret) {
    struct visit visit;
    char answer[PORTAL_ANSWER_SIZE];

    begin_visit(f, &visit);
    check(f, &visit, on_check_host, answer, sizeof(answer));
    submit(f, visit.cookie, answer, NULL, ret);
}

/* --- the check --- */

static void test_certificate_on_the_fresh_host_is_trusted(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer answer;
    char serial[X509_SERIAL_HEX_SIZE];

    whole_check(f, &f->managed.user_identity, &answer);
    assert_int_equal(answer.status, 200);
    x509_serial_hex(f->managed.user_identity.certificate, serial);
    expect(&answer, "status", "trusted");
    expect(&answer, "code", "none");
    expect(&answer, "serial", serial);
    expect(&answer, "device", f->managed.device);
    expect(&answer, "user", "Person u1 (u1)");
    expect(&answer, "user_id", "u1");
}

static void test_no_certificate(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer answer;

    whole_check(f, NULL, &answer);
    expect(&answer, "status", "unmanaged");
    expect(&answer, "code", "no-certificate");
    expect(&answer, "serial", "");
}

static void test_certificate_of_another_kind(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer answer = {0}, own = {0};

    whole_check(f, &f->managed.device_identity, &answer);
    expect(&answer, "status", "unmanaged");
    expect(&answer, "code", "wrong-certificate");
    expect(&answer, "device", "");
    get(f, "/", &f->managed.device_identity, "Accept: application/json", NULL, &own);
    expect(&own, "status", "unmanaged");
    expect(&own, "code", "wrong-certificate");
}

static void test_next_check_begins_where_the_last_ended(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer first = {0}, second = {0};
    struct visit visit;
    char answer[PORTAL_ANSWER_SIZE], url[512];

    begin_visit(f, &visit);
    check(f, &visit, NULL, answer, sizeof(answer));
    submit(f, visit.cookie, answer, NULL, &first);
    text_of(&first, "next", url, sizeof(url));
    visit_from_url(url, &visit);
    check(f, &visit, &f->managed.user_identity, answer, sizeof(answer));
    submit(f, visit.cookie, answer, NULL, &second);
    expect(&second, "status", "trusted");
}

static void test_answer_counts_once_and_in_its_session_only(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer none = {0}, other = {0}, good = {0}, again = {0};
    struct visit visit, stranger;
    char answer[PORTAL_ANSWER_SIZE];

    begin_visit(f, &visit);
    begin_visit(f, &stranger);
    assert_string_not_equal(visit.check_host, stranger.check_host);
    check(f, &visit, &f->managed.user_identity, answer, sizeof(answer));
    submit(f, NULL, answer, NULL, &none);
    assert_int_equal(none.status, 403);
    expect(&none, "status", "unmanaged");
    expect(&none, "code", "check-failed");
    submit(f, stranger.cookie, answer, NULL, &other);
    assert_int_equal(other.status, 403);
    expect(&other, "status", "unmanaged");
    submit(f, visit.cookie, answer, NULL, &good);
    expect(&good, "status", "trusted");
    submit(f, visit.cookie, answer, NULL, &again);
    assert_int_equal(again.status, 403);
    expect(&again, "status", "unmanaged");
}

static void test_check_that_did_not_end(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer answer = {0}, own = {0};
    struct visit visit;

    begin_visit(f, &visit);
    submit(f, visit.cookie, NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    expect(&answer, "status", "unmanaged");
    expect(&answer, "code", "check-failed");
    /* the page's own connection counts still */
    submit(f, visit.cookie, NULL, &f->managed.user_identity, &own);
    expect(&own, "status", "trusted");
}

static void test_without_scripts(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer there = {0}, back = {0}, reload = {0}, cookieless = {0};
    struct visit visit;
    char path[300], location[512], status[32];
    const char *header;

    begin_visit(f, &visit);
    snprintf(path, sizeof(path), "%s&return=1", visit.check_path);
    get(f, path, &f->managed.user_identity, visit.check_host, NULL, &there);
    assert_int_equal(there.status, 303);
    header = strcasestr((char *)there.headers.data, "Location: " PORTAL_URL "/?answer=");
    assert_non_null(header);
    header += strlen("Location: " PORTAL_URL);
    snprintf(location, sizeof(location), "%.*s", (int)strcspn(header, "\r"), header);
    get(f, location, NULL, NULL, NULL, &cookieless);
    cut(&cookieless, "data-status=\"", status, sizeof(status));
    assert_string_equal(status, "unmanaged"); /* and no refresh: it would never end */
    assert_null(strstr((char *)cookieless.body.data, "http-equiv"));
    get(f, location, NULL, visit.cookie, NULL, &back);
    cut(&back, "data-status=\"", status, sizeof(status));
    assert_string_equal(status, "trusted");
    assert_null(strstr((char *)back.body.data, "http-equiv"));
    get(f, location, NULL, visit.cookie, NULL, &reload);
    cut(&reload, "data-status=\"", status, sizeof(status));
    assert_string_equal(status, "checking");
    assert_non_null(strstr((char *)reload.body.data, "<noscript><meta http-equiv=\"refresh\""));
}

/* --- the page's own connection --- */

static void test_own_connection(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer page = {0}, json = {0};
    char text[64];

    get(f, "/", &f->managed.user_identity, NULL, NULL, &page);
    cut(&page, "data-status=\"", text, sizeof(text));
    assert_string_equal(text, "trusted");
    cut(&page, "data-field=\"device\">", text, sizeof(text));
    assert_string_equal(text, f->managed.device);
    get(f, "/", &f->managed.user_identity, "Accept: application/json", NULL, &json);
    expect(&json, "status", "trusted");
}

static void report_installed(struct fixture *f, const char *request_id, X509 *leaf) {
    CLEANUP_ANSWER struct answer answer;
    char body[400], serial[X509_SERIAL_HEX_SIZE];
    const struct call call = {
        .listener = HTTP_LISTENER_DEVICES,
        .method = "PUT",
        .path = "/v1/report",
        .body = body,
        .headers = {"Content-Type: application/json"},
        .identity = &f->managed.device_identity,
    };

    x509_serial_hex(leaf, serial);
    snprintf(
        body, sizeof(body),
        "{\"user\":\"u1\",\"request_id\":\"%s\",\"outcome\":\"installed\",\"serial\":\"%s\","
        "\"not_after\":0,\"code\":\"none\",\"stores\":[]}",
        request_id, serial);
    client_call(f->running, &call, &answer);
    assert_int_equal(answer.status, 204);
}

/* A renewal: the browser still presents the old certificate where it has been, so the page looks
 * further, and finds the new one. */
static void test_superseded_certificate_is_checked_anew(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer issued = {0}, page = {0}, json = {0}, verdict = {0};
    struct client_identity fresh = {.key = make_key()};
    struct visit visit;
    char serial[X509_SERIAL_HEX_SIZE], request_id[37], status[32], answer[PORTAL_ANSWER_SIZE];

    report_installed(f, f->managed.request_id, f->managed.user_identity.certificate);
    random_uuid(&random_system, request_id);
    post_user_request(
        f->running, &f->managed.device_identity, fresh.key, "u1", request_id, &issued);
    fresh.certificate = answer_leaf(&issued);
    report_installed(f, request_id, fresh.certificate);
    assert_int_equal(
        status_of(f->running, f->managed.user_identity.certificate).state, CERTIFICATE_SUPERSEDED);
    get(f, "/", &f->managed.user_identity, NULL, NULL, &page);
    cut(&page, "data-status=\"", status, sizeof(status));
    assert_string_equal(status, "checking");
    /* it is good still, for whoever cannot look further */
    get(f, "/", &f->managed.user_identity, "Accept: application/json", NULL, &json);
    expect(&json, "status", "trusted");
    begin_visit(f, &visit);
    check(f, &visit, &fresh, answer, sizeof(answer));
    submit(f, visit.cookie, answer, &f->managed.user_identity, &verdict);
    x509_serial_hex(fresh.certificate, serial);
    expect(&verdict, "status", "trusted");
    expect(&verdict, "serial", serial);
    client_identity_deinit(&f->managed.user_identity);
    f->managed.user_identity = fresh;
}

static void expect_after(struct fixture *f, const char *status, const char *code) {
    CLEANUP_ANSWER struct answer checked = {0}, own = {0};

    whole_check(f, &f->managed.user_identity, &checked);
    expect(&checked, "status", status);
    expect(&checked, "code", code);
    get(f, "/", &f->managed.user_identity, "Accept: application/json", NULL, &own);
    expect(&own, "status", status);
    expect(&own, "code", code);
}

static void test_what_the_administrator_does_shows_at_once(void **state) {
    struct fixture *f = *state;

    expect_after(f, "trusted", "none");
    must(f->running, "distribution", "{\"value\":\"paused\"}");
    expect_after(f, "unmanaged", "distribution-paused");
    must(f->running, "distribution", "{\"value\":\"on\"}");
    expect_after(f, "trusted", "none");
    atomic_store(&running_clock_shift_s, 40LL * 86400);
    expect_after(f, "unmanaged", "expired");
    atomic_store(&running_clock_shift_s, 0);
    expect_after(f, "trusted", "none");
}

/* --- references --- */

static void explained(struct fixture *f, const char *reference, const char *name, char ret[256]) {
    char arguments[64];
    struct json_object *value = NULL;

    snprintf(arguments, sizeof(arguments), "{\"reference\":\"%s\"}", reference);
    CLEANUP_JSON struct json_object *answer = command(f->running, "explain", arguments, 200);
    ret[0] = '\0';
    if (json_object_object_get_ex(answer, name, &value))
        snprintf(ret, 256, "%s", json_object_get_string(value));
}

static void expect_explained(
    struct fixture *f, const char *reference, const char *name, const char *expected) {
    char text[256];

    explained(f, reference, name, text);
    assert_string_equal(text, expected);
}

static void test_a_denial_is_explained(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer denied = {0}, trusted = {0}, again = {0};
    char reference[64], serial[X509_SERIAL_HEX_SIZE];

    must(f->running, "distribution", "{\"value\":\"paused\"}");
    whole_check(f, &f->managed.user_identity, &denied);
    text_of(&denied, "reference", reference, sizeof(reference));
    assert_memory_equal(reference, "DT-06-", 6);
    whole_check(f, &f->managed.user_identity, &again);
    expect(&again, "reference", reference);
    x509_serial_hex(f->managed.user_identity.certificate, serial);
    expect_explained(f, reference, "code", "distribution-paused");
    expect_explained(f, reference, "user", "u1");
    expect_explained(f, reference, "device", f->managed.device);
    expect_explained(f, reference, "serial", serial);
    expect_explained(f, reference, "now", "distribution-paused");
    must(f->running, "distribution", "{\"value\":\"on\"}");
    expect_explained(f, reference, "now", "managed");
    whole_check(f, &f->managed.user_identity, &trusted);
    expect(&trusted, "reference", "");
}

/* Somebody without a certificate is told nothing of anybody, and the help desk only what he was. */
static void test_a_stranger_is_explained(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer denied = {0};
    char reference[64], hint[512];

    get(f, "/", NULL, "Accept: application/json", "User-Agent: Gecko/20100101 Firefox/153.0",
        &denied);
    text_of(&denied, "reference", reference, sizeof(reference));
    text_of(&denied, "hint", hint, sizeof(hint));
    assert_non_null(strstr(hint, "Firefox"));
    expect_explained(f, reference, "code", "no-certificate");
    expect_explained(f, reference, "browser", "Firefox");
    expect_explained(f, reference, "user", "");
    expect_explained(f, reference, "now", "");
}

static void test_references_that_are_none(void **state) {
    struct fixture *f = *state;

    json_object_put(
        command(f->running, "explain", "{\"reference\":\"DT-01-ZZZZZZ4\"}", 404)); /* good form */
    json_object_put(command(f->running, "explain", "{\"reference\":\"DT-01-ZZZZZZ5\"}", 400));
    json_object_put(command(f->running, "explain", "{\"reference\":\"x\"}", 400));
}

/* The visitor's clock, `shift_s` from the portal's, and what he is told. */
static void expect_with_clock(
    struct fixture *f, const struct client_identity *identity, int64_t shift_s, const char *code) {
    CLEANUP_ANSWER struct answer answer = {0};
    struct visit visit;
    char proof[PORTAL_ANSWER_SIZE], body[PORTAL_ANSWER_SIZE + 64];
    const struct call call = {
        .listener = HTTP_LISTENER_PORTAL,
        .method = "POST",
        .path = "/session",
        .body = body,
        .headers = {"Content-Type: application/json", visit.cookie},
    };

    begin_visit(f, &visit);
    check(f, &visit, identity, proof, sizeof(proof));
    snprintf(
        body, sizeof(body), "{\"answer\":\"%s\",\"now\":%lld}", proof,
        (long long)(running_wall(NULL) + shift_s));
    client_call(f->running, &call, &answer);
    expect(&answer, "code", code);
}

static void test_a_wrong_clock_is_named(void **state) {
    struct fixture *f = *state;

    expect_with_clock(f, NULL, 0, "no-certificate");
    expect_with_clock(f, NULL, -86400, "clock");
    expect_with_clock(f, NULL, 86400, "clock");
    expect_with_clock(f, &f->managed.user_identity, 86400, "none"); /* it changes words alone */
    expect_with_clock(f, &f->managed.device_identity, 86400, "wrong-certificate");
}

/* --- hostile surroundings --- */

static void test_other_origins_and_hosts(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer evil = {0}, wrong = {0}, page = {0}, none = {0}, post = {0};
    struct visit visit;
    const struct call call = {
        .listener = HTTP_LISTENER_PORTAL,
        .method = "POST",
        .path = "/session",
        .body = "{\"answer\":null}",
        .headers = {"Content-Type: application/json", "Origin: https://evil.example"},
    };

    begin_visit(f, &visit);
    get(f, visit.check_path, &f->managed.user_identity, visit.check_host,
        "Origin: https://evil.example", &evil);
    expect_problem(&evil, 403, "check-failed");
    assert_null(strcasestr((char *)evil.headers.data, "Access-Control-Allow-Origin"));
    get(f, visit.check_path, NULL, NULL, NULL, &wrong); /* the portal's own name */
    expect_problem(&wrong, 421, "check-failed");
    get(f, "/check?n=00", NULL, visit.check_host, NULL, &none);
    expect_problem(&none, 400, "check-failed");
    get(f, "/", NULL, visit.check_host, NULL, &page);
    assert_int_equal(page.status, 302);
    client_call(f->running, &call, &post);
    expect_problem(&post, 403, "check-failed");
}

static void post_body(struct fixture *f, const char *type, const char *body, long status) {
    CLEANUP_ANSWER struct answer answer;
    const struct call call = {
        .listener = HTTP_LISTENER_PORTAL,
        .method = "POST",
        .path = "/session",
        .body = body,
        .headers = {type},
    };

    client_call(f->running, &call, &answer);
    assert_int_equal(answer.status, status);
}

static void test_bad_bodies(void **state) {
    struct fixture *f = *state;

    post_body(f, "Content-Type: text/plain", "{\"answer\":null}", 415);
    post_body(f, "Content-Type: application/jsonx", "{\"answer\":null}", 415);
    post_body(f, "Content-Type: application/json", "answer=1", 400);
    post_body(f, "Content-Type: application/json", "{\"answer\":1}", 400);
    post_body(f, "Content-Type: application/json", "{\"answer\":\"\"}", 400);
    post_body(f, "Content-Type: application/json", "{\"answer\":\"zz\"}", 403);
    post_body(f, "Content-Type: application/json; charset=utf-8", "{}", 403); /* no session */
}

static void test_page_headers(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer page = {0};
    const char *headers;

    get(f, "/", NULL, NULL, NULL, &page);
    headers = (const char *)page.headers.data;
    assert_non_null(strcasestr(headers, "default-src 'none'"));
    assert_non_null(strcasestr(headers, "https://*.check.localhost:9443"));
    assert_null(strcasestr(headers, "unsafe-inline"));
    assert_non_null(strcasestr(headers, "Set-Cookie: __Host-"));
    assert_non_null(strcasestr(headers, "; Path=/; Secure; HttpOnly; SameSite=Lax"));
    assert_non_null(strcasestr(headers, "Cache-Control: no-store"));
    assert_null(strstr((char *)page.body.data, "{{"));
    assert_null(strstr((char *)page.body.data, "style=")); /* the policy would drop it */
}

static void test_assets(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer script = {0}, style = {0};

    get(f, "/portal.js", NULL, NULL, NULL, &script);
    assert_int_equal(script.status, 200);
    assert_non_null(strcasestr((char *)script.headers.data, "text/javascript"));
    get(f, "/portal.css", NULL, NULL, NULL, &style);
    assert_int_equal(style.status, 200);
    assert_non_null(strcasestr((char *)style.headers.data, "text/css"));
}

/* --- the status endpoint --- */

static long auth(struct fixture *f, const char *header, const char *second) {
    CLEANUP_ANSWER struct answer admin, portal;
    struct call call = {
        .listener = HTTP_LISTENER_ADMIN,
        .path = "/v1/auth",
        .headers = {header, second},
    };

    client_call(f->running, &call, &admin);
    call.listener = HTTP_LISTENER_PORTAL;
    client_call(f->running, &call, &portal);
    assert_int_equal(admin.status, portal.status);
    answer_deinit(&portal);
    return admin.status;
}

static void fingerprint_header(X509 *certificate, char *ret, size_t size) {
    uint8_t hash[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];

    x509_cert_sha256(certificate, hash);
    snprintf(ret, size, "X-Client-Cert-Sha256: %s", hex_encode(hash, sizeof(hash), hex));
}

static void der_header(X509 *certificate, char *ret, size_t size) {
    char *text;

    x509_cert_to_base64(certificate, &text);
    snprintf(ret, size, "Client-Cert: :%s:", text);
    free(text);
}

static void pem_header(X509 *certificate, char *ret, size_t size) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    long length;
    size_t used = (size_t)snprintf(ret, size, "X-Client-Cert-Pem: ");

    PEM_write_bio_X509(bio, certificate);
    length = BIO_get_mem_data(bio, &data);
    for (long i = 0; i < length; i++)
        used += (size_t)snprintf(
            ret + used, size - used, strchr("\n +/=", data[i]) ? "%%%02X" : "%c",
            (unsigned char)data[i]);
    BIO_free(bio);
}

static void test_auth_forms(void **state) {
    struct fixture *f = *state;
    static void (*const forms[])(X509 *, char *, size_t) = {
        fingerprint_header, der_header, pem_header};
    char header[8192];

    for (size_t i = 0; i < ARRAY_LENGTH(forms); i++) {
        forms[i](f->managed.user_identity.certificate, header, sizeof(header));
        assert_int_equal(auth(f, header, NULL), 204);
        forms[i](f->managed.device_identity.certificate, header, sizeof(header));
        assert_int_equal(auth(f, header, NULL), 403);
    }
}

static void test_auth_refusals(void **state) {
    struct fixture *f = *state;
    static const char *const bad[] = {
        "X-Client-Cert-Sha256: 00",
        "X-Client-Cert-Sha256: zz",
        "X-Client-Cert-Sha256: 0000000000000000000000000000000000000000000000000000000000000000",
        "Client-Cert: ::",
        "Client-Cert: :AAAA:",
        "Client-Cert: AAAA",
        "X-Client-Cert-Pem: %",
        "X-Client-Cert-Pem: %4",
        "X-Client-Cert-Pem: -----BEGIN",
        "X-Client-Cert-Pem: %00",
    };
    char good[256], other[8192];

    assert_int_equal(auth(f, NULL, NULL), 401);
    assert_int_equal(auth(f, "Client-Cert;", NULL), 401); /* sent, and empty */
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(auth(f, bad[i], NULL), 403);
    /* a client's own header beside the proxy's */
    fingerprint_header(f->managed.user_identity.certificate, good, sizeof(good));
    der_header(f->managed.user_identity.certificate, other, sizeof(other));
    assert_int_equal(auth(f, good, good), 403);
    assert_int_equal(auth(f, good, other), 403);
    assert_int_equal(auth(f, other, bad[2]), 403);
}

/* What a proxy may hand on: no demand for a password, and who it is or why not. */
static void test_auth_headers(void **state) {
    struct fixture *f = *state;
    CLEANUP_ANSWER struct answer none = {0}, device = {0}, user = {0};
    char header[256];
    struct call call = {
        .listener = HTTP_LISTENER_ADMIN, .path = "/v1/auth", .headers = {NULL, NULL}};

    client_call(f->running, &call, &none);
    assert_null(strcasestr((char *)none.headers.data, "Basic"));
    assert_non_null(strcasestr((char *)none.headers.data, "X-Devtrust-Reason: no-certificate"));
    call.headers[0] = header;
    fingerprint_header(f->managed.device_identity.certificate, header, sizeof(header));
    client_call(f->running, &call, &device);
    assert_non_null(
        strcasestr((char *)device.headers.data, "X-Devtrust-Reason: wrong-certificate"));
    fingerprint_header(f->managed.user_identity.certificate, header, sizeof(header));
    client_call(f->running, &call, &user);
    assert_non_null(strcasestr((char *)user.headers.data, "X-Devtrust-User: u1"));
    assert_non_null(strcasestr((char *)user.headers.data, f->managed.device));
}

/* --- CRLs --- */

static X509_CRL *fetch_crl(struct fixture *f, const char *path) {
    CLEANUP_ANSWER struct answer answer;
    const struct call call = {.listener = HTTP_LISTENER_ADMIN, .path = path};
    const unsigned char *p;
    X509_CRL *crl;

    client_call(f->running, &call, &answer);
    assert_int_equal(answer.status, 200);
    p = answer.body.data;
    crl = d2i_X509_CRL(NULL, &p, (long)answer.body.size);
    assert_non_null(crl);
    return crl;
}

static bool lists(X509_CRL *crl, X509 *certificate) {
    X509_REVOKED *revoked;

    return X509_CRL_get0_by_serial(crl, &revoked, X509_get_serialNumber(certificate)) == 1;
}

/* Last, since it revokes. */
static void test_revocation_shows_in_page_endpoint_and_crl(void **state) {
    struct fixture *f = *state;
    char header[256], serial[X509_SERIAL_HEX_SIZE];
    X509 *leaf = f->managed.user_identity.certificate;
    X509_CRL *crl = fetch_crl(f, "/crl/trust.crl");
    bool listed = false;

    assert_false(lists(crl, leaf));
    X509_CRL_free(crl);
    x509_serial_hex(leaf, serial);
    must(f->running, "certificate-revoke", "{\"serial\":\"%s\"}", serial);
    expect_after(f, "unmanaged", "revoked");
    fingerprint_header(leaf, header, sizeof(header));
    assert_int_equal(auth(f, header, NULL), 403);
    /* a list that was just built stands for a moment, so as not to be built all the time */
    for (int i = 0; i < 10000 && !listed; i++) {
        crl = fetch_crl(f, "/crl/trust.crl");
        listed = lists(crl, leaf);
        X509_CRL_free(crl);
    }
    assert_true(listed);
    crl = fetch_crl(f, "/crl/device.crl");
    assert_false(lists(crl, leaf));
    X509_CRL_free(crl);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate_on_the_fresh_host_is_trusted),
        cmocka_unit_test(test_no_certificate),
        cmocka_unit_test(test_certificate_of_another_kind),
        cmocka_unit_test(test_next_check_begins_where_the_last_ended),
        cmocka_unit_test(test_answer_counts_once_and_in_its_session_only),
        cmocka_unit_test(test_check_that_did_not_end),
        cmocka_unit_test(test_without_scripts),
        cmocka_unit_test(test_own_connection),
        cmocka_unit_test(test_superseded_certificate_is_checked_anew),
        cmocka_unit_test(test_what_the_administrator_does_shows_at_once),
        cmocka_unit_test(test_a_denial_is_explained),
        cmocka_unit_test(test_a_stranger_is_explained),
        cmocka_unit_test(test_references_that_are_none),
        cmocka_unit_test(test_a_wrong_clock_is_named),
        cmocka_unit_test(test_other_origins_and_hosts),
        cmocka_unit_test(test_bad_bodies),
        cmocka_unit_test(test_page_headers),
        cmocka_unit_test(test_assets),
        cmocka_unit_test(test_auth_forms),
        cmocka_unit_test(test_auth_refusals),
        cmocka_unit_test(test_auth_headers),
        cmocka_unit_test(test_revocation_shows_in_page_endpoint_and_crl),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
