/* The two checks around a signing request: what an agent asks for, before it is posted; what the
 * server answers, before it is handed out. */
#pragma once

#include "common/reason.h"
#include "common/x509_profile.h"

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

struct user_csr {
    uint8_t *der; /* free() */
    size_t size;
    uint8_t spki[SHA256_SIZE];
};

/** Decodes and checks a request: ≤ 4 KiB, the ordered key type and subject (x509_csr_check).
 * Returns 0; -EBADMSG with *ret_reason; -ENOMEM. */
int user_signing_check_csr(
    const char *base64, const char *user_id, const char *request_id, enum key_type key_type,
    struct user_csr *ret, enum reason *ret_reason);

struct user_bundle {
    char *root, *intermediate, *leaf; /* base64 of DER; free() */
    char serial[X509_SERIAL_HEX_SIZE];
    int64_t not_after;
};

struct user_bundle_expectation {
    X509 *trust_root; /* the pinned one */
    const char *spki; /* hex: the key of the request */
    const char *device_uuid;
    const char *user_id;
    int64_t lifetime_s; /* as ordered; 0: not known */
    int64_t now_s;      /* 0: this clock is not to be believed */
};

/** Checks the server's answer. Returns 0; -EBADMSG with *ret_reason; -ENOMEM. */
int user_signing_check_bundle(
    STACK_OF(X509) * certificates, const struct user_bundle_expectation *expectation,
    struct user_bundle *ret, enum reason *ret_reason);
void user_bundle_deinit(struct user_bundle *bundle);
