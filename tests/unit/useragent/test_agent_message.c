/* What devtrustd says, read; what the agent says, built. */
#include "useragent/agent_message.h"

#include "common/json_gate.h"

#include "pki.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SETTINGS                                                                                   \
    "\"settings\":{\"issuer_spki_sha256\":\"" HEX "\",\"root_spki_sha256\":\"" HEX                 \
    "\",\"device_uuid\":\"" PKI_DEVICE "\",\"renew_after_s\":100,\"trusted_applications\":[],"     \
    "\"firefox_policy_since\":1700000000}"

static int read_text(const char *text, struct agent_snapshot *ret, const char **ret_field) {
    struct json_object *object = NULL;
    int r;

    assert_int_equal(json_gate_parse(text, strlen(text), &object), 0);
    r = agent_message_read_snapshot(object, ret, ret_field);
    json_object_put(object);
    return r;
}

static void test_snapshots(void **state) {
    struct agent_snapshot snapshot;
    const char *field;

    (void)state;
    assert_int_equal(read_text("{\"revision\":7,\"mode\":\"idle\"}", &snapshot, &field), 0);
    assert_int_equal(snapshot.mode, AGENT_MODE_IDLE);
    assert_false(snapshot.settings.present || snapshot.request.present);
    assert_int_equal(
        read_text(
            "{\"revision\":8,\"mode\":\"certificate\"," SETTINGS
            ",\"request\":{\"id\":\"r\",\"subject_uid\":\"alice\",\"key_type\":\"p384\","
            "\"reason\":\"first\",\"deadline\":5,\"install_not_before\":9},"
            "\"inspection\":{\"id\":\"i\"},\"expiry\":{\"not_after\":12,"
            "\"unreachable_since\":11},\"of_the_future\":{}}",
            &snapshot, &field),
        0);
    assert_true(snapshot.settings.present && snapshot.request.present);
    assert_string_equal(snapshot.settings.device_uuid, PKI_DEVICE);
    assert_int_equal(snapshot.settings.renew_after_s, 100);
    assert_int_equal(snapshot.expiry.not_after, 12);
    assert_int_equal(snapshot.expiry.unreachable_since, 11);
    assert_int_equal(snapshot.settings.firefox_policy_since, 1700000000);
    assert_int_equal(snapshot.settings.issuer_spki[1], 0x11);
    assert_string_equal(snapshot.request.id, "r");
    assert_int_equal(snapshot.request.key_type, KEY_TYPE_P384);
    assert_int_equal(snapshot.request.install_not_before, 9);
    assert_string_equal(snapshot.inspection.id, "i");
    assert_false(snapshot.inspection.full || snapshot.inspection.repair);
    assert_int_equal(
        read_text(
            "{\"revision\":8,\"mode\":\"idle\",\"inspection\":{\"id\":\"i\",\"full\":true,"
            "\"repair\":true,\"of_the_future\":1}}",
            &snapshot, &field),
        0);
    assert_true(snapshot.inspection.full && snapshot.inspection.repair);
    /* a key type of a newer daemon is no broken message */
    assert_int_equal(
        read_text(
            "{\"revision\":8,\"mode\":\"certificate\"," SETTINGS
            ",\"request\":{\"id\":\"r\",\"subject_uid\":\"alice\",\"key_type\":\"mldsa65\","
            "\"reason\":\"first\",\"deadline\":5,\"install_not_before\":9}}",
            &snapshot, &field),
        0);
    assert_false(snapshot.request.key_type_known);
}

static void test_bad_snapshots(void **state) {
    static const char *const bad[] = {
        "{}",
        "{\"revision\":1}",
        "{\"revision\":\"1\",\"mode\":\"idle\"}",
        "{\"revision\":1,\"mode\":\"erase\"}",
        "{\"revision\":1,\"mode\":\"idle\",\"settings\":{}}",
        "{\"revision\":1,\"mode\":\"idle\",\"settings\":[]}",
        "{\"revision\":1,\"mode\":\"idle\",\"inspection\":{\"id\":\"\"}}",
        "{\"revision\":1,\"mode\":\"idle\",\"inspection\":{\"id\":\"i\",\"full\":1}}",
        "{\"revision\":1,\"mode\":\"idle\",\"inspection\":{\"id\":\"i\",\"repair\":\"yes\"}}",
        "{\"revision\":1,\"mode\":\"certificate\",\"request\":{\"id\":\"r\"}}",
        "{\"revision\":1,\"mode\":\"certificate\",\"request\":{\"id\":\"" HEX HEX
        "\",\"subject_uid\":\"alice\",\"key_type\":\"p256\",\"install_not_before\":0}}",
    };
    struct agent_snapshot snapshot;
    const char *field;

    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        field = NULL;
        assert_int_equal(read_text(bad[i], &snapshot, &field), -EBADMSG);
        assert_non_null(field);
    }
}

static int read_submit(struct json_object *object, STACK_OF(X509) * *ret, int64_t *ret_seconds) {
    int r = agent_message_read_submit(object, ret, ret_seconds);

    json_object_put(object);
    return r;
}

static struct json_object *parse(const char *text) {
    struct json_object *object = NULL;

    assert_int_equal(json_gate_parse(text, strlen(text), &object), 0);
    return object;
}

static void test_submit_replies(void **state) {
    STACK_OF(X509) *certificates = NULL;
    struct pki pki;
    char *root, *issuer, text[32 * 1024];
    int64_t seconds = 0;

    (void)state;
    assert_int_equal(read_submit(parse("{\"retry_after_s\":7}"), &certificates, &seconds), 0);
    assert_null(certificates);
    assert_int_equal(seconds, 7);
    assert_int_equal(read_submit(parse("{\"retry_after_s\":9999999}"), &certificates, &seconds), 0);
    assert_int_equal(seconds, 6 * 3600);
    assert_int_equal(read_submit(parse("{}"), &certificates, &seconds), -EBADMSG);
    assert_int_equal(
        read_submit(parse("{\"retry_after_s\":-1}"), &certificates, &seconds), -EBADMSG);
    assert_int_equal(
        read_submit(
            parse(
                "{\"bundle\":{\"root\":\"AAAA\",\"leaf\":\"AAAA\",\"intermediates\":[\"AAAA\"]}}"),
            &certificates, &seconds),
        -EBADMSG);
    pki_init(&pki, "Example");
    assert_int_equal(x509_cert_to_base64(pki.root, &root), 0);
    assert_int_equal(x509_cert_to_base64(pki.issuer, &issuer), 0);
    snprintf(
        text, sizeof text, "{\"bundle\":{\"root\":\"%s\",\"leaf\":\"%s\",\"intermediates\":[]}}",
        root, issuer);
    assert_int_equal(read_submit(parse(text), &certificates, &seconds), -EBADMSG);
    snprintf(
        text, sizeof text,
        "{\"bundle\":{\"root\":\"%s\",\"leaf\":\"%s\",\"intermediates\":[\"%s\"]}}", root, issuer,
        issuer);
    assert_int_equal(read_submit(parse(text), &certificates, &seconds), 0);
    assert_int_equal(sk_X509_num(certificates), 3);
    sk_X509_pop_free(certificates, X509_free);
    certificates = NULL;
    snprintf(
        text, sizeof text,
        "{\"bundle\":{\"root\":\"%s\",\"leaf\":\"%s\",\"intermediates\":[\"%s\",7]}}", root, issuer,
        issuer);
    assert_int_equal(read_submit(parse(text), &certificates, &seconds), -EBADMSG);
    assert_null(certificates);
    free(root);
    free(issuer);
    pki_deinit(&pki);
}

static void test_report(void **state) {
    struct agent_report report = {.outcome = AGENT_OUTCOME_FAILED, .reason = REASON_STORE_PASSWORD};
    struct json_object *object;

    (void)state;
    strcpy(report.request_id, "r");
    report.stores.count = 1;
    strcpy(report.stores.items[0].location.path, "/home/a/.pki/nssdb");
    report.stores.items[0].reason = REASON_STORE_PASSWORD;
    object = agent_message_report(&report);
    assert_string_equal(
        json_object_to_json_string_ext(object, JSON_C_TO_STRING_NOSLASHESCAPE),
        "{\"outcome\":\"failed\",\"request_id\":\"r\",\"code\":\"store-password\",\"stores\":["
        "{\"kind\":\"nss_chromium\",\"path\":\"/home/a/.pki/nssdb\",\"ok\":false,"
        "\"code\":\"store-password\"}]}");
    json_object_put(object);
    report = (struct agent_report){.outcome = AGENT_OUTCOME_REMOVED};
    object = agent_message_report(&report);
    assert_string_equal(
        json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
        "{\"outcome\":\"removed\",\"stores\":[]}");
    json_object_put(object);
}

/* Whoever named the home may have used bytes that are no text. */
static void test_paths_are_text(void **state) {
    struct agent_report report = {.outcome = AGENT_OUTCOME_REMOVED};
    struct json_object *object;

    (void)state;
    report.stores.count = 1;
    strcpy(report.stores.items[0].location.path, "/home/\xff/.pki/nssdb");
    object = agent_message_report(&report);
    assert_non_null(strstr(
        json_object_to_json_string_ext(object, JSON_C_TO_STRING_NOSLASHESCAPE), "/home/?/.pki"));
    json_object_put(object);
}

/* As many stores as there may be, with the largest keys that are ordered: still one message. */
static void test_inspected_of_the_most_stores(void **state) {
    static struct store_certificates found[STORE_MAX];
    static struct agent_store_results results;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)3072);
    struct json_object *object, *certificates = NULL;
    struct pki pki;
    X509 *leaf;

    (void)state;
    pki_init(&pki, "Example");
    leaf = pki_leaf(&pki, key, PKI_DEVICE, PKI_USER, time(NULL), 86400);
    results.count = STORE_MAX;
    for (size_t i = 0; i < STORE_MAX; i++) {
        snprintf(
            results.items[i].location.path, sizeof results.items[i].location.path,
            "/home/%0700zu/.mozilla/firefox/abcdefgh.default", i);
        /* the issuer's size counts here, not whose it is */
        found[i].items[0] = (struct store_certificate){.leaf = leaf, .issuer = leaf};
        found[i].count = 1;
    }
    object = agent_message_inspected("id", &results, found, NULL);
    assert_non_null(object);
    assert_true(strlen(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN)) < 64 * 1024);
    assert_true(json_object_object_get_ex(object, "certificates", &certificates));
    assert_int_equal(json_object_array_length(certificates), STORE_MAX);
    json_object_put(object);
    X509_free(leaf);
    EVP_PKEY_free(key);
    pki_deinit(&pki);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshots),      cmocka_unit_test(test_bad_snapshots),
        cmocka_unit_test(test_submit_replies), cmocka_unit_test(test_report),
        cmocka_unit_test(test_paths_are_text), cmocka_unit_test(test_inspected_of_the_most_stores),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
