/* Desired state, generation and splay. */
#include "server/fleet.h"

#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/x509_key.h"
#include "server/certificate.h"
#include "server/device.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT_AGE_S 10
#define EST_LABEL "user"

int fleet_generation(
    struct server *server, const char *device, int64_t *ret, bool *ret_fleet_wide) {
    struct device record;
    int64_t fleet;
    int r = device_find(server->db, device, &record);
    if (r >= 0)
        r = settings_fleet_generation(server->db, &fleet);
    if (r < 0)
        return r;
    *ret = record.generation > fleet ? record.generation : fleet;
    if (ret_fleet_wide)
        *ret_fleet_wide = fleet >= record.generation;
    return 0;
}

int64_t fleet_splay_for(int64_t assignments, int64_t rate) {
    int64_t splay = assignments * 10 / (rate * 7);
    return splay < FLEET_MAX_SPLAY_S ? splay : FLEET_MAX_SPLAY_S;
}

static int64_t counted_splay(struct server *server) {
    int64_t now_ms = clock_monotonic_ms(server->clock), count;
    if (server->splay_counted_ms != 0 && now_ms < server->splay_counted_ms + COUNT_AGE_S * 1000)
        return server->splay_s;
    if (db_query_int(server->db, "SELECT count(*) FROM assignments", DB_NO_VALUES, &count) < 0)
        return server->splay_s;
    server->splay_s = fleet_splay_for(count, server->config.rate);
    server->splay_counted_ms = now_ms;
    return server->splay_s;
}

int64_t fleet_splay_s(struct server *server, bool fleet_wide) {
    enum distribution_switch distribution;
    if (!fleet_wide || settings_distribution(server->db, &distribution) < 0 ||
        distribution != SWITCH_ON)
        return 0;
    return counted_splay(server);
}

/* --- desired state --- */

/* "https://portal.example.com:9443" → "https://portal.example.com": a pattern without a port holds
 * for every port, and browsers keep one selection per host anyway. */
static int add_portal_pattern(struct json_object *patterns, const char *url) {
    static const char scheme[] = "https://";
    size_t start = strncmp(url, scheme, sizeof(scheme) - 1) == 0 ? sizeof(scheme) - 1 : 0;
    size_t length = strcspn(url + start, "/");
    if (url[start] == '[')
        length = strcspn(url + start, "]") + 1;
    else if (memchr(url + start, ':', length))
        length = strcspn(url + start, ":");
    struct json_object *text = json_object_new_string_len(url, (int)(start + length));
    return text && json_object_array_add(patterns, text) == 0 ? 0 : -ENOMEM;
}

static int add_check_pattern(struct json_object *patterns, const char *domain) {
    char text[300];
    int length = snprintf(text, sizeof(text), "https://[*.]%s", domain);
    if (length < 0 || (size_t)length >= sizeof(text))
        return -EINVAL;
    struct json_object *pattern = json_object_new_string(text);
    return pattern && json_object_array_add(patterns, pattern) == 0 ? 0 : -ENOMEM;
}

static int add_patterns(struct json_object *state, const struct settings_identity *identity) {
    CLEANUP_JSON struct json_object *patterns = json_object_new_array();
    if (!patterns)
        return -ENOMEM;
    int r = add_portal_pattern(patterns, identity->portal_url);
    if (r >= 0 && identity->check_domain)
        r = add_check_pattern(patterns, identity->check_domain);
    return r < 0 ? r : json_fields_add(state, "portal_patterns", TAKE_PTR(patterns));
}

/* What an administrator's change has ended: a device that slept through "off" and "on" again learns
 * by it that what it holds is worth nothing. The newest are enough, since it holds one. */
static int add_revoked(
    struct json_object *user, struct server *server, const char *device, const char *user_id) {
    CLEANUP_DB_STATEMENT struct db_statement *rows = NULL;
    CLEANUP_JSON struct json_object *serials = json_object_new_array();
    if (!serials)
        return -ENOMEM;
    int r = db_query(
        server->db,
        "SELECT serial FROM certificates WHERE device = ? AND user_id = ? AND state = 4"
        " AND revocation_reason = ? AND not_after > ? ORDER BY id DESC LIMIT ?",
        DB_VALUES(
            DB_TEXT(device), DB_TEXT(user_id), DB_INT(CRL_REASON_CESSATION),
            DB_INT(clock_wall_s(server->clock)), DB_INT(FLEET_MAX_REVOKED)),
        &rows);
    while (r >= 0 && (r = db_step(rows)) > 0) {
        struct json_object *serial = json_object_new_string(db_column_text(rows, 0));
        r = serial && json_object_array_add(serials, serial) == 0 ? 0 : -ENOMEM;
    }
    if (r < 0 || json_object_array_length(serials) == 0)
        return r;
    return json_fields_add(user, "revoked", TAKE_PTR(serials));
}

static int add_user(
    struct json_object *users, struct server *server, const char *device,
    struct db_statement *row) {
    CLEANUP_JSON struct json_object *user = json_object_new_object();
    int r = json_fields_add_string(user, "id", db_column_text(row, 0));
    if (r >= 0)
        r = json_fields_add_string(user, "name", db_column_text(row, 1));
    if (r >= 0)
        r = add_revoked(user, server, device, db_column_text(row, 0));
    if (r < 0)
        return r;
    return json_object_array_add(users, TAKE_PTR(user)) == 0 ? 0 : -ENOMEM;
}

static int add_users(struct json_object *state, struct server *server, const char *device) {
    CLEANUP_DB_STATEMENT struct db_statement *rows = NULL;
    CLEANUP_JSON struct json_object *users = json_object_new_array();
    if (!users)
        return -ENOMEM;
    int r = db_query(
        server->db, "SELECT user_id, local_name FROM assignments WHERE device = ? ORDER BY user_id",
        DB_VALUES(DB_TEXT(device)), &rows);
    while (r >= 0 && (r = db_step(rows)) > 0)
        r = add_user(users, server, device, rows);
    return r < 0 ? r : json_fields_add(state, "users", TAKE_PTR(users));
}

static int add_settings(struct json_object *state, const struct server_config *config) {
    int r =
        json_fields_add_string(state, "key_type", key_type_name((enum key_type)config->key_type));
    if (r >= 0)
        r = json_fields_add_int(state, "lifetime_s", config->user_lifetime_s);
    if (r >= 0)
        r = json_fields_add_int(state, "renew_after_s", config->renew_after_s);
    if (r >= 0)
        r = json_fields_add_string(state, "est_label", EST_LABEL);
    return r;
}

static int add_living(
    struct json_object *state, struct server *server, const char *device, bool fleet_wide) {
    enum distribution_switch distribution;
    int r = settings_distribution(server->db, &distribution);
    if (r < 0)
        return r;
    int64_t splay = fleet_splay_s(server, fleet_wide);
    r = json_fields_add_string(state, "organisation", server->identity.organisation);
    if (r >= 0)
        r = json_fields_add_string(state, "device", device);
    if (r >= 0)
        r = json_fields_add_string(state, "distribution", distribution_switch_name(distribution));
    if (r >= 0)
        r = json_fields_add_int(state, "splay_s", splay);
    if (r >= 0)
        r = add_settings(state, &server->config);
    if (r >= 0)
        r = add_patterns(state, &server->identity);
    if (r >= 0)
        r = add_users(state, server, device);
    return r < 0 ? r : json_fields_add(state, "trusted_applications", json_object_new_array());
}

static int read_state(
    struct server *server, const char *device, struct json_object *state, int64_t *ret_generation) {
    struct device record;
    bool fleet_wide;
    int r = device_find(server->db, device, &record);
    if (r >= 0)
        r = fleet_generation(server, device, ret_generation, &fleet_wide);
    if (r < 0)
        return r;
    bool enrolled = record.state == DEVICE_ACTIVE;
    r = json_fields_add_string(state, "epoch", server->identity.epoch);
    if (r >= 0)
        r = json_fields_add_int(state, "generation", *ret_generation);
    if (r >= 0)
        r = json_fields_add_bool(state, "enrolled", enrolled);
    if (r >= 0 && enrolled)
        r = add_living(state, server, device, fleet_wide);
    return r;
}

int fleet_desired_state(
    struct server *server, const char *device, struct json_object **ret, int64_t *ret_generation) {
    CLEANUP_JSON struct json_object *state = json_object_new_object();
    int64_t generation;
    if (!state)
        return -ENOMEM;
    int r = db_begin_read(server->db);
    if (r < 0)
        return r;
    r = read_state(server, device, state, &generation);
    db_rollback(server->db);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(state);
    *ret_generation = generation;
    return 0;
}

int fleet_note_settings(struct db *db, const struct server_config *config) {
    char text[160];
    CLEANUP_FREE char *known = NULL;
    snprintf(
        text, sizeof(text), "%s %" PRId64 " %" PRId64 " %s",
        key_type_name((enum key_type)config->key_type), config->user_lifetime_s,
        config->renew_after_s, EST_LABEL);
    int r = settings_get(db, "fleet_settings", &known);
    if (r < 0 && r != -ENOENT)
        return r;
    if (known && strcmp(known, text) == 0)
        return 0;
    r = db_begin(db);
    if (r < 0)
        return r;
    r = settings_set(db, "fleet_settings", text);
    if (r >= 0)
        r = settings_bump_fleet(db);
    if (r >= 0)
        return db_commit(db);
    db_rollback(db);
    return r;
}
