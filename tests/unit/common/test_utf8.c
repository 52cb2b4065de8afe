/* The decoder: each form at its smallest and largest, and one past; and its opposite. */
#include "common/utf8.h"

#include "unit.h"

#include <errno.h>

static void check(const char *text, size_t length, int expected, uint32_t code) {
    char *exact =
        malloc(length ? length : 1); /* no byte behind it: the sanitizer sees a read too far */
    memcpy(exact, text, length);
    uint32_t found = 0xdead;
    assert_int_equal(utf8_decode(exact, length, &found), expected);
    assert_int_equal(found, expected < 0 ? 0xdead : code);
    free(exact);
}

static void test_bounds_of_the_forms(void **state) {
    (void)state;
    check("\0", 1, 1, 0);
    check("\x7f", 1, 1, 0x7f);
    check("\xc2\x80", 2, 2, 0x80);
    check("\xdf\xbf", 2, 2, 0x7ff);
    check("\xe0\xa0\x80", 3, 3, 0x800);
    check("\xed\x9f\xbf", 3, 3, 0xd7ff);
    check("\xee\x80\x80", 3, 3, 0xe000);
    check("\xef\xbf\xbf", 3, 3, 0xffff);
    check("\xf0\x90\x80\x80", 4, 4, 0x10000);
    check("\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff);
    check("abc", 3, 1, 'a'); /* only the first */
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xff",
        "\xfe",
        "\xc3(",
        "\xe2(\xa1",
        "\xe2\x82(",
        "\xf0(\x8c\xbc",
        "\xc3",
        "\xe2\x82",
        "\xf0\x9f\x98",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check(bad[i], strlen(bad[i]), -EILSEQ, 0);
    check("", 0, -EILSEQ, 0);
}

static void test_encode_is_the_opposite(void **state) {
    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        if (code == 0xd800)
            code = 0xe000;
        char bytes[5] = {0, 0, 0, 0, 'x'};
        size_t size = utf8_encode(code, bytes);
        uint32_t found = 0xdead;
        if (utf8_decode(bytes, size, &found) != (int)size || found != code)
            fail_msg("U+%04X became U+%04X in %zu bytes", code, found, size);
        assert_int_equal(bytes[4], 'x');
    }
}

static void test_deceptive(void **state) {
    static const uint32_t deceptive[] = {
        0x80, 0x9b, 0x9f, 0x61c, 0x200e, 0x200f, 0x2028, 0x202e, 0x2066, 0x2069, 0xfeff, 0xe0041,
    };
    static const uint32_t plain[] = {' ', 'a', '~', 0xa0, 0xe9, 0x2026, 0x2192, 0x4e2d, 0x1f600};
    (void)state;
    for (size_t i = 0; i < sizeof deceptive / sizeof deceptive[0]; i++)
        assert_true(utf8_is_deceptive(deceptive[i]));
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        assert_false(utf8_is_deceptive(plain[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_of_the_forms),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_encode_is_the_opposite),
        cmocka_unit_test(test_deceptive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
