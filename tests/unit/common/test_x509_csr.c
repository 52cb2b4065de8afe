/* The one form of a request passes, everything else is named by what is wrong with it. */
#include "common/x509_csr.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define REQUEST_ID "9d0c0a52-6a6f-4c4e-9f0c-3c1a6c9f3b11"

static const struct x509_csr_subject subject = {"u1", REQUEST_ID};
static const struct x509_csr_expectation expected = {&subject, false, KEY_TYPE_P256};

static EVP_PKEY *make_key(enum key_type type) {
    EVP_PKEY *key = NULL;

    assert_int_equal(x509_key_generate(type, &key), 0);
    return key;
}

static enum reason judge_der(
    const uint8_t *der, size_t size, const struct x509_csr_expectation *expectation) {
    X509_REQ *request = NULL;
    enum reason reason = REASON_NONE;
    int r = x509_csr_check(der, size, expectation, &request, &reason);

    assert_true(
        r == 0 ? request != NULL && reason == REASON_NONE
               : r == -EBADMSG && request == NULL && reason != REASON_NONE);
    X509_REQ_free(request);
    return reason;
}

/* A request that a test spoils before it is signed. */
static X509_REQ *begin(EVP_PKEY *key) {
    X509_REQ *request = X509_REQ_new();
    X509_NAME *name = X509_REQ_get_subject_name(request);

    X509_NAME_add_entry_by_NID(
        name, NID_userId, MBSTRING_UTF8, (const unsigned char *)"u1", -1, -1, 0);
    X509_NAME_add_entry_by_NID(
        name, NID_serialNumber, MBSTRING_UTF8, (const unsigned char *)REQUEST_ID, -1, -1, 0);
    X509_REQ_set_pubkey(request, key);
    return request;
}

/* Signs, encodes, judges; owns `request`. */
static enum reason judge(X509_REQ *request, EVP_PKEY *key, const EVP_MD *digest) {
    unsigned char *der = NULL;
    int size;
    enum reason reason;

    assert_true(X509_REQ_sign(request, key, digest) > 0);
    size = i2d_X509_REQ(request, &der);
    assert_true(size > 0);
    reason = judge_der(der, (size_t)size, &expected);
    OPENSSL_free(der);
    X509_REQ_free(request);
    return reason;
}

static void test_every_key_type_makes_a_good_request(void **state) {
    (void)state;
    for (int type = 0; type < KEY_TYPE_COUNT_; type++) {
        CLEANUP_EVP_PKEY EVP_PKEY *key = make_key((enum key_type)type);
        struct x509_csr_expectation expectation = {&subject, false, (enum key_type)type};
        uint8_t *der;
        size_t size;

        assert_int_equal(x509_csr_create(key, &subject, &der, &size), 0);
        assert_int_equal(judge_der(der, size, &expectation), REASON_NONE);
        expectation.key_type = (enum key_type)((type + 1) % KEY_TYPE_COUNT_);
        assert_int_equal(judge_der(der, size, &expectation), REASON_CSR_KEY);
        expectation.any_key_type = true;
        assert_int_equal(judge_der(der, size, &expectation), REASON_NONE);
        free(der);
    }
}

static void test_subject_is_learnt_where_nothing_is_expected(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key(KEY_TYPE_P256);
    const struct x509_csr_subject device = {NULL, REQUEST_ID}, any = {NULL, NULL};
    const struct x509_csr_expectation expectation = {&any, true, KEY_TYPE_P256};
    X509_REQ *request;
    enum reason reason;
    char *uid, *serial_number;
    uint8_t *der;
    size_t size;

    (void)state;
    assert_int_equal(x509_csr_create(key, &subject, &der, &size), 0);
    assert_int_equal(x509_csr_check(der, size, &expectation, &request, &reason), 0);
    assert_int_equal(x509_csr_get_subject(request, &uid, &serial_number), 0);
    assert_string_equal(uid, "u1");
    assert_string_equal(serial_number, REQUEST_ID);
    free(uid);
    free(serial_number);
    free(der);
    X509_REQ_free(request);
    assert_int_equal(x509_csr_create(key, &device, &der, &size), 0);
    assert_int_equal(x509_csr_check(der, size, &expectation, &request, &reason), 0);
    assert_int_equal(x509_csr_get_subject(request, &uid, &serial_number), 0);
    assert_null(uid);
    assert_string_equal(serial_number, REQUEST_ID);
    free(serial_number);
    free(der);
    X509_REQ_free(request);
}

static void test_not_signed_by_its_key(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key(KEY_TYPE_P256);
    CLEANUP_EVP_PKEY EVP_PKEY *other = make_key(KEY_TYPE_P256);
    CLEANUP_EVP_PKEY EVP_PKEY *rsa = make_key(KEY_TYPE_RSA2048);

    (void)state;
    assert_int_equal(judge(begin(key), other, EVP_sha256()), REASON_CSR_SIGNATURE);
    assert_int_equal(judge(begin(key), rsa, EVP_sha256()), REASON_CSR_SIGNATURE);
    assert_int_equal(judge(begin(key), key, EVP_sha256()), REASON_NONE);
}

static void test_changed_after_signing(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key(KEY_TYPE_P256);
    uint8_t *der;
    size_t size;

    (void)state;
    assert_int_equal(x509_csr_create(key, &subject, &der, &size), 0);
    der[size - 1] ^= 1;
    assert_int_not_equal(judge_der(der, size, &expected), REASON_NONE);
    free(der);
}

static void test_weak_digests(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key(KEY_TYPE_P256);

    (void)state;
    assert_int_equal(judge(begin(key), key, EVP_sha1()), REASON_CSR_SIGNATURE);
    assert_int_equal(judge(begin(key), key, EVP_sha224()), REASON_CSR_SIGNATURE);
    assert_int_equal(judge(begin(key), key, EVP_sha384()), REASON_NONE);
    assert_int_equal(judge(begin(key), key, EVP_sha512()), REASON_NONE);
}

static enum reason with_subject(
    EVP_PKEY *key, const char *const values[][2], size_t count, bool one_rdn) {
    X509_REQ *request = X509_REQ_new();
    X509_NAME *name = X509_REQ_get_subject_name(request);

    for (size_t i = 0; i < count; i++)
        assert_int_equal(
            X509_NAME_add_entry_by_txt(
                name, values[i][0], MBSTRING_UTF8, (const unsigned char *)values[i][1], -1, -1,
                one_rdn && i ? -1 : 0),
            1);
    X509_REQ_set_pubkey(request, key);
    return judge(request, key, EVP_sha256());
}

static void test_other_subjects(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key(KEY_TYPE_P256);
    static const char *const good[][2] = {{"UID", "u1"}, {"serialNumber", REQUEST_ID}};
    static const char *const other_user[][2] = {{"UID", "u2"}, {"serialNumber", REQUEST_ID}};
    static const char *const longer[][2] = {{"UID", "u11"}, {"serialNumber", REQUEST_ID}};
    static const char *const other_id[][2] = {{"UID", "u1"}, {"serialNumber", "x"}};
    static const char *const swapped[][2] = {{"serialNumber", REQUEST_ID}, {"UID", "u1"}};
    static const char *const more[][2] = {
        {"UID", "u1"}, {"serialNumber", REQUEST_ID}, {"CN", "root"}};
    static const char *const twice[][2] = {
        {"UID", "u1"}, {"serialNumber", REQUEST_ID}, {"serialNumber", "x"}};
    static const char *const alone[][2] = {{"serialNumber", REQUEST_ID}};
    static const char *const name[][2] = {{"CN", "u1"}};

    (void)state;
    assert_int_equal(with_subject(key, good, 2, false), REASON_NONE);
    assert_int_equal(with_subject(key, good, 2, true), REASON_CSR_SUBJECT);
    assert_int_equal(with_subject(key, other_user, 2, false), REASON_CSR_SUBJECT);
    assert_int_equal(with_subject(key, longer, 2, false), REASON_CSR_SUBJECT);
    assert_int_equal(with_subject(key, other_id, 2, false), REASON_CSR_SUBJECT);
    assert_int_equal(with_subject(key, swapped, 2, false), REASON_CSR_SUBJECT);
    assert_int_equal(with_subject(key, more, 3, false), REASON_CSR_SUBJECT);
    assert_int_equal(with_subject(key, twice, 3, false), REASON_CSR_SUBJECT);
    assert_int_equal(with_subject(key, alone, 1, false), REASON_CSR_SUBJECT);
    assert_int_equal(with_subject(key, name, 1, false), REASON_CSR_SUBJECT);
    assert_int_equal(with_subject(key, NULL, 0, false), REASON_CSR_SUBJECT);
}

static void test_a_nul_does_not_hide_the_rest(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key(KEY_TYPE_P256);
    X509_REQ *request = X509_REQ_new();
    X509_NAME *name = X509_REQ_get_subject_name(request);

    (void)state;
    X509_NAME_add_entry_by_NID(
        name, NID_userId, V_ASN1_UTF8STRING, (const unsigned char *)"u1\0x", 4, -1, 0);
    X509_NAME_add_entry_by_NID(
        name, NID_serialNumber, MBSTRING_UTF8, (const unsigned char *)REQUEST_ID, -1, -1, 0);
    X509_REQ_set_pubkey(request, key);
    assert_int_equal(judge(request, key, EVP_sha256()), REASON_CSR_SUBJECT);
}

static void test_extensions_and_attributes(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key(KEY_TYPE_P256);
    X509_REQ *request = begin(key);
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, "keyCertSign");

    (void)state;
    X509v3_add_ext(&extensions, extension, -1);
    X509_EXTENSION_free(extension);
    assert_int_equal(X509_REQ_add_extensions(request, extensions), 1);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    assert_int_equal(judge(request, key, EVP_sha256()), REASON_CSR_EXTENSIONS);
    request = begin(key);
    X509_REQ_add1_attr_by_NID(
        request, NID_pkcs9_challengePassword, MBSTRING_ASC, (const unsigned char *)"secret", -1);
    assert_int_equal(judge(request, key, EVP_sha256()), REASON_CSR_EXTENSIONS);
}

static void test_version(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key(KEY_TYPE_P256);
    X509_REQ *request = begin(key);

    (void)state;
    X509_REQ_set_version(request, 1);
    assert_int_equal(judge(request, key, EVP_sha256()), REASON_CSR_INVALID);
}

/* --- keys --- */

static EVP_PKEY *ec_key(const char *group, const char *encoding, const char *point_format) {
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)group, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, (char *)encoding, 0),
        OSSL_PARAM_construct_end(),
    };

    assert_int_equal(EVP_PKEY_keygen_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_params(context, parameters), 1);
    assert_int_equal(EVP_PKEY_generate(context, &key), 1);
    EVP_PKEY_CTX_free(context);
    /* key generation does not take the form of points */
    assert_int_equal(
        EVP_PKEY_set_utf8_string_param(
            key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, point_format),
        1);
    return key;
}

static EVP_PKEY *rsa_key(size_t bits, unsigned exponent) {
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits),
        OSSL_PARAM_construct_uint(OSSL_PKEY_PARAM_RSA_E, &exponent),
        OSSL_PARAM_construct_end(),
    };

    assert_int_equal(EVP_PKEY_keygen_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_params(context, parameters), 1);
    assert_int_equal(EVP_PKEY_generate(context, &key), 1);
    EVP_PKEY_CTX_free(context);
    return key;
}

static void refuse_key(EVP_PKEY *key) {
    assert_int_equal(judge(begin(key), key, EVP_sha256()), REASON_CSR_KEY);
    EVP_PKEY_free(key);
}

static void test_curves_and_their_encodings(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *good = ec_key("P-256", "named_curve", "uncompressed");

    (void)state;
    assert_int_equal(judge(begin(good), good, EVP_sha256()), REASON_NONE);
    refuse_key(ec_key("P-256", "explicit", "uncompressed"));
    refuse_key(ec_key("P-256", "named_curve", "compressed"));
    refuse_key(ec_key("P-521", "named_curve", "uncompressed"));
    refuse_key(ec_key("secp256k1", "named_curve", "uncompressed"));
    refuse_key(ec_key("P-384", "named_curve", "uncompressed")); /* not the ordered one */
}

static void test_rsa_sizes_and_exponents(void **state) {
    const struct x509_csr_expectation any = {&subject, true, KEY_TYPE_P256};
    static const struct {
        size_t bits;
        unsigned exponent;
        enum reason reason;
    } cases[] = {
        {1024, 65537, REASON_CSR_KEY}, {2047, 65537, REASON_CSR_KEY}, {2048, 65537, REASON_NONE},
        {2048, 3, REASON_CSR_KEY},     {4096, 65537, REASON_NONE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP_EVP_PKEY EVP_PKEY *key = rsa_key(cases[i].bits, cases[i].exponent);
        X509_REQ *request = begin(key);
        unsigned char *der = NULL;
        int size;

        assert_true(X509_REQ_sign(request, key, EVP_sha256()) > 0);
        size = i2d_X509_REQ(request, &der);
        assert_int_equal(judge_der(der, (size_t)size, &any), cases[i].reason);
        OPENSSL_free(der);
        X509_REQ_free(request);
    }
}

static void test_other_algorithms(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    (void)state;
    assert_int_equal(judge(begin(key), key, NULL), REASON_CSR_KEY);
}

/* --- encodings --- */

static void test_sizes(void **state) {
    static uint8_t bytes[5 * 1024];

    (void)state;
    assert_int_equal(judge_der(bytes, sizeof(bytes), &expected), REASON_CSR_TOO_LARGE);
    assert_int_equal(judge_der(bytes, X509_CSR_MAX_SIZE + 1, &expected), REASON_CSR_TOO_LARGE);
    assert_int_equal(judge_der(bytes, X509_CSR_MAX_SIZE, &expected), REASON_CSR_INVALID);
    assert_int_equal(judge_der(bytes, 0, &expected), REASON_CSR_INVALID);
}

/* A good request that is exactly at the maximum is judged by what it is, not by its size. */
static void test_largest(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key(KEY_TYPE_P256);
    int value_size = 3500;

    (void)state;
    for (int tries = 0; tries < 200; tries++) {
        const struct x509_csr_expectation expectation = {NULL, true, KEY_TYPE_P256};
        X509_REQ *request = begin(key);
        X509_NAME *name = X509_REQ_get_subject_name(request);
        char *value = malloc((size_t)value_size);
        unsigned char *der = NULL;
        int size;
        bool done = false;

        memset(value, 'x', (size_t)value_size);
        X509_NAME_add_entry_by_NID(
            name, NID_userId, V_ASN1_UTF8STRING, (const unsigned char *)value, value_size, -1, 0);
        free(value);
        X509_REQ_sign(request, key, EVP_sha256());
        size = i2d_X509_REQ(request, &der);
        if (size == X509_CSR_MAX_SIZE) { /* the signature's length varies by a few octets */
            assert_int_equal(judge_der(der, (size_t)size, &expectation), REASON_NONE);
            done = true;
        }
        value_size += X509_CSR_MAX_SIZE - size;
        OPENSSL_free(der);
        X509_REQ_free(request);
        if (done)
            return;
    }
    fail_msg("no request of %d octets could be made", X509_CSR_MAX_SIZE);
}

static void test_one_der_object(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = make_key(KEY_TYPE_P256);
    static const char html[] = "<!DOCTYPE html><html><body>Sign in</body></html>";
    uint8_t *der, changed[1024];
    size_t size;

    (void)state;
    assert_int_equal(x509_csr_create(key, &subject, &der, &size), 0);
    assert_true(size + 8 < sizeof(changed) && der[1] == 0x81);
    memcpy(changed, der, size);
    changed[size] = 0;
    assert_int_equal(judge_der(changed, size + 1, &expected), REASON_CSR_INVALID); /* trailing */
    for (size_t cut = 1; cut < size; cut += 7)
        assert_int_equal(judge_der(der, size - cut, &expected), REASON_CSR_INVALID);
    /* a length in three octets where two do */
    changed[1] = 0x82;
    changed[2] = 0;
    memcpy(changed + 3, der + 2, size - 2);
    assert_int_equal(judge_der(changed, size + 1, &expected), REASON_CSR_INVALID);
    /* indefinite length */
    changed[1] = 0x80;
    memcpy(changed + 2, der + 3, size - 3);
    changed[size - 1] = changed[size] = 0;
    assert_int_equal(judge_der(changed, size + 1, &expected), REASON_CSR_INVALID);
    assert_int_equal(
        judge_der((const uint8_t *)html, sizeof(html) - 1, &expected), REASON_CSR_INVALID);
    free(der);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_type_makes_a_good_request),
        cmocka_unit_test(test_subject_is_learnt_where_nothing_is_expected),
        cmocka_unit_test(test_not_signed_by_its_key),
        cmocka_unit_test(test_changed_after_signing),
        cmocka_unit_test(test_weak_digests),
        cmocka_unit_test(test_other_subjects),
        cmocka_unit_test(test_a_nul_does_not_hide_the_rest),
        cmocka_unit_test(test_extensions_and_attributes),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_curves_and_their_encodings),
        cmocka_unit_test(test_rsa_sizes_and_exponents),
        cmocka_unit_test(test_other_algorithms),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_one_der_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
