/* The pieces of which certificates are made, for the CAs and their leaves alike. */
#pragma once

#include "common/x509_key.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define X509_BUILD_SERIAL_SIZE 16

struct x509_build_validity {
    int64_t not_before_s, not_after_s; /* seconds since 1970, notBefore < notAfter */
};

/** A version 3 certificate with a random 128-bit serial number (the first octet is 01 to 7f, so
 * that it is positive, and its DER and hex forms have 16 octets always), validity and issuer name;
 * subject, key, extensions and signature are still to come. Returns 0, -EINVAL, -EIO, -ENOMEM. */
int x509_build_begin(
    const struct x509_build_validity *validity, const X509_NAME *issuer, X509 **ret);

/** Appends one attribute (UTF-8). Returns 0 or -EIO. */
int x509_build_name(X509_NAME *name, int nid, const char *text);

/** Appends an extension from its C structure. Returns 0 or -EIO. */
int x509_build_extension(X509 *certificate, int nid, bool critical, void *value);

/** Basic constraints: a CA with pathlen ≥ 0, a root (pathlen -1: none written), or an end entity
 * (X509_BUILD_LEAF). */
#define X509_BUILD_LEAF (-2)
int x509_build_basic_constraints(X509 *certificate, int pathlen);

/** Key usage as KU_… bits (first octet only), critical. */
int x509_build_key_usage(X509 *certificate, uint32_t bits);

/** Extended key usage by NIDs, at least one. */
int x509_build_extended_key_usage(X509 *certificate, const int *nids, size_t count);

/** Certificate policies: one OID in dotted text, no qualifiers. */
int x509_build_policy(X509 *certificate, const char *oid);

/** The subject's key identifier: the leftmost 160 bits of SHA-256 over the public key (RFC 7093
 * section 2, method 1). The certificate's key must be set. */
int x509_build_subject_key_id(X509 *certificate);

/** The authority's key identifier, copied from the issuer (which may be the certificate itself).
 * -EINVAL: the issuer has none. */
int x509_build_authority_key_id(X509 *certificate, X509 *issuer);

/** One CRL distribution point. */
int x509_build_crl_point(X509 *certificate, const char *url);

/** Appends a name to a SAN list; `type` GEN_URI, GEN_DNS or GEN_EMAIL (ASCII text, 1 to 253 bytes).
 * Returns 0, -EINVAL, -ENOMEM. */
int x509_build_general_name(GENERAL_NAMES *names, int type, const char *text);

/** Appends a user principal name (otherName 1.3.6.1.4.1.311.20.2.3, UTF-8). */
int x509_build_upn(GENERAL_NAMES *names, const char *upn);

/** Appends an IP address, 4 or 16 octets. */
int x509_build_ip(GENERAL_NAMES *names, const uint8_t *address, size_t size);

static inline void general_names_free_ptr(GENERAL_NAMES **names) {
    GENERAL_NAMES_free(*names);
}
#define CLEANUP_GENERAL_NAMES CLEANUP(general_names_free_ptr)
