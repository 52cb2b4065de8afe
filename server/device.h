/* Devices: who enrolled, who was removed (a tombstone that GET /v1/state answers), and
 * re-enrolments that wait for an administrator. */
#pragma once

#include "server/certificate.h"
#include "server/db.h"

#define DEVICE_TOMBSTONE_S                                                                         \
    (180 * 86400LL) /* a removed device may still read its state for so long */

enum device_state { DEVICE_ACTIVE = 1, DEVICE_REMOVED = 2 };

/** A token enrolment for a known UUID with another key looks like a copy: it waits until `device
 * resume` allows it once. */
enum device_reenrolment { REENROLMENT_NONE = 0, REENROLMENT_WAITS = 1, REENROLMENT_ALLOWED = 2 };

struct device {
    enum device_state state;
    enum device_reenrolment reenrolment;
    int64_t generation; /* of its own last change; the fleet's counts too */
    int64_t enrolled_at, removed_at;
};

/** Returns 0, -ENOENT. */
int device_find(struct db *db, const char *uuid, struct device *ret);

/** A new device, or a removed one that enrols again; its generation grows. */
int device_enrol(struct db *db, int64_t now_s, const char *uuid);

/** Ends its assignments, revokes all certificates, leaves the tombstone. Returns 0, -ENOENT
 * (unknown or removed already). */
int device_remove(struct db *db, int64_t now_s, const char *uuid, int64_t *ret_revoked);

int device_set_reenrolment(struct db *db, const char *uuid, enum device_reenrolment value);
