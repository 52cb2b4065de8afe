/* Names, serial numbers, times and texts of certificates. */
#include "x509_pki.h"

#include <errno.h>

static const uint8_t serial[4] = {0x5a, 0x01, 0x02, 0x03};

static size_t characters(const char *text) {
    size_t count = 0;

    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void test_common_name(void **state) {
    char cn[X509_PROFILE_CN_SIZE];

    (void)state;
    assert_int_equal(x509_profile_user_cn("Example Ltd", serial, cn, sizeof(cn)), 0);
    assert_string_equal(cn, "Example Ltd Device Trust Certificate - 5a010203");
}

/* 64 characters, whatever they are in bytes. */
static void test_long_organisations_are_cut(void **state) {
    static const char *const units[] = {"x", "\xc3\xa9", "\xe4\xbe\x8b", "\xf0\x9f\x8f\xa2"};
    char cn[X509_PROFILE_CN_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
        char organisation[64 * 4 + 1] = "";
        size_t length = strlen(units[i]);

        for (int n = 0; n < 64; n++)
            memcpy(organisation + (size_t)n * length, units[i], length + 1);
        assert_int_equal(x509_profile_user_cn(organisation, serial, cn, sizeof(cn)), 0);
        assert_int_equal(characters(cn), 64);
        assert_memory_equal(cn, organisation, 28 * length);
        organisation[28 * length] = '\0';
        assert_int_equal(x509_profile_user_cn(organisation, serial, cn, sizeof(cn)), 0);
        assert_int_equal(characters(cn), 64);
    }
    /* no blank before the blank */
    assert_int_equal(
        x509_profile_user_cn("aaaaaaaaaaaaaaaaaaaaaaaaaaa bbbb", serial, cn, sizeof(cn)), 0);
    assert_string_equal(cn, "aaaaaaaaaaaaaaaaaaaaaaaaaaa Device Trust Certificate - 5a010203");
}

static void test_bad_organisations(void **state) {
    static const char *const bad[] = {"",     " ",    "a\nb",     "a\x7f",
                                      "\xff", "\xc3", "\xc0\x80", "a\xc2\x85z"};
    char cn[X509_PROFILE_CN_SIZE] = "untouched";

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(x509_profile_user_cn(bad[i], serial, cn, sizeof(cn)), -EINVAL);
    assert_int_equal(x509_profile_user_cn("Example", serial, cn, 20), -EINVAL);
}

static void test_uris(void **state) {
    char uri[64];

    (void)state;
    assert_int_equal(x509_profile_device_uri(PKI_DEVICE, uri, sizeof(uri)), 0);
    assert_string_equal(uri, "urn:uuid:" PKI_DEVICE);
    assert_int_equal(x509_profile_user_uri("a.b@c", uri, sizeof(uri)), 0);
    assert_string_equal(uri, "urn:devtrust:user:a.b@c");
    assert_int_equal(x509_profile_device_uri(PKI_DEVICE, uri, 9 + 36), -EINVAL);
    assert_int_equal(x509_profile_device_uri(PKI_DEVICE, uri, 9 + 37), 0);
}

static X509 *good_leaf(void) {
    struct pki_ca ca = pki_ca("Root", "critical,CA:TRUE", NULL);
    EVP_PKEY *key = pki_key(KEY_TYPE_P256);
    struct pki_spec spec = pki_user_leaf(key);
    X509 *leaf = pki_issue(&spec, &ca);

    EVP_PKEY_free(key);
    pki_ca_free(&ca);
    return leaf;
}

static void test_fields(void **state) {
    CLEANUP_X509 X509 *leaf = good_leaf();
    char hex[X509_SERIAL_HEX_SIZE], *text;
    int64_t seconds;

    (void)state;
    assert_int_equal(x509_serial_hex(leaf, hex), 0);
    assert_string_equal(hex, PKI_SERIAL_HEX);
    assert_int_equal(x509_not_before(leaf, &seconds), 0);
    assert_int_equal(seconds, PKI_NOW - X509_PROFILE_BACKDATE_S);
    assert_int_equal(x509_not_after(leaf, &seconds), 0);
    assert_int_equal(seconds, PKI_NOW + 30 * 86400);
    assert_true(x509_profile_user_cn_matches(leaf));
    assert_true(x509_has_policy(leaf, X509_POLICY_USER));
    assert_false(x509_has_policy(leaf, X509_POLICY_DEVICE));
    assert_false(x509_has_policy(leaf, "not an OID"));
    assert_true(x509_has_san_uri(leaf, "urn:uuid:" PKI_DEVICE));
    assert_false(x509_has_san_uri(leaf, "urn:uuid:"));
    assert_false(x509_has_san_uri(leaf, "urn:uuid:" PKI_DEVICE "0"));
    assert_int_equal(x509_subject_text(leaf, NID_commonName, &text), 0);
    assert_string_equal(text, "Example Device Trust Certificate - 5a010203");
    free(text);
    assert_int_equal(x509_subject_text(leaf, NID_userId, &text), -ENOENT);
}

static void test_serial_numbers(void **state) {
    static const struct {
        const char *hex, *expected;
    } cases[] = {
        {"01", "01"},
        {"80", "80"},
        {"0100", "0100"},
        {"ffffffffffffffffffffffffffffffffffffffff", "ffffffffffffffffffffffffffffffffffffffff"},
        {"01ffffffffffffffffffffffffffffffffffffffff", NULL},
        {"-01", NULL},
        {"0", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        X509 *certificate = X509_new();
        BIGNUM *number = NULL;
        char hex[X509_SERIAL_HEX_SIZE];
        int r;

        BN_hex2bn(&number, cases[i].hex);
        BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
        r = x509_serial_hex(certificate, hex);
        assert_int_equal(r, cases[i].expected ? 0 : -EINVAL);
        if (r == 0)
            assert_string_equal(hex, cases[i].expected);
        BN_free(number);
        X509_free(certificate);
    }
}

static void test_name_text_is_escaped(void **state) {
    X509_NAME *name = X509_NAME_new();
    char *text;

    (void)state;
    X509_NAME_add_entry_by_NID(
        name, NID_commonName, V_ASN1_UTF8STRING, (const unsigned char *)"a,b\x1b[31m \xc3\xa9", -1,
        -1, 0);
    text = x509_name_text(name);
    assert_non_null(text);
    assert_null(strchr(text, '\x1b'));
    assert_non_null(strstr(text, "a\\,b"));
    assert_non_null(strstr(text, "\xc3\xa9"));
    free(text);
    X509_NAME_free(name);
}

static void test_base64_round_trip(void **state) {
    CLEANUP_X509 X509 *leaf = good_leaf(), *back = NULL;
    X509 *none = NULL;
    char *text, *spoilt;
    size_t length;

    (void)state;
    assert_int_equal(x509_cert_to_base64(leaf, &text), 0);
    assert_null(strchr(text, '\n'));
    assert_int_equal(x509_cert_from_base64(text, &back), 0);
    assert_int_equal(X509_cmp(leaf, back), 0);
    length = strlen(text);
    spoilt = malloc(length + 16);
    memcpy(spoilt, text, length + 1);
    memcpy(spoilt + length, "AAAA", sizeof("AAAA")); /* something after it */
    assert_int_equal(x509_cert_from_base64(spoilt, &none), -EBADMSG);
    spoilt[length] = '\n';
    spoilt[length + 1] = '\0';
    assert_int_equal(x509_cert_from_base64(spoilt, &none), -EBADMSG);
    spoilt[length - 8] = '\0';
    assert_int_equal(x509_cert_from_base64(spoilt, &none), -EBADMSG);
    assert_int_equal(x509_cert_from_base64("", &none), -EBADMSG);
    free(spoilt);
    spoilt = malloc(20000);
    memset(spoilt, 'A', 19999);
    spoilt[19999] = '\0';
    assert_int_equal(x509_cert_from_base64(spoilt, &none), -EMSGSIZE);
    assert_null(none);
    free(spoilt);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common_name),
        cmocka_unit_test(test_long_organisations_are_cut),
        cmocka_unit_test(test_bad_organisations),
        cmocka_unit_test(test_uris),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_serial_numbers),
        cmocka_unit_test(test_name_text_is_escaped),
        cmocka_unit_test(test_base64_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
