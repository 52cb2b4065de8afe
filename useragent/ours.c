/* Tells our certificates and keys from everybody else's. */
#include "useragent/ours.h"

#include "common/random.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>

#define KEY_LABEL_PREFIX "devtrust "

void ours_deinit(struct ours *ours) {
    for (size_t i = 0; i < ours->issuer_count; i++)
        X509_free(ours->issuers[i]);
    ours->issuer_count = 0;
}

static bool contains(const uint8_t (*list)[SHA256_SIZE], size_t count, const uint8_t *hash) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(list[i], hash, SHA256_SIZE) == 0)
            return true;
    return false;
}

int ours_add_device(struct ours *ours, const char *uuid) {
    if (!random_uuid_is_valid(uuid))
        return -EINVAL;
    for (size_t i = 0; i < ours->device_count; i++)
        if (strcmp(ours->devices[i], uuid) == 0)
            return 0;
    if (ours->device_count == OURS_MAX_DEVICES)
        return -ENOSPC;
    memcpy(ours->devices[ours->device_count++], uuid, sizeof ours->devices[0]);
    return 0;
}

int ours_add_issuer_key(struct ours *ours, const uint8_t spki[SHA256_SIZE]) {
    if (contains(ours->issuer_keys, ours->issuer_key_count, spki))
        return 0;
    if (ours->issuer_key_count == OURS_MAX_ISSUERS)
        return -ENOSPC;
    memcpy(ours->issuer_keys[ours->issuer_key_count++], spki, SHA256_SIZE);
    return 0;
}

int ours_add_issuer(struct ours *ours, X509 *issuer) {
    uint8_t spki[SHA256_SIZE];
    int r;

    for (size_t i = 0; i < ours->issuer_count; i++)
        if (X509_cmp(ours->issuers[i], issuer) == 0)
            return 0;
    if (ours->issuer_count == OURS_MAX_ISSUERS)
        return -ENOSPC;
    r = x509_cert_spki_sha256(issuer, spki);
    if (r < 0)
        return r;
    r = ours_add_issuer_key(ours, spki);
    if (r < 0)
        return r;
    X509_up_ref(issuer);
    ours->issuers[ours->issuer_count++] = issuer;
    return 0;
}

int ours_add_key(struct ours *ours, const uint8_t spki[SHA256_SIZE]) {
    if (contains(ours->keys, ours->key_count, spki))
        return 0;
    if (ours->key_count == OURS_MAX_KEYS)
        return -ENOSPC;
    memcpy(ours->keys[ours->key_count++], spki, SHA256_SIZE);
    return 0;
}

void ours_copy(const struct ours *from, struct ours *ret) {
    *ret = *from;
    for (size_t i = 0; i < ret->issuer_count; i++)
        X509_up_ref(ret->issuers[i]);
}

bool ours_is_issuer(const struct ours *ours, X509 *certificate) {
    uint8_t spki[SHA256_SIZE];

    return X509_check_ca(certificate) == 1 && x509_cert_spki_sha256(certificate, spki) >= 0 &&
           contains(ours->issuer_keys, ours->issuer_key_count, spki);
}

static bool issued_by(const struct ours *ours, X509 *leaf, X509 *issuer) {
    uint8_t spki[SHA256_SIZE];

    if (x509_cert_spki_sha256(issuer, spki) < 0 ||
        !contains(ours->issuer_keys, ours->issuer_key_count, spki))
        return false;
    for (size_t i = 0; i < ours->device_count; i++)
        if (x509_is_ours(leaf, issuer, spki, ours->devices[i]))
            return true;
    return false;
}

static X509 *find_issuer(const struct ours *ours, X509 *leaf, STACK_OF(X509) * stored) {
    for (int i = 0; stored && i < sk_X509_num(stored); i++)
        if (issued_by(ours, leaf, sk_X509_value(stored, i)))
            return sk_X509_value(stored, i);
    for (size_t i = 0; i < ours->issuer_count; i++)
        if (issued_by(ours, leaf, ours->issuers[i]))
            return ours->issuers[i];
    return NULL;
}

/* Issuing CAs have the policy, too. */
static bool is_of_some_device(X509 *leaf) {
    return X509_check_ca(leaf) == 0 && x509_has_policy(leaf, X509_POLICY_USER);
}

bool ours_matches(const struct ours *ours, X509 *leaf, STACK_OF(X509) * stored, X509 **ret_issuer) {
    uint8_t spki[SHA256_SIZE];
    X509 *issuer = find_issuer(ours, leaf, stored);

    if (!issuer && !(ours->any_device && is_of_some_device(leaf)) &&
        (x509_cert_spki_sha256(leaf, spki) < 0 || !contains(ours->keys, ours->key_count, spki)))
        return false;
    if (ret_issuer)
        *ret_issuer = issuer;
    return true;
}

/* The request id behind "<device> ", or NULL. */
static const char *behind_device(const char *text, const char *device) {
    const size_t length = strlen(device);

    return strncmp(text, device, length) == 0 && text[length] == ' ' && text[length + 1] != '\0'
               ? text + length + 1
               : NULL;
}

static const char *behind_any_device(const char *text) {
    char device[37] = "";

    strncpy(device, text, sizeof device - 1);
    return random_uuid_is_valid(device) ? behind_device(text, device) : NULL;
}

bool ours_key_label_matches(
    const struct ours *ours, const char *label, const char **ret_request_id) {
    const size_t prefix = sizeof KEY_LABEL_PREFIX - 1;
    const char *request_id = NULL;

    if (strncmp(label, KEY_LABEL_PREFIX, prefix) != 0)
        return false;
    for (size_t i = 0; i < ours->device_count && !request_id; i++)
        request_id = behind_device(label + prefix, ours->devices[i]);
    if (!request_id && ours->any_device)
        request_id = behind_any_device(label + prefix);
    if (request_id && ret_request_id)
        *ret_request_id = request_id;
    return request_id != NULL;
}
