/* One managed user as others see it: the snapshot for the agent, the status for people, the reason
 * that stands in both. */
#pragma once

#include "daemon/user.h"

#include <json-c/json_object.h>

/* An agent is told that its certificate ends when no more than this is left and half of the time
 * since its renewal was due has passed, while the server is away. */
#define USER_VIEW_EXPIRY_S (3 * 24 * 3600)

/** The pinned chain's key hashes and the device's UUID (borrowed). Returns false when not enrolled.
 */
bool user_view_trust(
    const struct user_services *services, char ret_issuer_spki[SHA256_HEX_SIZE],
    char ret_root_spki[SHA256_HEX_SIZE], const char **ret_device_uuid);

/** Why this user has no certificate or no progress; REASON_NONE: all is well. */
enum reason user_view_reason(const struct user *user);

/** The reply of Watch but for revision and inspection; `user` NULL: nobody of ours, mode idle. NULL
 * when memory is out. */
struct json_object *user_view_snapshot(const struct user *user);

/** The type User of io.devtrust.Device. NULL when memory is out. */
struct json_object *user_view_status(const struct user *user);

/** For io.devtrust.Debug: the stored record. NULL when memory is out. */
struct json_object *user_view_machine(const struct user *user);
