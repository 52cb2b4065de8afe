/* The rule of *ours*: issuer key pinned and policy OID and SAN of this device, or the key is one
 * that the agent's record names (a foreign CA). Never a nickname, a common name or an issuer's
 * name. */
#pragma once

#include "common/x509_profile.h"

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#define OURS_MAX_ISSUERS 4 /* the current one and those of a rollover */
#define OURS_MAX_KEYS 32
#define OURS_MAX_DEVICES 2 /* this device, and what it was before it was enrolled anew */
#define USER_ID_MAX 65     /* request ids and server user ids, with NUL */

struct ours {
    char devices[OURS_MAX_DEVICES][37]; /* none: only the recorded keys are ours */
    size_t device_count;
    uint8_t issuer_keys[OURS_MAX_ISSUERS][SHA256_SIZE];
    size_t issuer_key_count;
    X509 *issuers[OURS_MAX_ISSUERS]; /* certificates that the agent knows besides those in the
                                        store; owned */
    size_t issuer_count;
    uint8_t keys[OURS_MAX_KEYS][SHA256_SIZE]; /* recorded public keys */
    size_t key_count;
    bool any_device; /* only to look, never to delete: whatever device's, and by whomever issued */
};

/** Releases the certificates; safe on a zeroed one. */
void ours_deinit(struct ours *ours);
#define CLEANUP_OURS CLEANUP(ours_deinit)

/** Adders: doubles are ignored. Return 0 or -ENOSPC when the table is full. ours_add_issuer() also
 * pins its key. */
int ours_add_device(struct ours *ours, const char *uuid);
int ours_add_issuer_key(struct ours *ours, const uint8_t spki[SHA256_SIZE]);
int ours_add_issuer(struct ours *ours, X509 *issuer);
int ours_add_key(struct ours *ours, const uint8_t spki[SHA256_SIZE]);

/** A deep enough copy (the certificates are shared by reference). */
void ours_copy(const struct ours *from, struct ours *ret);

/** Whether the certificate's key is a pinned issuer's and it is a CA. */
bool ours_is_issuer(const struct ours *ours, X509 *certificate);

/** The rule. `stored`: further candidates for the issuer (NULL: none). *ret_issuer (may be NULL):
 * the one that signed it, borrowed; NULL where it is ours by its key alone. */
bool ours_matches(const struct ours *ours, X509 *leaf, STACK_OF(X509) * stored, X509 **ret_issuer);

/** Whether a key's label is "devtrust <this device> <request id>". *ret_request_id (may be NULL)
 * points into `label`. */
bool ours_key_label_matches(
    const struct ours *ours, const char *label, const char **ret_request_id);
