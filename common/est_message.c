/* What EST puts on the wire around certificates. Lenient where servers differ (white space,
 * parameters of the media type), strict about everything that decides. */
#include "est_message.h"

#include "base64.h"
#include "cleanup.h"
#include "http_date.h"
#include "x509_profile.h"

#include <openssl/pkcs7.h>

#include <errno.h>
#include <string.h>
#include <strings.h>

#define LINE_WIDTH 64
#define MAX_RETRY_AFTER_S (6 * 3600)

void est_certs_free_ptr(STACK_OF(X509) * *certificates) {
    sk_X509_pop_free(*certificates, X509_free);
}

static void pkcs7_free_ptr(PKCS7 **message) {
    PKCS7_free(*message);
}

int est_base64_encode(const uint8_t *data, size_t size, struct buffer *ret) {
    char line[LINE_WIDTH + 1];
    const size_t step = LINE_WIDTH / 4 * 3;

    for (size_t i = 0; i < size; i += step) {
        size_t length = base64_encode(data + i, size - i < step ? size - i : step, line);
        int r = buffer_append(ret, line, length);

        if (r == 0)
            r = buffer_append(ret, "\n", 1);
        if (r < 0)
            return r;
    }
    return 0;
}

int est_base64_decode(
    const char *text, size_t size, size_t maximum, uint8_t **ret_data, size_t *ret_size) {
    CLEANUP_FREE uint8_t *data = NULL;
    size_t used;

    /* twice the room of the text in one line is enough for any wrapping that is not padding out the
     * body */
    if (size > 2 * BASE64_TEXT_SIZE(maximum) + 64)
        return -EMSGSIZE;
    data = malloc(size / 4 * 3 + 3);
    if (!data)
        return -ENOMEM;
    if (base64_decode(text, size, true, data, &used) < 0)
        return -EBADMSG;
    if (used > maximum)
        return -EMSGSIZE;
    *ret_data = TAKE_PTR(data);
    *ret_size = used;
    return 0;
}

static int take_certificates(STACK_OF(X509) * from, STACK_OF(X509) * *ret) {
    CLEANUP_CERTS STACK_OF(X509) *certificates = NULL;
    int count = sk_X509_num(from);

    if (count < 1)
        return -EBADMSG;
    if (count > EST_MAX_CERTIFICATES)
        return -EMSGSIZE;
    for (int i = 0; i < count; i++)
        if (i2d_X509(sk_X509_value(from, i), NULL) > X509_MAX_DER_SIZE)
            return -EMSGSIZE;
    certificates = X509_chain_up_ref(from);
    if (!certificates)
        return -ENOMEM;
    *ret = TAKE_PTR(certificates);
    return 0;
}

int est_certs_decode(const char *body, size_t size, STACK_OF(X509) * *ret) {
    CLEANUP_FREE uint8_t *der = NULL;
    CLEANUP(pkcs7_free_ptr) PKCS7 *message = NULL;
    const unsigned char *p;
    size_t der_size;
    int r;

    if (size > EST_MAX_BODY)
        return -EMSGSIZE;
    r = est_base64_decode(body, size, EST_MAX_BODY, &der, &der_size);
    if (r < 0)
        return r;
    p = der;
    message = d2i_PKCS7(NULL, &p, (long)der_size);
    if (!message || p != der + der_size || !PKCS7_type_is_signed(message) || !message->d.sign)
        return -EBADMSG;
    return take_certificates(message->d.sign->cert, ret);
}

int est_certs_encode(STACK_OF(X509) * certificates, struct buffer *ret) {
    CLEANUP(pkcs7_free_ptr) PKCS7 *message = PKCS7_new();
    unsigned char *der = NULL;
    int size, r;

    if (!message)
        return -ENOMEM;
    /* RFC 5652 section 5.2: no signers, no content, version 1 */
    if (PKCS7_set_type(message, NID_pkcs7_signed) != 1 ||
        PKCS7_content_new(message, NID_pkcs7_data) != 1 || PKCS7_set_detached(message, 1) != 1)
        return -EIO;
    for (int i = 0; i < sk_X509_num(certificates); i++)
        if (PKCS7_add_certificate(message, sk_X509_value(certificates, i)) != 1)
            return -EIO;
    size = i2d_PKCS7(message, &der);
    if (size <= 0)
        return -EIO;
    r = est_base64_encode(der, (size_t)size, ret);
    OPENSSL_free(der);
    return r;
}

bool est_is_pkcs7(const char *content_type) {
    static const char *const types[] = {"application/pkcs7-mime", "application/x-pkcs7-mime"};
    size_t length;

    if (!content_type)
        return false;
    content_type += strspn(content_type, " \t");
    length = strcspn(content_type, "; \t\r\n");
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++)
        if (strlen(types[i]) == length && strncasecmp(types[i], content_type, length) == 0)
            return true;
    return false;
}

int est_retry_after(const char *value, int64_t now_s, int64_t *ret_seconds) {
    int64_t seconds = 0;
    size_t digits;

    if (!value)
        return -EINVAL;
    value += strspn(value, " \t");
    digits = strspn(value, "0123456789");
    if (digits > 0) {
        if (value[digits + strspn(value + digits, " \t")] != '\0')
            return -EINVAL;
        for (size_t i = 0; i < digits && seconds < MAX_RETRY_AFTER_S; i++)
            seconds = seconds * 10 + (value[i] - '0');
    } else {
        int r = http_date_parse(value, &seconds);

        if (r < 0)
            return r;
        seconds -= now_s;
    }
    if (seconds < 0)
        seconds = 0;
    *ret_seconds = seconds < MAX_RETRY_AFTER_S ? seconds : MAX_RETRY_AFTER_S;
    return 0;
}
