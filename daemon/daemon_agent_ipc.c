/* io.devtrust.Agent: the caller's uid decides whose affairs they are; nothing in a message can
 * change it. */
#include "daemon/agent_answers.h"
#include "daemon/daemon.h"
#include "daemon/daemon_methods.h"
#include "daemon/user_calls.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <string.h>

#define ERROR(name_) "io.devtrust.Agent." name_
#define STORAGE_RETRY_S 30
#define STORE_TEXT_MAX 1024

static struct user *caller(struct daemon *daemon, struct varlink_call *call) {
    struct user *user = users_find_by_uid(daemon->users, (int64_t)varlink_call_uid(call));
    if (!user)
        varlink_call_error(call, ERROR("NotManaged"), NULL);
    return user;
}

static struct json_object *with_int(const char *name, int64_t value) {
    struct json_object *object = json_object_new_object();
    (void)json_fields_add_int(object, name, value);
    return object;
}

static struct json_object *with_text(const char *name, const char *value) {
    struct json_object *object = json_object_new_object();
    (void)json_fields_add_string(object, name, value);
    return object;
}

static void answer_error(struct varlink_call *call, const struct user_answer *answer) {
    switch (answer->kind) {
    case ANSWER_STALE:
        varlink_call_error(call, ERROR("StaleRequest"), with_text("current", answer->current));
        break;
    case ANSWER_BAD_CSR:
        varlink_call_error(call, ERROR("BadCsr"), with_text("code", reason_code(answer->reason)));
        break;
    case ANSWER_REFUSED: {
        struct json_object *object = with_text("code", reason_code(answer->reason));
        (void)json_fields_add_string(object, "remedy", reason_remedy(answer->reason));
        varlink_call_error(call, ERROR("Refused"), object);
        break;
    }
    default:
        varlink_call_error(
            call, ERROR("TooSoon"), with_int("retry_after_s", answer->retry_after_s));
    }
}

/* ---- Watch ---- */

struct watch_fields {
    const char *version;
};

static const struct json_field watch_table[] = {
    JSON_FIELD(
        struct watch_fields, version, "version", JSON_FIELD_STRING, true, 1,
        AGENT_VERSION_SIZE - 1),
};

void daemon_agent_watch(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct watch_fields fields = {0};

    if (varlink_call_read_parameters(call, watch_table, ARRAY_LENGTH(watch_table), &fields) < 0)
        return;
    agents_watch(daemon->agents, (int64_t)varlink_call_uid(call), fields.version, call);
}

/* ---- Submit ---- */

struct submit_fields {
    const char *request_id, *csr;
};

static const struct json_field submit_table[] = {
    JSON_FIELD(struct submit_fields, request_id, "request_id", JSON_FIELD_STRING, true, 1, 64),
    JSON_FIELD(struct submit_fields, csr, "csr", JSON_FIELD_STRING, true, 1, 16384),
};

static struct json_object *bundle_to_json(const struct user_request *request) {
    struct json_object *bundle CLEANUP_JSON = json_object_new_object();
    struct json_object *intermediates CLEANUP_JSON = json_object_new_array();
    struct json_object *intermediate = json_object_new_string(request->intermediate);

    if (!intermediates || !intermediate || json_object_array_add(intermediates, intermediate) < 0) {
        json_object_put(intermediate);
        return NULL;
    }
    if (!bundle || json_fields_add_string(bundle, "root", request->root) < 0 ||
        json_fields_add(bundle, "intermediates", TAKE_PTR(intermediates)) < 0 ||
        json_fields_add_string(bundle, "leaf", request->leaf) < 0)
        return NULL;
    return TAKE_PTR(bundle);
}

static void submitted(const struct user_answer *answer, void *userdata) {
    struct varlink_call *call = userdata;
    if (answer->kind == ANSWER_BUNDLE) {
        struct json_object *reply CLEANUP_JSON = json_object_new_object();
        if (json_fields_add(reply, "bundle", bundle_to_json(answer->request)) < 0)
            (void)json_fields_add_int(reply, "retry_after_s", 1);
        varlink_call_reply(call, TAKE_PTR(reply));
    } else if (answer->kind == ANSWER_RETRY) {
        varlink_call_reply(call, with_int("retry_after_s", answer->retry_after_s));
    } else {
        answer_error(call, answer);
    }
}

static void submit_cancelled(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    for (size_t i = 0; i < users_count(daemon->users); i++)
        user_submit_forget(users_get(daemon->users, i), call);
}

void daemon_agent_submit(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct submit_fields fields = {0};
    struct user *user = caller(daemon, call);

    if (!user)
        return;
    if (varlink_call_read_parameters(call, submit_table, ARRAY_LENGTH(submit_table), &fields) < 0)
        return;
    varlink_call_on_cancel(call, submit_cancelled, daemon);
    user_submit(user, fields.request_id, fields.csr, submitted, call);
}

/* ---- Report ---- */

struct report_fields {
    const char *outcome, *request_id, *serial, *code;
    int64_t not_after, renew_at;
    struct json_object *stores;
};

#define TIME_MAX (INT64_MAX / 4)

static const struct json_field report_table[] = {
    JSON_FIELD(struct report_fields, outcome, "outcome", JSON_FIELD_STRING, true, 1, 16),
    JSON_FIELD(struct report_fields, request_id, "request_id", JSON_FIELD_STRING, false, 1, 64),
    JSON_FIELD(
        struct report_fields, serial, "serial", JSON_FIELD_STRING, false, 1,
        X509_SERIAL_HEX_SIZE - 1),
    JSON_FIELD(struct report_fields, not_after, "not_after", JSON_FIELD_INT, false, 0, TIME_MAX),
    JSON_FIELD(struct report_fields, renew_at, "renew_at", JSON_FIELD_INT, false, 0, TIME_MAX),
    JSON_FIELD(struct report_fields, code, "code", JSON_FIELD_STRING, false, 1, 64),
    JSON_FIELD(
        struct report_fields, stores, "stores", JSON_FIELD_ARRAY, true, 0, USER_RECORD_MAX_STORES),
};

struct store_fields {
    const char *kind, *path, *code;
    bool ok;
};

static const struct json_field store_table[] = {
    JSON_FIELD(struct store_fields, kind, "kind", JSON_FIELD_STRING, true, 1, 32),
    JSON_FIELD(struct store_fields, path, "path", JSON_FIELD_STRING, true, 0, STORE_TEXT_MAX),
    JSON_FIELD(struct store_fields, ok, "ok", JSON_FIELD_BOOL, true, 0, 0),
    JSON_FIELD(struct store_fields, code, "code", JSON_FIELD_STRING, false, 1, 64),
};

/* Only what the interface names goes on to the state file and to the server. */
static int copy_store(struct json_object *from, struct json_object *array) {
    struct store_fields fields = {0};
    if (json_fields_read(from, store_table, ARRAY_LENGTH(store_table), &fields, NULL) < 0)
        return -EINVAL;
    struct json_object *store CLEANUP_JSON = json_object_new_object();
    const char *code = fields.code ? reason_code(reason_from_code(fields.code)) : NULL;
    if (!store || json_fields_add_string(store, "kind", fields.kind) < 0 ||
        json_fields_add_string(store, "path", fields.path) < 0 ||
        json_fields_add_bool(store, "ok", fields.ok) < 0 ||
        json_fields_add_string(store, "code", code) < 0 || json_object_array_add(array, store) < 0)
        return -ENOMEM;
    store = NULL;
    return 0;
}

static int copy_stores(struct json_object *from, struct json_object **ret) {
    struct json_object *array CLEANUP_JSON = json_object_new_array();
    for (size_t i = 0; array && i < json_object_array_length(from); i++) {
        int r = copy_store(json_object_array_get_idx(from, i), array);
        if (r < 0)
            return r;
    }
    if (!array)
        return -ENOMEM;
    *ret = TAKE_PTR(array);
    return 0;
}

static int outcome_of(const char *name, enum user_outcome *ret) {
    static const char *const names[] = {"installed", "failed", "removed"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (strcmp(names[i], name) == 0) {
            *ret = (enum user_outcome)i;
            return 0;
        }
    return -EINVAL;
}

static void report(
    struct varlink_call *call, struct user *user, const struct report_fields *fields) {
    struct json_object *stores CLEANUP_JSON = NULL;
    struct user_report report = {
        .request_id = fields->request_id,
        .serial = fields->serial,
        .not_after = fields->not_after,
        .renew_at = fields->renew_at,
        .code = fields->code};

    if (outcome_of(fields->outcome, &report.outcome) < 0)
        return varlink_call_invalid_parameter(call, "outcome");
    int r = copy_stores(fields->stores, &stores);
    if (r == -EINVAL)
        return varlink_call_invalid_parameter(call, "stores");
    report.stores = stores;
    r = r < 0 ? r : user_report(user, &report);
    if (r > 0) {
        varlink_call_reply(call, NULL);
    } else if (r == 0) {
        const char *open = user->record.request.csr ? user->record.request.id : NULL;
        varlink_call_error(call, ERROR("StaleRequest"), with_text("current", open));
    } else {
        varlink_call_error(call, ERROR("TooSoon"), with_int("retry_after_s", STORAGE_RETRY_S));
    }
}

void daemon_agent_report(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct report_fields fields = {0};
    struct user *user = caller(daemon, call);

    if (!user)
        return;
    if (varlink_call_read_parameters(call, report_table, ARRAY_LENGTH(report_table), &fields) < 0)
        return;
    report(call, user, &fields);
}

/* ---- Renew, Inspected ---- */

struct renew_fields {
    const char *reason;
};

static const struct json_field renew_table[] = {
    JSON_FIELD(struct renew_fields, reason, "reason", JSON_FIELD_STRING, true, 1, 16),
};

struct renew_answer {
    const char *request_id;
};

static const struct json_field renew_answer_table[] = {
    JSON_FIELD(struct renew_answer, request_id, "request_id", JSON_FIELD_STRING, true, 1, 64),
};

void daemon_agent_renew(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct renew_fields fields = {0};
    struct user_answer answer;
    enum request_reason reason;
    struct renew_answer renewed = {NULL};
    struct user *user = caller(daemon, call);

    if (!user)
        return;
    if (varlink_call_read_parameters(call, renew_table, ARRAY_LENGTH(renew_table), &fields) < 0)
        return;
    if (request_reason_from_name(fields.reason, &reason) < 0)
        return varlink_call_invalid_parameter(call, "reason");
    int r = user_renew(user, reason, &renewed.request_id, &answer);
    if (r > 0)
        varlink_call_reply_fields(
            call, renew_answer_table, ARRAY_LENGTH(renew_answer_table), &renewed);
    else if (r == 0)
        answer_error(call, &answer);
    else
        varlink_call_error(call, ERROR("TooSoon"), with_int("retry_after_s", STORAGE_RETRY_S));
}

struct inspected_fields {
    const char *id;
    struct json_object *certificates, *stores, *checks, *actions;
};

static const struct json_field inspected_table[] = {
    JSON_FIELD(struct inspected_fields, id, "id", JSON_FIELD_STRING, true, 1, 64),
    JSON_FIELD(
        struct inspected_fields, certificates, "certificates", JSON_FIELD_ARRAY, true, 0, 64),
    JSON_FIELD(struct inspected_fields, stores, "stores", JSON_FIELD_ARRAY, true, 0, 64),
    JSON_FIELD(
        struct inspected_fields, checks, "checks", JSON_FIELD_ARRAY, false, 0,
        INSPECTION_MAX_CHECKS),
    JSON_FIELD(
        struct inspected_fields, actions, "actions", JSON_FIELD_ARRAY, false, 0,
        INSPECTION_MAX_ACTIONS),
};

static bool are_texts(struct json_object *array) {
    for (size_t i = 0; i < json_object_array_length(array); i++)
        if (!json_object_is_type(json_object_array_get_idx(array, i), json_type_string))
            return false;
    return true;
}

void daemon_agent_inspected(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct inspected_fields fields = {0};

    if (varlink_call_read_parameters(
            call, inspected_table, ARRAY_LENGTH(inspected_table), &fields) < 0)
        return;
    if (fields.checks && agent_answers_validate(fields.checks) < 0)
        return varlink_call_invalid_parameter(call, "checks");
    if (fields.actions && !are_texts(fields.actions))
        return varlink_call_invalid_parameter(call, "actions");
    const struct inspection_answer answer = {
        .certificates = fields.certificates, .checks = fields.checks, .actions = fields.actions};
    if (!inspections_answer(
            daemon->inspections, (int64_t)varlink_call_uid(call), fields.id, &answer))
        return varlink_call_error(call, ERROR("StaleRequest"), NULL);
    varlink_call_reply(call, NULL);
}
