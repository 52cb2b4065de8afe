/* CRLs with the number and the authority's key identifier that RFC 5280 demands, signed through the
 * same seam as the leaves. */
#include "server/crl.h"

#include "server/signer.h"

#include <openssl/bn.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <string.h>

static void crl_free_ptr(X509_CRL **crl) {
    X509_CRL_free(*crl);
}

static void revoked_free_ptr(X509_REVOKED **revoked) {
    X509_REVOKED_free(*revoked);
}

static int set_serial(X509_REVOKED *revoked, const char *hex) {
    uint8_t octets[(X509_SERIAL_HEX_SIZE - 1) / 2];
    size_t size = strlen(hex) / 2;
    ASN1_INTEGER *serial = NULL;
    BIGNUM *number;
    int r = -ENOMEM;

    if (size < 1 || size > sizeof(octets) || hex_decode(hex, octets, size) < 0)
        return -EINVAL;
    number = BN_bin2bn(octets, (int)size, NULL);
    if (number)
        serial = BN_to_ASN1_INTEGER(number, NULL);
    if (serial && X509_REVOKED_set_serialNumber(revoked, serial) == 1)
        r = 0;
    ASN1_INTEGER_free(serial);
    BN_free(number);
    return r;
}

static int set_date(X509_REVOKED *revoked, int64_t seconds) {
    ASN1_TIME *time = ASN1_TIME_set(NULL, (time_t)seconds);
    int r = time && X509_REVOKED_set_revocationDate(revoked, time) == 1 ? 0 : -ENOMEM;

    ASN1_TIME_free(time);
    return r;
}

static int set_reason(X509_REVOKED *revoked, enum crl_reason reason) {
    ASN1_ENUMERATED *value;
    int r = -ENOMEM;

    if (reason == CRL_REASON_UNSPECIFIED) /* RFC 5280 5.3.1: to be left out */
        return 0;
    value = ASN1_ENUMERATED_new();
    if (value && ASN1_ENUMERATED_set(value, reason) == 1 &&
        X509_REVOKED_add1_ext_i2d(revoked, NID_crl_reason, value, 0, X509V3_ADD_APPEND) == 1)
        r = 0;
    ASN1_ENUMERATED_free(value);
    return r;
}

static int add_entry(X509_CRL *crl, const struct crl_entry *entry) {
    CLEANUP(revoked_free_ptr) X509_REVOKED *revoked = X509_REVOKED_new();
    int r = revoked ? set_serial(revoked, entry->serial_hex) : -ENOMEM;

    if (r == 0)
        r = set_date(revoked, entry->revoked_s);
    if (r == 0)
        r = set_reason(revoked, entry->reason);
    if (r == 0 && X509_CRL_add0_revoked(crl, revoked) != 1)
        r = -ENOMEM;
    if (r == 0)
        revoked = NULL; /* the CRL's now */
    return r;
}

static int set_times(X509_CRL *crl, int64_t now_s, int64_t validity_s) {
    ASN1_TIME *last = ASN1_TIME_set(NULL, (time_t)now_s);
    ASN1_TIME *next = ASN1_TIME_set(NULL, (time_t)(now_s + validity_s));
    int r = last && next && X509_CRL_set1_lastUpdate(crl, last) == 1 &&
                    X509_CRL_set1_nextUpdate(crl, next) == 1
                ? 0
                : -ENOMEM;

    ASN1_TIME_free(last);
    ASN1_TIME_free(next);
    return r;
}

static int add_extensions(X509_CRL *crl, X509 *issuer, int64_t number) {
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    ASN1_INTEGER *crl_number = ASN1_INTEGER_new();
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(issuer);
    int r = -ENOMEM;

    if (authority && crl_number && id && (authority->keyid = ASN1_OCTET_STRING_dup(id)) &&
        ASN1_INTEGER_set_int64(crl_number, number) == 1 &&
        X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, authority, 0, X509V3_ADD_APPEND) ==
            1 &&
        X509_CRL_add1_ext_i2d(crl, NID_crl_number, crl_number, 0, X509V3_ADD_APPEND) == 1)
        r = 0;
    AUTHORITY_KEYID_free(authority);
    ASN1_INTEGER_free(crl_number);
    return r;
}

static int encode(X509_CRL *crl, uint8_t **ret_der, size_t *ret_size) {
    unsigned char *encoded = NULL;
    int size = i2d_X509_CRL(crl, &encoded);
    uint8_t *der;

    if (size <= 0)
        return -EIO;
    der = malloc((size_t)size);
    if (der)
        memcpy(der, encoded, (size_t)size);
    OPENSSL_free(encoded);
    if (!der)
        return -ENOMEM;
    *ret_der = der;
    *ret_size = (size_t)size;
    return 0;
}

int crl_build(
    const struct ca *ca, enum ca_kind kind, const struct crl_entry *entries, size_t count,
    int64_t number, int64_t now_s, int64_t validity_s, uint8_t **ret_der, size_t *ret_size) {
    CLEANUP(crl_free_ptr) X509_CRL *crl = X509_CRL_new();
    X509 *issuer = ca_issuer(ca, kind);
    int r;

    if (count > CRL_MAX_ENTRIES)
        return -EMSGSIZE;
    if (number < 0 || validity_s <= 0)
        return -EINVAL;
    if (!crl || X509_CRL_set_version(crl, X509_CRL_VERSION_2) != 1 ||
        X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) != 1)
        return -ENOMEM;
    r = set_times(crl, now_s, validity_s);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = add_entry(crl, &entries[i]);
    if (r == 0)
        r = add_extensions(crl, issuer, number);
    if (r == 0 && X509_CRL_sort(crl) != 1)
        r = -EIO;
    if (r == 0)
        r = signer_sign_crl(ca_signer(ca, kind), crl);
    return r < 0 ? r : encode(crl, ret_der, ret_size);
}
