/* PKCS#10 requests (RFC 2986): the one form that devtrust uses. Subject exactly UID=<user>,
 * serialNumber=<request id>; no attributes, no extensions. Device requests: serialNumber=<device
 * UUID> alone. */
#pragma once

#include "reason.h"
#include "x509_key.h"

#include <stdbool.h>
#include <stddef.h>

#define X509_CSR_MAX_SIZE 4096 /* DER bytes */

struct x509_csr_subject {
    const char *uid;           /* NULL: no UID attribute (a device's request) */
    const char *serial_number; /* request id or device UUID */
};

/** Builds and signs (SHA-256; SHA-384 for P-384). free() *ret_der. Returns 0, -ENOMEM, -EIO. */
int x509_csr_create(
    EVP_PKEY *key, const struct x509_csr_subject *subject, uint8_t **ret_der, size_t *ret_size);

/** What a request must be. A NULL subject member accepts whatever stands there (the server learns
 * it). */
struct x509_csr_expectation {
    const struct x509_csr_subject *subject; /* NULL: subject is not looked at */
    bool any_key_type;                      /* true: every allowed type; false: key_type only */
    enum key_type key_type;
};

/** Checks, in this order: size, one DER object with nothing after it, version, no attributes, key
 * (x509_key_classify), digest ≥ SHA-256, proof of possession, subject. Returns 0 and *ret
 * (X509_REQ_free), or -EBADMSG and *ret_reason (REASON_CSR_*). */
int x509_csr_check(
    const uint8_t *der, size_t size, const struct x509_csr_expectation *expectation, X509_REQ **ret,
    enum reason *ret_reason);

/** Subject values of a checked request, copied (free() them); either may come back NULL. Returns 0
 * or -ENOMEM. */
int x509_csr_get_subject(X509_REQ *request, char **ret_uid, char **ret_serial_number);
