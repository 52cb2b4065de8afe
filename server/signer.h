/* Where an issuing key lives, behind a table: a file here, a hardware module or a key service
 * elsewhere. Whoever signs sees whole certificates and CRLs, so that an implementation may refuse
 * what is outside its mandate. */
#pragma once

#include "common/cleanup.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

struct signer_operations {
    /** Both set the signature algorithm and sign with SHA-256. Return 0 or -EIO. May be called from
     * several threads at once. */
    int (*sign_certificate)(void *state, X509 *certificate);
    int (*sign_crl)(void *state, X509_CRL *crl);
    /** The public key; owned by the signer. */
    EVP_PKEY *(*public_key)(void *state);
    void (*free)(void *state);
};

struct signer {
    const struct signer_operations *operations;
    void *state;
};

static inline int signer_sign_certificate(const struct signer *signer, X509 *certificate) {
    return signer->operations->sign_certificate(signer->state, certificate);
}

static inline int signer_sign_crl(const struct signer *signer, X509_CRL *crl) {
    return signer->operations->sign_crl(signer->state, crl);
}

static inline EVP_PKEY *signer_public_key(const struct signer *signer) {
    return signer->operations->public_key(signer->state);
}

/** A key in an unencrypted PKCS#8 PEM file. The file must be a regular one, of this process's own
 * uid or root's, and closed to everybody else (mode & 077 == 0). Returns 0; -EPERM (owner or mode);
 * -EBADMSG (not such a key); another negative errno. */
int signer_file_open(int dir_fd, const char *name, struct signer *ret);

/** A signer over a key in hand; takes a reference. Returns 0 or -ENOMEM. */
int signer_from_key(EVP_PKEY *key, struct signer *ret);

/** Safe on a zeroed one. */
void signer_deinit(struct signer *signer);
#define CLEANUP_SIGNER CLEANUP(signer_deinit)
