/* The byte string: its maximum is exact, its contents stay whole on every error, and the NUL is
 * always there. */
#include "common/buffer.h"
#include "common/cleanup.h"

#include "unit.h"

#include <errno.h>

static void test_maximum_and_one_past(void **state) {
    (void)state;
    CLEANUP_BUFFER struct buffer buffer = BUFFER_INIT(5);
    assert_int_equal(buffer_append(&buffer, "hello", 5), 0);
    assert_int_equal(buffer_append(&buffer, "!", 1), -EMSGSIZE);
    assert_int_equal(buffer.size, 5);
    assert_string_equal((char *)buffer.data, "hello");
    assert_int_equal(buffer_append(&buffer, "", 0), 0);
    buffer_deinit(&buffer);
    assert_int_equal(buffer_append(&buffer, "hello!", 6), -EMSGSIZE);
    assert_int_equal(buffer.size, 0);
}

static void test_maximum_of_nothing(void **state) {
    (void)state;
    CLEANUP_BUFFER struct buffer buffer = BUFFER_INIT(0);
    assert_int_equal(buffer_append(&buffer, "x", 1), -EMSGSIZE);
    assert_int_equal(buffer_append(&buffer, NULL, 0), 0);
    assert_string_equal((char *)buffer.data, "");
}

static void test_absurd_sizes(void **state) {
    (void)state;
    CLEANUP_BUFFER struct buffer buffer = BUFFER_INIT(100);
    assert_int_equal(buffer_append(&buffer, "abc", 3), 0);
    volatile size_t size = SIZE_MAX; /* which the compiler would refuse, if it knew */
    assert_int_equal(buffer_append(&buffer, "abc", size), -EMSGSIZE);
    assert_int_equal(buffer_append(&buffer, "abc", size - 2), -EMSGSIZE);
    struct buffer boundless = BUFFER_INIT(SIZE_MAX);
    assert_int_equal(buffer_append(&boundless, "x", 1), -EMSGSIZE);
    assert_null(boundless.data);
}

static void test_byte_by_byte(void **state) {
    (void)state;
    enum { COUNT = 70000 };
    CLEANUP_BUFFER struct buffer buffer = BUFFER_INIT(COUNT);
    for (int i = 0; i < COUNT; i++) {
        char c = (char)('a' + i % 26);
        assert_int_equal(buffer_append(&buffer, &c, 1), 0);
        assert_int_equal(buffer.data[buffer.size], 0);
        assert_true(buffer.capacity <= buffer.maximum + 1);
    }
    assert_int_equal(buffer_append(&buffer, "x", 1), -EMSGSIZE);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(buffer.data[i], 'a' + i % 26);
}

static void test_string(void **state) {
    (void)state;
    CLEANUP_BUFFER struct buffer buffer = BUFFER_INIT(6);
    assert_int_equal(buffer_append_string(&buffer, "abc"), 0);
    assert_int_equal(buffer_append_string(&buffer, ""), 0);
    assert_int_equal(buffer_append_string(&buffer, "def"), 0);
    assert_int_equal(buffer_append_string(&buffer, "g"), -EMSGSIZE);
    assert_string_equal((char *)buffer.data, "abcdef");
}

static void test_consume(void **state) {
    (void)state;
    CLEANUP_BUFFER struct buffer buffer = BUFFER_INIT(8);
    buffer_consume(&buffer, 3); /* nothing there yet */
    assert_int_equal(buffer_append(&buffer, "abcdefgh", 8), 0);
    buffer_consume(&buffer, 0);
    buffer_consume(&buffer, 3);
    assert_string_equal((char *)buffer.data, "defgh");
    assert_int_equal(buffer.size, 5);
    assert_int_equal(buffer_append(&buffer, "ijk", 3), 0); /* the room is back */
    assert_string_equal((char *)buffer.data, "defghijk");
    buffer_consume(&buffer, 8);
    assert_int_equal(buffer.size, 0);
    assert_string_equal((char *)buffer.data, "");
    assert_int_equal(buffer_append(&buffer, "x", 1), 0);
    buffer_consume(&buffer, 1000);
    assert_int_equal(buffer.size, 0);
}

static void test_steal(void **state) {
    (void)state;
    struct buffer buffer = BUFFER_INIT(8);
    size_t size = 77;
    CLEANUP_FREE char *empty = buffer_steal(&buffer, &size);
    assert_string_equal(empty, "");
    assert_int_equal(size, 0);

    assert_int_equal(buffer_append(&buffer, "a\0b", 3), 0);
    CLEANUP_FREE char *stolen = buffer_steal(&buffer, &size);
    assert_int_equal(size, 3);
    assert_memory_equal(stolen, "a\0b", 4);
    assert_null(buffer.data);
    assert_int_equal(buffer.size, 0);
    assert_int_equal(buffer_append(&buffer, "12345678", 8), 0); /* usable again, same maximum */
    assert_int_equal(buffer_append(&buffer, "9", 1), -EMSGSIZE);
    CLEANUP_FREE char *full = buffer_steal(&buffer, NULL);
    assert_string_equal(full, "12345678");
}

static void test_deinit_of_zeroes(void **state) {
    (void)state;
    struct buffer buffer = {0};
    buffer_deinit(&buffer);
    buffer_deinit(&buffer);
    assert_null(buffer.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maximum_and_one_past),
        cmocka_unit_test(test_maximum_of_nothing),
        cmocka_unit_test(test_absurd_sizes),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_string),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_steal),
        cmocka_unit_test(test_deinit_of_zeroes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
