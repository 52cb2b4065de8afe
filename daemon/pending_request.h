/* A request for a device certificate that is on its way: key and CSR (and token) are on disk before
 * they are first sent, and the same CSR is sent until it is answered, over any number of restarts.
 * Files: pending.json, pending.key, pending.token. */
#pragma once

#include "daemon/device_identity.h"

#include "common/random.h"
#include "common/secret.h"

struct pending_request {
    bool renew;   /* else a first enrolment */
    bool resumed; /* read from disk: it may have been sent already */
    char uuid[37];
    struct server_address server;
    EVP_PKEY *key;
    uint8_t *csr; /* DER */
    size_t csr_size;
    struct secret *token; /* first enrolment: "id.secret" */
    X509 *certificate;    /* renewal: answered, but not proven by a request yet */
    X509 *issuer;
};

/** A fresh device UUID, key and CSR, on disk when it returns. Owns `token` in any case. Replaces
 * another pending request. Returns 0 or a negative errno. pending_request_free() the result. */
int pending_request_enrol(
    int dir_fd, const char *binding, const struct random_source *random,
    const struct server_address *server, struct secret *token, struct pending_request **ret);

/** A fresh key and CSR for an identity. Otherwise the same. */
int pending_request_renew(
    int dir_fd, const char *binding, const struct device_identity *identity,
    struct pending_request **ret);

/** Takes over the answer to a renewal and writes it. Returns 0 or a negative errno. */
int pending_request_answered(
    int dir_fd, const char *binding, struct pending_request *pending, X509 *certificate,
    X509 *issuer);

/** Reads the one that a stopped daemon left. What is incomplete, broken, another machine's, or
 * fulfilled already (its key is `identity`'s; NULL: none) is wiped. Returns 0, -ENOENT, -EPROTO
 * (newer: left alone), or another negative errno. */
int pending_request_load(
    int dir_fd, const char *binding, const struct device_identity *identity,
    struct pending_request **ret);

/** Wipes the files; the token first overwritten. Returns 0 or a negative errno. */
int pending_request_clear(int dir_fd);

/** Splits "id.secret" into "id:secret", as HTTP Basic wants it. Returns 0, -EINVAL (not of that
 * form), -ENOMEM. */
int pending_request_basic(struct secret *token, struct secret **ret);

/** The token's SHA-256, by which it is recognised without being kept. Returns 0 or -EIO. */
int pending_request_token_hash(struct secret *token, uint8_t ret[SHA256_SIZE]);

struct pending_request *pending_request_free(struct pending_request *pending);
DEFINE_CLEANUP(struct pending_request *, pending_request_free);
#define CLEANUP_PENDING CLEANUP(pending_request_free_ptr)
