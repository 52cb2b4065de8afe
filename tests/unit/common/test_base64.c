/* RFC 4648 section 10, and what a decoder must not let pass. */
#include "common/base64.h"

#include "common/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_vectors(void **state) {
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfd", "//79"},
        {"\xfb\xf0", "+/A="}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(vectors); i++) {
        char text[16];
        uint8_t data[16];
        size_t size = 99;

        assert_int_equal(
            base64_encode((const uint8_t *)vectors[i][0], strlen(vectors[i][0]), text),
            strlen(vectors[i][1]));
        assert_string_equal(text, vectors[i][1]);
        assert_int_equal(base64_decode(text, strlen(text), false, data, &size), 0);
        assert_int_equal(size, strlen(vectors[i][0]));
        assert_memory_equal(data, vectors[i][0], size);
    }
}

static void test_every_octet(void **state) {
    uint8_t data[256], back[256 + 3];
    char text[BASE64_TEXT_SIZE(256)];
    size_t size;

    (void)state;
    for (int i = 0; i < 256; i++)
        data[i] = (uint8_t)i;
    for (size_t length = 0; length <= 256; length++) {
        size_t written = base64_encode(data, length, text);

        assert_true(written < BASE64_TEXT_SIZE(length));
        assert_int_equal(base64_decode(text, written, false, back, &size), 0);
        assert_int_equal(size, length);
        assert_memory_equal(back, data, size);
    }
}

static void test_refused(void **state) {
    static const char *const bad[] = {"Z",    "Zg",     "Zg=",   "Zg===",    "Zm8",   "Zm9=",
                                      "Zh==", "=",      "====",  "Zg==Zg==", "Zm9v=", "Zm-v",
                                      "Zm_v", "Zm9v\n", " Zm9v", "Zm 9v",    "Zm9v!", "\xc3\xa9"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        uint8_t data[16];
        size_t size = 99;

        assert_int_equal(base64_decode(bad[i], strlen(bad[i]), false, data, &size), -EBADMSG);
        assert_int_equal(size, 99);
    }
    assert_int_equal(base64_decode("Zm\0v", 4, false, (uint8_t[8]){0}, &(size_t){0}), -EBADMSG);
}

static void test_space_where_it_is_allowed(void **state) {
    static const char text[] = " Z\tm 9\r\nv Y g = = \n";
    uint8_t data[16];
    size_t size;

    (void)state;
    assert_int_equal(base64_decode(text, sizeof(text) - 1, true, data, &size), 0);
    assert_int_equal(size, 4);
    assert_memory_equal(data, "foob", 4);
    assert_int_equal(base64_decode("Zm9v\v", 5, true, data, &size), -EBADMSG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_octet),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_space_where_it_is_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
