/* Reading an NSS database: its certificates as OpenSSL objects, its private keys with label and id.
 */
#pragma once

#include "useragent/nss_headers.h"
#include "useragent/nss_session.h"
#include "useragent/ours.h"

#define NSS_OBJECT_MAX 4096 /* certificates or keys looked at in one database */

struct nss_certificate {
    CERTCertificate *nss; /* owned by the list */
    SECItem *id;          /* CKA_ID of its key: SHA-1 of the public value; NULL: an odd key */
    X509 *x509;           /* owned by `stack` */
    bool ours;            /* a leaf of ours */
    X509 *issuer;         /* ours only; borrowed; NULL: by its key alone */
};

/** All certificates of a database that OpenSSL can decode; others can be none of ours. */
struct nss_certificates {
    CERTCertList *list;
    STACK_OF(X509) * stack;
    struct nss_certificate *items;
    size_t count;
};

/** Reads and judges by the rule of *ours*. Returns 0, -EIO, -ENOMEM, -E2BIG. */
int nss_certificates_read(
    struct nss_session *session, const struct ours *ours, struct nss_certificates *ret);

/** Safe on a zeroed one. */
void nss_certificates_deinit(struct nss_certificates *certificates);
#define CLEANUP_NSS_CERTIFICATES CLEANUP(nss_certificates_deinit)

struct nss_key {
    SECKEYPrivateKey *key; /* owned by the list */
    SECItem *id;           /* CKA_ID */
    char label[128];       /* CKA_LABEL, cut */
};

struct nss_keys {
    SECKEYPrivateKeyList *list;
    struct nss_key *items;
    size_t count;
};

/** Returns 0, -EIO, -ENOMEM, -E2BIG. */
int nss_keys_read(struct nss_session *session, struct nss_keys *ret);
void nss_keys_deinit(struct nss_keys *keys);
#define CLEANUP_NSS_KEYS CLEANUP(nss_keys_deinit)

/** Whether key and certificate meet by CKA_ID, as every user of the database matches them. */
bool nss_key_belongs_to(const struct nss_key *key, const struct nss_certificate *certificate);

/** The key of a certificate among `keys`; NULL: none. */
struct nss_key *nss_keys_find(
    const struct nss_keys *keys, const struct nss_certificate *certificate);

static inline void nss_free_item(SECItem **item) {
    if (*item)
        SECITEM_FreeItem(*item, PR_TRUE);
}
#define CLEANUP_SECITEM CLEANUP(nss_free_item)
