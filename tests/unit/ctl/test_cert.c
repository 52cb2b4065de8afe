/* `cert show`, with certificates made here: what is printed comes from them, not from what is said
 * about them. */
#include "scripted.h"

#include "common/x509_key.h"
#include "common/x509_profile.h"
#include "ipc/ctl/pkcs11_uri.h"

#include <openssl/pem.h>
#include <pwd.h>

static char *good_der, *expired_der;
static char answer[16384];

static char *make_certificate(uint8_t serial_byte, int64_t not_before, int64_t not_after) {
    EVP_PKEY CLEANUP_EVP_PKEY *key = NULL;
    X509 CLEANUP_X509 *certificate = X509_new();
    const uint8_t serial[8] = {0x5f, 0x3c, 0x9a, 0x10, 0, 0, 0, serial_byte};
    char *text = NULL;
    assert_int_equal(x509_key_generate(KEY_TYPE_P256, &key), 0);
    assert_int_equal(X509_set_version(certificate, X509_VERSION_3), 1);
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    assert_non_null(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)));
    BN_free(number);
    X509_NAME *subject = X509_get_subject_name(certificate);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(
            subject, "CN", MBSTRING_UTF8,
            (const unsigned char *)"Example Device Trust Certificate - 5f3c9a10", -1, -1, 0),
        1);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(
            X509_get_issuer_name(certificate), "CN", MBSTRING_UTF8,
            (const unsigned char *)"Example Trust CA", -1, -1, 0),
        1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(certificate), not_before));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(certificate), not_after));
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(x509_cert_to_base64(certificate, &text), 0);
    return text;
}

static int make_certificates(void **state) {
    (void)state;
    good_der = make_certificate(1, SCRIPTED_NOW - 3 * DAY, SCRIPTED_NOW + 27 * DAY);
    expired_der = make_certificate(2, SCRIPTED_NOW - 30 * DAY, SCRIPTED_NOW - 1);
    return 0;
}

static int free_certificates(void **state) {
    (void)state;
    free(good_der);
    free(expired_der);
    return 0;
}

/* What is said beside the DER is wrong on purpose. */
static const char *certificate(const char *user, const char *der, bool verified) {
    static char text[2][8192];
    static unsigned turn;
    char *ret = text[turn++ % 2];
    snprintf(
        ret, sizeof text[0],
        "{\"user\":\"%s\",\"subject\":\"LIE\",\"issuer\":\"LIE\",\"serial\":\"LIE\","
        "\"not_before\":1,\"not_after\":9999999999,\"der\":\"%s\",\"verified\":%s,"
        "\"stores\":[{\"kind\":\"nss_chromium\",\"path\":\"/home/%s/.pki/nssdb\",\"ok\":true}]}",
        user, der, verified ? "true" : "false", user);
    return ret;
}

static void answer_with(const char *first, const char *second, const char *missing) {
    snprintf(
        answer, sizeof answer, "{\"certificates\":[%s%s%s],\"missing\":[%s]}", first ? first : "",
        second ? "," : "", second ? second : "", missing ? missing : "");
    scripted.answer = answer;
}

static void test_one(void **state) {
    (void)state;
    answer_with(certificate("alice", good_der, true), NULL, NULL);
    struct result CLEANUP_RESULT result = run("cert show --socket @");
    assert_string_equal(result.err, "");
    assert_string_equal(
        result.out, "alice\n"
                    "  subject     CN=Example Device Trust Certificate - 5f3c9a10\n"
                    "  issuer      CN=Example Trust CA\n"
                    "  serial      5f3c9a1000000001\n"
                    "  not before  2026-11-15 12:06 CET (3 days ago)\n"
                    "  not after   2026-12-15 12:06 CET (in 27 days)\n"
                    "  key         in the store; a test signature was good\n"
                    "  stores      /home/alice/.pki/nssdb (nss_chromium)\n");
    assert_int_equal(result.status, 0);
    assert_string_equal(scripted.method, "io.devtrust.Device.GetCertificates");
    assert_string_equal(scripted.parameters, "{}");
}

static void test_expired_or_not_verified_is_no(void **state) {
    (void)state;
    answer_with(certificate("alice", expired_der, true), NULL, NULL);
    struct result CLEANUP_RESULT expired = run("cert show --socket @");
    assert_int_equal(expired.status, CTL_NO);
    assert_non_null(strstr(expired.out, "(1 second ago)"));
    answer_with(certificate("alice", good_der, false), NULL, NULL);
    struct result CLEANUP_RESULT unverified = run("cert show --socket @");
    assert_int_equal(unverified.status, CTL_NO);
    assert_non_null(strstr(unverified.out, "not verified"));
}

static void test_none(void **state) {
    (void)state;
    answer_with(NULL, NULL, NULL);
    struct result CLEANUP_RESULT none = run("cert show --socket @");
    assert_int_equal(none.status, CTL_NO);
    assert_string_equal(none.out, "");
    assert_string_equal(
        none.err, "devtrustctl cert show: There is no certificate of ours. [no-certificate]\n"
                  "Run: devtrustctl repair.\n");
    struct result CLEANUP_RESULT json = run("cert show --json --socket @");
    assert_int_equal(json.status, CTL_NO);
    assert_string_equal(json.out, "{\"certificates\":[],\"missing\":[]}\n");
}

static void test_root_has_none(void **state) {
    (void)state;
    scripted.error = "io.devtrust.Device.Failed";
    scripted.answer = "{\"code\":\"not-managed\",\"text\":\"Not managed.\",\"remedy\":\"Ask the "
                      "administrator.\"}";
    struct result CLEANUP_RESULT root = run("cert show --socket @");
    assert_string_equal(
        root.err, "devtrustctl cert show: Not managed. [not-managed]\n"
                  "Root is nobody's user: name one with --user NAME.\n");
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid();
    ctl.own_uid = 1000;
    struct result CLEANUP_RESULT user = run_with(&ctl, "cert show --socket @");
    assert_non_null(strstr(user.err, "\nAsk the administrator.\n"));
}

static void test_all_users_and_who_is_missing(void **state) {
    (void)state;
    answer_with(
        certificate("alice", good_der, true), certificate("bob", good_der, true),
        "{\"user\":\"carol\",\"code\":\"no-agent\"}");
    struct result CLEANUP_RESULT result = run("cert show --all-users --socket @");
    assert_int_equal(result.status, CTL_NO);
    assert_string_equal(scripted.parameters, "{\"all\":true}");
    assert_non_null(strstr(result.out, "nssdb (nss_chromium)\n\nbob\n"));
    assert_string_equal(
        result.err, "carol\n"
                    "  missing     No agent of this user is attached. [no-agent]\n"
                    "              The user signs in, or starts devtrust-agent.\n");
    answer_with(NULL, NULL, "{\"user\":\"carol\",\"code\":\"moon-phase\"}"); /* a newer daemon's */
    struct result CLEANUP_RESULT newer = run("cert show --all-users --socket @");
    assert_non_null(strstr(newer.err, " does not know. [moon-phase]\n"));
    answer_with(certificate("alice", good_der, true), certificate("bob", good_der, true), NULL);
    struct result CLEANUP_RESULT good = run("cert show --all-users --socket @");
    assert_int_equal(good.status, 0);
}

static void test_named_user(void **state) {
    (void)state;
    answer_with(certificate("alice", good_der, true), NULL, NULL);
    struct result CLEANUP_RESULT result = run("cert show --user alice --socket @");
    assert_int_equal(result.status, 0);
    assert_string_equal(scripted.parameters, "{\"user\":\"alice\"}");
}

static void test_pem_is_the_certificate(void **state) {
    (void)state;
    answer_with(certificate("alice", good_der, true), certificate("bob", expired_der, true), NULL);
    struct result CLEANUP_RESULT result = run("cert show --all-users --pem --socket @");
    assert_int_equal(result.status, CTL_NO);
    assert_memory_equal(result.out, "-----BEGIN CERTIFICATE-----\n", 28);
    BIO *bio = BIO_new_mem_buf(result.out, -1);
    const char *const expected[] = {good_der, expired_der};
    for (size_t i = 0; i < 2; i++) {
        X509 CLEANUP_X509 *read = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        char CLEANUP_FREE *text = NULL;
        assert_non_null(read);
        assert_int_equal(x509_cert_to_base64(read, &text), 0);
        assert_string_equal(text, expected[i]);
    }
    assert_int_equal(BIO_read(bio, answer, 1), 0); /* nothing behind them */
    BIO_free(bio);
}

static void test_pkcs11_uri_is_all_there_is(void **state) {
    X509 CLEANUP_X509 *first = NULL;
    char uri[PKCS11_URI_SIZE], expected[PKCS11_URI_SIZE + 1];
    (void)state;
    assert_int_equal(x509_cert_from_base64(good_der, &first), 0);
    assert_int_equal(pkcs11_uri(first, uri), 0);
    snprintf(expected, sizeof expected, "%s\n", uri);
    answer_with(certificate("alice", good_der, true), NULL, NULL);
    struct result CLEANUP_RESULT good = run("cert show --pkcs11-uri --socket @");
    assert_string_equal(good.out, expected);
    assert_string_equal(good.err, "");
    assert_int_equal(good.status, 0);
    answer_with(NULL, NULL, NULL);
    struct result CLEANUP_RESULT none = run("cert show --pkcs11-uri --socket @");
    assert_string_equal(none.out, "");
    assert_int_equal(none.status, CTL_NO);
}

static void test_one_form_at_a_time(void **state) {
    static const char *const lines[] = {
        "cert show --pem --json --socket @",
        "cert show --pkcs11-uri --json --socket @",
        "cert show --pem --pkcs11-uri --socket @",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        struct result CLEANUP_RESULT result = run(lines[i]);
        assert_int_equal(result.status, CTL_USAGE);
    }
    assert_int_equal(scripted.calls, 0);
}

static void test_json(void **state) {
    (void)state;
    answer_with(certificate("alice", good_der, true), NULL, NULL);
    struct result CLEANUP_RESULT result = run("cert show --json --socket @");
    struct json_object CLEANUP_JSON *printed = parsed(result.out);
    struct json_object CLEANUP_JSON *expected = parsed(answer);
    assert_true(json_object_equal(printed, expected));
    assert_int_equal(result.status, 0);
}

static void test_what_is_no_certificate(void **state) {
    static const char *const ders[] = {"", "AAAA", "not base64"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(ders); i++) {
        answer_with(certificate("alice", ders[i], true), NULL, NULL);
        struct result CLEANUP_RESULT result = run("cert show --socket @");
        assert_int_equal(result.status, CTL_NO);
        assert_non_null(strstr(result.err, "no certificate"));
        struct result CLEANUP_RESULT pem = run("cert show --pem --socket @");
        assert_string_equal(pem.out, "");
    }
}

/* ---- the console user ---- */

static int console_self(uid_t *ret) {
    *ret = geteuid();
    return 0;
}

static int console_unknown(uid_t *ret) {
    *ret = 4000000000;
    return 0;
}

static int console_broken(uid_t *ret) {
    (void)ret;
    return -EIO;
}

static void test_console_user(void **state) {
    (void)state;
    struct ctl ctl = scripted_ctl;
    ctl.daemon_uid = geteuid();
    answer_with(certificate("alice", good_der, true), NULL, NULL);
    struct result CLEANUP_RESULT nobody = run_with(&ctl, "cert show --console-user --socket @");
    assert_int_equal(nobody.status, CTL_NO);
    assert_non_null(strstr(nobody.err, "Nobody is active at this machine's screen (seat0)."));
    ctl.console_user = console_unknown;
    struct result CLEANUP_RESULT unknown = run_with(&ctl, "cert show --console-user --socket @");
    assert_int_equal(unknown.status, CTL_NO);
    ctl.console_user = console_broken;
    struct result CLEANUP_RESULT broken = run_with(&ctl, "cert show --console-user --socket @");
    assert_int_equal(broken.status, CTL_NO);
    assert_non_null(strstr(broken.err, "logind does not say"));
    assert_string_equal(scripted.method, "");
    ctl.console_user = console_self;
    struct result CLEANUP_RESULT good = run_with(&ctl, "cert show --console-user --socket @");
    assert_int_equal(good.status, 0);
    char expected[256];
    snprintf(expected, sizeof expected, "{\"user\":\"%s\"}", getpwuid(geteuid())->pw_name);
    assert_string_equal(scripted.parameters, expected);
    ctl.own_uid = 1000;
    struct result CLEANUP_RESULT denied = run_with(&ctl, "cert show --console-user --socket @");
    assert_int_equal(denied.status, CTL_NOT_PERMITTED);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, scripted_setup, scripted_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_one),
        TEST(test_expired_or_not_verified_is_no),
        TEST(test_none),
        TEST(test_root_has_none),
        TEST(test_all_users_and_who_is_missing),
        TEST(test_named_user),
        TEST(test_pem_is_the_certificate),
        TEST(test_json),
        TEST(test_what_is_no_certificate),
        TEST(test_console_user),
        TEST(test_pkcs11_uri_is_all_there_is),
        TEST(test_one_form_at_a_time),
    };
    return cmocka_run_group_tests_name("ctl cert", tests, make_certificates, free_certificates);
}
