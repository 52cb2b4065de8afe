/* Certificates as the server remembers them: issued → installed → superseded (a grace) → revoked,
 * and the one answer to "is what this certificate stands for managed now?" that portal, /v1/auth
 * and the device listener share. */
#pragma once

#include "common/reason.h"
#include "common/x509_key.h"
#include "common/x509_profile.h"
#include "server/crl.h"
#include "server/db.h"

#include <stdbool.h>

#define SERVER_USER_ID_SIZE 65    /* [A-Za-z0-9._@-]{1,64} and NUL */
#define SERVER_USER_NAME_SIZE 257 /* bytes of UTF-8 and NUL */
#define SERVER_UUID_SIZE 37

enum certificate_kind { CERTIFICATE_DEVICE = 1, CERTIFICATE_USER = 2 };

enum certificate_state {
    CERTIFICATE_ISSUED = 1,     /* sent, not yet confirmed; good */
    CERTIFICATE_INSTALLED = 2,  /* confirmed by a report, or (device) by its first use; good */
    CERTIFICATE_SUPERSEDED = 3, /* a newer one was confirmed; good until the grace is over */
    CERTIFICATE_REVOKED = 4,
};
const char *certificate_state_name(enum certificate_state state);

struct certificate_status {
    bool known;   /* false: not one of ours (or not in this database); reason says so and nothing
                     below is set */
    bool managed; /* user leaf: user, device and switch are in order and the certificate is good.
                     device leaf: never */
    enum reason reason; /* REASON_NONE when managed (or a good device leaf); else why not */
    enum certificate_kind kind;
    enum certificate_state state; /* superseded past its grace reads revoked */
    int64_t id;
    char serial[X509_SERIAL_HEX_SIZE];
    char device[SERVER_UUID_SIZE];
    bool device_removed;
    int64_t device_removed_at;             /* 0: not removed */
    char user_id[SERVER_USER_ID_SIZE];     /* "" for a device leaf */
    char user_name[SERVER_USER_NAME_SIZE]; /* display name, or the id where none is recorded */
    int64_t not_before, not_after;         /* seconds since 1970 */
    int64_t revoked_at;                    /* 0: not revoked */
    bool revoked_with_device;              /* by the removal of the device, not before */
};

/** Looks a leaf up by SHA-256 over its DER. `grace_s`: [issue] superseded_grace. An unknown one is
 * 0 with known = false, reason REASON_NOT_MANAGED. Returns 0 or a negative errno of the database.
 */
int certificate_status_by_fingerprint(
    struct db *db, const uint8_t fingerprint[SHA256_SIZE], int64_t now_s, int64_t grace_s,
    struct certificate_status *ret);

/** The same for a certificate in hand. NULL: known = false, REASON_NO_CERTIFICATE. */
int certificate_status_of(
    struct db *db, X509 *certificate, int64_t now_s, int64_t grace_s,
    struct certificate_status *ret);

/** Calls `each` for every revoked certificate of a kind that has not expired by `now_s` − 1 h (RFC
 * 5280 3.3), superseded ones past their grace included; a negative return of `each` stops and is
 * returned. */
int certificate_each_revoked(
    struct db *db, enum certificate_kind kind, int64_t now_s, int64_t grace_s,
    int (*each)(const struct crl_entry *entry, void *userdata), void *userdata);

/* --- the record (writer's side; in the transaction of the caller) --- */

struct certificate_record {
    enum certificate_kind kind;
    const char *device;
    const char *user_id;    /* "" for a device leaf */
    const char *request_id; /* "" for a device leaf */
    const char *token;      /* the id that a device enrolled with; "" else */
    const uint8_t *csr_sha256;
    const uint8_t *spki_sha256;
    int64_t now_s;
};

/** Inserts as ISSUED. Returns 0; -EEXIST when the key (or serial) has been certified before. */
int certificate_insert(struct db *db, const struct certificate_record *record, X509 *certificate);

/** What is known of a key. */
struct certificate_found {
    int64_t id;
    enum certificate_kind kind;
    enum certificate_state state;
    char device[SERVER_UUID_SIZE];
    char user_id[SERVER_USER_ID_SIZE];
    char request_id[SERVER_UUID_SIZE];
    char token[32];
    uint8_t csr_sha256[SHA256_SIZE];
    int64_t not_after;
    X509 *certificate;
};

/** Returns 0, -ENOENT (a key never seen before). certificate_found_deinit(). */
int certificate_find_by_key(
    struct db *db, const uint8_t spki_sha256[SHA256_SIZE], struct certificate_found *ret);
void certificate_found_deinit(struct certificate_found *found);
#define CLEANUP_CERTIFICATE_FOUND CLEANUP(certificate_found_deinit)

/** The id of a certificate by its serial, of this device and user. Returns 0, -ENOENT. */
int certificate_find_by_serial(
    struct db *db, const char *serial, const char *device, const char *user_id, int64_t *ret_id);

/** Confirms: ISSUED becomes INSTALLED, and of the older siblings (same device and user) those never
 * confirmed are revoked, those installed superseded (`supersede`) or revoked. A repeated or late
 * confirmation changes nothing. Returns 1 if it changed something, 0 if not, or a negative errno.
 */
int certificate_confirm(struct db *db, int64_t id, bool supersede, int64_t now_s);

/** Which certificates, by the first of these that is set: user_id (of one device, with `device`; up
 * to the last one of a request id, with both), serial, device, else all of a kind. */
struct certificate_filter {
    enum certificate_kind kind;
    const char *device;
    const char *user_id;
    const char *serial;
    const char *up_to_request;
    bool with_device; /* no filter: remembers that its device's removal is the cause */
};

/** Revokes what is not revoked yet. Returns how many, or a negative errno. */
int certificate_revoke_all(
    struct db *db, const struct certificate_filter *filter, enum crl_reason reason, int64_t now_s);

/** Superseded ones past their grace become revoked. Returns how many, or a negative errno. */
int certificate_end_grace(struct db *db, int64_t now_s, int64_t grace_s);

/** How many were issued for this device and user since `since_s`. */
int certificate_count_since(
    struct db *db, const char *device, const char *user_id, int64_t since_s, int64_t *ret);
