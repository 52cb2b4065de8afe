/* pending.json decides: it is written last and removed first, so that key and token without it are
 * leftovers. */
#include "daemon/pending_request.h"

#include "daemon/device_key.h"
#include "daemon/file_wipe.h"

#include "common/atomic_file.h"
#include "common/base64.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/state_file.h"
#include "common/x509_csr.h"
#include "common/x509_profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#define PENDING_FILE "pending.json"
#define TOKEN_FILE "pending.token"
#define MAX_TOKEN 512
#define MAX_CERTIFICATE_TEXT 12000
#define MAX_CSR_TEXT BASE64_TEXT_SIZE(X509_CSR_MAX_SIZE)

#define KIND_ENROL "enrol"
#define KIND_RENEW "renew"

static const struct state_file_type file_type = {.format = "devtrust-pending", .version = 1};

struct stored {
    const char *kind, *device, *machine, *url, *ca_pin, *csr, *certificate, *issuer;
};

static const struct json_field fields[] = {
    JSON_FIELD(struct stored, kind, "kind", JSON_FIELD_STRING, true, 1, 16),
    JSON_FIELD(struct stored, device, "device", JSON_FIELD_STRING, true, 36, 36),
    JSON_FIELD(struct stored, machine, "machine", JSON_FIELD_STRING, true, 32, 32),
    JSON_FIELD(struct stored, url, "url", JSON_FIELD_STRING, true, 1, SERVER_ADDRESS_MAX_URL - 1),
    JSON_FIELD(struct stored, ca_pin, "ca_pin", JSON_FIELD_STRING, false, 64, 64),
    JSON_FIELD(struct stored, csr, "csr", JSON_FIELD_STRING, true, 1, MAX_CSR_TEXT),
    JSON_FIELD(
        struct stored, certificate, "certificate", JSON_FIELD_STRING, false, 1,
        MAX_CERTIFICATE_TEXT),
    JSON_FIELD(struct stored, issuer, "issuer", JSON_FIELD_STRING, false, 1, MAX_CERTIFICATE_TEXT),
};

/* --- writing --- */

static int add_certificate(struct json_object *object, const char *name, X509 *certificate) {
    CLEANUP_FREE char *text = NULL;
    if (!certificate)
        return 0;
    int r = x509_cert_to_base64(certificate, &text);
    return r < 0 ? r : json_fields_add_string(object, name, text);
}

static int add_csr(struct json_object *object, const struct pending_request *pending) {
    if (pending->csr_size > X509_CSR_MAX_SIZE)
        return -EMSGSIZE;
    char text[MAX_CSR_TEXT];
    base64_encode(pending->csr, pending->csr_size, text);
    return json_fields_add_string(object, "csr", text);
}

static int write_json(int dir_fd, const char *binding, const struct pending_request *pending) {
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    if (!object)
        return -ENOMEM;
    char pin[SHA256_HEX_SIZE];
    const struct server_address *server = &pending->server;
    int r = json_fields_add_string(object, "kind", pending->renew ? KIND_RENEW : KIND_ENROL);
    r = r < 0 ? r : json_fields_add_string(object, "device", pending->uuid);
    r = r < 0 ? r : json_fields_add_string(object, "machine", binding);
    r = r < 0 ? r : json_fields_add_string(object, "url", server->url);
    if (r == 0 && server->has_pin)
        r = json_fields_add_string(object, "ca_pin", hex_encode(server->ca_pin, SHA256_SIZE, pin));
    r = r < 0 ? r : add_csr(object, pending);
    r = r < 0 ? r : add_certificate(object, "certificate", pending->certificate);
    r = r < 0 ? r : add_certificate(object, "issuer", pending->issuer);
    return r < 0 ? r : state_file_write(dir_fd, PENDING_FILE, &file_type, object, 0600);
}

/* The old one's pending.json goes first: it must never be read together with this one's key. */
static int store(int dir_fd, const char *binding, const struct pending_request *pending) {
    int r = pending_request_clear(dir_fd);
    if (r == 0 && pending->token)
        r = atomic_file_write(
            dir_fd, TOKEN_FILE, secret_data(pending->token), secret_size(pending->token), 0600);
    r = r < 0 ? r : device_key_write(dir_fd, DEVICE_NEXT_KEY_FILE, pending->key);
    return r < 0 ? r : write_json(dir_fd, binding, pending);
}

static int make_key(struct pending_request *pending) {
    int r = x509_key_generate(KEY_TYPE_P256, &pending->key); /* tens of microseconds */
    if (r < 0)
        return r;
    const struct x509_csr_subject subject = {.serial_number = pending->uuid};
    return x509_csr_create(pending->key, &subject, &pending->csr, &pending->csr_size);
}

int pending_request_enrol(
    int dir_fd, const char *binding, const struct random_source *random,
    const struct server_address *server, struct secret *token, struct pending_request **ret) {
    CLEANUP_PENDING struct pending_request *pending = calloc(1, sizeof(*pending));
    if (!pending) {
        secret_free(token);
        return -ENOMEM;
    }
    pending->token = token;
    pending->server = *server;
    int r = random_uuid(random, pending->uuid);
    r = r < 0 ? r : make_key(pending);
    r = r < 0 ? r : store(dir_fd, binding, pending);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(pending);
    return 0;
}

int pending_request_renew(
    int dir_fd, const char *binding, const struct device_identity *identity,
    struct pending_request **ret) {
    CLEANUP_PENDING struct pending_request *pending = calloc(1, sizeof(*pending));
    if (!pending)
        return -ENOMEM;
    pending->renew = true;
    pending->server = identity->server;
    memcpy(pending->uuid, identity->uuid, sizeof(pending->uuid));
    int r = make_key(pending);
    r = r < 0 ? r : store(dir_fd, binding, pending);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(pending);
    return 0;
}

int pending_request_answered(
    int dir_fd, const char *binding, struct pending_request *pending, X509 *certificate,
    X509 *issuer) {
    X509_up_ref(certificate);
    X509_free(pending->certificate);
    pending->certificate = certificate;
    X509_up_ref(issuer);
    X509_free(pending->issuer);
    pending->issuer = issuer;
    return write_json(dir_fd, binding, pending);
}

int pending_request_clear(int dir_fd) {
    int r = atomic_file_remove(dir_fd, PENDING_FILE);
    if (r < 0)
        return r;
    r = file_wipe(dir_fd, TOKEN_FILE);
    int s = file_wipe(dir_fd, DEVICE_NEXT_KEY_FILE);
    return r < 0 ? r : s;
}

/* --- reading --- */

static int read_csr(const char *text, struct pending_request *pending) {
    size_t length = strlen(text);
    pending->csr = malloc(length / 4 * 3 + 3);
    if (!pending->csr)
        return -ENOMEM;
    return base64_decode(text, length, false, pending->csr, &pending->csr_size);
}

static int read_certificates(const struct stored *stored, struct pending_request *pending) {
    if (!stored->certificate || !stored->issuer)
        return 0;
    int r = x509_cert_from_base64(stored->certificate, &pending->certificate);
    return r < 0 ? r : x509_cert_from_base64(stored->issuer, &pending->issuer);
}

static int read_stored(
    struct json_object *object, const char *binding, struct pending_request *pending) {
    struct stored stored = {0};
    enum reason reason;
    if (json_fields_read(object, fields, ARRAY_LENGTH(fields), &stored, NULL) < 0 ||
        strcmp(stored.machine, binding) != 0 || !random_uuid_is_valid(stored.device) ||
        server_address_parse(stored.url, stored.ca_pin, &pending->server, &reason) < 0)
        return -EBADMSG;
    memcpy(pending->uuid, stored.device, sizeof(pending->uuid));
    pending->renew = strcmp(stored.kind, KIND_RENEW) == 0;
    pending->resumed = true;
    int r = read_csr(stored.csr, pending);
    return r < 0 ? r : read_certificates(&stored, pending);
}

static bool key_signed_csr(const struct pending_request *pending) {
    const struct x509_csr_subject subject = {.serial_number = pending->uuid};
    const struct x509_csr_expectation expectation = {.subject = &subject, .any_key_type = true};
    CLEANUP_X509_REQ X509_REQ *request = NULL;
    enum reason reason;
    return x509_csr_check(pending->csr, pending->csr_size, &expectation, &request, &reason) == 0 &&
           X509_REQ_check_private_key(request, pending->key) == 1;
}

static int read_token(int dir_fd, struct secret **ret) {
    CLEANUP_CLOSE int fd =
        openat(dir_fd, TOKEN_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? -EBADMSG : -errno;
    int r = secret_read_fd(fd, MAX_TOKEN, ret);
    return r == -ENODATA || r == -EMSGSIZE ? -EBADMSG : r;
}

/* A renewal needs the identity that it renews; either needs its key. */
static int complete(
    int dir_fd, const struct device_identity *identity, struct pending_request *pending) {
    if (pending->renew && (!identity || strcmp(identity->uuid, pending->uuid) != 0))
        return -EBADMSG;
    int r = device_key_read(dir_fd, DEVICE_NEXT_KEY_FILE, &pending->key);
    if (r < 0)
        return r == -ENOENT ? -EBADMSG : r;
    if (!key_signed_csr(pending) ||
        (pending->certificate && !device_key_fits(pending->key, pending->certificate)) ||
        (identity && device_key_fits(pending->key, identity->certificate)))
        return -EBADMSG;
    return pending->renew ? 0 : read_token(dir_fd, &pending->token);
}

int pending_request_load(
    int dir_fd, const char *binding, const struct device_identity *identity,
    struct pending_request **ret) {
    CLEANUP_JSON struct json_object *object = NULL;
    CLEANUP_PENDING struct pending_request *pending = calloc(1, sizeof(*pending));
    if (!pending)
        return -ENOMEM;
    int r = state_file_read(dir_fd, PENDING_FILE, &file_type, &object);
    r = r < 0 ? r : read_stored(object, binding, pending);
    r = r < 0 ? r : complete(dir_fd, identity, pending);
    if (r == -EBADMSG || r == -ENOENT || r == -EMSGSIZE) {
        r = pending_request_clear(dir_fd);
        return r < 0 ? r : -ENOENT;
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(pending);
    return 0;
}

/* --- tokens --- */

int pending_request_basic(struct secret *token, struct secret **ret) {
    const uint8_t *data = secret_data(token);
    size_t size = secret_size(token);
    const uint8_t *dot = memchr(data, '.', size);
    if (size > MAX_TOKEN || !dot || dot == data || dot == data + size - 1)
        return -EINVAL;
    for (size_t i = 0; i < size; i++)
        if (data[i] <= ' ' || data[i] > '~' || data[i] == ':' || data[i] == '"')
            return -EINVAL;
    struct secret *basic = NULL;
    int r = secret_new(size, &basic);
    if (r < 0)
        return r;
    memcpy(secret_data(basic), data, size);
    secret_data(basic)[dot - data] = ':';
    *ret = basic;
    return 0;
}

int pending_request_token_hash(struct secret *token, uint8_t ret[SHA256_SIZE]) {
    unsigned size = SHA256_SIZE;
    return EVP_Digest(secret_data(token), secret_size(token), ret, &size, EVP_sha256(), NULL) == 1
               ? 0
               : -EIO;
}

struct pending_request *pending_request_free(struct pending_request *pending) {
    if (!pending)
        return NULL;
    EVP_PKEY_free(pending->key);
    free(pending->csr);
    secret_free(pending->token);
    X509_free(pending->certificate);
    X509_free(pending->issuer);
    free(pending);
    return NULL;
}
