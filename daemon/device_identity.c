/* The device's identity on disk. device.json decides: the key that belongs to its certificate is
 * found by its hash, so the two files need not change in the same instant. */
#include "daemon/device_identity.h"

#include "daemon/device_key.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/random.h"
#include "common/state_file.h"
#include "common/x509_profile.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define IDENTITY_FILE "device.json"
#define MAX_CERTIFICATE_TEXT 12000
#define JITTER_PART 30 /* of the life */

static const struct state_file_type file_type = {.format = "devtrust-device", .version = 1};

struct stored {
    const char *device, *machine, *url, *ca_pin, *token_sha256;
    const char *certificate, *device_issuer, *device_root, *trust_issuer, *trust_root;
    bool held;
};

#define CERTIFICATE_FIELD(name_)                                                                   \
    JSON_FIELD(struct stored, name_, #name_, JSON_FIELD_STRING, true, 1, MAX_CERTIFICATE_TEXT)

static const struct json_field fields[] = {
    JSON_FIELD(struct stored, device, "device", JSON_FIELD_STRING, true, 36, 36),
    JSON_FIELD(struct stored, machine, "machine", JSON_FIELD_STRING, true, 32, 32),
    JSON_FIELD(struct stored, url, "url", JSON_FIELD_STRING, true, 1, SERVER_ADDRESS_MAX_URL - 1),
    JSON_FIELD(struct stored, ca_pin, "ca_pin", JSON_FIELD_STRING, false, 64, 64),
    JSON_FIELD(struct stored, token_sha256, "token_sha256", JSON_FIELD_STRING, false, 64, 64),
    JSON_FIELD(struct stored, held, "held", JSON_FIELD_BOOL, false, 0, 0),
    CERTIFICATE_FIELD(certificate),
    CERTIFICATE_FIELD(device_issuer),
    CERTIFICATE_FIELD(device_root),
    CERTIFICATE_FIELD(trust_issuer),
    CERTIFICATE_FIELD(trust_root),
};

static int read_certificates(const struct stored *stored, struct device_identity *identity) {
    const struct {
        const char *text;
        X509 **ret;
    } certificates[] = {
        {stored->certificate, &identity->certificate},
        {stored->device_issuer, &identity->device_issuer},
        {stored->device_root, &identity->device_root},
        {stored->trust_issuer, &identity->trust_issuer},
        {stored->trust_root, &identity->trust_root},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(certificates); i++) {
        int r = x509_cert_from_base64(certificates[i].text, certificates[i].ret);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_stored(
    struct json_object *object, const char *binding, struct device_identity *identity) {
    struct stored stored = {0};
    enum reason reason;
    if (json_fields_read(object, fields, ARRAY_LENGTH(fields), &stored, NULL) < 0)
        return -EBADMSG;
    if (strcmp(stored.machine, binding) != 0)
        return -EXDEV;
    if (!random_uuid_is_valid(stored.device) ||
        server_address_parse(stored.url, stored.ca_pin, &identity->server, &reason) < 0 ||
        (stored.token_sha256 &&
         hex_decode(stored.token_sha256, identity->token_sha256, SHA256_SIZE) < 0))
        return -EBADMSG;
    memcpy(identity->uuid, stored.device, sizeof(identity->uuid));
    identity->held = stored.held;
    return read_certificates(&stored, identity);
}

/* The key that the certificate is for: the usual file's, or that of a change which a crash
 * interrupted. */
static int find_key(int dir_fd, struct device_identity *identity) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    int r = device_key_read(dir_fd, DEVICE_KEY_FILE, &key);
    if (r < 0 && r != -ENOENT && r != -EBADMSG)
        return r;
    if (r == 0 && device_key_fits(key, identity->certificate)) {
        identity->key = TAKE_PTR(key);
        return 0;
    }
    CLEANUP_EVP_PKEY EVP_PKEY *next = NULL;
    r = device_key_read(dir_fd, DEVICE_NEXT_KEY_FILE, &next);
    if (r < 0)
        return r == -ENOENT ? -EBADMSG : r;
    if (!device_key_fits(next, identity->certificate))
        return -EBADMSG;
    r = device_key_write(dir_fd, DEVICE_KEY_FILE, next);
    if (r < 0)
        return r;
    identity->key = TAKE_PTR(next);
    return 0;
}

static enum reason judge_error(int error) {
    switch (error) {
    case -EXDEV:
        return REASON_CLONED;
    case -EPROTO:
        return REASON_NEWER_STATE;
    case -EBADMSG:
        return REASON_BROKEN_STATE;
    default:
        return REASON_STORAGE;
    }
}

static int load(int dir_fd, const char *binding, struct device_identity *identity) {
    CLEANUP_JSON struct json_object *object = NULL;
    int r = state_file_read(dir_fd, IDENTITY_FILE, &file_type, &object);
    if (r < 0)
        return r;
    r = read_stored(object, binding, identity);
    if (r == -EMSGSIZE)
        return -EBADMSG;
    return r < 0 ? r : find_key(dir_fd, identity);
}

int device_identity_load(
    int dir_fd, const char *binding, struct device_identity **ret, enum reason *ret_reason) {
    CLEANUP_IDENTITY struct device_identity *identity = calloc(1, sizeof(*identity));
    if (!identity) {
        *ret_reason = REASON_NO_MEMORY;
        return -ENOMEM;
    }
    int r = load(dir_fd, binding, identity);
    if (r < 0) {
        if (r != -ENOENT)
            *ret_reason = judge_error(r);
        return r;
    }
    *ret = TAKE_PTR(identity);
    return 0;
}

static int add_certificate(struct json_object *object, const char *name, X509 *certificate) {
    CLEANUP_FREE char *text = NULL;
    int r = x509_cert_to_base64(certificate, &text);
    return r < 0 ? r : json_fields_add_string(object, name, text);
}

static int add_hash(struct json_object *object, const char *name, const uint8_t hash[SHA256_SIZE]) {
    char text[SHA256_HEX_SIZE];
    return json_fields_add_string(object, name, hex_encode(hash, SHA256_SIZE, text));
}

static int fill(
    struct json_object *object, const char *binding, const struct device_identity *identity) {
    int r = json_fields_add_string(object, "device", identity->uuid);
    r = r < 0 ? r : json_fields_add_string(object, "machine", binding);
    r = r < 0 ? r : json_fields_add_string(object, "url", identity->server.url);
    if (r == 0 && identity->server.has_pin)
        r = add_hash(object, "ca_pin", identity->server.ca_pin);
    r = r < 0 ? r : add_hash(object, "token_sha256", identity->token_sha256);
    r = r < 0 ? r : json_fields_add_bool(object, "held", identity->held);
    r = r < 0 ? r : add_certificate(object, "certificate", identity->certificate);
    r = r < 0 ? r : add_certificate(object, "device_issuer", identity->device_issuer);
    r = r < 0 ? r : add_certificate(object, "device_root", identity->device_root);
    r = r < 0 ? r : add_certificate(object, "trust_issuer", identity->trust_issuer);
    return r < 0 ? r : add_certificate(object, "trust_root", identity->trust_root);
}

int device_identity_save(int dir_fd, const char *binding, const struct device_identity *identity) {
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    if (!object)
        return -ENOMEM;
    int r = fill(object, binding, identity);
    if (r < 0)
        return r;
    r = state_file_write(dir_fd, IDENTITY_FILE, &file_type, object, 0600);
    if (r < 0)
        return r;
    CLEANUP_EVP_PKEY EVP_PKEY *key = NULL;
    if (device_key_read(dir_fd, DEVICE_KEY_FILE, &key) == 0 &&
        device_key_fits(key, identity->certificate))
        return 0;
    return device_key_write(dir_fd, DEVICE_KEY_FILE, identity->key);
}

struct device_identity *device_identity_free(struct device_identity *identity) {
    if (!identity)
        return NULL;
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
    X509_free(identity->device_issuer);
    X509_free(identity->device_root);
    X509_free(identity->trust_issuer);
    X509_free(identity->trust_root);
    free(identity);
    return NULL;
}

int64_t device_identity_renew_at(const struct device_identity *identity) {
    int64_t begin, end;
    uint8_t hash[SHA256_SIZE];
    if (x509_not_before(identity->certificate, &begin) < 0 ||
        x509_not_after(identity->certificate, &end) < 0 || end <= begin ||
        x509_cert_spki_sha256(identity->certificate, hash) < 0)
        return 0;
    int64_t life = end - begin;
    int64_t draw = ((int64_t)hash[0] << 8 | hash[1]) * (life / JITTER_PART) / 0xffff;
    return begin + life * 2 / 3 + draw;
}
