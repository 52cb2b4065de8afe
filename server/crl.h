/* Certificate revocation lists (RFC 5280 section 5), for relying parties that cannot ask the status
 * endpoint. The list comes from the caller. */
#pragma once

#include "server/ca.h"

#include <stddef.h>
#include <stdint.h>

#define CRL_MAX_ENTRIES 1000000

/* CRLReason, RFC 5280 5.3.1 */
enum crl_reason {
    CRL_REASON_UNSPECIFIED = 0, /* no entry extension */
    CRL_REASON_KEY_COMPROMISE = 1,
    CRL_REASON_AFFILIATION_CHANGED = 3,
    CRL_REASON_SUPERSEDED = 4,
    CRL_REASON_CESSATION = 5,
    CRL_REASON_PRIVILEGE_WITHDRAWN = 9,
};

struct crl_entry {
    const char *serial_hex; /* as x509_serial_hex() gives it */
    int64_t revoked_s;      /* seconds since 1970 */
    enum crl_reason reason;
};

/** Builds and signs. `number` is the CRL number and must grow (the database keeps it); nextUpdate =
 * now + validity. Expired certificates are the caller's to leave out. Returns 0, -EINVAL (an entry
 * that is no serial), -EMSGSIZE, -ENOMEM, -EIO. free() *ret_der. */
int crl_build(
    const struct ca *ca, enum ca_kind kind, const struct crl_entry *entries, size_t count,
    int64_t number, int64_t now_s, int64_t validity_s, uint8_t **ret_der, size_t *ret_size);
