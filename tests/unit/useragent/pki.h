/* A small PKI for tests: root, issuing CA, user leaves of the profile. Header-only, so that each
 * test program stands alone. */
#pragma once

#include "common/x509_profile.h"

#include <assert.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PKI_DEVICE "0f9b1d3a-5c7e-4b21-9d3f-0a1b2c3d4e5f"
#define PKI_OTHER_DEVICE "1f9b1d3a-5c7e-4b21-9d3f-0a1b2c3d4e5f"
#define PKI_USER "alice"

struct pki {
    EVP_PKEY *root_key, *issuer_key;
    X509 *root, *issuer;
    uint8_t root_spki[SHA256_SIZE], issuer_spki[SHA256_SIZE];
};

static inline void pki_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline void pki_policy(X509 *certificate, const char *oid) {
    CERTIFICATEPOLICIES *policies = CERTIFICATEPOLICIES_new();
    POLICYINFO *policy = POLICYINFO_new();

    ASN1_OBJECT_free(policy->policyid);
    policy->policyid = OBJ_txt2obj(oid, 1);
    assert(policy->policyid);
    sk_POLICYINFO_push(policies, policy);
    X509_add1_ext_i2d(certificate, NID_certificate_policies, policies, 0, X509V3_ADD_DEFAULT);
    CERTIFICATEPOLICIES_free(policies);
}

static inline void pki_serial(X509 *certificate, uint8_t serial[16]) {
    BIGNUM *number;

    RAND_bytes(serial, 16);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    number = BN_bin2bn(serial, 16, NULL);
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
}

static inline X509 *pki_new(EVP_PKEY *key, int64_t not_before, int64_t life) {
    X509 *certificate = X509_new();

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_TIME_set(X509_getm_notBefore(certificate), not_before);
    ASN1_TIME_set(X509_getm_notAfter(certificate), not_before + life);
    X509_set_pubkey(certificate, key);
    return certificate;
}

static inline void pki_name(X509 *certificate, const char *cn) {
    X509_NAME_add_entry_by_txt(
        X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
        0);
}

static inline void pki_init(struct pki *pki, const char *name) {
    char text[128];
    uint8_t serial[16];

    pki->root_key = EVP_EC_gen("P-256");
    pki->issuer_key = EVP_EC_gen("P-256");
    pki->root = pki_new(pki->root_key, time(NULL) - 86400, 3650 * 86400LL);
    pki_serial(pki->root, serial);
    snprintf(text, sizeof text, "%s Trust Root", name);
    pki_name(pki->root, text);
    X509_set_issuer_name(pki->root, X509_get_subject_name(pki->root));
    pki_extension(pki->root, pki->root, NID_basic_constraints, "critical,CA:TRUE");
    pki_extension(pki->root, pki->root, NID_key_usage, "critical,keyCertSign,cRLSign");
    pki_extension(pki->root, pki->root, NID_subject_key_identifier, "hash");
    X509_sign(pki->root, pki->root_key, EVP_sha256());

    pki->issuer = pki_new(pki->issuer_key, time(NULL) - 86400, 1800 * 86400LL);
    pki_serial(pki->issuer, serial);
    snprintf(text, sizeof text, "%s Trust Issuing CA", name);
    pki_name(pki->issuer, text);
    X509_set_issuer_name(pki->issuer, X509_get_subject_name(pki->root));
    pki_extension(pki->issuer, pki->root, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    pki_extension(pki->issuer, pki->root, NID_key_usage, "critical,keyCertSign,cRLSign");
    pki_extension(pki->issuer, pki->root, NID_subject_key_identifier, "hash");
    pki_extension(pki->issuer, pki->root, NID_authority_key_identifier, "keyid");
    X509_sign(pki->issuer, pki->root_key, EVP_sha256());
    assert(x509_cert_spki_sha256(pki->root, pki->root_spki) == 0);
    assert(x509_cert_spki_sha256(pki->issuer, pki->issuer_spki) == 0);
}

static inline void pki_deinit(struct pki *pki) {
    EVP_PKEY_free(pki->root_key);
    EVP_PKEY_free(pki->issuer_key);
    X509_free(pki->root);
    X509_free(pki->issuer);
}

/* A user's leaf for `key`, of the profile, for the device. */
static inline X509 *pki_leaf(
    const struct pki *pki, EVP_PKEY *key, const char *device, const char *user, int64_t not_before,
    int64_t life) {
    X509 *leaf = pki_new(key, not_before, life);
    uint8_t serial[16];
    char text[512];

    pki_serial(leaf, serial);
    assert(x509_profile_user_cn("Example", serial, text, sizeof text) == 0);
    pki_name(leaf, text);
    X509_set_issuer_name(leaf, X509_get_subject_name(pki->issuer));
    pki_extension(leaf, pki->issuer, NID_basic_constraints, "critical,CA:FALSE");
    pki_extension(leaf, pki->issuer, NID_key_usage, "critical,digitalSignature");
    pki_extension(leaf, pki->issuer, NID_ext_key_usage, "clientAuth");
    pki_policy(leaf, X509_POLICY_USER);
    snprintf(text, sizeof text, "URI:urn:uuid:%s,URI:urn:devtrust:user:%s", device, user);
    pki_extension(leaf, pki->issuer, NID_subject_alt_name, text);
    pki_extension(leaf, pki->issuer, NID_authority_key_identifier, "keyid");
    X509_sign(leaf, pki->issuer_key, EVP_sha256());
    return leaf;
}
