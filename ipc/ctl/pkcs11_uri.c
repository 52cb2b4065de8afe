/* See pkcs11_uri.h. */
#include "ipc/ctl/pkcs11_uri.h"

#include "common/cleanup.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "pkcs11:token=NSS%20Certificate%20DB;id="
#define MODULUS_MAX 512 /* bytes: RSA 4096, the longest that is ever certified */

_Static_assert(
    sizeof PREFIX + (size_t)3 * SHA_DIGEST_LENGTH <= PKCS11_URI_SIZE, "the longest URI fits");

static int sha1(const void *data, size_t size, uint8_t ret[SHA_DIGEST_LENGTH]) {
    return EVP_Digest(data, size, ret, NULL, EVP_sha1(), NULL) == 1 ? 0 : -EIO;
}

static int rsa_id(const EVP_PKEY *key, uint8_t ret[SHA_DIGEST_LENGTH]) {
    uint8_t modulus[MODULUS_MAX];
    BIGNUM *n = NULL;
    int size = -1;

    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
        BN_num_bytes(n) <= MODULUS_MAX)
        size = BN_bn2bin(n, modulus);
    BN_free(n);
    return size > 0 ? sha1(modulus, (size_t)size, ret) : -EBADMSG;
}

static int key_id(X509 *certificate, uint8_t ret[SHA_DIGEST_LENGTH]) {
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    const ASN1_BIT_STRING *point;

    if (!key)
        return -EBADMSG;
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC:
        /* RFC 5480: the bits are the point itself */
        point = X509_get0_pubkey_bitstr(certificate);
        return sha1(point->data, (size_t)point->length, ret);
    case EVP_PKEY_RSA:
        return rsa_id(key, ret);
    default:
        return -ENOTSUP;
    }
}

int pkcs11_uri(X509 *certificate, char ret[PKCS11_URI_SIZE]) {
    uint8_t id[SHA_DIGEST_LENGTH];
    size_t length = strlen(PREFIX);
    int r = key_id(certificate, id);

    if (r < 0)
        return r;
    memcpy(ret, PREFIX, length + 1);
    for (size_t i = 0; i < sizeof id; i++, length += 3)
        snprintf(ret + length, PKCS11_URI_SIZE - length, "%%%02X", id[i]);
    return 0;
}
