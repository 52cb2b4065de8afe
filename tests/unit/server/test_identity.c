/* Each kind of certificate on each listener, and the rule behind it. */
#include "running.h"

#include "server/identity.h"

static int group_setup(void **state) {
    return running_setup(state, NULL);
}

/* --- the rule alone --- */

#define NOW 1000000
#define GRACE 100

static void test_rule(void **state) {
    (void)state;
    struct certificate_status status = {
        .known = true,
        .kind = CERTIFICATE_DEVICE,
        .state = CERTIFICATE_INSTALLED,
        .not_after = NOW + 10,
    };
    static const enum http_identity all[] = {
        HTTP_IDENTITY_DEVICE, HTTP_IDENTITY_DEVICE_EXPIRED, HTTP_IDENTITY_DEVICE_REMOVED};
    for (size_t i = 0; i < 3; i++) {
        struct certificate_status other = status;
        assert_int_equal(identity_judge(&status, all[i], NOW, GRACE), REASON_NONE);
        other.known = false;
        assert_int_equal(identity_judge(&other, all[i], NOW, GRACE), REASON_SERVER_REFUSED);
        other = status;
        other.kind = CERTIFICATE_USER;
        assert_int_equal(identity_judge(&other, all[i], NOW, GRACE), REASON_SERVER_REFUSED);
        other = status;
        other.state = CERTIFICATE_REVOKED;
        assert_int_equal(identity_judge(&other, all[i], NOW, GRACE), REASON_REVOKED);
        /* revoked before its device was removed: not even the tombstone */
        other.device_removed = true;
        other.device_removed_at = NOW;
        assert_int_equal(identity_judge(&other, all[i], NOW, GRACE), REASON_DEVICE_REMOVED);
        other.revoked_with_device = true;
        assert_int_equal(
            identity_judge(&other, all[i], NOW, GRACE),
            all[i] == HTTP_IDENTITY_DEVICE_REMOVED ? REASON_NONE : REASON_DEVICE_REMOVED);
        other = status;
        other.not_after = NOW;
        assert_int_equal(
            identity_judge(&other, all[i], NOW, GRACE),
            all[i] == HTTP_IDENTITY_DEVICE_EXPIRED ? REASON_NONE : REASON_EXPIRED);
        other.not_after = NOW - GRACE;
        assert_int_equal(identity_judge(&other, all[i], NOW, GRACE), REASON_EXPIRED);
    }
}

/* --- over TLS --- */

/* Signed by nobody we know, with everything else as a device's certificate has it. */
static struct client_identity self_signed(const char *policy, const char *uuid) {
    struct client_identity identity = {.key = make_key(), .certificate = X509_new()};
    char value[96];
    X509 *certificate = identity.certificate;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 4711);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_NAME_add_entry_by_txt(
        X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)uuid, -1, -1,
        0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_set_pubkey(certificate, identity.key);
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension =
        X509V3_EXT_conf_nid(NULL, &context, NID_certificate_policies, (char *)policy);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    snprintf(value, sizeof(value), "URI:urn:uuid:%s", uuid);
    extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(certificate, identity.key, EVP_sha256()) > 0);
    return identity;
}

static void expect_on_devices(
    struct running *running, const struct client_identity *identity, long status,
    const char *code) {
    static const char *const paths[] = {"/v1/state", "/v1/events"};
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        CLEANUP_ANSWER struct answer answer;
        get_as(running, identity, paths[i], &answer);
        expect_problem(&answer, status, code);
    }
    static const char *const posts[] = {
        "/.well-known/est/user/simpleenroll", "/.well-known/est/device/simplereenroll",
        "/.well-known/est/simplereenroll"};
    for (size_t i = 0; i < ARRAY_LENGTH(posts); i++) {
        CLEANUP_ANSWER struct answer answer;
        const struct call call = {
            .listener = HTTP_LISTENER_DEVICES,
            .method = "POST",
            .path = posts[i],
            .body = "AAAA",
            .identity = identity,
        };
        client_call(running, &call, &answer);
        expect_problem(&answer, status, code);
    }
    CLEANUP_ANSWER struct answer answer;
    const struct call call = {
        .listener = HTTP_LISTENER_DEVICES,
        .method = "PUT",
        .path = "/v1/report",
        .body = "{}",
        .identity = identity,
    };
    client_call(running, &call, &answer);
    expect_problem(&answer, status, code);
}

static void test_devices_listener_takes_devices_only(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    managed_setup(running, "id-user", &managed);
    CLEANUP(client_identity_deinit)
    struct client_identity forged = self_signed(X509_POLICY_DEVICE, managed.device);
    expect_on_devices(running, NULL, 403, "server-refused");
    expect_on_devices(running, &managed.user_identity, 403, "server-refused");
    expect_on_devices(running, &forged, 403, "server-refused");
    managed_teardown(&managed);
}

/* A certificate of ours by signature that the records do not have (an older copy of the database
 * was restored). */
static void test_unrecorded_device(void **state) {
    struct running *running = *state;
    struct server *server = serving_server(running->serving);
    CLEANUP(client_identity_deinit) struct client_identity identity = {.key = make_key()};
    const char *uuid = "0b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a99";
    const struct ca_device_leaf leaf = {
        .device_uuid = uuid, .lifetime_s = 3600, .now_s = running_wall(NULL)};
    const struct x509_csr_subject subject = {.serial_number = uuid};
    const struct x509_csr_expectation expectation = {.any_key_type = true};
    CLEANUP_X509_REQ X509_REQ *request = NULL;
    enum reason reason;
    uint8_t *der;
    size_t size;
    assert_int_equal(x509_csr_create(identity.key, &subject, &der, &size), 0);
    assert_int_equal(x509_csr_check(der, size, &expectation, &request, &reason), 0);
    free(der);
    assert_int_equal(ca_issue_device(server->ca, &leaf, request, &identity.certificate), 0);
    expect_on_devices(running, &identity, 403, "server-refused");
}

static void expect_auth(struct running *running, X509 *certificate, long status) {
    uint8_t hash[SHA256_SIZE];
    char header[128] = "X-Client-Cert-Sha256: ";
    CLEANUP_ANSWER struct answer answer;
    const struct call call = {
        .listener = HTTP_LISTENER_ADMIN, .path = "/v1/auth", .headers = {header}};
    x509_cert_sha256(certificate, hash);
    hex_encode(hash, sizeof(hash), header + strlen(header));
    client_call(running, &call, &answer);
    assert_int_equal(answer.status, status);
}

static void expect_portal(
    struct running *running, const struct client_identity *identity, const char *status) {
    CLEANUP_ANSWER struct answer answer;
    const struct call call = {
        .listener = HTTP_LISTENER_PORTAL,
        .path = "/",
        .headers = {"Accept: application/json"},
        .identity = identity,
    };
    client_call(running, &call, &answer);
    assert_int_equal(answer.status, 200);
    CLEANUP_JSON struct json_object *page = answer_json(&answer);
    struct json_object *value = NULL;
    assert_true(json_object_object_get_ex(page, "status", &value));
    assert_string_equal(json_object_get_string(value), status);
}

static void test_portal_takes_users_only(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    managed_setup(running, "id-portal", &managed);
    CLEANUP(client_identity_deinit)
    struct client_identity forged = self_signed(X509_POLICY_USER, managed.device);
    expect_portal(running, NULL, "unmanaged");
    expect_portal(running, &managed.user_identity, "trusted");
    expect_portal(running, &managed.device_identity, "unmanaged");
    expect_portal(running, &forged, "unmanaged");
    expect_auth(running, managed.user_identity.certificate, 204);
    expect_auth(running, managed.device_identity.certificate, 403);
    expect_auth(running, forged.certificate, 403);
    must(running, "distribution", "{\"value\":\"off\"}");
    expect_portal(running, &managed.user_identity, "unmanaged");
    expect_auth(running, managed.user_identity.certificate, 403);
    must(running, "distribution", "{\"value\":\"on\"}");
    managed_teardown(&managed);
}

/* Paths of one listener are not on another. */
static void test_listeners_are_apart(void **state) {
    struct running *running = *state;
    struct managed managed = {0};
    managed_setup(running, "id-apart", &managed);
    static const struct {
        enum http_listener listener;
        const char *path;
    } absent[] = {
        {HTTP_LISTENER_PORTAL, "/v1/state"},
        {HTTP_LISTENER_PORTAL, "/v1/events"},
        {HTTP_LISTENER_PORTAL, "/.well-known/est/device/cacerts"},
        {HTTP_LISTENER_PORTAL, "/v1/command/status"},
        {HTTP_LISTENER_ADMIN, "/v1/state"},
        {HTTP_LISTENER_ADMIN, "/v1/command/status"},
        {HTTP_LISTENER_ADMIN, "/.well-known/est/device/cacerts"},
        {HTTP_LISTENER_DEVICES, "/"},
        {HTTP_LISTENER_DEVICES, "/v1/auth"},
        {HTTP_LISTENER_DEVICES, "/v1/command/status"},
        {HTTP_LISTENER_COMMAND, "/v1/state"},
        {HTTP_LISTENER_COMMAND, "/v1/auth"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(absent); i++) {
        CLEANUP_ANSWER struct answer answer;
        const struct call call = {
            .listener = absent[i].listener,
            .path = absent[i].path,
            .identity = &managed.device_identity,
        };
        client_call(running, &call, &answer);
        assert_int_equal(answer.status, 404);
    }
    managed_teardown(&managed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_devices_listener_takes_devices_only),
        cmocka_unit_test(test_unrecorded_device),
        cmocka_unit_test(test_portal_takes_users_only),
        cmocka_unit_test(test_listeners_are_apart),
    };
    return cmocka_run_group_tests(tests, group_setup, running_teardown);
}
