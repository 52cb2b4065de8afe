/* Extensions are built from structures, never from configuration text: nothing that a record holds
 * can then change their meaning. */
#include "server/x509_build.h"

#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/rand.h>

#include <errno.h>
#include <string.h>

#define KEY_ID_SIZE 20
#define MAX_NAME_SIZE 253
#define OID_UPN "1.3.6.1.4.1.311.20.2.3"

static int set_random_serial(X509 *certificate) {
    uint8_t serial[X509_BUILD_SERIAL_SIZE];
    BIGNUM *number;
    bool good;

    do {
        if (RAND_bytes(serial, sizeof(serial)) != 1)
            return -EIO;
    } while (serial[0] == 0 || serial[0] > 0x7f);
    number = BN_bin2bn(serial, sizeof(serial), NULL);
    good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return good ? 0 : -ENOMEM;
}

int x509_build_begin(
    const struct x509_build_validity *validity, const X509_NAME *issuer, X509 **ret) {
    CLEANUP_X509 X509 *certificate = X509_new();
    int r;

    if (!certificate)
        return -ENOMEM;
    if (validity->not_before_s >= validity->not_after_s)
        return -EINVAL;
    r = set_random_serial(certificate);
    if (r < 0)
        return r;
    if (X509_set_version(certificate, X509_VERSION_3) != 1 ||
        !ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)validity->not_before_s) ||
        !ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)validity->not_after_s))
        return -EIO;
    if (issuer && X509_set_issuer_name(certificate, issuer) != 1)
        return -ENOMEM;
    *ret = TAKE_PTR(certificate);
    return 0;
}

int x509_build_name(X509_NAME *name, int nid, const char *text) {
    return X509_NAME_add_entry_by_NID(
               name, nid, MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0) == 1
               ? 0
               : -EIO;
}

int x509_build_extension(X509 *certificate, int nid, bool critical, void *value) {
    return X509_add1_ext_i2d(certificate, nid, value, critical, X509V3_ADD_APPEND) == 1 ? 0 : -EIO;
}

int x509_build_basic_constraints(X509 *certificate, int pathlen) {
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    int r = -ENOMEM;

    if (!constraints)
        return r;
    constraints->ca = pathlen == X509_BUILD_LEAF ? 0 : 0xff;
    if (pathlen >= 0) {
        constraints->pathlen = ASN1_INTEGER_new();
        if (!constraints->pathlen || ASN1_INTEGER_set(constraints->pathlen, pathlen) != 1)
            goto end;
    }
    r = x509_build_extension(certificate, NID_basic_constraints, true, constraints);
end:
    BASIC_CONSTRAINTS_free(constraints);
    return r;
}

int x509_build_key_usage(X509 *certificate, uint32_t bits) {
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    int r = usage ? 0 : -ENOMEM;

    /* KU_… has the first named bit in the octet's highest place */
    for (int i = 0; r == 0 && i < 8; i++)
        if ((bits & 0x80U >> i) && ASN1_BIT_STRING_set_bit(usage, i, 1) != 1)
            r = -ENOMEM;
    if (r == 0)
        r = x509_build_extension(certificate, NID_key_usage, true, usage);
    ASN1_BIT_STRING_free(usage);
    return r;
}

int x509_build_extended_key_usage(X509 *certificate, const int *nids, size_t count) {
    EXTENDED_KEY_USAGE *usage = EXTENDED_KEY_USAGE_new();
    int r = usage ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < count; i++)
        if (!sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(nids[i])))
            r = -ENOMEM;
    if (r == 0)
        r = x509_build_extension(certificate, NID_ext_key_usage, false, usage);
    EXTENDED_KEY_USAGE_free(usage);
    return r;
}

int x509_build_policy(X509 *certificate, const char *oid) {
    CERTIFICATEPOLICIES *policies = CERTIFICATEPOLICIES_new();
    POLICYINFO *policy = POLICYINFO_new();
    int r = -ENOMEM;

    if (!policies || !policy)
        goto end;
    policy->policyid = OBJ_txt2obj(oid, 1);
    if (!policy->policyid || !sk_POLICYINFO_push(policies, policy))
        goto end;
    policy = NULL;
    r = x509_build_extension(certificate, NID_certificate_policies, false, policies);
end:
    POLICYINFO_free(policy);
    CERTIFICATEPOLICIES_free(policies);
    return r;
}

int x509_build_subject_key_id(X509 *certificate) {
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned size;
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    int r = id ? -EIO : -ENOMEM;

    if (id && X509_pubkey_digest(certificate, EVP_sha256(), hash, &size) == 1 &&
        ASN1_OCTET_STRING_set(id, hash, KEY_ID_SIZE) == 1)
        r = x509_build_extension(certificate, NID_subject_key_identifier, false, id);
    ASN1_OCTET_STRING_free(id);
    return r;
}

int x509_build_authority_key_id(X509 *certificate, X509 *issuer) {
    const ASN1_OCTET_STRING *issuer_id = X509_get0_subject_key_id(issuer);
    AUTHORITY_KEYID *authority;
    int r;

    if (!issuer_id)
        return -EINVAL;
    authority = AUTHORITY_KEYID_new();
    if (!authority)
        return -ENOMEM;
    authority->keyid = ASN1_OCTET_STRING_dup(issuer_id);
    r = authority->keyid
            ? x509_build_extension(certificate, NID_authority_key_identifier, false, authority)
            : -ENOMEM;
    AUTHORITY_KEYID_free(authority);
    return r;
}

int x509_build_crl_point(X509 *certificate, const char *url) {
    CRL_DIST_POINTS *points = CRL_DIST_POINTS_new();
    DIST_POINT *point = DIST_POINT_new();
    int r = -ENOMEM;

    if (!points || !point)
        goto end;
    point->distpoint = DIST_POINT_NAME_new();
    if (!point->distpoint)
        goto end;
    point->distpoint->type = 0; /* fullName */
    point->distpoint->name.fullname = GENERAL_NAMES_new();
    if (!point->distpoint->name.fullname)
        goto end;
    r = x509_build_general_name(point->distpoint->name.fullname, GEN_URI, url);
    if (r < 0)
        goto end;
    r = -ENOMEM;
    if (!sk_DIST_POINT_push(points, point))
        goto end;
    point = NULL;
    r = x509_build_extension(certificate, NID_crl_distribution_points, false, points);
end:
    DIST_POINT_free(point);
    CRL_DIST_POINTS_free(points);
    return r;
}

/* Owns `value`, of the type that `type` demands. */
static int push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value) {
    GENERAL_NAME *name = GENERAL_NAME_new();

    if (!name) {
        ASN1_STRING_free(value);
        return -ENOMEM;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (!sk_GENERAL_NAME_push(names, name)) {
        GENERAL_NAME_free(name);
        return -ENOMEM;
    }
    return 0;
}

int x509_build_general_name(GENERAL_NAMES *names, int type, const char *text) {
    size_t length = strlen(text);
    ASN1_IA5STRING *value;

    if (length == 0 || length > MAX_NAME_SIZE)
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        if (text[i] <= 0x20 || text[i] >= 0x7f)
            return -EINVAL;
    value = ASN1_IA5STRING_new();
    if (!value || ASN1_STRING_set(value, text, (int)length) != 1) {
        ASN1_IA5STRING_free(value);
        return -ENOMEM;
    }
    return push_name(names, type, value);
}

int x509_build_ip(GENERAL_NAMES *names, const uint8_t *address, size_t size) {
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();

    if (!value || ASN1_OCTET_STRING_set(value, address, (int)size) != 1) {
        ASN1_OCTET_STRING_free(value);
        return -ENOMEM;
    }
    return push_name(names, GEN_IPADD, value);
}

int x509_build_upn(GENERAL_NAMES *names, const char *upn) {
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_TYPE *value = ASN1_TYPE_new();
    ASN1_UTF8STRING *text = ASN1_UTF8STRING_new();
    ASN1_OBJECT *type = OBJ_txt2obj(OID_UPN, 1);
    size_t length = strlen(upn);
    int r = -ENOMEM;

    if (!name || !value || !text || !type)
        goto end;
    r = -EINVAL;
    if (length == 0 || length > MAX_NAME_SIZE)
        goto end;
    r = -ENOMEM;
    if (ASN1_STRING_set(text, upn, (int)length) != 1)
        goto end;
    ASN1_TYPE_set(value, V_ASN1_UTF8STRING, TAKE_PTR(text));
    if (GENERAL_NAME_set0_othername(name, type, value) != 1)
        goto end;
    type = NULL;
    value = NULL;
    if (!sk_GENERAL_NAME_push(names, name))
        goto end;
    name = NULL;
    r = 0;
end:
    GENERAL_NAME_free(name);
    ASN1_TYPE_free(value);
    ASN1_UTF8STRING_free(text);
    ASN1_OBJECT_free(type);
    return r;
}
