/* The commands that only look: lists by a table of queries, and status. They run on the loop's
 * reading connection. */
#include "server/commands.h"

#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/version.h"
#include "server/ca.h"
#include "server/event_hub.h"

#include <errno.h>
#include <string.h>

#define MAX_MEMBERS 12

struct member {
    const char *name;
    bool text; /* else a number */
};

/* ?1: now, ?2: user, ?3: device, ?4: superseded grace, ?5: the most rows */
struct list {
    const char *rows; /* the answer's array */
    const char *sql;
    struct member members[MAX_MEMBERS];
};

static const struct list token_list = {
    .rows = "tokens",
    .sql = "SELECT id, CASE WHEN revoked_at <> 0 THEN 'revoked' WHEN used >= uses THEN 'used up'"
           " WHEN expires_at <= ?1 THEN 'expired' ELSE 'good' END, used, uses, created_at,"
           " expires_at FROM tokens ORDER BY created_at DESC, id LIMIT ?5",
    .members =
        {
            {"id", true},
            {"state", true},
            {"used", false},
            {"uses", false},
            {"created_at", false},
            {"expires_at", false},
        },
};

static const struct list user_list = {
    .rows = "users",
    .sql = "SELECT u.id, u.name, u.mail, u.upn, u.created_at,"
           " (SELECT count(*) FROM assignments a WHERE a.user_id = u.id)"
           " FROM users u ORDER BY u.id LIMIT ?5",
    .members =
        {
            {"id", true},
            {"name", true},
            {"mail", true},
            {"upn", true},
            {"created_at", false},
            {"devices", false},
        },
};

static const struct list device_list = {
    .rows = "devices",
    .sql = "SELECT d.uuid, CASE WHEN d.state = 2 THEN 'removed' WHEN d.reenrolment = 1 THEN"
           " 'suspended' WHEN d.reenrolment = 2 THEN 'resumed' ELSE 'active' END,"
           " (SELECT count(*) FROM assignments a WHERE a.device = d.uuid), d.enrolled_at,"
           " d.removed_at FROM devices d ORDER BY d.enrolled_at, d.uuid LIMIT ?5",
    .members =
        {
            {"uuid", true},
            {"state", true},
            {"users", false},
            {"enrolled_at", false},
            {"removed_at", false},
        },
};

static const struct list assignment_list = {
    .rows = "assignments",
    .sql = "SELECT user_id, device, local_name, created_at FROM assignments"
           " WHERE (?2 IS NULL OR user_id = ?2) AND (?3 IS NULL OR device = ?3)"
           " ORDER BY user_id, device LIMIT ?5",
    .members =
        {
            {"user", true},
            {"device", true},
            {"local_name", true},
            {"created_at", false},
        },
};

static const struct list certificate_list = {
    .rows = "certificates",
    .sql = "SELECT serial, CASE kind WHEN 1 THEN 'device' ELSE 'user' END,"
           " CASE WHEN state = 1 THEN 'issued' WHEN state = 2 THEN 'installed'"
           " WHEN state = 3 AND superseded_at + ?4 > ?1 THEN 'superseded' ELSE 'revoked' END,"
           " nullif(user_id, ''), device, nullif(request_id, ''), issued_at, not_before, not_after,"
           " CASE state WHEN 3 THEN superseded_at + ?4 ELSE revoked_at END"
           " FROM certificates WHERE (?2 IS NULL OR user_id = ?2) AND (?3 IS NULL OR device = ?3)"
           " ORDER BY id DESC LIMIT ?5",
    .members =
        {
            {"serial", true},
            {"kind", true},
            {"state", true},
            {"user", true},
            {"device", true},
            {"request_id", true},
            {"issued_at", false},
            {"not_before", false},
            {"not_after", false},
            {"revoked_at", false},
        },
};

static int add_row(
    struct json_object *rows, const struct list *list, struct db_statement *statement) {
    CLEANUP_JSON struct json_object *row = json_object_new_object();
    int r = row ? 0 : -ENOMEM;
    for (int i = 0; r >= 0 && i < MAX_MEMBERS && list->members[i].name; i++)
        r = list->members[i].text
                ? json_fields_add_string(row, list->members[i].name, db_column_text(statement, i))
                : json_fields_add_int(row, list->members[i].name, db_column_int(statement, i));
    if (r < 0)
        return r;
    return json_object_array_add(rows, TAKE_PTR(row)) == 0 ? 0 : -ENOMEM;
}

static int run_list(struct command_call *call, const struct list *list) {
    CLEANUP_DB_STATEMENT struct db_statement *statement = NULL;
    CLEANUP_JSON struct json_object *rows = json_object_new_array();
    if (!rows)
        return -ENOMEM;
    int r = db_query(
        call->db, list->sql,
        DB_VALUES(
            DB_INT(call->now_s), DB_TEXT(command_text(call, "user")),
            DB_TEXT(command_text(call, "device")), DB_INT(call->server->config.superseded_grace_s),
            DB_INT(COMMAND_MAX_ROWS + 1)),
        &statement);
    bool truncated = false;
    while (r >= 0 && !truncated && (r = db_step(statement)) > 0) {
        truncated = json_object_array_length(rows) == COMMAND_MAX_ROWS;
        if (!truncated)
            r = add_row(rows, list, statement);
    }
    if (r >= 0 && truncated)
        r = json_fields_add_bool(call->answer, "truncated", true);
    return r < 0 ? r : json_fields_add(call->answer, list->rows, TAKE_PTR(rows));
}

static int token_list_run(struct command_call *call) {
    return run_list(call, &token_list);
}

static int user_list_run(struct command_call *call) {
    return run_list(call, &user_list);
}

static int device_list_run(struct command_call *call) {
    return run_list(call, &device_list);
}

static int assignment_list_run(struct command_call *call) {
    return run_list(call, &assignment_list);
}

static int certificate_list_run(struct command_call *call) {
    return run_list(call, &certificate_list);
}

static int distribution_status_run(struct command_call *call) {
    enum distribution_switch value;
    int r = settings_distribution(call->db, &value);
    return r < 0 ? r
                 : json_fields_add_string(
                       call->answer, "distribution", distribution_switch_name(value));
}

/* --- status --- */

static int add_counts(struct command_call *call) {
    static const struct {
        const char *member;
        const char *sql;
    } counts[] = {
        {"users", "SELECT count(*) FROM users"},
        {"devices", "SELECT count(*) FROM devices WHERE state = 1"},
        {"devices_removed", "SELECT count(*) FROM devices WHERE state = 2"},
        {"devices_suspended", "SELECT count(*) FROM devices WHERE state = 1 AND reenrolment = 1"},
        {"assignments", "SELECT count(*) FROM assignments"},
        {"certificates_issued", "SELECT count(*) FROM certificates WHERE kind = 2 AND state = 1"},
        {"certificates_installed",
         "SELECT count(*) FROM certificates WHERE kind = 2 AND state = 2"},
        {"certificates_superseded",
         "SELECT count(*) FROM certificates WHERE kind = 2 AND state = 3"},
        {"certificates_revoked", "SELECT count(*) FROM certificates WHERE kind = 2 AND state = 4"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++) {
        int64_t count;
        int r = db_query_int(call->db, counts[i].sql, DB_NO_VALUES, &count);
        if (r >= 0)
            r = json_fields_add_int(call->answer, counts[i].member, count);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_identity(struct command_call *call) {
    const struct settings_identity *identity = &call->server->identity;
    int r = json_fields_add_string(call->answer, "version", DEVTRUST_VERSION);
    if (r >= 0)
        r = json_fields_add_string(call->answer, "organisation", identity->organisation);
    if (r >= 0)
        r = json_fields_add_string(call->answer, "url", identity->url);
    if (r >= 0)
        r = json_fields_add_string(call->answer, "portal_url", identity->portal_url);
    if (r >= 0)
        r = json_fields_add_string(call->answer, "check_domain", identity->check_domain);
    if (r >= 0)
        r = json_fields_add_string(call->answer, "ca_pin", ca_tls_pin(call->server->ca));
    if (r >= 0)
        r = json_fields_add_string(call->answer, "epoch", identity->epoch);
    return r;
}

static int add_activity(struct command_call *call) {
    uint64_t jobs, commits;
    int64_t generation;
    db_writer_counts(call->server->writer, &jobs, &commits);
    int r = settings_get_int(call->db, "generation", 0, &generation);
    if (r >= 0)
        r = json_fields_add_int(call->answer, "generation", generation);
    if (r >= 0)
        r = json_fields_add_int(
            call->answer, "connected", (int64_t)event_hub_count(call->server->hub));
    if (r >= 0)
        r = json_fields_add_int(call->answer, "started_at", call->server->started_s);
    if (r >= 0)
        r = json_fields_add_int(call->answer, "database_jobs", (int64_t)jobs);
    if (r >= 0)
        r = json_fields_add_int(call->answer, "database_commits", (int64_t)commits);
    return r;
}

static int status_run(struct command_call *call) {
    int r = add_identity(call);
    if (r >= 0)
        r = distribution_status_run(call);
    if (r >= 0)
        r = add_counts(call);
    return r < 0 ? r : add_activity(call);
}

const struct command_entry command_lists[] = {
    {"token-list", false, token_list_run},
    {"user-list", false, user_list_run},
    {"device-list", false, device_list_run},
    {"assignment-list", false, assignment_list_run},
    {"certificate-list", false, certificate_list_run},
    {"distribution-status", false, distribution_status_run},
    {"status", false, status_run},
    {.name = NULL},
};
