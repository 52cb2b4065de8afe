/* What a device is told: generation, splay, desired state. */
#pragma once

#include "server/server.h"

#include <json-c/json_object.h>

#define FLEET_MAX_SPLAY_S (24 * 3600) /* what a device accepts */
#define FLEET_MAX_REVOKED 8           /* serials per user in the desired state */

/** A device's generation: the greater of the fleet's last change and its own. *ret_fleet_wide (may
 * be NULL): the last change concerned everybody. Returns 0, -ENOENT (no such device). */
int fleet_generation(struct server *server, const char *device, int64_t *ret, bool *ret_fleet_wide);

/** How long the fleet's requests are spread after a change that concerns everybody, in seconds: W =
 * N / (0.7 · rate), N = assignments; 0 for a small fleet, for a change of one device, and while the
 * switch is not on (removal is not spread). N is counted at most every ten seconds. */
int64_t fleet_splay_s(struct server *server, bool fleet_wide);

/** N / (0.7 · rate), bounded. */
int64_t fleet_splay_for(int64_t assignments, int64_t rate);

/** The desired state as docs/SERVER-API.md has it, read in one snapshot; the tombstone for a
 * removed device. The caller owns *ret. Returns 0, -ENOENT, -ENOMEM, or a negative errno of the
 * database. */
int fleet_desired_state(
    struct server *server, const char *device, struct json_object **ret, int64_t *ret_generation);

/** Makes a change of server.conf that devices should hear of a new generation: to be called with
 * the writing connection before serving. */
int fleet_note_settings(struct db *db, const struct server_config *config);
