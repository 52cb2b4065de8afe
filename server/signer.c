/* The signer over a key in this process: read from a file that nobody else can read, kept in
 * OpenSSL's secure memory. */
#include "server/signer.h"

#include "common/secret.h"
#include "common/x509_key.h"

#include <openssl/bio.h>
#include <openssl/pem.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MAX_KEY_FILE 16384

static int key_sign_certificate(void *state, X509 *certificate) {
    return X509_sign(certificate, state, EVP_sha256()) > 0 ? 0 : -EIO;
}

static int key_sign_crl(void *state, X509_CRL *crl) {
    return X509_CRL_sign(crl, state, EVP_sha256()) > 0 ? 0 : -EIO;
}

static EVP_PKEY *key_public_key(void *state) {
    return state;
}

static void key_free(void *state) {
    EVP_PKEY_free(state);
}

static const struct signer_operations key_operations = {
    .sign_certificate = key_sign_certificate,
    .sign_crl = key_sign_crl,
    .public_key = key_public_key,
    .free = key_free,
};

int signer_from_key(EVP_PKEY *key, struct signer *ret) {
    if (EVP_PKEY_up_ref(key) != 1)
        return -ENOMEM;
    *ret = (struct signer){.operations = &key_operations, .state = key};
    return 0;
}

/* An encrypted key must not make a service ask its terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *userdata) {
    (void)buffer;
    (void)size;
    (void)writing;
    (void)userdata;
    return -1;
}

static void secret_free_ptr(struct secret **secret) {
    secret_free(*secret);
}

static int check_file(int fd) {
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EBADMSG;
    if ((st.st_mode & 077) != 0 || (st.st_uid != geteuid() && st.st_uid != 0))
        return -EPERM;
    return 0;
}

int signer_file_open(int dir_fd, const char *name, struct signer *ret) {
    CLEANUP_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    CLEANUP(secret_free_ptr) struct secret *pem = NULL;
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    BIO *bio;
    int r;

    if (fd < 0)
        return -errno;
    r = check_file(fd);
    if (r < 0)
        return r;
    r = secret_read_fd(fd, MAX_KEY_FILE, &pem);
    if (r < 0)
        return r;
    bio = BIO_new_mem_buf(secret_data(pem), (int)secret_size(pem));
    if (!bio)
        return -ENOMEM;
    key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    return key ? signer_from_key(key, ret) : -EBADMSG;
}

void signer_deinit(struct signer *signer) {
    if (signer->operations)
        signer->operations->free(signer->state);
    *signer = (struct signer){0};
}
