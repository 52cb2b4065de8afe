/* Key types and what is derived from public keys. Private keys are OpenSSL's, in its secure memory.
 */
#pragma once

#include "cleanup.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>

enum key_type { KEY_TYPE_P256, KEY_TYPE_P384, KEY_TYPE_RSA2048, KEY_TYPE_RSA3072, KEY_TYPE_COUNT_ };

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE 65 /* with NUL */

/** "p256", "p384", "rsa2048", "rsa3072". */
const char *key_type_name(enum key_type type);

/** Returns 0 or -EINVAL for an unknown name. */
int key_type_from_name(const char *name, enum key_type *ret);

/** Makes a key pair. RSA takes hundreds of ms: off the loop. Returns 0 or -EIO. EVP_PKEY_free() the
 * result. */
int x509_key_generate(enum key_type type, EVP_PKEY **ret);

/** The key's type; -ENOTSUP for any other kind, size, curve, explicit curve parameters, RSA
 * exponent ≠ 65537. RSA of 2048 to 4096 bits is accepted, reported as the largest type that it
 * reaches. */
int x509_key_classify(EVP_PKEY *key, enum key_type *ret);

/** SHA-256 over the DER SubjectPublicKeyInfo (RFC 7469 section 2.4). Returns 0 or -EIO. */
int x509_key_spki_sha256(EVP_PKEY *key, uint8_t ret[SHA256_SIZE]);
int x509_cert_spki_sha256(X509 *certificate, uint8_t ret[SHA256_SIZE]);

/** SHA-256 over the whole certificate's DER. */
int x509_cert_sha256(X509 *certificate, uint8_t ret[SHA256_SIZE]);

/** Lower-case hex; `ret` holds 2 * size + 1 bytes. Returns `ret`. */
char *hex_encode(const uint8_t *data, size_t size, char *ret);

/** Exactly `size` bytes of lower- or upper-case hex. Returns 0 or -EINVAL. */
int hex_decode(const char *text, uint8_t *ret, size_t size);

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(X509_REQ *, X509_REQ_free);
#define CLEANUP_EVP_PKEY CLEANUP(EVP_PKEY_free_ptr)
#define CLEANUP_X509 CLEANUP(X509_free_ptr)
#define CLEANUP_X509_REQ CLEANUP(X509_REQ_free_ptr)
