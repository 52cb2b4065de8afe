/* The server's settings and counters in the database: what init was told, the switch, epoch and
 * generation. */
#pragma once

#include "server/db.h"

#include <stdint.h>

enum distribution_switch { SWITCH_OFF, SWITCH_PAUSED, SWITCH_ON };
const char *distribution_switch_name(enum distribution_switch value);
int distribution_switch_from_name(
    const char *name, enum distribution_switch *ret); /* 0 or -EINVAL */

/** What init was told. Strings are owned; settings_identity_deinit(). */
struct settings_identity {
    char *organisation;
    char *url;          /* of the device listener, "https://host[:port]", no path */
    char *portal_url;   /* of the portal, likewise */
    char *check_domain; /* "check.example.com"; NULL: none */
    char epoch[37];     /* UUID */
};
int settings_identity_load(struct db *db, struct settings_identity *ret);
int settings_identity_store(struct db *db, const struct settings_identity *identity);
void settings_identity_deinit(struct settings_identity *identity);

/** Free-form text by name. get: 0, -ENOENT; free() the result. */
int settings_get(struct db *db, const char *name, char **ret);
int settings_set(struct db *db, const char *name, const char *value);
int settings_get_int(struct db *db, const char *name, int64_t fallback, int64_t *ret);
int settings_set_int(struct db *db, const char *name, int64_t value);

int settings_distribution(struct db *db, enum distribution_switch *ret);
int settings_set_distribution(struct db *db, enum distribution_switch value);

/** Generations: one counter for all changes, so that a device's generation, the greater of the
 * fleet's and its own last change, only grows. The bumps belong into the transaction of the change
 * itself. -EOVERFLOW at 2⁶³−1. */
int settings_bump_fleet(struct db *db);
int settings_bump_device(struct db *db, const char *device_uuid);
int settings_fleet_generation(struct db *db, int64_t *ret);
