/* Reads the messages of io.devtrust.Agent. Everything from the daemon is bounded here, root or not.
 */
#include "useragent/agent_message.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/random.h"

#include <errno.h>
#include <string.h>

#define RENEW_AFTER_MAX_S (INT64_C(3660) * 24 * 3600)
#define RETRY_AFTER_MAX_S (6 * 3600)
#define CERTIFICATE_TEXT_MAX (4 * X509_MAX_DER_SIZE / 3 + 4)
#define INTERMEDIATES_MAX 6
#define EXPIRY_MAX_S INT64_C(253402300799) /* year 9999 */

/* ---- snapshot ---- */

struct snapshot_fields {
    int64_t revision;
    const char *mode;
    struct json_object *settings, *request, *inspection, *expiry;
};

static const struct json_field snapshot_table[] = {
    JSON_FIELD(struct snapshot_fields, revision, "revision", JSON_FIELD_INT, true, 0, 0),
    JSON_FIELD(struct snapshot_fields, mode, "mode", JSON_FIELD_STRING, true, 1, 32),
    JSON_FIELD(struct snapshot_fields, settings, "settings", JSON_FIELD_OBJECT, false, 0, 0),
    JSON_FIELD(struct snapshot_fields, request, "request", JSON_FIELD_OBJECT, false, 0, 0),
    JSON_FIELD(struct snapshot_fields, inspection, "inspection", JSON_FIELD_OBJECT, false, 0, 0),
    JSON_FIELD(struct snapshot_fields, expiry, "expiry", JSON_FIELD_OBJECT, false, 0, 0),
};

struct settings_fields {
    const char *issuer_spki, *root_spki, *device_uuid;
    int64_t renew_after_s, firefox_policy_since;
};

static const struct json_field settings_table[] = {
    JSON_FIELD(
        struct settings_fields, issuer_spki, "issuer_spki_sha256", JSON_FIELD_STRING, true,
        SHA256_HEX_SIZE - 1, SHA256_HEX_SIZE - 1),
    JSON_FIELD(
        struct settings_fields, root_spki, "root_spki_sha256", JSON_FIELD_STRING, true,
        SHA256_HEX_SIZE - 1, SHA256_HEX_SIZE - 1),
    JSON_FIELD(struct settings_fields, device_uuid, "device_uuid", JSON_FIELD_STRING, true, 36, 36),
    JSON_FIELD(
        struct settings_fields, renew_after_s, "renew_after_s", JSON_FIELD_INT, true, 0,
        RENEW_AFTER_MAX_S),
    JSON_FIELD(
        struct settings_fields, firefox_policy_since, "firefox_policy_since", JSON_FIELD_INT, false,
        0, 0),
};

struct request_fields {
    const char *id, *subject_uid, *key_type;
    int64_t install_not_before;
};

static const struct json_field request_table[] = {
    JSON_FIELD(struct request_fields, id, "id", JSON_FIELD_STRING, true, 1, USER_ID_MAX - 1),
    JSON_FIELD(
        struct request_fields, subject_uid, "subject_uid", JSON_FIELD_STRING, true, 1,
        USER_ID_MAX - 1),
    JSON_FIELD(struct request_fields, key_type, "key_type", JSON_FIELD_STRING, true, 1, 32),
    JSON_FIELD(
        struct request_fields, install_not_before, "install_not_before", JSON_FIELD_INT, true, 0,
        0),
};

struct inspection_fields {
    const char *id;
    bool full, repair;
};

static const struct json_field inspection_table[] = {
    JSON_FIELD(struct inspection_fields, id, "id", JSON_FIELD_STRING, true, 1, USER_ID_MAX - 1),
    JSON_FIELD(struct inspection_fields, full, "full", JSON_FIELD_BOOL, false, 0, 0),
    JSON_FIELD(struct inspection_fields, repair, "repair", JSON_FIELD_BOOL, false, 0, 0),
};

static const struct json_field expiry_table[] = {
    JSON_FIELD(struct agent_expiry, not_after, "not_after", JSON_FIELD_INT, true, 1, EXPIRY_MAX_S),
    JSON_FIELD(
        struct agent_expiry, unreachable_since, "unreachable_since", JSON_FIELD_INT, true, 1,
        EXPIRY_MAX_S),
};

static int bad(const char **ret_field, const char *field) {
    if (ret_field)
        *ret_field = field;
    return -EBADMSG;
}

static int read_mode(const char *name, enum agent_mode *ret) {
    if (strcmp(name, "certificate") == 0)
        *ret = AGENT_MODE_CERTIFICATE;
    else if (strcmp(name, "remove") == 0)
        *ret = AGENT_MODE_REMOVE;
    else if (strcmp(name, "idle") == 0)
        *ret = AGENT_MODE_IDLE;
    else
        return -EBADMSG;
    return 0;
}

static int read_settings(
    struct json_object *object, struct agent_settings *ret, const char **ret_field) {
    struct settings_fields fields = {0};

    if (json_fields_read(object, settings_table, ARRAY_LENGTH(settings_table), &fields, ret_field) <
        0)
        return -EBADMSG;
    if (hex_decode(fields.issuer_spki, ret->issuer_spki, SHA256_SIZE) < 0)
        return bad(ret_field, "issuer_spki_sha256");
    if (hex_decode(fields.root_spki, ret->root_spki, SHA256_SIZE) < 0)
        return bad(ret_field, "root_spki_sha256");
    if (!random_uuid_is_valid(fields.device_uuid))
        return bad(ret_field, "device_uuid");
    memcpy(ret->device_uuid, fields.device_uuid, sizeof ret->device_uuid);
    ret->renew_after_s = fields.renew_after_s;
    ret->firefox_policy_since = fields.firefox_policy_since;
    ret->present = true;
    return 0;
}

static int read_request(
    struct json_object *object, struct agent_request *ret, const char **ret_field) {
    struct request_fields fields = {0};

    if (json_fields_read(object, request_table, ARRAY_LENGTH(request_table), &fields, ret_field) <
        0)
        return -EBADMSG;
    memcpy(ret->id, fields.id, strlen(fields.id) + 1);
    memcpy(ret->subject_uid, fields.subject_uid, strlen(fields.subject_uid) + 1);
    ret->key_type_known = key_type_from_name(fields.key_type, &ret->key_type) >= 0;
    ret->install_not_before = fields.install_not_before;
    ret->present = true;
    return 0;
}

int agent_message_read_snapshot(
    struct json_object *parameters, struct agent_snapshot *ret, const char **ret_field) {
    struct snapshot_fields fields = {0};
    struct inspection_fields inspection = {0};
    struct agent_snapshot snapshot = {0};
    int r;

    if (json_fields_read(
            parameters, snapshot_table, ARRAY_LENGTH(snapshot_table), &fields, ret_field) < 0)
        return -EBADMSG;
    snapshot.revision = fields.revision;
    if (read_mode(fields.mode, &snapshot.mode) < 0)
        return bad(ret_field, "mode");
    if (fields.settings) {
        r = read_settings(fields.settings, &snapshot.settings, ret_field);
        if (r < 0)
            return r;
    }
    if (fields.request) {
        r = read_request(fields.request, &snapshot.request, ret_field);
        if (r < 0)
            return r;
    }
    if (fields.inspection) {
        if (json_fields_read(
                fields.inspection, inspection_table, ARRAY_LENGTH(inspection_table), &inspection,
                ret_field) < 0)
            return -EBADMSG;
        memcpy(snapshot.inspection.id, inspection.id, strlen(inspection.id) + 1);
        snapshot.inspection.full = inspection.full;
        snapshot.inspection.repair = inspection.repair;
    }
    if (fields.expiry && json_fields_read(
                             fields.expiry, expiry_table, ARRAY_LENGTH(expiry_table),
                             &snapshot.expiry, ret_field) < 0)
        return -EBADMSG;
    *ret = snapshot;
    return 0;
}

/* ---- Submit's reply ---- */

struct submit_fields {
    struct json_object *bundle;
    int64_t retry_after_s;
};

static const struct json_field submit_table[] = {
    JSON_FIELD(struct submit_fields, bundle, "bundle", JSON_FIELD_OBJECT, false, 0, 0),
    JSON_FIELD(struct submit_fields, retry_after_s, "retry_after_s", JSON_FIELD_INT, false, 0, 0),
};

struct bundle_fields {
    const char *root, *leaf;
    struct json_object *intermediates;
};

static const struct json_field bundle_table[] = {
    JSON_FIELD(
        struct bundle_fields, root, "root", JSON_FIELD_STRING, true, 1, CERTIFICATE_TEXT_MAX),
    JSON_FIELD(
        struct bundle_fields, leaf, "leaf", JSON_FIELD_STRING, true, 1, CERTIFICATE_TEXT_MAX),
    JSON_FIELD(
        struct bundle_fields, intermediates, "intermediates", JSON_FIELD_ARRAY, true, 1,
        INTERMEDIATES_MAX),
};

static void free_certificates(STACK_OF(X509) * *certificates) {
    sk_X509_pop_free(*certificates, X509_free);
}

static int push_certificate(STACK_OF(X509) * certificates, const char *text) {
    X509 *certificate = NULL;
    int r = x509_cert_from_base64(text, &certificate);

    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;
    if (sk_X509_push(certificates, certificate) <= 0) {
        X509_free(certificate);
        return -ENOMEM;
    }
    return 0;
}

static int read_bundle(struct json_object *object, STACK_OF(X509) * *ret) {
    CLEANUP(free_certificates) STACK_OF(X509) *certificates = sk_X509_new_null();
    struct bundle_fields fields = {0};
    int r;

    if (!certificates)
        return -ENOMEM;
    if (json_fields_read(object, bundle_table, ARRAY_LENGTH(bundle_table), &fields, NULL) < 0)
        return -EBADMSG;
    r = push_certificate(certificates, fields.root);
    if (r >= 0)
        r = push_certificate(certificates, fields.leaf);
    for (size_t i = 0; r >= 0 && i < json_object_array_length(fields.intermediates); i++) {
        struct json_object *text = json_object_array_get_idx(fields.intermediates, i);

        if (!json_object_is_type(text, json_type_string) ||
            json_object_get_string_len(text) > CERTIFICATE_TEXT_MAX)
            return -EBADMSG;
        r = push_certificate(certificates, json_object_get_string(text));
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(certificates);
    return 0;
}

int agent_message_read_submit(
    struct json_object *parameters, STACK_OF(X509) * *ret_certificates,
    int64_t *ret_retry_after_s) {
    struct submit_fields fields = {0};

    if (json_fields_read(parameters, submit_table, ARRAY_LENGTH(submit_table), &fields, NULL) < 0)
        return -EBADMSG;
    if (fields.bundle)
        return read_bundle(fields.bundle, ret_certificates);
    if (fields.retry_after_s <= 0)
        return -EBADMSG;
    *ret_retry_after_s =
        fields.retry_after_s < RETRY_AFTER_MAX_S ? fields.retry_after_s : RETRY_AFTER_MAX_S;
    return 0;
}
