/* What is known of one managed user, as it stands in users/<server user id>.json. All of it is
 * public data: no key is ever here. */
#pragma once

#include "daemon/rate_limit.h"

#include "common/reason.h"
#include "common/x509_key.h"
#include "common/x509_profile.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USER_ID_SIZE 65   /* with NUL */
#define USER_NAME_SIZE 33 /* with NUL */
#define USER_UID_NONE (-1)
#define USER_RECORD_MAX_KEYS 32 /* keys that were used; the oldest fall out */
#define USER_RECORD_MAX_STORES 16

/* The states of STATE-MACHINES: these names stand in logs, IPC and files. */
enum user_state {
    USER_ABSENT,
    USER_WAITING,
    USER_REQUESTED,
    USER_SIGNING,
    USER_DELIVERED,
    USER_INSTALLED,
    USER_REFUSED,
    USER_REMOVING,
    USER_STATE_COUNT_
};

/* The type Reason of io.devtrust.Agent. */
enum request_reason {
    REQUEST_FIRST,
    REQUEST_DUE,
    REQUEST_CHANGED,
    REQUEST_STORE_ADDED,
    REQUEST_LOST,
    REQUEST_REVOKED,
    REQUEST_USER,
    REQUEST_REASON_COUNT_
};

struct user_request {
    char id[37]; /* UUID; empty: none was made yet */
    enum request_reason reason;
    enum key_type key_type;
    int64_t deadline; /* seconds since 1970 */
    char *csr;        /* base64 of DER; NULL: not submitted */
    char spki[SHA256_HEX_SIZE];
    char *root, *intermediate, *leaf; /* base64 of DER; NULL: not issued */
    char serial[X509_SERIAL_HEX_SIZE];
    int64_t not_after;
};

struct user_installed {
    char serial[X509_SERIAL_HEX_SIZE]; /* empty: nothing is installed */
    int64_t not_after;
    int64_t renew_at; /* as the agent plans it; 0: not told */
    enum key_type key_type;
    char request_id[37];
};

struct user_record {
    char id[USER_ID_SIZE];
    char name[USER_NAME_SIZE]; /* pinned together with uid; empty: not yet */
    int64_t uid;               /* USER_UID_NONE: not yet */
    enum user_state state;
    bool held;        /* removed by local root, until renew */
    bool delivered;   /* a bundle went out once: something of ours may be in a store */
    int64_t due;      /* waiting: not before; signing: post not before; seconds since 1970 */
    bool due_ordered; /* `due` is the server's Retry-After */
    unsigned attempt;
    enum reason reason; /* of the last failure */
    enum request_reason next_reason;
    char refused_epoch[37]; /* the desired state under which the server refused */
    int64_t refused_generation;
    struct user_request request;
    struct user_installed installed;
    struct json_object *stores; /* array of StoreStatus, as last reported; NULL: none */
    char issuer_spki[SHA256_HEX_SIZE], root_spki[SHA256_HEX_SIZE],
        device_uuid[37]; /* what is ours */
    struct rate_limit rate;
    uint8_t keys[USER_RECORD_MAX_KEYS][SHA256_SIZE]; /* oldest first */
    size_t key_count;
};

/** A fresh record in state absent. `id` must be valid (user_record_id_is_valid). */
void user_record_init(struct user_record *record, const char *id);
void user_record_deinit(struct user_record *record);
#define CLEANUP_USER_RECORD CLEANUP(user_record_deinit)

/** A deep copy. Returns 0 or -ENOMEM (then *ret is empty). */
int user_record_copy(const struct user_record *record, struct user_record *ret);

/** [A-Za-z0-9._@-]{1,64}: it becomes a file name. */
bool user_record_id_is_valid(const char *id);

/** Drops CSR, bundle and their hashes; the id stays, for late reports. */
void user_request_clear(struct user_request *request);

/** Whether the key was used before; and remembers one. */
bool user_record_knows_key(const struct user_record *record, const uint8_t spki[SHA256_SIZE]);
void user_record_add_key(struct user_record *record, const uint8_t spki[SHA256_SIZE]);

/** To and from the file's members (without format and version). Returns the object, NULL when
 * memory is out; 0, -EBADMSG, -ENOMEM. */
struct json_object *user_record_to_json(const struct user_record *record);
int user_record_from_json(struct json_object *object, struct user_record *ret);

const char *user_state_name(enum user_state state);
const char *request_reason_name(enum request_reason reason);
/** Returns 0 or -EINVAL. */
int request_reason_from_name(const char *name, enum request_reason *ret);
