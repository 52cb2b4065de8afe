/* Which keys are allowed, how they are made, and the hashes by which they are known. */
#include "x509_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/sha.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const struct {
    const char *name;
    const char *algorithm; /* OpenSSL's name */
    const char *group;     /* EC */
    size_t bits;           /* RSA */
} key_types[KEY_TYPE_COUNT_] = {
    [KEY_TYPE_P256] = {.name = "p256", .algorithm = "EC", .group = "prime256v1"},
    [KEY_TYPE_P384] = {.name = "p384", .algorithm = "EC", .group = "secp384r1"},
    [KEY_TYPE_RSA2048] = {.name = "rsa2048", .algorithm = "RSA", .bits = 2048},
    [KEY_TYPE_RSA3072] = {.name = "rsa3072", .algorithm = "RSA", .bits = 3072},
};

const char *key_type_name(enum key_type type) {
    return key_types[type].name;
}

int key_type_from_name(const char *name, enum key_type *ret) {
    for (size_t i = 0; i < KEY_TYPE_COUNT_; i++)
        if (strcmp(key_types[i].name, name) == 0) {
            *ret = (enum key_type)i;
            return 0;
        }
    return -EINVAL;
}

int x509_key_generate(enum key_type type, EVP_PKEY **ret) {
    EVP_PKEY *key;

    if (key_types[type].group)
        key = EVP_PKEY_Q_keygen(NULL, NULL, key_types[type].algorithm, key_types[type].group);
    else
        key = EVP_PKEY_Q_keygen(NULL, NULL, key_types[type].algorithm, key_types[type].bits);
    if (!key)
        return -EIO;
    *ret = key;
    return 0;
}

static int classify_ec(EVP_PKEY *key, enum key_type *ret) {
    char group[64], encoding[32];
    size_t length;
    int explicit_parameters = 0;

    /* OpenSSL recognises a well-known curve behind explicit parameters and then answers with its
     * name; what was on the wire is asked for separately */
    if (EVP_PKEY_get_int_param(
            key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &explicit_parameters) == 1 &&
        explicit_parameters != 0)
        return -ENOTSUP;
    if (EVP_PKEY_get_utf8_string_param(
            key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof(encoding), &length) != 1 ||
        strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) != 0)
        return -ENOTSUP;
    if (EVP_PKEY_get_group_name(key, group, sizeof(group), &length) != 1)
        return -ENOTSUP;
    for (size_t i = 0; i < KEY_TYPE_COUNT_; i++)
        if (key_types[i].group && strcmp(key_types[i].group, group) == 0) {
            *ret = (enum key_type)i;
            return 0;
        }
    return -ENOTSUP;
}

static int classify_rsa(EVP_PKEY *key, enum key_type *ret) {
    BIGNUM *exponent = NULL;
    int bits = EVP_PKEY_get_bits(key);
    bool good;

    if (bits < 2048 || bits > 4096)
        return -ENOTSUP;
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1)
        return -ENOTSUP;
    good = BN_is_word(exponent, 65537);
    BN_free(exponent);
    if (!good)
        return -ENOTSUP;
    *ret = bits >= 3072 ? KEY_TYPE_RSA3072 : KEY_TYPE_RSA2048;
    return 0;
}

int x509_key_classify(EVP_PKEY *key, enum key_type *ret) {
    if (EVP_PKEY_is_a(key, "EC"))
        return classify_ec(key, ret);
    if (EVP_PKEY_is_a(key, "RSA"))
        return classify_rsa(key, ret);
    return -ENOTSUP;
}

static int hash_and_free(unsigned char *der, int size, uint8_t ret[SHA256_SIZE]) {
    bool good = size > 0 && SHA256(der, (size_t)size, ret);

    OPENSSL_free(der);
    return good ? 0 : -EIO;
}

int x509_key_spki_sha256(EVP_PKEY *key, uint8_t ret[SHA256_SIZE]) {
    unsigned char *der = NULL;
    int size = i2d_PUBKEY(key, &der);

    return hash_and_free(der, size, ret);
}

int x509_cert_spki_sha256(X509 *certificate, uint8_t ret[SHA256_SIZE]) {
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    return hash_and_free(der, size, ret);
}

int x509_cert_sha256(X509 *certificate, uint8_t ret[SHA256_SIZE]) {
    unsigned char *der = NULL;
    int size = i2d_X509(certificate, &der);

    return hash_and_free(der, size, ret);
}

char *hex_encode(const uint8_t *data, size_t size, char *ret) {
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        ret[2 * i] = digits[data[i] >> 4];
        ret[2 * i + 1] = digits[data[i] & 15];
    }
    ret[2 * size] = '\0';
    return ret;
}

static int nibble(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_decode(const char *text, uint8_t *ret, size_t size) {
    if (strlen(text) != 2 * size)
        return -EINVAL;
    for (size_t i = 0; i < 2 * size; i++)
        if (nibble(text[i]) < 0)
            return -EINVAL;
    for (size_t i = 0; i < size; i++)
        ret[i] = (uint8_t)((unsigned)nibble(text[2 * i]) << 4 | (unsigned)nibble(text[2 * i + 1]));
    return 0;
}
