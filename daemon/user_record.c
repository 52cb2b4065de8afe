/* One managed user's record: its copy and its JSON. */
#include "daemon/user_record.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX (INT64_MAX / 4) /* sums of two never overflow */
#define DER_BASE64_MAX 12288     /* X509_MAX_DER_SIZE in base64, rounded up */

static const char *const state_names[USER_STATE_COUNT_] = {
    "absent", "waiting", "requested", "signing", "delivered", "installed", "refused", "removing"};
static const char *const reason_names[REQUEST_REASON_COUNT_] = {
    "first", "due", "changed", "store_added", "lost", "revoked", "user"};

const char *user_state_name(enum user_state state) {
    return state_names[state];
}

const char *request_reason_name(enum request_reason reason) {
    return reason_names[reason];
}

static int name_index(const char *const *names, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -EINVAL;
}

int request_reason_from_name(const char *name, enum request_reason *ret) {
    int index = name_index(reason_names, REQUEST_REASON_COUNT_, name);
    if (index < 0)
        return index;
    *ret = (enum request_reason)index;
    return 0;
}

bool user_record_id_is_valid(const char *id) {
    size_t length = strlen(id);
    return length >= 1 && length < USER_ID_SIZE &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-") ==
               length;
}

void user_record_init(struct user_record *record, const char *id) {
    *record =
        (struct user_record){.uid = USER_UID_NONE, .state = USER_ABSENT, .reason = REASON_NONE};
    strncpy(record->id, id, sizeof(record->id) - 1);
}

void user_request_clear(struct user_request *request) {
    free(request->csr);
    free(request->root);
    free(request->intermediate);
    free(request->leaf);
    request->csr = request->root = request->intermediate = request->leaf = NULL;
    request->spki[0] = '\0';
    request->serial[0] = '\0';
    request->not_after = 0;
}

void user_record_deinit(struct user_record *record) {
    user_request_clear(&record->request);
    json_object_put(record->stores);
    record->stores = NULL;
}

static int copy_text(const char *from, char **ret) {
    if (!from)
        return 0;
    *ret = strdup(from);
    return *ret ? 0 : -ENOMEM;
}

int user_record_copy(const struct user_record *record, struct user_record *ret) {
    *ret = *record;
    struct user_request *request = &ret->request;
    request->csr = request->root = request->intermediate = request->leaf = NULL;
    ret->stores = json_object_get(record->stores); /* never changed in place */
    if (copy_text(record->request.csr, &request->csr) < 0 ||
        copy_text(record->request.root, &request->root) < 0 ||
        copy_text(record->request.intermediate, &request->intermediate) < 0 ||
        copy_text(record->request.leaf, &request->leaf) < 0) {
        user_record_deinit(ret);
        return -ENOMEM;
    }
    return 0;
}

bool user_record_knows_key(const struct user_record *record, const uint8_t spki[SHA256_SIZE]) {
    for (size_t i = 0; i < record->key_count; i++)
        if (memcmp(record->keys[i], spki, SHA256_SIZE) == 0)
            return true;
    return false;
}

void user_record_add_key(struct user_record *record, const uint8_t spki[SHA256_SIZE]) {
    if (record->key_count == USER_RECORD_MAX_KEYS) {
        memmove(record->keys[0], record->keys[1], (USER_RECORD_MAX_KEYS - 1) * (size_t)SHA256_SIZE);
        record->key_count--;
    }
    memcpy(record->keys[record->key_count++], spki, SHA256_SIZE);
}

static const char *set_or_null(const char *text) {
    return text[0] ? text : NULL;
}

static int request_to_json(const struct user_request *request, struct json_object *parent) {
    if (!request->id[0])
        return 0;
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    if (!object || json_fields_add_string(object, "id", request->id) < 0 ||
        json_fields_add_string(object, "reason", request_reason_name(request->reason)) < 0 ||
        json_fields_add_string(object, "key_type", key_type_name(request->key_type)) < 0 ||
        json_fields_add_int(object, "deadline", request->deadline) < 0 ||
        json_fields_add_string(object, "csr", request->csr) < 0 ||
        json_fields_add_string(object, "spki", set_or_null(request->spki)) < 0 ||
        json_fields_add_string(object, "root", request->root) < 0 ||
        json_fields_add_string(object, "intermediate", request->intermediate) < 0 ||
        json_fields_add_string(object, "leaf", request->leaf) < 0 ||
        json_fields_add_string(object, "serial", set_or_null(request->serial)) < 0 ||
        json_fields_add_int(object, "not_after", request->not_after) < 0)
        return -ENOMEM;
    return json_fields_add(parent, "request", TAKE_PTR(object));
}

static int installed_to_json(const struct user_installed *installed, struct json_object *parent) {
    if (!installed->serial[0])
        return 0;
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    if (!object || json_fields_add_string(object, "serial", installed->serial) < 0 ||
        json_fields_add_int(object, "not_after", installed->not_after) < 0 ||
        json_fields_add_int(object, "renew_at", installed->renew_at) < 0 ||
        json_fields_add_string(object, "key_type", key_type_name(installed->key_type)) < 0 ||
        json_fields_add_string(object, "request_id", set_or_null(installed->request_id)) < 0)
        return -ENOMEM;
    return json_fields_add(parent, "installed", TAKE_PTR(object));
}

static struct json_object *keys_to_json(const struct user_record *record) {
    struct json_object *array CLEANUP_JSON = json_object_new_array();
    for (size_t i = 0; array && i < record->key_count; i++) {
        char hex[SHA256_HEX_SIZE];
        struct json_object *text =
            json_object_new_string(hex_encode(record->keys[i], SHA256_SIZE, hex));
        if (!text || json_object_array_add(array, text) < 0) {
            json_object_put(text);
            return NULL;
        }
    }
    return TAKE_PTR(array);
}

struct json_object *user_record_to_json(const struct user_record *record) {
    struct json_object *root CLEANUP_JSON = json_object_new_object();

    if (!root || json_fields_add_string(root, "id", record->id) < 0 ||
        json_fields_add_string(root, "name", set_or_null(record->name)) < 0 ||
        (record->uid >= 0 && json_fields_add_int(root, "uid", record->uid) < 0) ||
        json_fields_add_string(root, "state", user_state_name(record->state)) < 0 ||
        json_fields_add_bool(root, "held", record->held) < 0 ||
        json_fields_add_bool(root, "delivered", record->delivered) < 0 ||
        json_fields_add_int(root, "due", record->due) < 0 ||
        json_fields_add_bool(root, "due_ordered", record->due_ordered) < 0 ||
        json_fields_add_int(root, "attempt", (int64_t)record->attempt) < 0 ||
        json_fields_add_string(root, "reason", reason_code(record->reason)) < 0 ||
        json_fields_add_string(root, "next_reason", request_reason_name(record->next_reason)) < 0 ||
        json_fields_add_string(root, "refused_epoch", set_or_null(record->refused_epoch)) < 0 ||
        json_fields_add_int(root, "refused_generation", record->refused_generation) < 0 ||
        json_fields_add_string(root, "issuer_spki", set_or_null(record->issuer_spki)) < 0 ||
        json_fields_add_string(root, "root_spki", set_or_null(record->root_spki)) < 0 ||
        json_fields_add_string(root, "device_uuid", set_or_null(record->device_uuid)) < 0 ||
        json_fields_add(root, "rate", rate_limit_to_json(&record->rate)) < 0 ||
        json_fields_add(root, "keys", keys_to_json(record)) < 0 ||
        request_to_json(&record->request, root) < 0 ||
        installed_to_json(&record->installed, root) < 0)
        return NULL;
    if (record->stores && json_fields_add(root, "stores", json_object_get(record->stores)) < 0)
        return NULL;
    return TAKE_PTR(root);
}

/* ---- reading ---- */

struct record_fields {
    const char *id, *name, *state, *reason, *next_reason, *refused_epoch;
    const char *issuer_spki, *root_spki, *device_uuid;
    int64_t uid, due, attempt, refused_generation;
    bool held, delivered, due_ordered;
    struct json_object *request, *installed, *stores, *rate, *keys;
};

#define FIELD(member_, type_, required_, minimum_, maximum_)                                       \
    JSON_FIELD(struct record_fields, member_, #member_, type_, required_, minimum_, maximum_)

static const struct json_field record_table[] = {
    FIELD(id, JSON_FIELD_STRING, true, 1, USER_ID_SIZE - 1),
    FIELD(name, JSON_FIELD_STRING, false, 1, USER_NAME_SIZE - 1),
    FIELD(uid, JSON_FIELD_INT, false, 1, UINT32_MAX - 1),
    FIELD(state, JSON_FIELD_STRING, true, 1, 16),
    FIELD(held, JSON_FIELD_BOOL, false, 0, 0),
    FIELD(delivered, JSON_FIELD_BOOL, true, 0, 0),
    FIELD(due, JSON_FIELD_INT, false, 0, TIME_MAX),
    FIELD(due_ordered, JSON_FIELD_BOOL, false, 0, 0),
    FIELD(attempt, JSON_FIELD_INT, false, 0, INT32_MAX),
    FIELD(reason, JSON_FIELD_STRING, false, 1, 64),
    FIELD(next_reason, JSON_FIELD_STRING, false, 1, 16),
    FIELD(refused_epoch, JSON_FIELD_STRING, false, 36, 36),
    FIELD(refused_generation, JSON_FIELD_INT, false, 0, INT64_MAX),
    FIELD(issuer_spki, JSON_FIELD_STRING, false, 64, 64),
    FIELD(root_spki, JSON_FIELD_STRING, false, 64, 64),
    FIELD(device_uuid, JSON_FIELD_STRING, false, 36, 36),
    FIELD(request, JSON_FIELD_OBJECT, false, 0, 0),
    FIELD(installed, JSON_FIELD_OBJECT, false, 0, 0),
    FIELD(stores, JSON_FIELD_ARRAY, false, 0, USER_RECORD_MAX_STORES),
    FIELD(rate, JSON_FIELD_ARRAY, false, 0, RATE_LIMIT_MINUTES + 1),
    FIELD(keys, JSON_FIELD_ARRAY, false, 0, USER_RECORD_MAX_KEYS),
};

struct request_fields {
    const char *id, *reason, *key_type, *csr, *spki, *root, *intermediate, *leaf, *serial;
    int64_t deadline, not_after;
};

#undef FIELD
#define FIELD(member_, type_, required_, minimum_, maximum_)                                       \
    JSON_FIELD(struct request_fields, member_, #member_, type_, required_, minimum_, maximum_)

static const struct json_field request_table[] = {
    FIELD(id, JSON_FIELD_STRING, true, 36, 36),
    FIELD(reason, JSON_FIELD_STRING, true, 1, 16),
    FIELD(key_type, JSON_FIELD_STRING, true, 1, 16),
    FIELD(deadline, JSON_FIELD_INT, true, 0, TIME_MAX),
    FIELD(csr, JSON_FIELD_STRING, false, 1, DER_BASE64_MAX),
    FIELD(spki, JSON_FIELD_STRING, false, 64, 64),
    FIELD(root, JSON_FIELD_STRING, false, 1, DER_BASE64_MAX),
    FIELD(intermediate, JSON_FIELD_STRING, false, 1, DER_BASE64_MAX),
    FIELD(leaf, JSON_FIELD_STRING, false, 1, DER_BASE64_MAX),
    FIELD(serial, JSON_FIELD_STRING, false, 1, X509_SERIAL_HEX_SIZE - 1),
    FIELD(not_after, JSON_FIELD_INT, false, 0, TIME_MAX),
};

struct installed_fields {
    const char *serial, *key_type, *request_id;
    int64_t not_after, renew_at;
};

#undef FIELD
#define FIELD(member_, type_, required_, minimum_, maximum_)                                       \
    JSON_FIELD(struct installed_fields, member_, #member_, type_, required_, minimum_, maximum_)

static const struct json_field installed_table[] = {
    FIELD(serial, JSON_FIELD_STRING, true, 1, X509_SERIAL_HEX_SIZE - 1),
    FIELD(key_type, JSON_FIELD_STRING, true, 1, 16),
    FIELD(request_id, JSON_FIELD_STRING, false, 36, 36),
    FIELD(not_after, JSON_FIELD_INT, true, 0, TIME_MAX),
    FIELD(renew_at, JSON_FIELD_INT, false, 0, TIME_MAX),
};

/* The tables bound every length to the member's size. */
static void set_text(char *ret, const char *text) {
    if (text)
        memcpy(ret, text, strlen(text) + 1);
}

static int read_request(struct json_object *object, struct user_request *ret) {
    struct request_fields fields = {0};
    if (!object)
        return 0;
    if (json_fields_read(object, request_table, ARRAY_LENGTH(request_table), &fields, NULL) < 0 ||
        request_reason_from_name(fields.reason, &ret->reason) < 0 ||
        key_type_from_name(fields.key_type, &ret->key_type) < 0 || !random_uuid_is_valid(fields.id))
        return -EBADMSG;
    set_text(ret->id, fields.id);
    set_text(ret->spki, fields.spki);
    set_text(ret->serial, fields.serial);
    ret->deadline = fields.deadline;
    ret->not_after = fields.not_after;
    if (copy_text(fields.csr, &ret->csr) < 0 || copy_text(fields.root, &ret->root) < 0 ||
        copy_text(fields.intermediate, &ret->intermediate) < 0 ||
        copy_text(fields.leaf, &ret->leaf) < 0)
        return -ENOMEM;
    return 0;
}

static int read_installed(struct json_object *object, struct user_installed *ret) {
    struct installed_fields fields = {0};
    if (!object)
        return 0;
    if (json_fields_read(object, installed_table, ARRAY_LENGTH(installed_table), &fields, NULL) <
            0 ||
        key_type_from_name(fields.key_type, &ret->key_type) < 0)
        return -EBADMSG;
    set_text(ret->serial, fields.serial);
    set_text(ret->request_id, fields.request_id);
    ret->not_after = fields.not_after;
    ret->renew_at = fields.renew_at;
    return 0;
}

static void read_keys(struct json_object *array, struct user_record *record) {
    size_t length = array ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < length; i++) {
        struct json_object *text = json_object_array_get_idx(array, i);
        uint8_t key[SHA256_SIZE];
        if (json_object_is_type(text, json_type_string) &&
            hex_decode(json_object_get_string(text), key, sizeof(key)) == 0)
            user_record_add_key(record, key);
    }
}

/* A state without what it works on is no state of this machine. */
static bool is_sound(const struct user_record *record) {
    switch (record->state) {
    case USER_REQUESTED:
        return record->request.id[0] != '\0';
    case USER_SIGNING:
        return record->request.id[0] != '\0' && record->request.csr;
    case USER_DELIVERED:
        return record->request.id[0] != '\0' && record->request.csr && record->request.leaf &&
               record->request.intermediate && record->request.root && record->request.serial[0];
    case USER_INSTALLED:
        return record->installed.serial[0] != '\0';
    default:
        return true;
    }
}

static int read_fields(const struct record_fields *fields, struct user_record *record) {
    int state = name_index(state_names, USER_STATE_COUNT_, fields->state);
    if (state < 0 || !user_record_id_is_valid(fields->id))
        return -EBADMSG;
    user_record_init(record, fields->id);
    if (fields->next_reason &&
        request_reason_from_name(fields->next_reason, &record->next_reason) < 0)
        return -EBADMSG;
    record->state = (enum user_state)state;
    record->uid = fields->uid;
    record->held = fields->held;
    record->delivered = fields->delivered;
    record->due = fields->due;
    record->due_ordered = fields->due_ordered;
    record->attempt = (unsigned)fields->attempt;
    record->reason = reason_from_code(fields->reason);
    record->refused_generation = fields->refused_generation;
    set_text(record->name, fields->name);
    set_text(record->refused_epoch, fields->refused_epoch);
    set_text(record->issuer_spki, fields->issuer_spki);
    set_text(record->root_spki, fields->root_spki);
    set_text(record->device_uuid, fields->device_uuid);
    rate_limit_from_json(fields->rate, &record->rate);
    read_keys(fields->keys, record);
    return 0;
}

int user_record_from_json(struct json_object *object, struct user_record *ret) {
    struct record_fields fields = {.uid = USER_UID_NONE};
    struct user_record record CLEANUP_USER_RECORD = {0};

    if (json_fields_read(object, record_table, ARRAY_LENGTH(record_table), &fields, NULL) < 0)
        return -EBADMSG;
    int r = read_fields(&fields, &record);
    if (r == 0)
        r = read_request(fields.request, &record.request);
    if (r == 0)
        r = read_installed(fields.installed, &record.installed);
    if (r < 0)
        return r;
    if (!is_sound(&record))
        return -EBADMSG;
    record.stores = json_object_get(fields.stores);
    *ret = record;
    record.request = (struct user_request){0};
    record.stores = NULL;
    return 0;
}
