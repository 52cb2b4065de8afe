/* Reads and writes the device's key; see the header for what it promises. */
#include "daemon/device_key.h"

#include "common/atomic_file.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <string.h>

#define MAX_KEY_FILE 8192

static void bio_free_ptr(BIO **bio) {
    BIO_free_all(*bio);
}

int device_key_write(int dir_fd, const char *name, EVP_PKEY *key) {
    CLEANUP(bio_free_ptr) BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
    if (!bio)
        return -ENOMEM;
    if (PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return -EIO;
    char *text;
    long size = BIO_get_mem_data(bio, &text);
    if (size <= 0)
        return -EIO;
    return atomic_file_write(dir_fd, name, text, (size_t)size, 0600);
}

/* Never asks at a terminal: our key files have no passphrase. */
static int no_passphrase(char *buffer, int size, int writing, void *userdata) {
    (void)buffer;
    (void)size;
    (void)writing;
    (void)userdata;
    return -1;
}

int device_key_read(int dir_fd, const char *name, EVP_PKEY **ret) {
    char *text = NULL;
    size_t size = 0;
    int r = atomic_file_read(dir_fd, name, MAX_KEY_FILE, &text, &size);
    if (r < 0)
        return r;
    BIO *bio = BIO_new_mem_buf(text, (int)size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    OPENSSL_cleanse(text, size);
    free(text);
    if (!key)
        return -EBADMSG;
    *ret = key;
    return 0;
}

bool device_key_fits(EVP_PKEY *key, X509 *certificate) {
    uint8_t of_key[SHA256_SIZE], of_certificate[SHA256_SIZE];
    return x509_key_spki_sha256(key, of_key) == 0 &&
           x509_cert_spki_sha256(certificate, of_certificate) == 0 &&
           memcmp(of_key, of_certificate, SHA256_SIZE) == 0;
}
