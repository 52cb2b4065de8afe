/* Judges signing requests and the bundles that answer them. */
#include "daemon/user_signing.h"

#include "common/cleanup.h"
#include "common/est_message.h"
#include "common/x509_csr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIFETIME_MIN_S 60
#define LIFETIME_MAX_S ((int64_t)400 * 24 * 3600)
#define LIFETIME_SLACK_S ((int64_t)24 * 3600) /* servers date leaves back a little */

int user_signing_check_csr(
    const char *base64, const char *user_id, const char *request_id, enum key_type key_type,
    struct user_csr *ret, enum reason *ret_reason) {
    uint8_t *der CLEANUP_FREE = NULL;
    size_t size = 0;
    X509_REQ *request CLEANUP_X509_REQ = NULL;
    const struct x509_csr_subject subject = {.uid = user_id, .serial_number = request_id};
    const struct x509_csr_expectation expectation = {.subject = &subject, .key_type = key_type};

    int r = est_base64_decode(base64, strlen(base64), X509_CSR_MAX_SIZE, &der, &size);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        *ret_reason = r == -EMSGSIZE ? REASON_CSR_TOO_LARGE : REASON_CSR_INVALID;
        return -EBADMSG;
    }
    r = x509_csr_check(der, size, &expectation, &request, ret_reason);
    if (r < 0)
        return r;
    r = x509_key_spki_sha256(X509_REQ_get0_pubkey(request), ret->spki);
    if (r < 0) {
        *ret_reason = REASON_CSR_KEY;
        return -EBADMSG;
    }
    ret->der = TAKE_PTR(der);
    ret->size = size;
    return 0;
}

static int64_t longest_lifetime(int64_t ordered_s) {
    return ordered_s > 0 ? ordered_s + LIFETIME_SLACK_S : LIFETIME_MAX_S;
}

static int encode(const struct x509_bundle *checked, struct user_bundle *ret) {
    struct user_bundle bundle = {0};
    int r = x509_cert_to_base64(checked->root, &bundle.root);
    if (r == 0)
        r = x509_cert_to_base64(checked->intermediate, &bundle.intermediate);
    if (r == 0)
        r = x509_cert_to_base64(checked->leaf, &bundle.leaf);
    if (r == 0)
        r = x509_serial_hex(checked->leaf, bundle.serial);
    if (r == 0)
        r = x509_not_after(checked->leaf, &bundle.not_after);
    if (r < 0) {
        user_bundle_deinit(&bundle);
        return r;
    }
    *ret = bundle;
    return 0;
}

int user_signing_check_bundle(
    STACK_OF(X509) * certificates, const struct user_bundle_expectation *expectation,
    struct user_bundle *ret, enum reason *ret_reason) {
    uint8_t spki[SHA256_SIZE], root_spki[SHA256_SIZE];
    struct x509_bundle checked CLEANUP_X509_BUNDLE = {0};
    STACK_OF(X509) *roots CLEANUP_CERTS = sk_X509_new_null();

    if (!roots || !X509_up_ref(expectation->trust_root))
        return -ENOMEM;
    if (sk_X509_push(roots, expectation->trust_root) <= 0) {
        X509_free(expectation->trust_root);
        return -ENOMEM;
    }
    *ret_reason = REASON_BUNDLE_INVALID;
    if (hex_decode(expectation->spki, spki, sizeof(spki)) < 0 ||
        x509_cert_spki_sha256(expectation->trust_root, root_spki) < 0)
        return -EBADMSG;
    const struct x509_leaf_expectation leaf = {
        .spki_sha256 = spki,
        .device_uuid = expectation->device_uuid,
        .user_id = expectation->user_id,
        .policy_oid = X509_POLICY_USER,
        .root_spki_sha256 = root_spki,
        .min_lifetime_s = LIFETIME_MIN_S,
        .max_lifetime_s = longest_lifetime(expectation->lifetime_s),
        .now_s = expectation->now_s,
    };
    int r = x509_bundle_check(certificates, roots, &leaf, &checked, ret_reason);
    if (r < 0)
        return r;
    r = encode(&checked, ret);
    return r == -EINVAL ? -EBADMSG : r;
}

void user_bundle_deinit(struct user_bundle *bundle) {
    free(bundle->root);
    free(bundle->intermediate);
    free(bundle->leaf);
    *bundle = (struct user_bundle){0};
}
