/* Collects the agents' answers to an inspection. */
#include "daemon/inspections.h"

#include "daemon/user_view.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/x509_profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct target {
    char name[USER_NAME_SIZE];
    int64_t uid;
    bool open;
    /* what makes a certificate ours */
    uint8_t issuer_spki[SHA256_SIZE];
    char device_uuid[37];
    X509 *issuer; /* the present one, where the agent does not know it; NULL: none */
};

struct inspection {
    struct inspections *inspections;
    struct inspection *next;
    struct varlink_call *call;
    uv_timer_t deadline;
    struct json_object *certificates, *missing;
    size_t target_count;
    struct target targets[];
};

struct inspections {
    uv_loop_t *loop;
    struct agents *agents;
    struct inspection *first;
};

int inspections_new(uv_loop_t *loop, struct agents *agents, struct inspections **ret) {
    struct inspections *inspections = calloc(1, sizeof(*inspections));
    if (!inspections)
        return -ENOMEM;
    inspections->loop = loop;
    inspections->agents = agents;
    *ret = inspections;
    return 0;
}

struct inspections *inspections_free(struct inspections *inspections) {
    free(inspections);
    return NULL;
}

static void timer_closed(uv_handle_t *handle) {
    struct inspection *inspection = handle->data;
    for (size_t i = 0; i < inspection->target_count; i++)
        X509_free(inspection->targets[i].issuer);
    json_object_put(inspection->certificates);
    json_object_put(inspection->missing);
    free(inspection);
}

static void finish(struct inspection *inspection) {
    for (struct inspection **link = &inspection->inspections->first; *link; link = &(*link)->next)
        if (*link == inspection) {
            *link = inspection->next;
            break;
        }
    uv_close((uv_handle_t *)&inspection->deadline, timer_closed);
}

static void cancelled(struct varlink_call *call __attribute__((unused)), void *userdata) {
    finish(userdata);
}

static void add_missing(struct inspection *inspection, const char *name, enum reason reason) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    if (!object || json_fields_add_string(object, "user", name) < 0 ||
        json_fields_add_string(object, "code", reason_code(reason)) < 0)
        return;
    if (json_object_array_add(inspection->missing, object) == 0)
        object = NULL;
}

static void reply_when_done(struct inspection *inspection) {
    for (size_t i = 0; i < inspection->target_count; i++)
        if (inspection->targets[i].open)
            return;
    struct json_object *reply CLEANUP_JSON = json_object_new_object();
    (void)json_fields_add(reply, "certificates", json_object_get(inspection->certificates));
    (void)json_fields_add(reply, "missing", json_object_get(inspection->missing));
    varlink_call_reply(inspection->call, TAKE_PTR(reply));
    finish(inspection);
}

static void deadline_passed(uv_timer_t *timer) {
    struct inspection *inspection = timer->data;
    for (size_t i = 0; i < inspection->target_count; i++) {
        struct target *target = &inspection->targets[i];
        if (target->open)
            add_missing(inspection, target->name, REASON_AGENT_TIMEOUT);
        target->open = false;
    }
    reply_when_done(inspection);
}

/* What is ours by this user's record, or by the present enrolment. */
static bool set_target(const struct user *user, struct target *ret) {
    const struct user_record *record = &user->record;
    char issuer_spki[SHA256_HEX_SIZE], root_spki[SHA256_HEX_SIZE];
    const char *device_uuid = record->device_uuid,
               *name = user->listed ? user->listed_name : record->name;

    X509 *root = NULL, *issuer = NULL;
    const char *ignored;

    memcpy(ret->name, name, strlen(name) + 1);
    if (user->services->trust(&root, &issuer, &ignored, user->services->userdata) &&
        X509_up_ref(issuer))
        ret->issuer = issuer;
    ret->uid = user_uid(user);
    if (record->device_uuid[0])
        memcpy(issuer_spki, record->issuer_spki, sizeof(issuer_spki));
    else if (!user_view_trust(user->services, issuer_spki, root_spki, &device_uuid))
        return false;
    memcpy(ret->device_uuid, device_uuid, sizeof(ret->device_uuid));
    return hex_decode(issuer_spki, ret->issuer_spki, sizeof(ret->issuer_spki)) == 0;
}

static void ask(struct inspection *inspection, struct user *user, struct target *target) {
    const char *id = NULL;
    bool known = set_target(user, target);
    if (agents_inspect(inspection->inspections->agents, target->uid, &id) < 0)
        add_missing(inspection, target->name, REASON_NO_AGENT);
    else if (!known)
        add_missing(inspection, target->name, REASON_NO_CERTIFICATE);
    else
        target->open = true;
}

void inspections_begin(
    struct inspections *inspections, struct varlink_call *call, struct user *const *users,
    size_t count) {
    struct inspection *inspection =
        calloc(1, sizeof(*inspection) + count * sizeof(inspection->targets[0]));
    if (!inspection || uv_timer_init(inspections->loop, &inspection->deadline) < 0) {
        free(inspection);
        varlink_call_reply(call, NULL);
        return;
    }
    inspection->inspections = inspections;
    inspection->deadline.data = inspection;
    inspection->call = call;
    inspection->certificates = json_object_new_array();
    inspection->missing = json_object_new_array();
    inspection->next = inspections->first;
    inspections->first = inspection;
    inspection->target_count = count;
    varlink_call_on_cancel(call, cancelled, inspection);
    for (size_t i = 0; i < count; i++)
        ask(inspection, users[i], &inspection->targets[i]);
    uv_timer_start(&inspection->deadline, deadline_passed, INSPECTION_DEADLINE_MS, 0);
    reply_when_done(inspection);
}

/* ---- an answer ---- */

struct answer_fields {
    const char *kind, *path, *leaf, *issuer;
    bool verified;
};

static const struct json_field answer_table[] = {
    JSON_FIELD(struct answer_fields, kind, "kind", JSON_FIELD_STRING, true, 1, 32),
    JSON_FIELD(struct answer_fields, path, "path", JSON_FIELD_STRING, true, 0, 1024),
    JSON_FIELD(struct answer_fields, leaf, "leaf", JSON_FIELD_STRING, true, 1, 12288),
    JSON_FIELD(struct answer_fields, issuer, "issuer", JSON_FIELD_STRING, false, 1, 12288),
    JSON_FIELD(struct answer_fields, verified, "verified", JSON_FIELD_BOOL, true, 0, 0),
};

static struct json_object *store_to_json(const struct answer_fields *fields) {
    struct json_object *store CLEANUP_JSON = json_object_new_object();
    if (!store || json_fields_add_string(store, "kind", fields->kind) < 0 ||
        json_fields_add_string(store, "path", fields->path) < 0 ||
        json_fields_add_bool(store, "ok", fields->verified) < 0 ||
        (!fields->verified &&
         json_fields_add_string(store, "code", reason_code(REASON_STORE_VERIFY)) < 0))
        return NULL;
    return TAKE_PTR(store);
}

static bool same_member(struct json_object *object, const char *name, const char *value) {
    struct json_object *member = json_object_object_get(object, name);
    return member && strcmp(json_object_get_string(member), value) == 0;
}

/* The same certificate in another store of the same user. */
static struct json_object *find_certificate(
    struct json_object *certificates, const char *user, const char *leaf) {
    for (size_t i = 0; i < json_object_array_length(certificates); i++) {
        struct json_object *object = json_object_array_get_idx(certificates, i);
        if (same_member(object, "user", user) && same_member(object, "der", leaf))
            return object;
    }
    return NULL;
}

static struct json_object *certificate_to_json(
    const struct target *target, X509 *leaf, const struct answer_fields *fields) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    char *subject CLEANUP_FREE = x509_name_text(X509_get_subject_name(leaf));
    char *issuer CLEANUP_FREE = x509_name_text(X509_get_issuer_name(leaf));
    char serial[X509_SERIAL_HEX_SIZE];
    int64_t not_before, not_after;

    if (!object || !subject || !issuer || x509_serial_hex(leaf, serial) < 0 ||
        x509_not_before(leaf, &not_before) < 0 || x509_not_after(leaf, &not_after) < 0 ||
        json_fields_add_string(object, "user", target->name) < 0 ||
        json_fields_add_string(object, "subject", subject) < 0 ||
        json_fields_add_string(object, "issuer", issuer) < 0 ||
        json_fields_add_string(object, "serial", serial) < 0 ||
        json_fields_add_int(object, "not_before", not_before) < 0 ||
        json_fields_add_int(object, "not_after", not_after) < 0 ||
        json_fields_add_string(object, "der", fields->leaf) < 0 ||
        json_fields_add_bool(object, "verified", fields->verified) < 0 ||
        json_fields_add(object, "stores", json_object_new_array()) < 0)
        return NULL;
    return TAKE_PTR(object);
}

/* What an agent calls ours is checked before it is shown as ours. */
static bool is_ours(const struct target *target, X509 *leaf, const struct answer_fields *fields) {
    X509 *issuer CLEANUP_X509 = NULL;
    if (fields->issuer && x509_cert_from_base64(fields->issuer, &issuer) < 0)
        return false;
    X509 *by = issuer ? issuer : target->issuer;
    return by && x509_is_ours(leaf, by, target->issuer_spki, target->device_uuid);
}

static void take_certificate(
    struct inspection *inspection, const struct target *target, struct json_object *answer) {
    struct answer_fields fields = {0};
    X509 *leaf CLEANUP_X509 = NULL;

    if (json_fields_read(answer, answer_table, ARRAY_LENGTH(answer_table), &fields, NULL) < 0 ||
        x509_cert_from_base64(fields.leaf, &leaf) < 0 || !is_ours(target, leaf, &fields))
        return;
    struct json_object *object =
        find_certificate(inspection->certificates, target->name, fields.leaf);
    if (!object) {
        object = certificate_to_json(target, leaf, &fields);
        if (!object || json_object_array_add(inspection->certificates, object) < 0) {
            json_object_put(object);
            return;
        }
    }
    if (!fields.verified)
        (void)json_fields_add_bool(object, "verified", false);
    struct json_object *stores = json_object_object_get(object, "stores");
    struct json_object *store = store_to_json(&fields);
    if (store && json_object_array_add(stores, store) < 0)
        json_object_put(store);
}

bool inspections_answer(
    struct inspections *inspections, int64_t uid, const char *id,
    struct json_object *certificates) {
    struct inspection *next;
    size_t count = json_object_array_length(certificates);

    if (!agents_inspected(inspections->agents, uid, id))
        return false;
    if (count > INSPECTION_MAX_CERTIFICATES)
        count = INSPECTION_MAX_CERTIFICATES;
    for (struct inspection *inspection = inspections->first; inspection; inspection = next) {
        next = inspection->next;
        for (size_t t = 0; t < inspection->target_count; t++) {
            struct target *target = &inspection->targets[t];
            if (!target->open || target->uid != uid)
                continue;
            target->open = false;
            for (size_t i = 0; i < count; i++)
                take_certificate(inspection, target, json_object_array_get_idx(certificates, i));
        }
        reply_when_done(inspection);
    }
    return true;
}
