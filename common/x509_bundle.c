/* Judges what a server issued: the leaf by its own properties first, so that each bad leaf is named
 * by its own fault, then the chain of signatures to the pinned root. And the rule of *ours*, by
 * which anything is ever deleted. */
#include "x509_profile.h"

#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <string.h>

#define MAX_CERTIFICATES 8
#define CHAIN_LENGTH 3       /* leaf, issuing CA, root */
#define MIN_SECURITY_LEVEL 2 /* 112 bits: no SHA-1, no RSA below 2048, anywhere in the chain */

static void store_free_ptr(X509_STORE **store) {
    X509_STORE_free(*store);
}

static void store_context_free_ptr(X509_STORE_CTX **context) {
    X509_STORE_CTX_free(*context);
}

static bool has_key(X509 *certificate, const uint8_t spki_sha256[SHA256_SIZE]) {
    uint8_t hash[SHA256_SIZE];

    return x509_cert_spki_sha256(certificate, hash) == 0 &&
           memcmp(hash, spki_sha256, SHA256_SIZE) == 0;
}

/* The leaf is the certificate of our key. Without one: an answer of nothing but CAs is a fault of
 * usage, anything else one of the key. */
static enum reason find_leaf(
    STACK_OF(X509) * certificates, const uint8_t spki_sha256[SHA256_SIZE], X509 **ret) {
    bool any_leaf = false;

    for (int i = 0; i < sk_X509_num(certificates); i++) {
        X509 *certificate = sk_X509_value(certificates, i);

        if (has_key(certificate, spki_sha256)) {
            *ret = certificate;
            return REASON_NONE;
        }
        any_leaf = any_leaf || X509_check_ca(certificate) == 0;
    }
    return any_leaf ? REASON_LEAF_KEY : REASON_LEAF_USAGE;
}

static bool has_only_client_auth(X509 *leaf) {
    EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(leaf, NID_ext_key_usage, NULL, NULL);
    bool good = sk_ASN1_OBJECT_num(usage) == 1 &&
                OBJ_obj2nid(sk_ASN1_OBJECT_value(usage, 0)) == NID_client_auth;

    EXTENDED_KEY_USAGE_free(usage);
    return good;
}

static enum reason check_usage(X509 *leaf, const struct x509_leaf_expectation *expectation) {
    uint32_t flags = X509_get_extension_flags(leaf), usage = X509_get_key_usage(leaf);

    if (X509_get_version(leaf) != X509_VERSION_3 || (flags & EXFLAG_INVALID))
        return REASON_LEAF_USAGE;
    if (X509_check_ca(leaf) != 0 || (flags & EXFLAG_CA))
        return REASON_LEAF_USAGE;
    if (!(flags & EXFLAG_KUSAGE) || !(usage & KU_DIGITAL_SIGNATURE) ||
        (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)))
        return REASON_LEAF_USAGE;
    if (!has_only_client_auth(leaf) || !x509_has_policy(leaf, expectation->policy_oid))
        return REASON_LEAF_USAGE;
    return REASON_NONE;
}

static int count_san_uris(X509 *leaf, const char *prefix) {
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    size_t length = strlen(prefix);
    int count = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const ASN1_IA5STRING *value = name->d.uniformResourceIdentifier;

        if (name->type == GEN_URI && (size_t)ASN1_STRING_length(value) >= length &&
            strncasecmp((const char *)ASN1_STRING_get0_data(value), prefix, length) == 0)
            count++;
    }
    GENERAL_NAMES_free(names);
    return count;
}

/* The URI is there and is the only one of its kind: a leaf for two devices is a leaf for another
 * one. */
static enum reason check_names(X509 *leaf, const struct x509_leaf_expectation *expectation) {
    char uri[160];

    if (x509_profile_device_uri(expectation->device_uuid, uri, sizeof(uri)) < 0 ||
        !x509_has_san_uri(leaf, uri) || count_san_uris(leaf, "urn:uuid:") != 1)
        return REASON_LEAF_NAME;
    if (!expectation->user_id)
        return count_san_uris(leaf, "urn:devtrust:user:") == 0 ? REASON_NONE : REASON_LEAF_NAME;
    if (x509_profile_user_uri(expectation->user_id, uri, sizeof(uri)) < 0 ||
        !x509_has_san_uri(leaf, uri) || count_san_uris(leaf, "urn:devtrust:user:") != 1)
        return REASON_LEAF_NAME;
    return x509_profile_user_cn_matches(leaf) ? REASON_NONE : REASON_LEAF_NAME;
}

static enum reason check_lifetime(X509 *leaf, const struct x509_leaf_expectation *expectation) {
    int64_t not_before, not_after;

    if (x509_not_before(leaf, &not_before) < 0 || x509_not_after(leaf, &not_after) < 0)
        return REASON_LEAF_LIFETIME;
    if (not_after - not_before < expectation->min_lifetime_s ||
        not_after - not_before > expectation->max_lifetime_s)
        return REASON_LEAF_LIFETIME;
    if (expectation->now_s != 0 && not_after <= expectation->now_s)
        return REASON_LEAF_LIFETIME;
    return REASON_NONE;
}

static bool add_roots(
    X509_STORE *store, STACK_OF(X509) * candidates, const uint8_t *root_spki_sha256) {
    for (int i = 0; i < sk_X509_num(candidates); i++) {
        X509 *candidate = sk_X509_value(candidates, i);

        if (X509_self_signed(candidate, 1) != 1 || X509_check_ca(candidate) != 1)
            continue;
        if (root_spki_sha256 && !has_key(candidate, root_spki_sha256))
            continue;
        if (X509_STORE_add_cert(store, candidate) != 1)
            return false;
    }
    return true;
}

/* The whole of RFC 5280 section 6 is OpenSSL's, but for time: the clock is the caller's affair. */
static enum reason check_chain(
    STACK_OF(X509) * certificates, STACK_OF(X509) * known_roots,
    const struct x509_leaf_expectation *expectation, X509 *leaf, struct x509_bundle *ret) {
    CLEANUP(store_free_ptr) X509_STORE *store = X509_STORE_new();
    CLEANUP(store_context_free_ptr) X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *parameters;
    STACK_OF(X509) * chain;

    if (!store || !context)
        return REASON_NO_MEMORY;
    if (!add_roots(store, certificates, expectation->root_spki_sha256) ||
        !add_roots(store, known_roots, expectation->root_spki_sha256))
        return REASON_NO_MEMORY;
    if (X509_STORE_CTX_init(context, store, leaf, certificates) != 1)
        return REASON_NO_MEMORY;
    parameters = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_flags(
        parameters, X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_CHECK_SS_SIGNATURE);
    X509_VERIFY_PARAM_set_auth_level(parameters, MIN_SECURITY_LEVEL);
    X509_VERIFY_PARAM_set_depth(parameters, CHAIN_LENGTH);
    X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_CLIENT);
    if (X509_verify_cert(context) != 1)
        return REASON_LEAF_CHAIN;
    chain = X509_STORE_CTX_get0_chain(context);
    if (sk_X509_num(chain) != CHAIN_LENGTH)
        return REASON_LEAF_CHAIN;
    ret->leaf = sk_X509_value(chain, 0);
    ret->intermediate = sk_X509_value(chain, 1);
    ret->root = sk_X509_value(chain, 2);
    X509_up_ref(ret->leaf);
    X509_up_ref(ret->intermediate);
    X509_up_ref(ret->root);
    return REASON_NONE;
}

static enum reason judge(
    STACK_OF(X509) * certificates, STACK_OF(X509) * known_roots,
    const struct x509_leaf_expectation *expectation, struct x509_bundle *ret) {
    CLEANUP_X509_BUNDLE struct x509_bundle bundle = {0};
    X509 *leaf = NULL;
    enum reason reason;
    int count = sk_X509_num(certificates);

    if (count < 1 || count > MAX_CERTIFICATES)
        return REASON_BUNDLE_INVALID;
    for (int i = 0; i < count; i++)
        if (i2d_X509(sk_X509_value(certificates, i), NULL) > X509_MAX_DER_SIZE)
            return REASON_BUNDLE_INVALID;
    reason = find_leaf(certificates, expectation->spki_sha256, &leaf);
    if (reason == REASON_NONE)
        reason = check_usage(leaf, expectation);
    if (reason == REASON_NONE)
        reason = check_names(leaf, expectation);
    if (reason == REASON_NONE)
        reason = check_chain(certificates, known_roots, expectation, leaf, &bundle);
    if (reason == REASON_NONE)
        reason = check_lifetime(leaf, expectation);
    if (reason == REASON_NONE) {
        *ret = bundle;
        bundle = (struct x509_bundle){0};
    }
    return reason;
}

int x509_bundle_check(
    STACK_OF(X509) * certificates, STACK_OF(X509) * known_roots,
    const struct x509_leaf_expectation *expectation, struct x509_bundle *ret,
    enum reason *ret_reason) {
    enum reason reason = judge(certificates, known_roots, expectation, ret);

    if (reason == REASON_NONE)
        return 0;
    *ret_reason = reason;
    return -EBADMSG;
}

void x509_bundle_deinit(struct x509_bundle *bundle) {
    X509_free(bundle->root);
    X509_free(bundle->intermediate);
    X509_free(bundle->leaf);
    *bundle = (struct x509_bundle){0};
}

bool x509_is_ours(
    X509 *leaf, X509 *issuer, const uint8_t issuer_spki_sha256[SHA256_SIZE],
    const char *device_uuid) {
    EVP_PKEY *issuer_key;
    char uri[64];

    if (!leaf || !issuer || !has_key(issuer, issuer_spki_sha256))
        return false;
    issuer_key = X509_get0_pubkey(issuer);
    if (!issuer_key || X509_verify(leaf, issuer_key) != 1)
        return false;
    return x509_has_policy(leaf, X509_POLICY_USER) &&
           x509_profile_device_uri(device_uuid, uri, sizeof(uri)) == 0 &&
           x509_has_san_uri(leaf, uri);
}
