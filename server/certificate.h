/* Certificates as the server remembers them: issued → installed → superseded (a grace) → revoked,
 * and the one answer to "is what this certificate stands for managed now?" that portal, /v1/auth
 * and the device listener share. */
#pragma once

#include "common/reason.h"
#include "common/x509_key.h"
#include "common/x509_profile.h"
#include "server/crl.h"
#include "server/db.h"

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
