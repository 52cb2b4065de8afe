/* A certificate store that browsers read, behind a table of functions. On Linux a key is made by
 * the agent (credential_key.h) and handed to install(); where keys are born in the store (Windows,
 * macOS) the table gains key_begin and csr, and the material carries no key. Everything here
 * blocks: it runs on the loop's one worker thread. */
#pragma once

#include "common/reason.h"
#include "common/secret.h"
#include "common/x509_profile.h"
#include "useragent/ours.h"
#include "useragent/user_dirs.h"

#include <stdbool.h>

#define STORE_MAX 16 /* stores of one user */
#define STORE_MAX_CERTIFICATES                                                                     \
    8 /* certificates of ours in one store; more are swept, not listed                             \
       */

enum store_kind {
    STORE_NSS_CHROMIUM,
    STORE_NSS_FIREFOX,
    STORE_KEYCHAIN,
    STORE_WINDOWS,
    STORE_KIND_COUNT_
};

/** "nss_chromium" …: the names of io.devtrust.Agent.StoreKind. */
const char *store_kind_name(enum store_kind kind);

/** Returns 0 or -EINVAL for an unknown name. */
int store_kind_from_name(const char *name, enum store_kind *ret);

struct store_location {
    enum store_kind kind;
    char path[USER_DIRS_PATH_MAX];
};

/** What install() puts into a store. All borrowed. */
struct store_material {
    X509 *intermediate;
    X509 *leaf;
    struct secret *key;    /* PKCS#8 DER */
    const char *key_label; /* tells whose key it is if the certificate is gone: store_key_label() */
};

#define STORE_KEY_LABEL_SIZE 128
/** "devtrust <device> <request id>". Returns 0 or -ENAMETOOLONG. */
int store_key_label(
    const char *device_uuid, const char *request_id, char ret[STORE_KEY_LABEL_SIZE]);

/** One certificate of ours as found. */
struct store_certificate {
    X509 *leaf;
    X509 *issuer;  /* NULL: not in the store */
    bool verified; /* a signature by the store's key was checked with the leaf's public key */
    char request_id[USER_ID_MAX]; /* from the key's label; empty: unknown */
};

struct store_certificates {
    struct store_certificate items[STORE_MAX_CERTIFICATES];
    size_t count;
};

/** Drops the references; safe on a zeroed one. */
void store_certificates_deinit(struct store_certificates *certificates);
#define CLEANUP_STORE_CERTIFICATES CLEANUP(store_certificates_deinit)

/** What of ours is in a store. At rest: one certificate, one key, no orphan. */
struct store_counts {
    size_t certificates;
    size_t keys;    /* of our certificates, or with our label */
    size_t orphans; /* of those keys: no certificate names them */
};

struct store; /* an open one; each kind has its own */

/* Every function returns 0 or a negative errno with *ret_reason (REASON_STORE_*) set. */
struct store_ops {
    enum store_kind kind;

    /** `create`: make the store where it is missing; otherwise -ENOENT, REASON_STORE_MISSING. Never
     * changes a store that exists. */
    int (*open)(
        const struct store_location *location, bool create, struct store **ret,
        enum reason *ret_reason);
    void (*close)(struct store *store);

    /** Intermediate, leaf, key, in this order; what is already there is left. *ret_issuer_found:
     * the intermediate had been put there by somebody else. Does not undo on error: the caller
     * discards. */
    int (*install)(
        struct store *store, const struct store_material *material, bool *ret_issuer_found,
        enum reason *ret_reason);

    /** Reads the leaf back, lets the store's key sign, checks with the leaf's public key. -EBADMSG
     * where one of these fails. */
    int (*verify)(struct store *store, X509 *leaf, enum reason *ret_reason);

    /** Undoes an install: removes leaf and key of this public key, keys of ours that no certificate
     *  names, and (unless `keep_issuer`) the issuer if nothing needs it. Absent ones count as done.
     */
    int (*discard)(
        struct store *store, const struct ours *ours, const uint8_t spki[SHA256_SIZE],
        bool keep_issuer, enum reason *ret_reason);

    /** Lists what is ours, each verified. */
    int (*list)(
        struct store *store, const struct ours *ours, struct store_certificates *ret,
        enum reason *ret_reason);

    /** Counts what is ours. Changes nothing. */
    int (*count)(
        struct store *store, const struct ours *ours, struct store_counts *ret,
        enum reason *ret_reason);

    /** Removes every key and certificate of ours but that of `keep` (NULL: all), keys of ours that
     * no certificate names, and the issuers that nothing needs any more (`keep_issuer`: was there
     * before us). Looks again afterwards: -EBADMSG where something is left, or where `keep` is not
     * there; nothing is removed then. */
    int (*sweep)(
        struct store *store, const struct ours *ours, const uint8_t *keep, bool keep_issuer,
        enum reason *ret_reason);
};

/** The table for a kind; NULL where this platform has no such store. */
const struct store_ops *store_ops_of(enum store_kind kind);

/** After the last store of a job was closed: unloads what the stores' libraries hold and gives the
 * memory back. */
void store_unload(void);

/** Where browsers of this user look, at most STORE_MAX. Reads directories only, creates nothing. */
void store_list(
    const struct user_dirs *dirs, struct store_location ret[STORE_MAX], size_t *ret_count);

/** Whether the store could be opened as far as its files tell (no library is loaded): 0, or a
 * negative errno and REASON_STORE_*. A missing store that can be made is good. */
int store_precheck(
    const struct store_location *location, const struct user_dirs *dirs, enum reason *ret_reason);
