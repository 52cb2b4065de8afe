/* Requests are made here for the agent and the device, and judged here for the daemon and the
 * server: one form, both sides. */
#include "x509_csr.h"

#include "x509_der.h"

#include <openssl/asn1.h>
#include <openssl/objects.h>

#include <errno.h>
#include <string.h>

#define MAX_SUBJECT_VALUE                                                                          \
    64 /* ub-serial-number of RFC 5280; the server's user ids keep to it too */

static void x509_name_free_ptr(X509_NAME **name) {
    X509_NAME_free(*name);
}

static int add_text(X509_NAME *name, int nid, const char *text) {
    if (!text)
        return 0;
    return X509_NAME_add_entry_by_NID(
               name, nid, MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0) == 1
               ? 0
               : -EIO;
}

static int make_subject(const struct x509_csr_subject *subject, X509_NAME **ret) {
    CLEANUP(x509_name_free_ptr) X509_NAME *name = X509_NAME_new();
    int r;

    if (!name)
        return -ENOMEM;
    r = add_text(name, NID_userId, subject->uid);
    if (r == 0)
        r = add_text(name, NID_serialNumber, subject->serial_number);
    if (r == 0)
        *ret = TAKE_PTR(name);
    return r;
}

int x509_csr_create(
    EVP_PKEY *key, const struct x509_csr_subject *subject, uint8_t **ret_der, size_t *ret_size) {
    CLEANUP_X509_REQ X509_REQ *request = X509_REQ_new();
    CLEANUP(x509_name_free_ptr) X509_NAME *name = NULL;
    enum key_type type;
    unsigned char *encoded = NULL;
    uint8_t *der;
    int r, size;

    if (!request)
        return -ENOMEM;
    if (x509_key_classify(key, &type) < 0)
        return -EIO;
    r = make_subject(subject, &name);
    if (r < 0)
        return r;
    if (X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_subject_name(request, name) != 1 || X509_REQ_set_pubkey(request, key) != 1)
        return -EIO;
    if (X509_REQ_sign(request, key, type == KEY_TYPE_P384 ? EVP_sha384() : EVP_sha256()) <= 0)
        return -EIO;
    size = i2d_X509_REQ(request, &encoded);
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

/* Explicit curve parameters, a missing NULL, a compressed point: all of them decode, none of them
 * is the one form. Browsers and relying parties differ in what they make of the rest. */
static bool key_encoding_is_plain(X509_REQ *request) {
    ASN1_OBJECT *algorithm;
    X509_ALGOR *identifier;
    const unsigned char *point;
    int size, parameter_type;

    if (X509_PUBKEY_get0_param(
            &algorithm, &point, &size, &identifier, X509_REQ_get_X509_PUBKEY(request)) != 1)
        return false;
    X509_ALGOR_get0(NULL, &parameter_type, NULL, identifier);
    switch (OBJ_obj2nid(algorithm)) {
    case NID_X9_62_id_ecPublicKey:
        return parameter_type == V_ASN1_OBJECT && size > 0 && point[0] == 0x04;
    case NID_rsaEncryption:
        return parameter_type == V_ASN1_NULL;
    default:
        return false;
    }
}

static bool key_is_allowed(X509_REQ *request, const struct x509_csr_expectation *expectation) {
    EVP_PKEY *key;
    enum key_type type;

    if (!key_encoding_is_plain(request))
        return false;
    key = X509_REQ_get0_pubkey(request);
    if (!key || x509_key_classify(key, &type) < 0)
        return false;
    return expectation->any_key_type || type == expectation->key_type;
}

static bool digest_is_allowed(X509_REQ *request) {
    switch (X509_REQ_get_signature_nid(request)) {
    case NID_ecdsa_with_SHA256:
    case NID_ecdsa_with_SHA384:
    case NID_ecdsa_with_SHA512:
    case NID_sha256WithRSAEncryption:
    case NID_sha384WithRSAEncryption:
    case NID_sha512WithRSAEncryption:
        return true;
    default:
        return false;
    }
}

/* The value as C string, allocated by OpenSSL; NULL if it is empty, too long or holds a NUL. */
static unsigned char *entry_text(const X509_NAME_ENTRY *entry) {
    unsigned char *text = NULL;
    int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));

    if (size < 0)
        return NULL;
    if (size == 0 || size > MAX_SUBJECT_VALUE || strlen((const char *)text) != (size_t)size) {
        OPENSSL_free(text);
        return NULL;
    }
    return text;
}

static bool entry_matches(const X509_NAME_ENTRY *entry, const char *expected) {
    unsigned char *text = entry_text(entry);
    bool good = text && (!expected || strcmp((const char *)text, expected) == 0);

    OPENSSL_free(text);
    return good;
}

static bool entry_is(const X509_NAME *name, int index, int nid) {
    const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, index);

    /* each attribute is an RDN of its own: the set number is then the position */
    return entry && OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == nid &&
           X509_NAME_ENTRY_set(entry) == index;
}

static bool subject_matches(const X509_NAME *name, const struct x509_csr_subject *expected) {
    bool has_uid = entry_is(name, 0, NID_userId);
    int serial_index = has_uid ? 1 : 0;

    if (X509_NAME_entry_count(name) != serial_index + 1 ||
        !entry_is(name, serial_index, NID_serialNumber))
        return false;
    if (expected->uid && !has_uid)
        return false;
    if (has_uid && !entry_matches(X509_NAME_get_entry(name, 0), expected->uid))
        return false;
    return entry_matches(X509_NAME_get_entry(name, serial_index), expected->serial_number);
}

static enum reason judge(X509_REQ *request, const struct x509_csr_expectation *expectation) {
    if (X509_REQ_get_version(request) != X509_REQ_VERSION_1)
        return REASON_CSR_INVALID;
    if (X509_REQ_get_attr_count(request) > 0)
        return REASON_CSR_EXTENSIONS;
    if (!key_is_allowed(request, expectation))
        return REASON_CSR_KEY;
    if (!digest_is_allowed(request) || X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) != 1)
        return REASON_CSR_SIGNATURE;
    if (expectation->subject &&
        !subject_matches(X509_REQ_get_subject_name(request), expectation->subject))
        return REASON_CSR_SUBJECT;
    return REASON_NONE;
}

int x509_csr_check(
    const uint8_t *der, size_t size, const struct x509_csr_expectation *expectation, X509_REQ **ret,
    enum reason *ret_reason) {
    CLEANUP_X509_REQ X509_REQ *request = NULL;
    const unsigned char *p = der;
    enum reason reason;

    if (size > X509_CSR_MAX_SIZE) {
        *ret_reason = REASON_CSR_TOO_LARGE;
        return -EBADMSG;
    }
    if (!x509_der_is_one_object(der, size) || !(request = d2i_X509_REQ(NULL, &p, (long)size)) ||
        p != der + size) {
        *ret_reason = REASON_CSR_INVALID;
        return -EBADMSG;
    }
    reason = judge(request, expectation);
    if (reason != REASON_NONE) {
        *ret_reason = reason;
        return -EBADMSG;
    }
    *ret = TAKE_PTR(request);
    return 0;
}

static int copy_subject_text(const X509_NAME *name, int nid, char **ret) {
    int index = X509_NAME_get_index_by_NID(name, nid, -1);
    unsigned char *text;
    char *copy;

    *ret = NULL;
    if (index < 0)
        return 0;
    text = entry_text(X509_NAME_get_entry(name, index));
    if (!text)
        return 0;
    copy = strdup((const char *)text);
    OPENSSL_free(text);
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

int x509_csr_get_subject(X509_REQ *request, char **ret_uid, char **ret_serial_number) {
    const X509_NAME *name = X509_REQ_get_subject_name(request);
    CLEANUP_FREE char *uid = NULL;
    int r;

    r = copy_subject_text(name, NID_userId, &uid);
    if (r < 0)
        return r;
    r = copy_subject_text(name, NID_serialNumber, ret_serial_number);
    if (r < 0)
        return r;
    *ret_uid = TAKE_PTR(uid);
    return 0;
}
