/* Certificates for the daemon's unit tests, made with OpenSSL in memory: CAs, server and device
 * leaves of any shape. */
#pragma once

#include "common/x509_key.h"
#include "common/x509_profile.h"

#include <assert.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct pki_entity {
    EVP_PKEY *key;
    X509 *certificate;
};

struct pki_shape {
    const char *name;
    const struct pki_entity *issuer; /* NULL: self-signed */
    EVP_PKEY *key;                   /* NULL: a new one */
    int64_t begin_s, end_s;          /* relative to now; both 0: −300 … +1 day */
    const char *san;                 /* OpenSSL's configuration syntax */
    const char *policy, *usage, *basic, *key_usage;
};

__attribute__((unused)) static void pki_extension(
    X509 *certificate, X509V3_CTX *context, int nid, const char *value) {
    if (!value)
        return;
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, context, nid, value);
    assert(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

__attribute__((unused)) static struct pki_entity pki_make(const struct pki_shape *shape) {
    static long serial = 0x10000000;
    struct pki_entity entity = {.key = shape->key, .certificate = X509_new()};
    if (entity.key)
        EVP_PKEY_up_ref(entity.key);
    else
        assert(x509_key_generate(KEY_TYPE_P256, &entity.key) == 0);
    const struct pki_entity *issuer = shape->issuer ? shape->issuer : &entity;
    X509 *certificate = entity.certificate;
    bool usual = shape->begin_s == 0 && shape->end_s == 0;
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), usual ? -300 : shape->begin_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), usual ? 86400 : shape->end_s);
    X509_set_pubkey(certificate, entity.key);
    X509_NAME_add_entry_by_txt(
        X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, (const unsigned char *)shape->name,
        -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer->certificate));
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer->certificate, certificate, NULL, NULL, 0);
    CONF *configuration = NCONF_new(NULL); /* empty; policies demand one */
    X509V3_set_nconf(&context, configuration);
    pki_extension(certificate, &context, NID_basic_constraints, shape->basic);
    pki_extension(certificate, &context, NID_key_usage, shape->key_usage);
    pki_extension(certificate, &context, NID_ext_key_usage, shape->usage);
    pki_extension(certificate, &context, NID_certificate_policies, shape->policy);
    pki_extension(certificate, &context, NID_subject_alt_name, shape->san);
    pki_extension(certificate, &context, NID_subject_key_identifier, "hash");
    if (shape->issuer)
        pki_extension(certificate, &context, NID_authority_key_identifier, "keyid:always");
    NCONF_free(configuration);
    assert(X509_sign(certificate, issuer->key, EVP_sha256()) > 0);
    return entity;
}

__attribute__((unused)) static void pki_free(struct pki_entity *entity) {
    EVP_PKEY_free(entity->key);
    X509_free(entity->certificate);
    *entity = (struct pki_entity){0};
}

__attribute__((unused)) static struct pki_entity pki_ca(
    const char *name, const struct pki_entity *issuer) {
    const struct pki_shape shape = {
        .name = name,
        .issuer = issuer,
        .basic = issuer ? "critical,CA:TRUE,pathlen:0" : "critical,CA:TRUE",
        .key_usage = "critical,keyCertSign,cRLSign",
    };
    return pki_make(&shape);
}

/* `san` such as "IP:127.0.0.1". */
__attribute__((unused)) static struct pki_entity pki_server(
    const struct pki_entity *issuer, const char *san) {
    const struct pki_shape shape = {
        .name = "test server",
        .issuer = issuer,
        .san = san,
        .basic = "critical,CA:FALSE",
        .key_usage = "critical,digitalSignature",
        .usage = "serverAuth",
    };
    return pki_make(&shape);
}

/* A device's leaf for a public key, as devtrust's server issues it. */
__attribute__((unused)) static struct pki_entity pki_device(
    const struct pki_entity *issuer, const char *uuid, EVP_PKEY *key, int64_t begin_s,
    int64_t end_s) {
    char san[64];
    snprintf(san, sizeof(san), "URI:urn:uuid:%s", uuid);
    const struct pki_shape shape = {
        .name = "test device",
        .issuer = issuer,
        .key = key,
        .begin_s = begin_s,
        .end_s = end_s,
        .san = san,
        .basic = "critical,CA:FALSE",
        .key_usage = "critical,digitalSignature",
        .usage = "clientAuth",
        .policy = X509_POLICY_DEVICE,
    };
    return pki_make(&shape);
}
