/* Certificates to order for tests: each one a good leaf of the profile but for what the test
 * spoils. */
#pragma once

#include "common/est_message.h"
#include "common/x509_profile.h"

#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PKI_NOW 1800000000LL
#define PKI_DEVICE "0b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a11"
#define PKI_OTHER_DEVICE "1b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a11"
#define PKI_SERIAL_HEX "5a01020304050607080900000000000f"

struct pki_ca {
    EVP_PKEY *key;
    X509 *certificate;
};

/* What a certificate is to be; NULL leaves an extension out. */
struct pki_spec {
    EVP_PKEY *key; /* the subject's */
    const char *cn;
    const char *san; /* configuration text of OpenSSL */
    const char *basic_constraints, *key_usage, *extended_key_usage, *policy;
    int64_t not_before, not_after;
};

static inline EVP_PKEY *pki_key(enum key_type type) {
    EVP_PKEY *key = NULL;

    assert_int_equal(x509_key_generate(type, &key), 0);
    return key;
}

static inline void pki_extension(X509 *certificate, int nid, const char *value) {
    X509V3_CTX context;
    X509_EXTENSION *extension;

    if (!value)
        return;
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline void pki_policy(X509 *certificate, const char *oid) {
    CERTIFICATEPOLICIES *policies = CERTIFICATEPOLICIES_new();
    POLICYINFO *policy = POLICYINFO_new();

    policy->policyid = OBJ_txt2obj(oid, 1);
    assert_non_null(policy->policyid);
    sk_POLICYINFO_push(policies, policy);
    assert_int_equal(X509_add1_ext_i2d(certificate, NID_certificate_policies, policies, 0, 0), 1);
    CERTIFICATEPOLICIES_free(policies);
}

/* `issuer` NULL: self-signed. */
static inline X509 *pki_issue(const struct pki_spec *spec, const struct pki_ca *issuer) {
    X509 *certificate = X509_new();
    BIGNUM *serial = NULL;
    X509_NAME *subject;

    assert_non_null(certificate);
    X509_set_version(certificate, X509_VERSION_3);
    BN_hex2bn(&serial, PKI_SERIAL_HEX);
    BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate));
    BN_free(serial);
    ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)spec->not_before);
    ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)spec->not_after);
    subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_NID(
        subject, NID_commonName, MBSTRING_UTF8, (const unsigned char *)spec->cn, -1, -1, 0);
    X509_set_issuer_name(
        certificate, issuer ? X509_get_subject_name(issuer->certificate) : subject);
    X509_set_pubkey(certificate, spec->key);
    pki_extension(certificate, NID_basic_constraints, spec->basic_constraints);
    pki_extension(certificate, NID_key_usage, spec->key_usage);
    pki_extension(certificate, NID_ext_key_usage, spec->extended_key_usage);
    if (spec->policy)
        pki_policy(certificate, spec->policy);
    pki_extension(certificate, NID_subject_alt_name, spec->san);
    assert_true(X509_sign(certificate, issuer ? issuer->key : spec->key, EVP_sha256()) > 0);
    return certificate;
}

static inline struct pki_ca pki_ca(
    const char *cn, const char *basic_constraints, const struct pki_ca *issuer) {
    struct pki_ca ca = {.key = pki_key(KEY_TYPE_P256)};
    const struct pki_spec spec = {
        .key = ca.key,
        .cn = cn,
        .basic_constraints = basic_constraints,
        .key_usage = "critical,keyCertSign,cRLSign",
        .not_before = PKI_NOW - 86400,
        .not_after = PKI_NOW + 1000LL * 86400,
    };

    ca.certificate = pki_issue(&spec, issuer);
    return ca;
}

static inline void pki_ca_free(struct pki_ca *ca) {
    EVP_PKEY_free(ca->key);
    X509_free(ca->certificate);
    *ca = (struct pki_ca){0};
}

static inline struct pki_spec pki_user_leaf(EVP_PKEY *key) {
    return (struct pki_spec){
        .key = key,
        .cn = "Example Device Trust Certificate - 5a010203",
        .san = "URI:urn:uuid:" PKI_DEVICE ",URI:urn:devtrust:user:u1",
        .basic_constraints = "critical,CA:FALSE",
        .key_usage = "critical,digitalSignature",
        .extended_key_usage = "clientAuth",
        .policy = X509_POLICY_USER,
        .not_before = PKI_NOW - X509_PROFILE_BACKDATE_S,
        .not_after = PKI_NOW + 30 * 86400,
    };
}
