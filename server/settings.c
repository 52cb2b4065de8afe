/* Settings and counters: one row each, read often, written seldom. */
#include "server/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const switch_names[] = {
    [SWITCH_OFF] = "off",
    [SWITCH_PAUSED] = "paused",
    [SWITCH_ON] = "on",
};

const char *distribution_switch_name(enum distribution_switch value) {
    return switch_names[value];
}

int distribution_switch_from_name(const char *name, enum distribution_switch *ret) {
    for (size_t i = 0; i < ARRAY_LENGTH(switch_names); i++)
        if (strcmp(name, switch_names[i]) == 0) {
            *ret = (enum distribution_switch)i;
            return 0;
        }
    return -EINVAL;
}

int settings_get(struct db *db, const char *name, char **ret) {
    CLEANUP_DB_STATEMENT struct db_statement *row = NULL;
    int r =
        db_query(db, "SELECT value FROM settings WHERE name = ?", DB_VALUES(DB_TEXT(name)), &row);
    if (r < 0)
        return r;
    r = db_step(row);
    if (r < 0)
        return r;
    if (r == 0)
        return -ENOENT;
    char *value = strdup(db_column_text(row, 0));
    if (!value)
        return -ENOMEM;
    *ret = value;
    return 0;
}

int settings_set(struct db *db, const char *name, const char *value) {
    int r = db_execute(
        db,
        "INSERT INTO settings (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        DB_VALUES(DB_TEXT(name), DB_TEXT(value)));
    return r < 0 ? r : 0;
}

int settings_get_int(struct db *db, const char *name, int64_t fallback, int64_t *ret) {
    CLEANUP_FREE char *text = NULL;
    int r = settings_get(db, name, &text);
    if (r == -ENOENT) {
        *ret = fallback;
        return 0;
    }
    if (r < 0)
        return r;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return -EBADMSG;
    *ret = value;
    return 0;
}

int settings_set_int(struct db *db, const char *name, int64_t value) {
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, value);
    return settings_set(db, name, text);
}

static int get_optional(struct db *db, const char *name, char **ret) {
    int r = settings_get(db, name, ret);
    return r == -ENOENT ? 0 : r;
}

int settings_identity_load(struct db *db, struct settings_identity *ret) {
    struct settings_identity identity = {0};
    CLEANUP_FREE char *epoch = NULL;
    int r = settings_get(db, "organisation", &identity.organisation);
    if (r >= 0)
        r = settings_get(db, "url", &identity.url);
    if (r >= 0)
        r = settings_get(db, "portal_url", &identity.portal_url);
    if (r >= 0)
        r = get_optional(db, "check_domain", &identity.check_domain);
    if (r >= 0)
        r = settings_get(db, "epoch", &epoch);
    if (r >= 0 && strlen(epoch) != sizeof(identity.epoch) - 1)
        r = -EBADMSG;
    if (r < 0) {
        settings_identity_deinit(&identity);
        return r;
    }
    memcpy(identity.epoch, epoch, sizeof(identity.epoch));
    *ret = identity;
    return 0;
}

int settings_identity_store(struct db *db, const struct settings_identity *identity) {
    int r = settings_set(db, "organisation", identity->organisation);
    if (r >= 0)
        r = settings_set(db, "url", identity->url);
    if (r >= 0)
        r = settings_set(db, "portal_url", identity->portal_url);
    if (r >= 0 && identity->check_domain)
        r = settings_set(db, "check_domain", identity->check_domain);
    if (r >= 0)
        r = settings_set(db, "epoch", identity->epoch);
    return r;
}

void settings_identity_deinit(struct settings_identity *identity) {
    free(identity->organisation);
    free(identity->url);
    free(identity->portal_url);
    free(identity->check_domain);
    *identity = (struct settings_identity){0};
}

int settings_distribution(struct db *db, enum distribution_switch *ret) {
    CLEANUP_FREE char *name = NULL;
    int r = settings_get(db, "distribution", &name);
    if (r == -ENOENT) {
        *ret = SWITCH_OFF;
        return 0;
    }
    if (r < 0)
        return r;
    return distribution_switch_from_name(name, ret) < 0 ? -EBADMSG : 0;
}

int settings_set_distribution(struct db *db, enum distribution_switch value) {
    return settings_set(db, "distribution", distribution_switch_name(value));
}

static int next_generation(struct db *db, int64_t *ret) {
    int64_t generation;
    int r = settings_get_int(db, "generation", 0, &generation);
    if (r < 0)
        return r;
    if (generation == INT64_MAX)
        return -EOVERFLOW;
    r = settings_set_int(db, "generation", generation + 1);
    if (r < 0)
        return r;
    *ret = generation + 1;
    return 0;
}

int settings_bump_fleet(struct db *db) {
    int64_t generation;
    int r = next_generation(db, &generation);
    return r < 0 ? r : settings_set_int(db, "fleet_generation", generation);
}

int settings_bump_device(struct db *db, const char *device_uuid) {
    int64_t generation;
    int r = next_generation(db, &generation);
    if (r < 0)
        return r;
    r = db_execute(
        db, "UPDATE devices SET generation = ? WHERE uuid = ?",
        DB_VALUES(DB_INT(generation), DB_TEXT(device_uuid)));
    return r < 0 ? r : 0;
}

int settings_fleet_generation(struct db *db, int64_t *ret) {
    return settings_get_int(db, "fleet_generation", 0, ret);
}
