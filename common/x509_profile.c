/* The forms in which our certificates carry device, user and type; both the issuer and those who
 * check use these. */
#include "x509_profile.h"

#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CN_MIDDLE " Device Trust Certificate - "
#define CN_MAX_CHARACTERS 64 /* ub-common-name, RFC 5280 appendix A */
#define CN_DIGITS 8

static int write_uri(const char *prefix, const char *value, char *ret, size_t size) {
    int length = snprintf(ret, size, "%s%s", prefix, value);

    return length > 0 && (size_t)length < size ? 0 : -EINVAL;
}

int x509_profile_device_uri(const char *device_uuid, char *ret, size_t size) {
    return write_uri("urn:uuid:", device_uuid, ret, size);
}

int x509_profile_user_uri(const char *user_id, char *ret, size_t size) {
    return write_uri("urn:devtrust:user:", user_id, ret, size);
}

/* Bytes of the first `maximum` characters of UTF-8 text, or -EINVAL if it is not UTF-8 or has
 * control characters. */
static int utf8_prefix(const char *text, unsigned maximum, size_t *ret_size) {
    const unsigned char *p = (const unsigned char *)text;
    size_t left = strlen(text), taken = 0;

    for (unsigned characters = 0; left > 0; characters++) {
        unsigned long value;
        int used = UTF8_getc(p, (int)(left > 6 ? 6 : left), &value);

        if (used <= 0 || value < 0x20 || (value >= 0x7f && value < 0xa0))
            return -EINVAL;
        p += used;
        left -= (size_t)used;
        if (characters < maximum)
            taken += (size_t)used;
    }
    *ret_size = taken;
    return 0;
}

int x509_profile_name(const char *organisation, const char *rest, char *ret, size_t size) {
    size_t length, rest_length = strlen(rest);
    int r, written;

    if (rest_length >= CN_MAX_CHARACTERS)
        return -EINVAL;
    r = utf8_prefix(organisation, (unsigned)(CN_MAX_CHARACTERS - rest_length), &length);
    if (r < 0)
        return r;
    while (length > 0 && organisation[length - 1] == ' ')
        length--;
    if (length == 0)
        return -EINVAL;
    written = snprintf(ret, size, "%.*s%s", (int)length, organisation, rest);
    return written > 0 && (size_t)written < size ? 0 : -EINVAL;
}

int x509_profile_user_cn(
    const char *organisation, const uint8_t serial[4], char *ret, size_t size) {
    char rest[sizeof(CN_MIDDLE) + CN_DIGITS], digits[CN_DIGITS + 1];

    snprintf(rest, sizeof(rest), CN_MIDDLE "%s", hex_encode(serial, CN_DIGITS / 2, digits));
    return x509_profile_name(organisation, rest, ret, size);
}

bool x509_profile_user_cn_matches(X509 *certificate) {
    const size_t tail = sizeof(CN_MIDDLE) - 1 + CN_DIGITS;
    const X509_NAME *subject = X509_get_subject_name(certificate);
    CLEANUP_FREE char *cn = NULL;
    char serial[X509_SERIAL_HEX_SIZE];
    size_t length;
    int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    if (index < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, index) >= 0)
        return false;
    if (x509_subject_text(certificate, NID_commonName, &cn) < 0 ||
        x509_serial_hex(certificate, serial) < 0)
        return false;
    length = strlen(cn);
    if (length <= tail || strlen(serial) < CN_DIGITS)
        return false;
    return strncmp(cn + length - tail, CN_MIDDLE, sizeof(CN_MIDDLE) - 1) == 0 &&
           strncmp(cn + length - CN_DIGITS, serial, CN_DIGITS) == 0;
}

bool x509_has_policy(X509 *certificate, const char *oid) {
    CERTIFICATEPOLICIES *policies =
        X509_get_ext_d2i(certificate, NID_certificate_policies, NULL, NULL);
    ASN1_OBJECT *wanted = OBJ_txt2obj(oid, 1);
    bool found = false;

    for (int i = 0; wanted && i < sk_POLICYINFO_num(policies) && !found; i++)
        found = OBJ_cmp(sk_POLICYINFO_value(policies, i)->policyid, wanted) == 0;
    ASN1_OBJECT_free(wanted);
    CERTIFICATEPOLICIES_free(policies);
    return found;
}

bool x509_has_san_uri(X509 *certificate, const char *uri) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t length = strlen(uri);
    bool found = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const ASN1_IA5STRING *value = name->d.uniformResourceIdentifier;

        found = name->type == GEN_URI && (size_t)ASN1_STRING_length(value) == length &&
                memcmp(ASN1_STRING_get0_data(value), uri, length) == 0;
    }
    GENERAL_NAMES_free(names);
    return found;
}
