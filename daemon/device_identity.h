/* Who this device is towards the server: its UUID, key and certificate, the server's address, and
 * the roots pinned at enrolment. Files: device.json and device.key. Bound to the machine
 * (machine_binding.h). */
#pragma once

#include "daemon/server_address.h"

#include "common/reason.h"
#include "common/x509_key.h"

#include <stdbool.h>
#include <stdint.h>

#define DEVICE_KEY_FILE "device.key"
#define DEVICE_NEXT_KEY_FILE                                                                       \
    "pending.key" /* of a request that is not answered or not proven yet                           \
                   */

struct device_identity {
    char uuid[37];
    struct server_address server;
    EVP_PKEY *key;
    X509 *certificate;
    X509 *device_issuer, *device_root;
    X509 *trust_issuer, *trust_root;   /* what users' certificates must chain to */
    bool held;                         /* local root has removed everything and wants it so */
    uint8_t token_sha256[SHA256_SIZE]; /* of the token it was made with, so that a file left behind
                                          is not used twice */
};

/** Reads and checks. An interrupted change of keys is finished. `binding`: this machine's. Returns
 * 0; -ENOENT (none); or, with *ret_reason: -EXDEV (CLONED), -EPROTO (NEWER_STATE), -EBADMSG
 * (BROKEN_STATE; nothing was moved away), other negative errno (STORAGE). device_identity_free()
 * the result. */
int device_identity_load(
    int dir_fd, const char *binding, struct device_identity **ret, enum reason *ret_reason);

/** Writes the identity: device.json first, which decides, then device.key. The key must be in
 * DEVICE_NEXT_KEY_FILE or DEVICE_KEY_FILE already, so that a crash between the two loses nothing.
 * Returns 0 or a negative errno; once device.json stands, a failure of the second step is mended by
 * the next load. */
int device_identity_save(int dir_fd, const char *binding, const struct device_identity *identity);

struct device_identity *device_identity_free(struct device_identity *identity);

/** When its certificate is to be renewed, in seconds since 1970: ⅔ of its life, and up to a
 * thirtieth later, by a draw that its key decides, so that a fleet does not renew at once. */
int64_t device_identity_renew_at(const struct device_identity *identity);

DEFINE_CLEANUP(struct device_identity *, device_identity_free);
#define CLEANUP_IDENTITY CLEANUP(device_identity_free_ptr)
