/* The two issuing CAs: device identity and device trust, each under a root of its own (with one
 * root, relying parties accept the wrong kind). What a leaf looks like is decided here, from
 * records of the server; of a request only the public key is taken. */
#pragma once

#include "common/secret.h"
#include "common/x509_profile.h"

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Files in the server's state directory. */
#define CA_FILE_TRUST_ROOT "trust-root.pem"
#define CA_FILE_TRUST_CA "trust-ca.pem"
#define CA_FILE_TRUST_KEY "trust-ca.key" /* 0600 */
#define CA_FILE_DEVICE_ROOT "device-root.pem"
#define CA_FILE_DEVICE_CA "device-ca.pem"
#define CA_FILE_DEVICE_KEY "device-ca.key" /* 0600 */
#define CA_FILE_TLS_CA "tls-ca.pem"     /* what a client pins or trusts for the listeners' names */
#define CA_FILE_TLS_KEY_CA "tls-ca.key" /* 0600; renews the listeners' certificate */
#define CA_FILE_TLS_CHAIN "tls.pem"     /* the listeners' certificate, then the TLS CA */
#define CA_FILE_TLS_KEY "tls.key"       /* 0600 */
/* Root keys, in the export directory: PKCS#8, AES-256-CBC, scrypt. Keep them off the server. */
#define CA_FILE_TRUST_ROOT_KEY "trust-root.key"
#define CA_FILE_DEVICE_ROOT_KEY "device-root.key"

#define CA_MAX_HOSTS 16
#define CA_ERROR_SIZE 512

enum ca_kind { CA_TRUST, CA_DEVICE, CA_KIND_COUNT_ };

struct ca;

struct ca_options {
    const char *dir;                     /* the state directory */
    const char *crl_url[CA_KIND_COUNT_]; /* CRL distribution point in leaves; NULL: none */
};

/** Loads both issuing CAs and checks them: key matches, chain to its root verifies, pathlen 0, not
 * expired at `now_s`. Root keys are never looked for. `ret_error` (CA_ERROR_SIZE): what is wrong
 * and what to do. Returns 0 or a negative errno. */
int ca_open(
    const struct ca_options *options, int64_t now_s, struct ca **ret, char *ret_error,
    size_t error_size);
struct ca *ca_free(struct ca *ca);

/** Where the record of a user's leaf comes from. Strings are borrowed for the call. */
struct ca_user_leaf {
    const char *device_uuid;
    const char *user_id;      /* the server's */
    const char *organisation; /* for the common name */
    const char *mail;         /* rfc822Name; NULL: none */
    const char *upn;          /* otherName 1.3.6.1.4.1.311.20.2.3; NULL: none */
    int64_t lifetime_s;       /* notAfter = now + lifetime_s; > 0 */
    int64_t now_s;
};

struct ca_device_leaf {
    const char *device_uuid;
    int64_t lifetime_s;
    int64_t now_s;
};

/** Issues for the public key of a request that x509_csr_check() has passed. The CA is not changed:
 * several threads may issue at once. The leaf never outlives its issuer. Returns 0, -EINVAL (a
 * record that does not fit the profile), -EIO, -ENOMEM. X509_free() the result; it is meant for
 * encoding: X509_get0_pubkey() gives NULL on it, for its key was copied and not decoded. */
int ca_issue_user(
    const struct ca *ca, const struct ca_user_leaf *leaf, X509_REQ *request, X509 **ret);
int ca_issue_device(
    const struct ca *ca, const struct ca_device_leaf *leaf, X509_REQ *request, X509 **ret);

/** Issuing CA, then root; owned by the CA. What cacerts serves, and what is sent after a leaf. */
STACK_OF(X509) * ca_chain(const struct ca *ca, enum ca_kind kind);
static inline STACK_OF(X509) * ca_trust_chain(const struct ca *ca) {
    return ca_chain(ca, CA_TRUST);
}
static inline STACK_OF(X509) * ca_device_chain(const struct ca *ca) {
    return ca_chain(ca, CA_DEVICE);
}
X509 *ca_issuer(const struct ca *ca, enum ca_kind kind);
X509 *ca_root(const struct ca *ca, enum ca_kind kind);

/** The seam for crl_build(). */
const struct signer *ca_signer(const struct ca *ca, enum ca_kind kind);

/** What a certificate is, proved by signature, extension and policy, never by a name. Validity in
 * time is not looked at. */
enum ca_leaf_kind { CA_LEAF_FOREIGN, CA_LEAF_USER, CA_LEAF_DEVICE };
enum ca_leaf_kind ca_leaf_kind(const struct ca *ca, X509 *certificate);

/** The device UUID of a leaf of ours (its urn:uuid SAN). Returns 0 or -ENOENT. */
int ca_leaf_device_uuid(X509 *certificate, char ret[37]);

/** Lower-case hex SHA-256 of the TLS CA's SubjectPublicKeyInfo, for --ca-pin; "" when the directory
 * has no TLS CA (the operator brought a certificate of another CA). `size` ≥ SHA256_HEX_SIZE. */
const char *ca_tls_pin(const struct ca *ca);

struct ca_init_options {
    const char *dir;             /* state directory; made if absent (0700) */
    const char *root_export_dir; /* where the encrypted root keys go; made if absent (0700) */
    struct secret *passphrase;   /* of the root keys; at least 12 bytes */
    const char *organisation;    /* 1 to 64 characters */
    const char *const *hosts;    /* names or IP addresses of the listeners' certificate,
                                    NULL-terminated; NULL: no TLS CA, no server certificate */
    const char *check_domain;    /* adds *.<check domain>; NULL: none */
    int64_t now_s;
};

/** Makes both roots, both issuing CAs and the listeners' certificate. Refuses (-EEXIST) where any
 * of its files is there already; on any error what it wrote is removed again. `ret_error` as in
 * ca_open(). */
int ca_init(const struct ca_init_options *options, char *ret_error, size_t error_size);

/** Renews the listeners' certificate for the same names when less than a third of its life is left.
 * Returns 1 if it did, 0 if there was no need or no TLS CA, or a negative errno. */
int ca_tls_renew(const char *dir, int64_t now_s);
