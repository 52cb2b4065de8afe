/* EST bodies as servers really send them, and as none should. */
#include "x509_pki.h"

#include <errno.h>

static STACK_OF(X509) * some_certificates(int count) {
    STACK_OF(X509) *certificates = sk_X509_new_null();
    struct pki_ca ca = pki_ca("Root", "critical,CA:TRUE", NULL);

    for (int i = 0; i < count; i++)
        sk_X509_push(certificates, X509_dup(ca.certificate));
    pki_ca_free(&ca);
    return certificates;
}

static char *body_of(int count, size_t *ret_size) {
    STACK_OF(X509) *certificates = some_certificates(count);
    struct buffer body = BUFFER_INIT(EST_MAX_BODY);

    assert_int_equal(est_certs_encode(certificates, &body), 0);
    sk_X509_pop_free(certificates, X509_free);
    return buffer_steal(&body, ret_size);
}

static int decode(const char *body, size_t size) {
    STACK_OF(X509) *certificates = NULL;
    int r = est_certs_decode(body, size, &certificates);
    int count = r == 0 ? sk_X509_num(certificates) : r;

    assert_true((r == 0) == (certificates != NULL));
    sk_X509_pop_free(certificates, X509_free);
    return count;
}

static void test_round_trip(void **state) {
    (void)state;
    for (int count = 1; count <= EST_MAX_CERTIFICATES; count++) {
        size_t size;
        char *body = body_of(count, &size);

        assert_int_equal(decode(body, size), count);
        free(body);
    }
}

static void test_lines_are_64_columns(void **state) {
    size_t size;
    char *body = body_of(1, &size);
    const char *line = body;

    (void)state;
    for (const char *end; (end = strchr(line, '\n')); line = end + 1)
        assert_true(end - line == 64 || (end - line < 64 && end[1] == '\0'));
    assert_int_equal(*line, '\0');
    free(body);
}

/* One line, CRLF, blanks at both ends: all of them are out there. */
static void test_white_space(void **state) {
    size_t size, used = 0;
    char *body = body_of(2, &size), *other = malloc(2 * size + 8);

    (void)state;
    for (size_t i = 0; i < size; i++)
        if (body[i] != '\n')
            other[used++] = body[i];
    assert_int_equal(decode(other, used), 2);
    used = 0;
    other[used++] = ' ';
    for (size_t i = 0; i < size; i++) {
        if (body[i] == '\n')
            other[used++] = '\r';
        other[used++] = body[i];
    }
    other[used++] = '\t';
    assert_int_equal(decode(other, used), 2);
    free(other);
    free(body);
}

static void test_not_certificates(void **state) {
    static const char *const bodies[] = {
        "",
        "<!DOCTYPE html><html><body>Sign in to the network</body></html>",
        "MIIB",
        "AAAA",
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA",
        "-----BEGIN PKCS7-----\nMIIB\n-----END PKCS7-----\n",
        "{\"error\":\"no\"}",
        "====",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++)
        assert_int_equal(decode(bodies[i], strlen(bodies[i])), -EBADMSG);
}

static void test_truncated(void **state) {
    size_t size;
    char *body = body_of(3, &size);

    (void)state;
    for (size_t cut = 2; cut < size; cut += 13)
        assert_int_equal(decode(body, size - cut), -EBADMSG);
    free(body);
}

static void test_trailing_der(void **state) {
    size_t size, der_size;
    char *body = body_of(1, &size);
    uint8_t *der;
    struct buffer longer = BUFFER_INIT(EST_MAX_BODY);

    (void)state;
    assert_int_equal(est_base64_decode(body, size, EST_MAX_BODY, &der, &der_size), 0);
    der = realloc(der, der_size + 1);
    der[der_size] = 0;
    assert_int_equal(est_base64_encode(der, der_size + 1, &longer), 0);
    assert_int_equal(decode((const char *)longer.data, longer.size), -EBADMSG);
    buffer_deinit(&longer);
    free(der);
    free(body);
}

static void test_too_many_and_too_large(void **state) {
    size_t size;
    char *body = body_of(EST_MAX_CERTIFICATES + 1, &size);
    char *large = malloc(EST_MAX_BODY + 1);

    (void)state;
    assert_int_equal(decode(body, size), -EMSGSIZE);
    memset(large, 'A', EST_MAX_BODY + 1);
    assert_int_equal(decode(large, EST_MAX_BODY + 1), -EMSGSIZE);
    assert_int_equal(decode(large, EST_MAX_BODY), -EBADMSG);
    free(large);
    free(body);
}

static void test_no_certificates(void **state) {
    STACK_OF(X509) *none = sk_X509_new_null();
    struct buffer body = BUFFER_INIT(EST_MAX_BODY);

    (void)state;
    assert_int_equal(est_certs_encode(none, &body), 0);
    assert_int_equal(decode((const char *)body.data, body.size), -EBADMSG);
    buffer_deinit(&body);
    sk_X509_free(none);
}

static void test_decoded_maximum(void **state) {
    uint8_t *data = NULL;
    size_t size = 0;

    (void)state;
    assert_int_equal(est_base64_decode("AAAAAAAA", 8, 6, &data, &size), 0);
    assert_int_equal(size, 6);
    free(data);
    data = NULL;
    assert_int_equal(est_base64_decode("AAAAAAAA", 8, 5, &data, &size), -EMSGSIZE);
    assert_null(data);
}

static void test_buffer_maximum(void **state) {
    uint8_t data[100] = {0};
    struct buffer small = BUFFER_INIT(64);

    (void)state;
    assert_int_equal(est_base64_encode(data, sizeof(data), &small), -EMSGSIZE);
    buffer_deinit(&small);
}

static void test_media_type(void **state) {
    static const char *const good[] = {
        "application/pkcs7-mime",
        "Application/PKCS7-MIME; smime-type=certs-only",
        "application/pkcs7-mime;smime-type=\"certs-only\"",
        " application/pkcs7-mime ",
        "application/x-pkcs7-mime",
    };
    static const char *const bad[] = {
        "text/html", "application/pkcs7-mimes", "application/pkcs7", "",
        "; application/pkcs7-mime"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        assert_true(est_is_pkcs7(good[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_false(est_is_pkcs7(bad[i]));
    assert_false(est_is_pkcs7(NULL));
}

static int64_t retry_after(const char *value) {
    int64_t seconds = -1;
    int r = est_retry_after(value, 784111777, &seconds);

    return r < 0 ? r : seconds;
}

static void test_retry_after(void **state) {
    (void)state;
    assert_int_equal(retry_after("0"), 0);
    assert_int_equal(retry_after(" 120 "), 120);
    assert_int_equal(retry_after("21600"), 21600);
    assert_int_equal(retry_after("21601"), 21600);
    assert_int_equal(retry_after("99999999999999999999999999"), 21600);
    assert_int_equal(retry_after("Sun, 06 Nov 1994 08:50:37 GMT"), 60);
    assert_int_equal(retry_after("Sun, 06 Nov 1994 08:49:36 GMT"), 0);
    assert_int_equal(retry_after("Sun, 06 Nov 2094 08:49:36 GMT"), 21600);
    assert_int_equal(retry_after("-1"), -EINVAL);
    assert_int_equal(retry_after("1.5"), -EINVAL);
    assert_int_equal(retry_after("12 s"), -EINVAL);
    assert_int_equal(retry_after("soon"), -EINVAL);
    assert_int_equal(retry_after(""), -EINVAL);
    assert_int_equal(retry_after(NULL), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_lines_are_64_columns),
        cmocka_unit_test(test_white_space),
        cmocka_unit_test(test_not_certificates),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_trailing_der),
        cmocka_unit_test(test_too_many_and_too_large),
        cmocka_unit_test(test_no_certificates),
        cmocka_unit_test(test_decoded_maximum),
        cmocka_unit_test(test_buffer_maximum),
        cmocka_unit_test(test_media_type),
        cmocka_unit_test(test_retry_after),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
