/* Assignments: user ↔ device ↔ local user name. They are the authority for every user certificate.
 */
#pragma once

#include "server/db.h"

#include <stdbool.h>
#include <stdint.h>

#define ASSIGNMENT_MAX_LOCAL_NAME 32  /* bytes; what the device accepts */
#define ASSIGNMENT_MAX_PER_DEVICE 256 /* likewise */

/** A name that an account could have: 1 to 32 bytes, no '/', ':', space or control character, no
 * leading '-'. */
bool assignment_local_name_is_valid(const char *name);

/** Returns 0; -ENOENT (no such user), -ENODEV (no such active device), -EEXIST (assigned already,
 * or the local name is another user's), -E2BIG (the device has 256). The device's generation grows.
 */
int assignment_add(
    struct db *db, int64_t now_s, const char *user_id, const char *device, const char *local_name);

/** Revokes the user's certificates on this device too. Returns 0, -ENOENT. */
int assignment_remove(
    struct db *db, int64_t now_s, const char *user_id, const char *device, int64_t *ret_revoked);

/** All of a user (the devices' generations grow) or of a device (its generation is the caller's).
 * Certificates are the caller's. */
int assignment_remove_user(struct db *db, const char *user_id);
int assignment_remove_device(struct db *db, const char *device);

/** 1: assigned, 0: not. */
int assignment_exists(struct db *db, const char *user_id, const char *device);
