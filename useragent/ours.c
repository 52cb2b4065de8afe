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

bool ours_matches(const struct ours *ours, X509 *leaf, STACK_OF(X509) * stored, X509 **ret_issuer) {
    uint8_t spki[SHA256_SIZE];
    X509 *issuer = find_issuer(ours, leaf, stored);

    if (!issuer &&
        (x509_cert_spki_sha256(leaf, spki) < 0 || !contains(ours->keys, ours->key_count, spki)))
        return false;
    if (ret_issuer)
        *ret_issuer = issuer;
    return true;
}

bool ours_key_label_matches(
    const struct ours *ours, const char *label, const char **ret_request_id) {
    const size_t prefix = sizeof KEY_LABEL_PREFIX - 1;

    if (strncmp(label, KEY_LABEL_PREFIX, prefix) != 0)
        return false;
    for (size_t i = 0; i < ours->device_count; i++) {
        const size_t device = strlen(ours->devices[i]);
        const char *rest = label + prefix;

        if (strncmp(rest, ours->devices[i], device) != 0 || rest[device] != ' ' ||
            rest[device + 1] == '\0')
            continue;
        if (ret_request_id)
            *ret_request_id = rest + device + 1;
        return true;
    }
    return false;
}
