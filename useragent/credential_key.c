/* Makes keys that live in locked memory, and lets nothing of them behind in memory that was freed.
 */
#include "useragent/credential_key.h"

#include "common/base64.h"
#include "common/cleanup.h"
#include "common/x509_csr.h"
#include "useragent/ours.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/encoder.h>
#include <string.h>

#define SECURE_ARENA_SIZE (64 * 1024) /* a power of two; an RSA-3072 key takes about 6 KiB */
#define PKCS8_MAX_SIZE 4096           /* RSA-3072: 1.8 KiB */

struct credential_key {
    EVP_PKEY *key;
    char *csr; /* base64 */
    uint8_t spki[SHA256_SIZE];
    char request_id[USER_ID_MAX];
};

/* OpenSSL wipes what it knows to be secret, but frees some encodings of it unwiped (PKCS#8 on its
 * way out, for one). */
static void wiping_free(void *memory, const char *file, int line) {
    (void)file;
    (void)line;
    if (memory) {
        explicit_bzero(memory, malloc_usable_size(memory));
        free(memory);
    }
}

static void *plain_malloc(size_t size, const char *file, int line) {
    (void)file;
    (void)line;
    return malloc(size);
}

static void *wiping_realloc(void *memory, size_t size, const char *file, int line) {
    size_t old = memory ? malloc_usable_size(memory) : 0;
    void *grown;

    if (memory && size <= old)
        return memory;
    grown = malloc(size > 0 ? size : 1);
    if (!grown)
        return NULL;
    if (memory) {
        memcpy(grown, memory, old < size ? old : size);
        wiping_free(memory, file, line);
    }
    return grown;
}

int credential_key_harden(void) {
    if (CRYPTO_set_mem_functions(plain_malloc, wiping_realloc, wiping_free) != 1)
        return -EBUSY;
    return secret_harden_openssl(SECURE_ARENA_SIZE);
}

static int make_csr(struct credential_key *key, const char *user_id) {
    const struct x509_csr_subject subject = {.uid = user_id, .serial_number = key->request_id};
    CLEANUP_FREE uint8_t *der = NULL;
    size_t size = 0;
    int r;

    r = x509_csr_create(key->key, &subject, &der, &size);
    if (r < 0)
        return r;
    key->csr = malloc(BASE64_TEXT_SIZE(size));
    if (!key->csr)
        return -ENOMEM;
    base64_encode(der, size, key->csr);
    return 0;
}

int credential_key_new(
    enum key_type type, const char *user_id, const char *request_id, struct credential_key **ret) {
    struct credential_key *key;
    int r;

    if (strlen(request_id) >= sizeof key->request_id)
        return -EINVAL;
    key = calloc(1, sizeof *key);
    if (!key)
        return -ENOMEM;
    memcpy(key->request_id, request_id, strlen(request_id) + 1);
    r = x509_key_generate(type, &key->key);
    if (r >= 0)
        r = x509_key_spki_sha256(key->key, key->spki);
    if (r >= 0)
        r = make_csr(key, user_id);
    if (r < 0) {
        credential_key_free(key);
        return r;
    }
    *ret = key;
    return 0;
}

struct credential_key *credential_key_free(struct credential_key *key) {
    if (!key)
        return NULL;
    EVP_PKEY_free(key->key); /* wipes */
    free(key->csr);
    free(key);
    return NULL;
}

const char *credential_key_csr(const struct credential_key *key) {
    return key->csr;
}

const uint8_t *credential_key_spki(const struct credential_key *key) {
    return key->spki;
}

const char *credential_key_request_id(const struct credential_key *key) {
    return key->request_id;
}

static int encode(EVP_PKEY *key, BIO *bio) {
    OSSL_ENCODER_CTX *context =
        OSSL_ENCODER_CTX_new_for_pkey(key, OSSL_KEYMGMT_SELECT_ALL, "DER", "PrivateKeyInfo", NULL);
    int good = context && OSSL_ENCODER_to_bio(context, bio) == 1;

    OSSL_ENCODER_CTX_free(context);
    return good ? 0 : -EIO;
}

int credential_key_export(const struct credential_key *key, struct secret **ret) {
    BIO *bio = BIO_new(BIO_s_secmem());
    char *data = NULL;
    long size;
    int r;

    if (!bio)
        return -ENOMEM;
    r = encode(key->key, bio);
    size = BIO_get_mem_data(bio, &data);
    if (r >= 0 && (size <= 0 || size > PKCS8_MAX_SIZE))
        r = -EIO;
    if (r >= 0)
        r = secret_new((size_t)size, ret);
    if (r >= 0)
        memcpy(secret_data(*ret), data, (size_t)size);
    BIO_free(bio); /* wipes */
    return r;
}
