/* The inside of JSON strings: every byte at every place of a block, comparison and decoding by
 * meaning. What is a good string at all stands in the corpus (test_json_gate.c). */
#include "common/cleanup.h"
#include "common/json_string.h"

#include "unit.h"

#include <errno.h>
#include <stdbool.h>

#define LONGEST 67 /* four blocks and a rest */

/* In memory of exactly its size: a read behind it is seen by the sanitizer. */
static size_t plain_length(const char *text, size_t size) {
    char CLEANUP_FREE *exact = malloc(size ? size : 1);
    memcpy(exact, text, size);
    return json_string_plain_length(exact, size);
}

static bool is_plain(int byte) {
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static void test_plain_length(void **state) {
    (void)state;
    char text[LONGEST];
    for (size_t size = 0; size <= LONGEST; size++) {
        memset(text, 'x', size);
        assert_int_equal(plain_length(text, size), size);
        for (size_t at = 0; at < size; at++) {
            static const char special[] = {'"', '\\', '\x1f', '\0', '\x80', '\xff'};
            for (size_t i = 0; i < ARRAY_LENGTH(special); i++) {
                text[at] = special[i];
                assert_int_equal(plain_length(text, size), at);
            }
            text[at] = 'x';
        }
    }
}

static void test_plain_bytes(void **state) {
    (void)state;
    char text[32];
    for (int byte = 0; byte < 256; byte++)
        for (size_t at = 0; at < sizeof(text); at += sizeof(text) - 1) {
            memset(text, ' ', sizeof(text));
            text[at] = (char)byte;
            assert_int_equal(plain_length(text, sizeof(text)), is_plain(byte) ? sizeof(text) : at);
        }
}

/* A second special byte does not hide the first. */
static void test_first_of_two(void **state) {
    (void)state;
    char text[32];
    for (size_t first = 0; first < sizeof(text); first++)
        for (size_t second = first; second < sizeof(text); second++) {
            memset(text, 'x', sizeof(text));
            text[first] = '"';
            text[second] = '\x01';
            assert_int_equal(plain_length(text, sizeof(text)), first);
        }
}

static int check(const char *text, size_t *ret_read) {
    size_t size = strlen(text);
    char CLEANUP_FREE *exact = malloc(size);
    memcpy(exact, text, size);
    const char *at = exact;
    int r = json_string_check(&at, exact + size);
    *ret_read = (size_t)(at - exact);
    return r;
}

static void test_check(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int result;
        size_t read;
    } cases[] = {
        {"\"", 0, 1},
        {"abc\" and more", 0, 4},
        {"0123456789abcdef0123456789abcdef\"", 0, 33},
        {"\xc3\xa9\"", 0, 3},
        {"a\\n\"", 1, 4},
        {"\\\\\"\"", 1, 3},
        {"\\ud83d\\ude00\"", 1, 13},
        {"abc", -EBADMSG, 3},
        {"abc\\", -EBADMSG, 3},
        {"abc\\x\"", -EBADMSG, 3},
        {"ab\n\"", -EBADMSG, 2},
        {"ab\xff\"", -EBADMSG, 2},
        {"ab\\ud83dx\"", -EBADMSG, 2},
        {"0123456789abcdef\x1f\"", -EBADMSG, 16},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        size_t read;
        assert_int_equal(check(cases[i].text, &read), cases[i].result);
        assert_int_equal(read, cases[i].read);
    }
}

static struct json_string string(const char *text) {
    return (struct json_string){.start = text, .end = text + strlen(text)};
}

static void test_compare(void **state) {
    (void)state;
    static const char *const ordered[] = {
        "", "\\t", "\\n", "a", "aa", "ab", "b", "\xc3\xa9", "\xef\xbf\xbf", "\xf0\x9f\x98\x80",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(ordered); i++)
        for (size_t j = 0; j < ARRAY_LENGTH(ordered); j++) {
            int r = json_string_compare(string(ordered[i]), string(ordered[j]));
            assert_int_equal((r > 0) - (r < 0), (i > j) - (i < j));
        }
    assert_int_equal(json_string_compare(string("a/b"), string("\\u0061\\/\\u0062")), 0);
    assert_int_equal(json_string_compare(string("\\ud83d\\ude00"), string("\xf0\x9f\x98\x80")), 0);
    assert_true(json_string_compare(string("\\u0061"), string("aa")) < 0);
}

static void check_decoded(const char *text, const char *expected) {
    size_t size = strlen(text);
    char CLEANUP_FREE *decoded = malloc(size ? size : 1); /* no more than the text has */
    assert_int_equal(json_string_decode(string(text), decoded), strlen(expected));
    assert_memory_equal(decoded, expected, strlen(expected));
}

static void test_decode(void **state) {
    (void)state;
    check_decoded("", "");
    check_decoded("plain \xc3\xa9", "plain \xc3\xa9");
    check_decoded("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t");
    check_decoded("a\\u0001b\\u007f", "a\001b\x7f");
    check_decoded("\\u00e9\\u20AC", "\xc3\xa9\xe2\x82\xac");
    check_decoded("\\ud83d\\ude00!", "\xf0\x9f\x98\x80!");
    check_decoded("\\\\u0061", "\\u0061");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_length), cmocka_unit_test(test_plain_bytes),
        cmocka_unit_test(test_first_of_two), cmocka_unit_test(test_check),
        cmocka_unit_test(test_compare),      cmocka_unit_test(test_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
