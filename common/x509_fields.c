/* Fields of a certificate as plain C values, and certificates as text. */
#include "base64.h"
#include "x509_profile.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>

#include <errno.h>
#include <string.h>
#include <time.h>

int x509_serial_hex(X509 *certificate, char ret[X509_SERIAL_HEX_SIZE]) {
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    const uint8_t *data = ASN1_STRING_get0_data(serial);
    int size = ASN1_STRING_length(serial);

    /* OpenSSL keeps the magnitude, without the sign's octet */
    while (size > 0 && *data == 0) {
        data++;
        size--;
    }
    if (size <= 0 || size > (X509_SERIAL_HEX_SIZE - 1) / 2 ||
        ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER)
        return -EINVAL;
    hex_encode(data, (size_t)size, ret);
    return 0;
}

static int time_to_seconds(const ASN1_TIME *time, int64_t *ret) {
    struct tm tm;

    if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
        return -EINVAL;
    *ret = (int64_t)timegm(&tm);
    return 0;
}

int x509_not_before(X509 *certificate, int64_t *ret) {
    return time_to_seconds(X509_get0_notBefore(certificate), ret);
}

int x509_not_after(X509 *certificate, int64_t *ret) {
    return time_to_seconds(X509_get0_notAfter(certificate), ret);
}

int x509_subject_text(X509 *certificate, int nid, char **ret) {
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int index = X509_NAME_get_index_by_NID(subject, nid, -1), size;
    unsigned char *text = NULL;
    char *copy;

    if (index < 0)
        return -ENOENT;
    size =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
    if (size < 0)
        return -ENOENT;
    if (strlen((const char *)text) != (size_t)size) { /* a NUL inside hides the rest */
        OPENSSL_free(text);
        return -ENOENT;
    }
    copy = strdup((const char *)text);
    OPENSSL_free(text);
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

char *x509_name_text(const X509_NAME *name) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *data;
    long size;

    if (!bio)
        return NULL;
    /* RFC 2253 escapes, but UTF-8 stays readable (control characters are escaped still) */
    if (X509_NAME_print_ex(bio, name, 0, (XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB)) >= 0) {
        size = BIO_get_mem_data(bio, &data);
        if (size >= 0)
            text = strndup(size > 0 ? data : "", (size_t)size);
    }
    BIO_free(bio);
    return text;
}

int x509_cert_to_base64(X509 *certificate, char **ret) {
    unsigned char *der = NULL;
    int size = i2d_X509(certificate, &der);
    char *text;

    if (size <= 0)
        return -EIO;
    text = malloc(BASE64_TEXT_SIZE((size_t)size));
    if (text)
        base64_encode(der, (size_t)size, text);
    OPENSSL_free(der);
    if (!text)
        return -ENOMEM;
    *ret = text;
    return 0;
}

int x509_cert_from_base64(const char *text, X509 **ret) {
    CLEANUP_FREE uint8_t *der = NULL;
    CLEANUP_X509 X509 *certificate = NULL;
    const unsigned char *p;
    size_t length = strlen(text), size;

    if (length >= BASE64_TEXT_SIZE(X509_MAX_DER_SIZE))
        return -EMSGSIZE;
    der = malloc(length + 1);
    if (!der)
        return -ENOMEM;
    if (base64_decode(text, length, false, der, &size) < 0)
        return -EBADMSG;
    if (size > X509_MAX_DER_SIZE)
        return -EMSGSIZE;
    p = der;
    certificate = d2i_X509(NULL, &p, (long)size);
    if (!certificate || p != der + size)
        return -EBADMSG;
    *ret = TAKE_PTR(certificate);
    return 0;
}
