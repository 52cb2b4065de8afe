/* EST over real TLS: enrolment by token, renewal, users' certificates; every refusal that
 * docs/SERVER-API.md names, and what a lost reply does. */
#include "running.h"

#define DEVICE_ENROL "/.well-known/est/device/simpleenroll"
#define REENROL "/.well-known/est/device/simplereenroll"
#define USER_ENROL "/.well-known/est/user/simpleenroll"

static int group_setup(void **state) {
    return running_setup(state, NULL);
}

static void post(
    const struct running *running, const char *path, const struct client_identity *identity,
    const char *credentials, const char *body, size_t size, struct answer *ret) {
    const struct call call = {
        .listener = HTTP_LISTENER_DEVICES,
        .method = "POST",
        .path = path,
        .body = body,
        .size = size,
        .credentials = credentials,
        .identity = identity,
    };
    client_call(running, &call, ret);
}

static void post_key(
    const struct running *running, const char *path, const struct client_identity *identity,
    const char *credentials, EVP_PKEY *key, const char *uid, const char *serial,
    struct answer *ret) {
    CLEANUP_BUFFER struct buffer body = make_request(key, uid, serial);
    post(running, path, identity, credentials, (const char *)body.data, body.size, ret);
}

/* --- CA certificates --- */

static void test_cacerts_need_no_certificate(void **state) {
    struct running *running = *state;
    static const char *const paths[] = {
        "/.well-known/est/cacerts", "/.well-known/est/user/cacerts",
        "/.well-known/est/device/cacerts"};
    struct server *server = serving_server(running->serving);
    for (size_t i = 0; i < 3; i++) {
        CLEANUP_ANSWER struct answer answer;
        STACK_OF(X509) *certificates = NULL;
        get_as(running, NULL, paths[i], &answer);
        assert_int_equal(answer.status, 200);
        assert_non_null(
            strcasestr((char *)answer.headers.data, "Content-Type: application/pkcs7-mime"));
        assert_non_null(strcasestr((char *)answer.headers.data, "\r\nDate: "));
        assert_int_equal(
            est_certs_decode((const char *)answer.body.data, answer.body.size, &certificates), 0);
        assert_int_equal(sk_X509_num(certificates), 2);
        X509 *root = ca_root(server->ca, i == 2 ? CA_DEVICE : CA_TRUST);
        assert_true(
            X509_cmp(sk_X509_value(certificates, 0), root) == 0 ||
            X509_cmp(sk_X509_value(certificates, 1), root) == 0);
        sk_X509_pop_free(certificates, X509_free);
    }
    CLEANUP_ANSWER struct answer answer;
    get_as(running, NULL, "/.well-known/est/device/csrattrs", &answer);
    assert_int_equal(answer.status, 204);
}

/* --- tokens --- */

static void test_lost_reply_of_an_enrolment(void **state) {
    struct running *running = *state;
    char token[64], uuid[37];
    CLEANUP_ANSWER struct answer first, second, other;
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
    CLEANUP_EVP_PKEY EVP_PKEY *other_key = make_key();
    random_uuid(&random_system, uuid);
    make_token(running, "{}", token);
    CLEANUP_BUFFER struct buffer body = make_request(key, NULL, uuid);

    post(running, DEVICE_ENROL, NULL, token, (char *)body.data, body.size, &first);
    post(running, DEVICE_ENROL, NULL, token, (char *)body.data, body.size, &second);
    CLEANUP_X509 X509 *leaf = answer_leaf(&first);
    CLEANUP_X509 X509 *again = answer_leaf(&second);
    assert_int_equal(X509_cmp(leaf, again), 0);
    int64_t count;
    db_query_int(
        running->db, "SELECT count(*) FROM certificates WHERE device = ?", DB_VALUES(DB_TEXT(uuid)),
        &count);
    assert_int_equal(count, 1);

    /* a lost reply, and meanwhile another token: the same still, and that token stays good; but
     * another one that is spent is nothing */
    char fresh[64], spent[64];
    CLEANUP_ANSWER struct answer by_fresh, by_spent, spending;
    make_token(running, "{}", fresh);
    post(running, DEVICE_ENROL, NULL, fresh, (char *)body.data, body.size, &by_fresh);
    CLEANUP_X509 X509 *still = answer_leaf(&by_fresh);
    assert_int_equal(X509_cmp(leaf, still), 0);
    make_token(running, "{}", spent);
    char elsewhere[37];
    random_uuid(&random_system, elsewhere);
    CLEANUP_EVP_PKEY EVP_PKEY *spending_key = make_key();
    post_key(running, DEVICE_ENROL, NULL, spent, spending_key, NULL, elsewhere, &spending);
    X509_free(answer_leaf(&spending));
    post(running, DEVICE_ENROL, NULL, spent, (char *)body.data, body.size, &by_spent);
    expect_problem(&by_spent, 401, "token-refused");

    /* for anything else the token is used up */
    random_uuid(&random_system, uuid);
    post_key(running, DEVICE_ENROL, NULL, token, other_key, NULL, uuid, &other);
    expect_problem(&other, 401, "token-refused");
    assert_non_null(strcasestr((char *)other.headers.data, "WWW-Authenticate: Basic"));
}

static void expect_token_refused(struct running *running, const char *credentials) {
    char uuid[37];
    CLEANUP_ANSWER struct answer answer;
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
    random_uuid(&random_system, uuid);
    post_key(running, DEVICE_ENROL, NULL, credentials, key, NULL, uuid, &answer);
    expect_problem(&answer, 401, "token-refused");
    int64_t count;
    db_query_int(
        running->db, "SELECT count(*) FROM devices WHERE uuid = ?", DB_VALUES(DB_TEXT(uuid)),
        &count);
    assert_int_equal(count, 0);
}

static void test_bad_tokens(void **state) {
    struct running *running = *state;
    char token[64], wrong[64];
    expect_token_refused(running, NULL);
    expect_token_refused(running, ":");
    expect_token_refused(running, "abcdefgh:0123456789012345678901234567890123456789");
    make_token(running, "{}", token);
    snprintf(wrong, sizeof(wrong), "%s", token);
    wrong[strlen(wrong) - 1] = wrong[strlen(wrong) - 1] == 'a' ? 'b' : 'a';
    expect_token_refused(running, wrong);
    wrong[strlen(wrong) - 1] = '\0'; /* a prefix is no secret */
    expect_token_refused(running, wrong);

    make_token(running, "{\"expires\":60}", token);
    atomic_store(&running_clock_shift_s, 61);
    expect_token_refused(running, token);
    atomic_store(&running_clock_shift_s, 0);

    make_token(running, "{}", token);
    must(running, "token-revoke", "{\"id\":\"%.8s\"}", token);
    expect_token_refused(running, token);
    json_object_put(command(running, "token-revoke", "{\"id\":\"zzzzzzzz\"}", 404));
}

static void test_token_for_several(void **state) {
    struct running *running = *state;
    char token[64];
    make_token(running, "{\"uses\":2}", token);
    for (int i = 0; i < 2; i++) {
        char uuid[37];
        CLEANUP_ANSWER struct answer answer;
        CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
        random_uuid(&random_system, uuid);
        post_key(running, DEVICE_ENROL, NULL, token, key, NULL, uuid, &answer);
        X509_free(answer_leaf(&answer));
    }
    expect_token_refused(running, token);
}

/* --- the same UUID with another key --- */

static void test_copy_waits_for_an_administrator(void **state) {
    struct running *running = *state;
    char uuid[37], token[64];
    CLEANUP(client_identity_deinit)
    struct client_identity first = enrol_device(running, uuid), second = {.key = make_key()};
    CLEANUP_ANSWER struct answer refused, state_before, granted, old, new;
    get_as(running, &first, "/v1/state", &state_before);
    assert_int_equal(state_before.status, 200);

    make_token(running, "{}", token);
    post_key(running, DEVICE_ENROL, NULL, token, second.key, NULL, uuid, &refused);
    expect_problem(&refused, 403, "device-suspended");
    /* the first goes on working, and the token is not lost */
    answer_deinit(&state_before);
    get_as(running, &first, "/v1/state", &state_before);
    assert_int_equal(state_before.status, 200);
    CLEANUP_JSON struct json_object *list = command(running, "device-list", "{}", 200);
    assert_non_null(strstr(json_object_get_string(list), "suspended"));

    struct event_stream stream;
    event_stream_open(running, &first, &stream);
    assert_true(event_stream_wait(&stream, "event: state"));
    must(running, "device-resume", "{\"device\":\"%s\"}", uuid);
    post_key(running, DEVICE_ENROL, NULL, token, second.key, NULL, uuid, &granted);
    second.certificate = answer_leaf(&granted);
    while (event_stream_wait(&stream, "event: state"))
        ; /* it ends, for the first one's certificate has ended */
    event_stream_close(&stream);
    get_as(running, &first, "/v1/state", &old);
    expect_problem(&old, 403, "revoked");
    get_as(running, &second, "/v1/state", &new);
    assert_int_equal(new.status, 200);
    /* once: the permission is used up */
    json_object_put(command(
        running, "device-resume", "{\"device\":\"00000000-0000-4000-8000-000000000000\"}", 404));
    client_identity_deinit(&second);
}

static void test_removed_device_enrols_again(void **state) {
    struct running *running = *state;
    char uuid[37], token[64];
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    struct client_identity again = {.key = make_key()};
    CLEANUP_ANSWER struct answer gone, events, granted, answer, old;
    must(running, "device-remove", "{\"device\":\"%s\"}", uuid);
    get_as(running, &device, "/v1/state", &gone);
    assert_int_equal(gone.status, 200);
    CLEANUP_JSON struct json_object *tombstone = answer_json(&gone);
    struct json_object *enrolled;
    assert_true(json_object_object_get_ex(tombstone, "enrolled", &enrolled));
    assert_false(json_object_get_boolean(enrolled));
    assert_int_equal(json_object_object_length(tombstone), 3);
    get_as(running, &device, "/v1/events", &events);
    expect_problem(&events, 403, "device-removed");

    make_token(running, "{}", token);
    post_key(running, DEVICE_ENROL, NULL, token, again.key, NULL, uuid, &granted);
    again.certificate = answer_leaf(&granted);
    get_as(running, &again, "/v1/state", &answer);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr((char *)answer.body.data, "\"enrolled\":true"));
    get_as(running, &device, "/v1/state", &old);
    expect_problem(&old, 403, "revoked");
    client_identity_deinit(&again);
}

static void test_tombstone_ends(void **state) {
    struct running *running = *state;
    char uuid[37];
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    CLEANUP_ANSWER struct answer last, over;
    must(running, "device-remove", "{\"device\":\"%s\"}", uuid);
    atomic_store(&running_clock_shift_s, 180 * 86400 - 60);
    get_as(running, &device, "/v1/state", &last);
    atomic_store(&running_clock_shift_s, 180 * 86400 + 60);
    get_as(running, &device, "/v1/state", &over);
    atomic_store(&running_clock_shift_s, 0);
    assert_int_equal(last.status, 200);
    expect_problem(&over, 403, "device-removed");
}

/* --- renewal of the device --- */

static void test_reenrolment(void **state) {
    struct running *running = *state;
    char uuid[37];
    CLEANUP(client_identity_deinit) struct client_identity old = enrol_device(running, uuid);
    struct client_identity renewed = {.key = make_key()};
    CLEANUP_ANSWER struct answer first, second, reused, answer, by_new, by_old;
    CLEANUP_BUFFER struct buffer body = make_request(renewed.key, NULL, uuid);

    post(running, REENROL, &old, NULL, (char *)body.data, body.size, &first);
    renewed.certificate = answer_leaf(&first);
    /* the reply was lost: the same again */
    post(running, REENROL, &old, NULL, (char *)body.data, body.size, &second);
    CLEANUP_X509 X509 *again = answer_leaf(&second);
    assert_int_equal(X509_cmp(again, renewed.certificate), 0);
    post_key(running, REENROL, &old, NULL, old.key, NULL, uuid, &reused);
    expect_problem(&reused, 400, "csr-key-reused");

    /* the old one is good until the new one is used */
    get_as(running, &old, "/v1/state", &answer);
    assert_int_equal(answer.status, 200);
    get_as(running, &renewed, "/v1/state", &by_new);
    assert_int_equal(by_new.status, 200);
    /* the confirmation is queued with the first use; a command passes the same queue behind it */
    must(running, "token-create", "{}");
    get_as(running, &old, "/v1/state", &by_old);
    expect_problem(&by_old, 403, "revoked");
    client_identity_deinit(&renewed);
}

static void test_reenrolment_of_an_expired_device(void **state) {
    struct running *running = *state;
    char uuid[37];
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    struct client_identity renewed = {.key = make_key()};
    CLEANUP_EVP_PKEY EVP_PKEY *late_key = make_key();
    CLEANUP_ANSWER struct answer expired, events, granted, answer, too_late;
    int64_t lifetime = running->config.device_lifetime_s;
    int64_t grace = running->config.expired_device_grace_s;

    atomic_store(&running_clock_shift_s, lifetime + grace + 60);
    post_key(running, REENROL, &device, NULL, late_key, NULL, uuid, &too_late);
    atomic_store(&running_clock_shift_s, lifetime + 60);
    get_as(running, &device, "/v1/state", &expired);
    get_as(running, &device, "/v1/events", &events);
    post_key(running, REENROL, &device, NULL, renewed.key, NULL, uuid, &granted);
    renewed.certificate = answer_leaf(&granted);
    get_as(running, &renewed, "/v1/state", &answer);
    atomic_store(&running_clock_shift_s, 0);
    expect_problem(&too_late, 403, "expired");
    expect_problem(&expired, 403, "expired");
    expect_problem(&events, 403, "expired");
    assert_int_equal(answer.status, 200);
    client_identity_deinit(&renewed);
}

static void test_reenrolment_for_another_device(void **state) {
    struct running *running = *state;
    char uuid[37], other[37];
    CLEANUP(client_identity_deinit) struct client_identity device = enrol_device(running, uuid);
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
    CLEANUP_ANSWER struct answer answer, with_user;
    random_uuid(&random_system, other);
    post_key(running, REENROL, &device, NULL, key, NULL, other, &answer);
    expect_problem(&answer, 400, "csr-subject");
    post_key(running, REENROL, &device, NULL, key, "u1", uuid, &with_user);
    expect_problem(&with_user, 400, "csr-subject");
}

/* --- users --- */

static void test_user_certificate(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    char uri[160];
    managed_setup(running, "est-user", &managed);
    X509 *leaf = managed.user_identity.certificate;
    assert_true(x509_has_policy(leaf, X509_POLICY_USER));
    x509_profile_device_uri(managed.device, uri, sizeof(uri));
    assert_true(x509_has_san_uri(leaf, uri));
    x509_profile_user_uri("est-user", uri, sizeof(uri));
    assert_true(x509_has_san_uri(leaf, uri));
    assert_true(x509_profile_user_cn_matches(leaf));
    int64_t before, after;
    x509_not_before(leaf, &before);
    x509_not_after(leaf, &after);
    assert_in_range(
        after - before, running->config.user_lifetime_s, running->config.user_lifetime_s + 3600);
    assert_true(status_of(running, leaf).managed);
    managed_teardown(&managed);
}

static void test_user_idempotence(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
    CLEANUP_EVP_PKEY EVP_PKEY *lost_key = make_key();
    CLEANUP_ANSWER struct answer first, second, other_request, replaced;
    char request_id[37], another_id[37];
    managed_setup(running, "est-again", &managed);
    random_uuid(&random_system, request_id);
    random_uuid(&random_system, another_id);
    CLEANUP_BUFFER struct buffer body = make_request(key, "est-again", request_id);
    post(running, USER_ENROL, &managed.device_identity, NULL, (char *)body.data, body.size, &first);
    post(
        running, USER_ENROL, &managed.device_identity, NULL, (char *)body.data, body.size, &second);
    CLEANUP_X509 X509 *leaf = answer_leaf(&first);
    CLEANUP_X509 X509 *again = answer_leaf(&second);
    assert_int_equal(X509_cmp(leaf, again), 0);

    /* the same key under another request is a key that was used before */
    post_user_request(
        running, &managed.device_identity, key, "est-again", another_id, &other_request);
    expect_problem(&other_request, 400, "csr-key-reused");
    /* the same request with another key: the agent lost the first one; it is issued anew */
    post_user_request(
        running, &managed.device_identity, lost_key, "est-again", request_id, &replaced);
    CLEANUP_X509 X509 *replacement = answer_leaf(&replaced);
    assert_int_not_equal(X509_cmp(leaf, replacement), 0);
    managed_teardown(&managed);
}

static void test_key_of_another_device(void **state) {
    struct running *running = *state;
    struct managed managed = {0}, other = {0};
    CLEANUP_ANSWER struct answer answer;
    managed_setup(running, "est-mine", &managed);
    managed_setup(running, "est-theirs", &other);
    post_user_request(
        running, &other.device_identity, managed.user_identity.key, "est-theirs", other.request_id,
        &answer);
    expect_problem(&answer, 400, "csr-key-reused");
    managed_teardown(&managed);
    managed_teardown(&other);
}

static void expect_user_refusal(
    struct running *running, const struct managed *managed, const char *user, const char *code) {
    char request_id[37];
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
    CLEANUP_ANSWER struct answer answer;
    random_uuid(&random_system, request_id);
    post_user_request(running, &managed->device_identity, key, user, request_id, &answer);
    expect_problem(&answer, 403, code);
}

static void test_user_refusals(void **state) {
    struct running *running = *state;
    struct managed managed = {0}, other = {0};
    managed_setup(running, "est-here", &managed);
    managed_setup(running, "est-there", &other);
    /* assigned, but on another device; unknown */
    expect_user_refusal(running, &managed, "est-there", "not-managed");
    expect_user_refusal(running, &managed, "nobody", "not-managed");
    must(running, "distribution", "{\"value\":\"paused\"}");
    expect_user_refusal(running, &managed, "est-here", "distribution-paused");
    assert_int_equal(
        status_of(running, managed.user_identity.certificate).reason, REASON_DISTRIBUTION_PAUSED);
    must(running, "distribution", "{\"value\":\"on\"}");
    assert_true(status_of(running, managed.user_identity.certificate).managed);
    must(running, "distribution", "{\"value\":\"off\"}");
    expect_user_refusal(running, &managed, "est-here", "distribution-off");
    must(running, "distribution", "{\"value\":\"on\"}");
    /* off has revoked what was there */
    assert_int_equal(status_of(running, managed.user_identity.certificate).reason, REASON_REVOKED);
    must(running, "unassign", "{\"user\":\"est-here\",\"device\":\"%s\"}", managed.device);
    expect_user_refusal(running, &managed, "est-here", "not-managed");
    must(running, "device-remove", "{\"device\":\"%s\"}", managed.device);
    expect_user_refusal(running, &managed, "est-here", "device-removed");
    managed_teardown(&managed);
    managed_teardown(&other);
}

/* The same request after off and on: the old certificate is revoked, so the key is spent. */
static void test_same_request_after_off(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    char request_id[37];
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
    CLEANUP_ANSWER struct answer first, second;
    managed_setup(running, "est-off", &managed);
    random_uuid(&random_system, request_id);
    CLEANUP_BUFFER struct buffer body = make_request(key, "est-off", request_id);
    post(running, USER_ENROL, &managed.device_identity, NULL, (char *)body.data, body.size, &first);
    X509_free(answer_leaf(&first));
    must(running, "distribution", "{\"value\":\"off\"}");
    must(running, "distribution", "{\"value\":\"on\"}");
    post(
        running, USER_ENROL, &managed.device_identity, NULL, (char *)body.data, body.size, &second);
    expect_problem(&second, 400, "csr-key-reused");
    managed_teardown(&managed);
}

/* --- bad requests --- */

static void expect_bad_body(
    struct running *running, const struct client_identity *device, const char *body, size_t size,
    long status, const char *code) {
    CLEANUP_ANSWER struct answer answer;
    post(running, USER_ENROL, device, NULL, body, size, &answer);
    expect_problem(&answer, status, code);
}

static void test_bad_bodies(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    static char large[HTTP_MAX_BODY + 2];
    managed_setup(running, "est-bad", &managed);
    const struct client_identity *device = &managed.device_identity;
    expect_bad_body(running, device, "", 0, 400, "csr-invalid");
    expect_bad_body(running, device, "<html>", 6, 400, "csr-invalid");
    expect_bad_body(running, device, "AAAA", 4, 400, "csr-invalid");
    memset(large, 'A', sizeof(large));
    expect_bad_body(running, device, large, 4 * 1367, 400, "csr-too-large"); /* 4101 bytes */
    expect_bad_body(running, device, large, HTTP_MAX_BODY, 400, "csr-too-large");
    expect_bad_body(running, device, large, HTTP_MAX_BODY + 1, 413, "other");
    /* a good one with something behind it */
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
    CLEANUP_BUFFER struct buffer body = make_request(key, "est-bad", managed.request_id);
    buffer_append_string(&body, "AAAA");
    expect_bad_body(running, device, (char *)body.data, body.size, 400, "csr-invalid");
    managed_teardown(&managed);
}

static void test_bad_subjects_and_keys(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
    CLEANUP_EVP_PKEY EVP_PKEY *p384 = NULL;
    CLEANUP_ANSWER struct answer no_uuid, no_user, strange, other_type;
    managed_setup(running, "est-subject", &managed);
    const struct client_identity *device = &managed.device_identity;
    post_user_request(running, device, key, "est-subject", "not-a-uuid", &no_uuid);
    expect_problem(&no_uuid, 400, "csr-subject");
    post_user_request(running, device, key, NULL, managed.request_id, &no_user);
    expect_problem(&no_user, 400, "csr-subject");
    post_user_request(running, device, key, "a b", managed.request_id, &strange);
    expect_problem(&strange, 400, "csr-subject");
    assert_int_equal(x509_key_generate(KEY_TYPE_P384, &p384), 0);
    post_user_request(running, device, p384, "est-subject", managed.request_id, &other_type);
    expect_problem(&other_type, 400, "csr-key");
    managed_teardown(&managed);
}

/* What clients of other makers send: one line, CRLF, chunked, no label. */
static void test_wire_forms(void **state) {
    struct running *running = *state;
    char token[64], uuid[37];
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key();
    random_uuid(&random_system, uuid);
    make_token(running, "{}", token);
    CLEANUP_BUFFER struct buffer body = make_request(key, NULL, uuid);
    char line[8192], crlf[8192];
    size_t line_size = 0, crlf_size = 0;
    for (size_t i = 0; i < body.size; i++) {
        if (body.data[i] == '\n') {
            crlf[crlf_size++] = '\r';
            crlf[crlf_size++] = '\n';
            continue;
        }
        line[line_size++] = (char)body.data[i];
        crlf[crlf_size++] = (char)body.data[i];
    }
    line[line_size] = '\0';
    crlf[crlf_size] = '\0';
    const struct call calls[] = {
        {.listener = HTTP_LISTENER_DEVICES,
         .method = "POST",
         .path = DEVICE_ENROL,
         .body = line,
         .credentials = token},
        {.listener = HTTP_LISTENER_DEVICES,
         .method = "POST",
         .path = DEVICE_ENROL,
         .body = crlf,
         .credentials = token,
         .headers = {"Content-Type: application/pkcs10"}},
        {.listener = HTTP_LISTENER_DEVICES,
         .method = "POST",
         .path = "/.well-known/est/simpleenroll",
         .body = crlf,
         .credentials = token,
         .headers = {"Transfer-Encoding: chunked", "Content-Transfer-Encoding: base64"}},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(calls); i++) {
        CLEANUP_ANSWER struct answer answer;
        client_call(running, &calls[i], &answer);
        X509_free(answer_leaf(&answer));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cacerts_need_no_certificate),
        cmocka_unit_test(test_lost_reply_of_an_enrolment),
        cmocka_unit_test(test_bad_tokens),
        cmocka_unit_test(test_token_for_several),
        cmocka_unit_test(test_copy_waits_for_an_administrator),
        cmocka_unit_test(test_removed_device_enrols_again),
        cmocka_unit_test(test_tombstone_ends),
        cmocka_unit_test(test_reenrolment),
        cmocka_unit_test(test_reenrolment_of_an_expired_device),
        cmocka_unit_test(test_reenrolment_for_another_device),
        cmocka_unit_test(test_user_certificate),
        cmocka_unit_test(test_user_idempotence),
        cmocka_unit_test(test_key_of_another_device),
        cmocka_unit_test(test_user_refusals),
        cmocka_unit_test(test_same_request_after_off),
        cmocka_unit_test(test_bad_bodies),
        cmocka_unit_test(test_bad_subjects_and_keys),
        cmocka_unit_test(test_wire_forms),
    };
    return cmocka_run_group_tests(tests, group_setup, running_teardown);
}
