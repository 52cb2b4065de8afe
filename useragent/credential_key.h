/* A user's new key and its signing request: made with OpenSSL in locked, wiped memory, alive from
 * the request until the import, never written anywhere but into the store. */
#pragma once

#include "common/secret.h"
#include "common/x509_key.h"

#include <stddef.h>
#include <stdint.h>

struct credential_key;

/** Makes OpenSSL keep secrets in a locked arena and wipe all other memory that it frees. First
 * thing in main(). Returns 0 or -EBUSY (OpenSSL has been used before). */
int credential_key_harden(void);

/** A key with a request for subject UID=<user_id>, serialNumber=<request_id>. Blocks (RSA: hundreds
 * of ms). Returns 0, -EIO, -ENOMEM. */
int credential_key_new(
    enum key_type type, const char *user_id, const char *request_id, struct credential_key **ret);

/** Wipes the key; takes NULL, returns NULL. */
struct credential_key *credential_key_free(struct credential_key *key);

/** The request as it travels: DER in base64. Owned by the key. */
const char *credential_key_csr(const struct credential_key *key);

/** SHA-256 of its SubjectPublicKeyInfo; SHA256_SIZE bytes, owned by the key. */
const uint8_t *credential_key_spki(const struct credential_key *key);
const char *credential_key_request_id(const struct credential_key *key);

/** PKCS#8 DER (RFC 5958 version 0) for the store's own library; secret_free() it right after.
 * Returns 0, -EIO, -ENOMEM. */
int credential_key_export(const struct credential_key *key, struct secret **ret);
