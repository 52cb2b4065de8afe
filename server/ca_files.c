/* Keeps PEM and file handling out of the CA's logic. */
#include "server/ca_files.h"

#include "common/atomic_file.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>

#include <errno.h>

#define MAX_PEM_FILE (64 * 1024)
#define SCRYPT_N 16384 /* 16 MiB with r = 8: OpenSSL's own limit when reading is 32 MiB */
#define SCRYPT_R 8
#define SCRYPT_P 5
#define SALT_SIZE 16

static void bio_free_ptr(BIO **bio) {
    BIO_free(*bio);
}

static void pkcs8_free_ptr(PKCS8_PRIV_KEY_INFO **info) {
    PKCS8_PRIV_KEY_INFO_free(*info);
}

int ca_file_read_certificate(int dir_fd, const char *name, X509 **ret) {
    CLEANUP_FREE char *text = NULL;
    CLEANUP(bio_free_ptr) BIO *bio = NULL;
    X509 *certificate;
    size_t size;
    int r = atomic_file_read(dir_fd, name, MAX_PEM_FILE, &text, &size);

    if (r < 0)
        return r;
    bio = BIO_new_mem_buf(text, (int)size);
    if (!bio)
        return -ENOMEM;
    certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (!certificate)
        return -EBADMSG;
    *ret = certificate;
    return 0;
}

static int write_bio(int dir_fd, const char *name, BIO *bio, mode_t mode) {
    char *data;
    long size = BIO_get_mem_data(bio, &data);

    return size > 0 ? atomic_file_write(dir_fd, name, data, (size_t)size, mode) : -EIO;
}

int ca_file_write_certificates(
    int dir_fd, const char *name, X509 *const *certificates, size_t count) {
    CLEANUP(bio_free_ptr) BIO *bio = BIO_new(BIO_s_mem());

    if (!bio)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (PEM_write_bio_X509(bio, certificates[i]) != 1)
            return -EIO;
    return write_bio(dir_fd, name, bio, 0644);
}

int ca_file_write_key(int dir_fd, const char *name, EVP_PKEY *key) {
    /* secure memory wipes what it frees */
    CLEANUP(bio_free_ptr) BIO *bio = BIO_new(BIO_s_secmem());

    if (!bio)
        return -ENOMEM;
    if (PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return -EIO;
    return write_bio(dir_fd, name, bio, 0600);
}

static X509_SIG *encrypt(EVP_PKEY *key, struct secret *passphrase) {
    CLEANUP(pkcs8_free_ptr) PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    uint8_t salt[SALT_SIZE];
    X509_ALGOR *scheme;
    X509_SIG *encrypted;

    if (!info || RAND_bytes(salt, sizeof(salt)) != 1)
        return NULL;
    scheme = PKCS5_pbe2_set_scrypt(
        EVP_aes_256_cbc(), salt, sizeof(salt), NULL, SCRYPT_N, SCRYPT_R, SCRYPT_P);
    if (!scheme)
        return NULL;
    encrypted = PKCS8_set0_pbe(
        (const char *)secret_data(passphrase), (int)secret_size(passphrase), info, scheme);
    if (!encrypted)
        X509_ALGOR_free(scheme);
    return encrypted;
}

int ca_file_write_encrypted_key(
    int dir_fd, const char *name, EVP_PKEY *key, struct secret *passphrase) {
    CLEANUP(bio_free_ptr) BIO *bio = BIO_new(BIO_s_mem());
    X509_SIG *encrypted = bio ? encrypt(key, passphrase) : NULL;
    int r = -EIO;

    if (encrypted && PEM_write_bio_PKCS8(bio, encrypted) == 1)
        r = write_bio(dir_fd, name, bio, 0600);
    X509_SIG_free(encrypted);
    return r;
}
