/* The record's fields in JSON: read as what they are, a file that anything of this user may have
 * changed. */
#include "useragent/agent_record_json.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/random.h"
#include "common/utf8.h"

#include <errno.h>
#include <string.h>

#define ISSUER_TEXT_MAX (4 * X509_MAX_DER_SIZE / 3 + 4)

static const char *const intent_names[] = {
    [AGENT_INTENT_NONE] = "none",
    [AGENT_INTENT_IMPORT] = "import",
    [AGENT_INTENT_SUPERSEDE] = "supersede",
    [AGENT_INTENT_REMOVE] = "remove",
};

const char *agent_intent_name(enum agent_intent intent) {
    return intent_names[intent];
}

static int intent_from_name(const char *name, enum agent_intent *ret) {
    for (unsigned i = 0; i < ARRAY_LENGTH(intent_names); i++) {
        if (strcmp(intent_names[i], name) == 0) {
            *ret = (enum agent_intent)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* ---- reading ---- */

struct current_fields {
    const char *serial, *request_id, *spki;
    int64_t not_before, not_after, installed_at, renew_at, renew_after_s;
    struct json_object *stores;
};

static const struct json_field current_table[] = {
    JSON_FIELD(
        struct current_fields, serial, "serial", JSON_FIELD_STRING, true, 1,
        X509_SERIAL_HEX_SIZE - 1),
    JSON_FIELD(
        struct current_fields, request_id, "request_id", JSON_FIELD_STRING, false, 1,
        USER_ID_MAX - 1),
    JSON_FIELD(
        struct current_fields, spki, "spki_sha256", JSON_FIELD_STRING, true, 1, SHA256_HEX_SIZE),
    JSON_FIELD(struct current_fields, not_before, "not_before", JSON_FIELD_INT, true, 0, 0),
    JSON_FIELD(struct current_fields, not_after, "not_after", JSON_FIELD_INT, true, 0, 0),
    JSON_FIELD(struct current_fields, installed_at, "installed_at", JSON_FIELD_INT, true, 0, 0),
    JSON_FIELD(struct current_fields, renew_at, "renew_at", JSON_FIELD_INT, true, 0, 0),
    JSON_FIELD(struct current_fields, renew_after_s, "renew_after_s", JSON_FIELD_INT, true, 0, 0),
    JSON_FIELD(struct current_fields, stores, "stores", JSON_FIELD_ARRAY, true, 0, STORE_MAX),
};

/* A path is bytes, JSON is UTF-8: one that is not has its bytes in hex. */
struct store_fields {
    const char *kind, *path, *path_hex; /* one of the two paths */
    bool issuer_found, verified;
    int64_t present_since;
};

static const struct json_field store_table[] = {
    JSON_FIELD(struct store_fields, kind, "kind", JSON_FIELD_STRING, true, 1, 32),
    JSON_FIELD(
        struct store_fields, path, "path", JSON_FIELD_STRING, false, 1, USER_DIRS_PATH_MAX - 1),
    JSON_FIELD(
        struct store_fields, path_hex, "path_hex", JSON_FIELD_STRING, false, 2,
        2 * (USER_DIRS_PATH_MAX - 1)),
    JSON_FIELD(struct store_fields, issuer_found, "issuer_found", JSON_FIELD_BOOL, true, 0, 0),
    JSON_FIELD(struct store_fields, verified, "verified", JSON_FIELD_BOOL, true, 0, 0),
    JSON_FIELD(struct store_fields, present_since, "present_since", JSON_FIELD_INT, false, 0, 0),
};

struct intent_fields {
    const char *phase, *request_id, *spki;
    struct json_object *old;
};

static const struct json_field intent_table[] = {
    JSON_FIELD(struct intent_fields, phase, "phase", JSON_FIELD_STRING, true, 1, 32),
    JSON_FIELD(
        struct intent_fields, request_id, "request_id", JSON_FIELD_STRING, false, 1,
        USER_ID_MAX - 1),
    JSON_FIELD(
        struct intent_fields, spki, "spki_sha256", JSON_FIELD_STRING, false, 1, SHA256_HEX_SIZE),
    JSON_FIELD(struct intent_fields, old, "old", JSON_FIELD_ARRAY, false, 0, AGENT_RECORD_MAX_OLD),
};

struct record_fields {
    const char *device;
    struct json_object *issuers, *current, *intent;
};

static const struct json_field record_table[] = {
    JSON_FIELD(struct record_fields, device, "device", JSON_FIELD_STRING, false, 36, 36),
    JSON_FIELD(
        struct record_fields, issuers, "issuers", JSON_FIELD_ARRAY, false, 0, OURS_MAX_ISSUERS),
    JSON_FIELD(struct record_fields, current, "current", JSON_FIELD_OBJECT, false, 0, 0),
    JSON_FIELD(struct record_fields, intent, "intent", JSON_FIELD_OBJECT, false, 0, 0),
};

static int read_path(const struct store_fields *fields, char ret[USER_DIRS_PATH_MAX]) {
    char path[USER_DIRS_PATH_MAX] = "";

    if (!fields->path == !fields->path_hex)
        return -EINVAL;
    if (fields->path)
        memcpy(path, fields->path, strlen(fields->path) + 1);
    else if (hex_decode(fields->path_hex, (uint8_t *)path, strlen(fields->path_hex) / 2) < 0)
        return -EINVAL;
    if (path[0] != '/')
        return -EINVAL;
    memcpy(ret, path, sizeof path);
    return 0;
}

static int read_store(struct json_object *object, struct agent_record_store *ret) {
    struct store_fields fields = {.present_since = AGENT_RECORD_UNKNOWN};
    int r;

    r = json_fields_read(object, store_table, ARRAY_LENGTH(store_table), &fields, NULL);
    if (r < 0)
        return r;
    r = read_path(&fields, ret->location.path);
    if (r < 0)
        return r;
    r = store_kind_from_name(fields.kind, &ret->location.kind);
    if (r < 0)
        return r;
    ret->issuer_found = fields.issuer_found;
    ret->verified = fields.verified;
    ret->present_since = fields.present_since;
    return 0;
}

static int read_current(struct json_object *object, struct agent_record *record) {
    struct current_fields fields = {0};
    int r;

    r = json_fields_read(object, current_table, ARRAY_LENGTH(current_table), &fields, NULL);
    if (r < 0)
        return r;
    r = hex_decode(fields.spki, record->spki, SHA256_SIZE);
    if (r < 0)
        return r;
    memcpy(record->serial, fields.serial, strlen(fields.serial) + 1);
    if (fields.request_id)
        memcpy(record->request_id, fields.request_id, strlen(fields.request_id) + 1);
    record->not_before = fields.not_before;
    record->not_after = fields.not_after;
    record->installed_at = fields.installed_at;
    record->renew_at = fields.renew_at;
    record->renew_after_s = fields.renew_after_s;
    for (size_t i = 0; i < json_object_array_length(fields.stores); i++) {
        r = read_store(
            json_object_array_get_idx(fields.stores, i), &record->stores[record->store_count]);
        if (r < 0)
            return r;
        record->store_count++;
    }
    return 0;
}

static int read_hash(struct json_object *value, uint8_t ret[SHA256_SIZE]) {
    if (!json_object_is_type(value, json_type_string))
        return -EINVAL;
    return hex_decode(json_object_get_string(value), ret, SHA256_SIZE);
}

static int read_intent(struct json_object *object, struct agent_record *record) {
    struct intent_fields fields = {0};
    int r;

    r = json_fields_read(object, intent_table, ARRAY_LENGTH(intent_table), &fields, NULL);
    if (r >= 0)
        r = intent_from_name(fields.phase, &record->intent);
    if (r < 0)
        return r;
    if (record->intent == AGENT_INTENT_IMPORT && (!fields.spki || !fields.request_id))
        return -EINVAL;
    if (fields.request_id)
        memcpy(record->intent_request_id, fields.request_id, strlen(fields.request_id) + 1);
    if (fields.spki)
        r = hex_decode(fields.spki, record->intent_spki, SHA256_SIZE);
    for (size_t i = 0; r >= 0 && fields.old && i < json_object_array_length(fields.old); i++) {
        r = read_hash(json_object_array_get_idx(fields.old, i), record->old[record->old_count]);
        if (r >= 0)
            record->old_count++;
    }
    return r;
}

static int read_issuer(struct json_object *value, struct agent_record *record) {
    CLEANUP_X509 X509 *issuer = NULL;
    char *text;
    int r;

    if (!json_object_is_type(value, json_type_string) ||
        json_object_get_string_len(value) > ISSUER_TEXT_MAX)
        return -EINVAL;
    r = x509_cert_from_base64(json_object_get_string(value), &issuer);
    if (r < 0)
        return r;
    text = strdup(json_object_get_string(value));
    if (!text)
        return -ENOMEM;
    record->issuers[record->issuer_count++] = text;
    return 0;
}

int agent_record_from_json(struct json_object *object, struct agent_record *record) {
    struct record_fields fields = {0};
    int r;

    r = json_fields_read(object, record_table, ARRAY_LENGTH(record_table), &fields, NULL);
    if (r < 0)
        return r;
    if (fields.device) {
        if (!random_uuid_is_valid(fields.device))
            return -EINVAL;
        memcpy(record->device_uuid, fields.device, sizeof record->device_uuid);
    }
    for (size_t i = 0; fields.issuers && i < json_object_array_length(fields.issuers); i++) {
        r = read_issuer(json_object_array_get_idx(fields.issuers, i), record);
        if (r < 0)
            return r;
    }
    if (fields.current)
        r = read_current(fields.current, record);
    if (r >= 0 && fields.intent)
        r = read_intent(fields.intent, record);
    return r;
}

/* ---- writing ---- */

static int add_hash(struct json_object *object, const char *name, const uint8_t hash[SHA256_SIZE]) {
    char hex[SHA256_HEX_SIZE];

    return json_fields_add_string(object, name, hex_encode(hash, SHA256_SIZE, hex));
}

static int array_add(struct json_object *array, struct json_object *value) {
    if (!value)
        return -ENOMEM;
    if (json_object_array_add(array, value) < 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

static const char *text_or_null(const char *text) {
    return text[0] != '\0' ? text : NULL;
}

static int add_path(struct json_object *object, const char *path) {
    size_t size = strlen(path);
    char hex[2 * USER_DIRS_PATH_MAX];

    return utf8_is_valid(path, size)
               ? json_fields_add_string(object, "path", path)
               : json_fields_add_string(
                     object, "path_hex", hex_encode((const uint8_t *)path, size, hex));
}

static int add_store(struct json_object *array, const struct agent_record_store *store) {
    struct json_object *object = json_object_new_object();
    int r = array_add(array, object);

    if (r >= 0)
        r = json_fields_add_string(object, "kind", store_kind_name(store->location.kind));
    if (r >= 0)
        r = add_path(object, store->location.path);
    if (r >= 0)
        r = json_fields_add_bool(object, "issuer_found", store->issuer_found);
    if (r >= 0)
        r = json_fields_add_bool(object, "verified", store->verified);
    if (r >= 0 && store->present_since != AGENT_RECORD_UNKNOWN)
        r = json_fields_add_int(object, "present_since", store->present_since);
    return r;
}

static int add_current(struct json_object *parent, const struct agent_record *record) {
    struct json_object *object;
    struct json_object *stores;
    int r;

    if (!agent_record_has_current(record))
        return 0;
    object = json_object_new_object();
    r = object ? json_fields_add(parent, "current", object) : -ENOMEM;
    if (r >= 0)
        r = json_fields_add_string(object, "serial", record->serial);
    if (r >= 0)
        r = json_fields_add_string(object, "request_id", text_or_null(record->request_id));
    if (r >= 0)
        r = add_hash(object, "spki_sha256", record->spki);
    if (r >= 0)
        r = json_fields_add_int(object, "not_before", record->not_before);
    if (r >= 0)
        r = json_fields_add_int(object, "not_after", record->not_after);
    if (r >= 0)
        r = json_fields_add_int(object, "installed_at", record->installed_at);
    if (r >= 0)
        r = json_fields_add_int(object, "renew_at", record->renew_at);
    if (r >= 0)
        r = json_fields_add_int(object, "renew_after_s", record->renew_after_s);
    if (r < 0)
        return r;
    stores = json_object_new_array();
    r = stores ? json_fields_add(object, "stores", stores) : -ENOMEM;
    for (size_t i = 0; r >= 0 && i < record->store_count; i++)
        r = add_store(stores, &record->stores[i]);
    return r;
}

static int add_old(struct json_object *parent, const struct agent_record *record) {
    struct json_object *old = json_object_new_array();
    char hex[SHA256_HEX_SIZE];
    int r = old ? json_fields_add(parent, "old", old) : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < record->old_count; i++)
        r = array_add(old, json_object_new_string(hex_encode(record->old[i], SHA256_SIZE, hex)));
    return r;
}

static int add_intent(struct json_object *parent, const struct agent_record *record) {
    struct json_object *object;
    int r;

    if (record->intent == AGENT_INTENT_NONE)
        return 0;
    object = json_object_new_object();
    r = object ? json_fields_add(parent, "intent", object) : -ENOMEM;
    if (r >= 0)
        r = json_fields_add_string(object, "phase", agent_intent_name(record->intent));
    if (r >= 0)
        r = json_fields_add_string(object, "request_id", text_or_null(record->intent_request_id));
    if (r >= 0 && record->intent == AGENT_INTENT_IMPORT)
        r = add_hash(object, "spki_sha256", record->intent_spki);
    if (r >= 0)
        r = add_old(object, record);
    return r;
}

int agent_record_to_json(const struct agent_record *record, struct json_object *object) {
    struct json_object *issuers = json_object_new_array();
    int r = issuers ? json_fields_add(object, "issuers", issuers) : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < record->issuer_count; i++)
        r = array_add(issuers, json_object_new_string(record->issuers[i]));
    if (r >= 0)
        r = json_fields_add_string(object, "device", text_or_null(record->device_uuid));
    if (r >= 0)
        r = add_current(object, record);
    if (r >= 0)
        r = add_intent(object, record);
    return r;
}
