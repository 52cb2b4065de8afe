/* pkcs11_uri: certificates that certutil of NSS 3.87 made, and the key id that `certutil -K` showed
 * of each. */
#include "ipc/ctl/pkcs11_uri.h"

#include "common/cleanup.h"
#include "common/x509_key.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char p256[] = "-----BEGIN CERTIFICATE-----\n"
                           "MIIBCjCBsaADAgECAgUAzC4tXjAKBggqhkjOPQQDAjANMQswCQYDVQQDEwJlYzAe\n"
                           "Fw0yNjExMjkyMjAwMTNaFw0yNzExMjkyMjAwMTNaMA0xCzAJBgNVBAMTAmVjMFkw\n"
                           "EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE81QQBEi9LtjezE6AIqEALYLRZOHFR7us\n"
                           "+WGlUTEQ0tbWSiRX2YpbhgwJ/W6dIscyv7DqCqZfGWGhVdlGkPI3VDAKBggqhkjO\n"
                           "PQQDAgNIADBFAiEA5vsoYTJfqkLkurqyi3J9jF3NqFJ3NhgGUxfxT+N8xwECICfx\n"
                           "NImqDPz9Vduq93FxsV1L4ukr/on3x+7Gn30yopSa\n"
                           "-----END CERTIFICATE-----\n";

static const char p384[] = "-----BEGIN CERTIFICATE-----\n"
                           "MIIBTjCB1KADAgECAgUAzC4tXjAKBggqhkjOPQQDAjAQMQ4wDAYDVQQDEwVlYzM4\n"
                           "NDAeFw0yNjExMjkyMjAwMTRaFw0yNzExMjkyMjAwMTRaMBAxDjAMBgNVBAMTBWVj\n"
                           "Mzg0MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEGSaLu5gtSOMyLRyvafgon5gu7Q/N\n"
                           "G+n62y3ooDatltx14Xn+hOy2aQzwiHQu9iiVzYRyLshbRCszVfJuyQm+sta/5oWk\n"
                           "NpVfxO28MgY9sKlm6m7DtWz65cQ3TfMKyMeMMAoGCCqGSM49BAMCA2kAMGYCMQDZ\n"
                           "o0eVnRyJy6+aYcWh+pk+kpnqzDh1BTKGx5NLev8SE5ooEQjy/+VymhYjW3XH9hsC\n"
                           "MQCLpJqkMTCNyYHmcMU7Flr5mfVkWcgOZe5cBRVyFBdVZlkGjuPFZBY57iZDyANp\n"
                           "g8s=\n"
                           "-----END CERTIFICATE-----\n";

static const char rsa[] = "-----BEGIN CERTIFICATE-----\n"
                          "MIICmTCCAYGgAwIBAgIFAMwuLV4wDQYJKoZIhvcNAQELBQAwDjEMMAoGA1UEAxMD\n"
                          "cnNhMB4XDTI2MTEyOTIyMDAxNFoXDTI3MTEyOTIyMDAxNFowDjEMMAoGA1UEAxMD\n"
                          "cnNhMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAws4rX9fd72EOMIg1\n"
                          "MVYJGX48+DDrgFJsTha+NuTGyU6g1DiBQ5RaVj8NCK7J1+UKtkC8R8qDMh3+GIZp\n"
                          "dxel+bch5OWTP2S2RM9IEBaoZQpuoPDiyF9AzHAHpvOm/Kq87zyFi+4OqDNrfn3i\n"
                          "CKB9r7Ge4Fz16nH6TrHggFz7jtREFEbXsv44QKHFnjJzWl4zmEN2trGtQkCh5stU\n"
                          "z6zOYn+fCqW6IeBw3M/xSVm4j7uB70mk2bkcd32avfVTNjn6hgxqyzfKZtBvydYy\n"
                          "aurbfp29PRhIahZUiCVAJPmjZ/Qk0f1q3sEFH31Mvaj3IzF5ZHvWjADOQYJGV0cw\n"
                          "/BtNMwIDAQABMA0GCSqGSIb3DQEBCwUAA4IBAQBuBvfF7+nUWI57/upbXwRJNQhk\n"
                          "tYfP3i5R+K3FAOtsu8VO0utWSjOU3WzZFcNv4YSoXQ6jBxErmUKdEz/u7gzrW8hx\n"
                          "DZtJvjMFCem3o44pt8/X4QybLvmi/qD7TwFgAHoAkMNsk2qk6IZVo8duQFYf+XuG\n"
                          "iq/VYWhFMaE/ULOXt/ZchmGar4m/tugNhNIYTi6YnV6wKdJwXfd0rCd9U/R9z0HJ\n"
                          "6MtII8O0vxv3lQhqa6iG0F/j4cJ3jLZk2gsBLqb2M3JnnNDROGObo49uJQZp3qQt\n"
                          "fj+OjTjhdvPlxdYbMqhAUUClxmBVpvA8Ozscz92UkxEe8PxV0fC74S5cSjQY\n"
                          "-----END CERTIFICATE-----\n";

static X509 *read_pem(const char *pem) {
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(certificate);
    return certificate;
}

static void test_id_is_that_of_nss(void **state) {
    static const struct {
        const char *pem, *uri;
    } cases[] = {
        {p256, "pkcs11:token=NSS%20Certificate%20DB;"
               "id=%81%1F%62%7A%C8%80%B8%E4%CF%E0%D7%E0%E9%A7%29%4B%F4%9D%CF%DD"},
        {p384, "pkcs11:token=NSS%20Certificate%20DB;"
               "id=%39%EE%3D%0D%C5%70%4C%93%DC%53%D5%65%C7%B0%75%31%F9%C7%C6%81"},
        {rsa, "pkcs11:token=NSS%20Certificate%20DB;"
              "id=%B3%25%26%99%89%7B%B7%69%80%FC%01%56%DE%16%29%C2%74%84%55%E7"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP_X509 X509 *certificate = read_pem(cases[i].pem);
        char uri[PKCS11_URI_SIZE];

        assert_int_equal(pkcs11_uri(certificate, uri), 0);
        assert_string_equal(uri, cases[i].uri);
    }
}

static void test_key_that_nss_does_not_name_so(void **state) {
    CLEANUP_EVP_PKEY EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    CLEANUP_X509 X509 *certificate = X509_new();
    char uri[PKCS11_URI_SIZE] = "untouched";

    (void)state;
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_int_equal(pkcs11_uri(certificate, uri), -ENOTSUP);
    assert_string_equal(uri, "untouched");
}

static void test_no_key(void **state) {
    CLEANUP_X509 X509 *certificate = X509_new();
    char uri[PKCS11_URI_SIZE];

    (void)state;
    assert_int_equal(pkcs11_uri(certificate, uri), -EBADMSG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_is_that_of_nss),
        cmocka_unit_test(test_key_that_nss_does_not_name_so),
        cmocka_unit_test(test_no_key),
    };

    return cmocka_run_group_tests_name("ctl pkcs11 uri", tests, NULL, NULL);
}
