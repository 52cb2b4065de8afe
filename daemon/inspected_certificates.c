/* Checks and gathers the certificates of agents' answers. */
#include "daemon/inspected_certificates.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/x509_profile.h"

#include <string.h>

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
    const struct certificate_owner *owner, X509 *leaf, const struct answer_fields *fields) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    char *subject CLEANUP_FREE = x509_name_text(X509_get_subject_name(leaf));
    char *issuer CLEANUP_FREE = x509_name_text(X509_get_issuer_name(leaf));
    char serial[X509_SERIAL_HEX_SIZE];
    int64_t not_before, not_after;

    if (!object || !subject || !issuer || x509_serial_hex(leaf, serial) < 0 ||
        x509_not_before(leaf, &not_before) < 0 || x509_not_after(leaf, &not_after) < 0 ||
        json_fields_add_string(object, "user", owner->name) < 0 ||
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
static bool is_ours(
    const struct certificate_owner *owner, X509 *leaf, const struct answer_fields *fields) {
    X509 *issuer CLEANUP_X509 = NULL;
    if (fields->issuer && x509_cert_from_base64(fields->issuer, &issuer) < 0)
        return false;
    X509 *by = issuer ? issuer : owner->issuer;
    return by && x509_is_ours(leaf, by, owner->issuer_spki, owner->device_uuid);
}

static void take(
    struct json_object *certificates, const struct certificate_owner *owner,
    struct json_object *answer, int64_t now, struct certificate_counts *counts) {
    struct answer_fields fields = {0};
    X509 *leaf CLEANUP_X509 = NULL;
    int64_t not_after = 0;

    if (json_fields_read(answer, answer_table, ARRAY_LENGTH(answer_table), &fields, NULL) < 0 ||
        x509_cert_from_base64(fields.leaf, &leaf) < 0 || !is_ours(owner, leaf, &fields) ||
        x509_not_after(leaf, &not_after) < 0)
        return;
    counts->ours++;
    if (fields.verified && not_after > now)
        counts->usable++;
    struct json_object *object = find_certificate(certificates, owner->name, fields.leaf);
    if (!object) {
        object = certificate_to_json(owner, leaf, &fields);
        if (!object || json_object_array_add(certificates, object) < 0) {
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

void inspected_certificates_add(
    struct json_object *certificates, const struct certificate_owner *owner,
    struct json_object *answer, int64_t now, struct certificate_counts *ret) {
    size_t count = json_object_array_length(answer);

    *ret = (struct certificate_counts){0};
    if (count > INSPECTED_MAX_CERTIFICATES)
        count = INSPECTED_MAX_CERTIFICATES;
    for (size_t i = 0; i < count; i++)
        take(certificates, owner, json_object_array_get_idx(answer, i), now, ret);
}
