/* Tags and lengths, one by one. */
#include "common/x509_der.h"

#include "common/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_by_hand(void **state) {
    static const struct {
        const char *data;
        size_t size;
        bool good;
    } cases[] = {
        {"", 0, false},
        {"\x30", 1, false},
        {"\x30\x00", 2, true},
        {"\x30\x00\x00", 3, false},                 /* trailing */
        {"\x31\x00", 2, false},                     /* a set */
        {"\x30\x03\x02\x01\x05", 5, true},          /* an integer */
        {"\x30\x03\x02\x02\x05", 5, false},         /* longer than what holds it */
        {"\x30\x04\x02\x01\x05", 5, false},         /* cut off */
        {"\x30\x81\x03\x02\x01\x05", 6, false},     /* length in two octets where one does */
        {"\x30\x82\x00\x03\x02\x01\x05", 7, false}, /* a leading zero */
        {"\x30\x80\x02\x01\x05\x00\x00", 7, false}, /* indefinite */
        {"\x30\x84\x00\x00\x00\x03\x02\x01\x05", 9, false},
        {"\x30\x83", 2, false},
        {"\x3f\x82\x01\x00", 4, false},         /* a tag above 30 */
        {"\x30\x04\x24\x80\x00\x00", 6, false}, /* an indefinite one inside */
        {"\x30\x04\x04\x02\x24\x80", 6, true},  /* but an octet string is not looked into */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        assert_int_equal(
            x509_der_is_one_object((const uint8_t *)cases[i].data, cases[i].size), cases[i].good);
}

static void test_depth(void **state) {
    uint8_t data[2 * (X509_DER_MAX_DEPTH + 2)];

    (void)state;
    for (int levels = 1; levels <= X509_DER_MAX_DEPTH + 2; levels++) {
        for (int i = 0; i < levels; i++) {
            data[2 * i] = 0x30;
            data[2 * i + 1] = (uint8_t)(2 * (levels - 1 - i));
        }
        assert_int_equal(
            x509_der_is_one_object(data, 2 * (size_t)levels), levels <= X509_DER_MAX_DEPTH);
    }
}

static void test_long_lengths(void **state) {
    static uint8_t data[70000];

    (void)state;
    data[0] = 0x30;
    data[1] = 0x81;
    data[2] = 0x80;
    data[3] = 0x04;
    data[4] = 0x7e;
    assert_true(x509_der_is_one_object(data, 3 + 0x80));
    /* 65540 octets: an octet string of 65535 and its header of four, and one that holds nothing */
    static const uint8_t header[] = {0x30, 0x83, 0x01, 0x00, 0x05, 0x04, 0x82, 0xff, 0xff};

    memset(data, 0, sizeof(data));
    memcpy(data, header, sizeof(header));
    data[sizeof(header) + 65535] = 0x05;
    assert_true(x509_der_is_one_object(data, 5 + 65541));
    assert_false(x509_der_is_one_object(data, 5 + 65540));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_long_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
