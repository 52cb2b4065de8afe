/* Which keys are allowed, and the hashes by which keys and certificates are known. */
#include "x509_pki.h"

#include <openssl/core_names.h>

#include <errno.h>

static void test_names(void **state) {
    enum key_type type;

    (void)state;
    for (int i = 0; i < KEY_TYPE_COUNT_; i++) {
        assert_int_equal(key_type_from_name(key_type_name((enum key_type)i), &type), 0);
        assert_int_equal(type, i);
    }
    assert_int_equal(key_type_from_name("p521", &type), -EINVAL);
    assert_int_equal(key_type_from_name("", &type), -EINVAL);
    assert_int_equal(key_type_from_name("P256", &type), -EINVAL);
}

static void test_generated_keys_are_of_their_type(void **state) {
    (void)state;
    for (int i = 0; i < KEY_TYPE_COUNT_; i++) {
        CLEANUP_EVP_PKEY EVP_PKEY *key = pki_key((enum key_type)i);
        enum key_type type;

        assert_int_equal(x509_key_classify(key, &type), 0);
        assert_int_equal(type, i);
    }
}

static void refuse(EVP_PKEY *key) {
    enum key_type type;

    assert_non_null(key);
    assert_int_equal(x509_key_classify(key, &type), -ENOTSUP);
    EVP_PKEY_free(key);
}

static void test_other_keys_are_refused(void **state) {
    (void)state;
    refuse(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024));
    refuse(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521"));
    refuse(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1"));
    refuse(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    refuse(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"));
}

static void test_largest_rsa(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)4096);
    enum key_type type;

    (void)state;
    assert_int_equal(x509_key_classify(key, &type), 0);
    assert_int_equal(type, KEY_TYPE_RSA3072);
}

/* RFC 7469: the hash is over what stands in the certificate. */
static void test_spki_hash(void **state) {
    struct pki_ca ca = pki_ca("Root", "critical,CA:TRUE", NULL);
    struct pki_ca other = pki_ca("Root", "critical,CA:TRUE", NULL);
    uint8_t of_key[SHA256_SIZE], of_certificate[SHA256_SIZE], expected[SHA256_SIZE];
    unsigned char *der = NULL;
    unsigned size = SHA256_SIZE;
    int der_size = i2d_PUBKEY(ca.key, &der);

    (void)state;
    EVP_Digest(der, (size_t)der_size, expected, &size, EVP_sha256(), NULL);
    OPENSSL_free(der);
    assert_int_equal(x509_key_spki_sha256(ca.key, of_key), 0);
    assert_int_equal(x509_cert_spki_sha256(ca.certificate, of_certificate), 0);
    assert_memory_equal(of_key, expected, SHA256_SIZE);
    assert_memory_equal(of_certificate, expected, SHA256_SIZE);
    x509_cert_spki_sha256(other.certificate, of_certificate);
    assert_memory_not_equal(of_certificate, expected, SHA256_SIZE);
    pki_ca_free(&ca);
    pki_ca_free(&other);
}

static void test_certificate_hash(void **state) {
    struct pki_ca ca = pki_ca("Root", "critical,CA:TRUE", NULL);
    uint8_t hash[SHA256_SIZE], expected[SHA256_SIZE];
    unsigned size = SHA256_SIZE;

    (void)state;
    X509_digest(ca.certificate, EVP_sha256(), expected, &size);
    assert_int_equal(x509_cert_sha256(ca.certificate, hash), 0);
    assert_memory_equal(hash, expected, SHA256_SIZE);
    pki_ca_free(&ca);
}

static void test_hex(void **state) {
    const uint8_t data[] = {0x00, 0x7f, 0x80, 0xff};
    uint8_t back[4] = {0};
    char text[9];

    (void)state;
    assert_string_equal(hex_encode(data, 4, text), "007f80ff");
    assert_int_equal(hex_decode("007F80fF", back, 4), 0);
    assert_memory_equal(back, data, 4);
    memset(back, 0x55, sizeof(back));
    assert_int_equal(hex_decode("007f80f", back, 4), -EINVAL);
    assert_int_equal(hex_decode("007f80ff0", back, 4), -EINVAL);
    assert_int_equal(hex_decode("007f80fg", back, 4), -EINVAL);
    assert_int_equal(hex_decode("", back, 4), -EINVAL);
    assert_int_equal(back[0], 0x55); /* untouched on error */
    assert_int_equal(hex_decode("", back, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_generated_keys_are_of_their_type),
        cmocka_unit_test(test_other_keys_are_refused),
        cmocka_unit_test(test_largest_rsa),
        cmocka_unit_test(test_spki_hash),
        cmocka_unit_test(test_certificate_hash),
        cmocka_unit_test(test_hex),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
