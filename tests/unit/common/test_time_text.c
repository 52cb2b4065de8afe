/* Spans and moments in words. */
#include "common/time_text.h"

#include "common/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_spans(void **state) {
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {
        {0, "0 seconds"},
        {1, "1 second"},
        {-1, "1 second"},
        {119, "119 seconds"},
        {120, "2 minutes"},
        {7199, "119 minutes"},
        {7200, "2 hours"},
        {-172799, "47 hours"},
        {172800, "2 days"},
        {INT64_MAX, "106751991167300 days"},
        {INT64_MIN, "106751991167300 days"},
    };
    char text[TIME_TEXT_SIZE];
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        assert_string_equal(time_text_span(cases[i].seconds, text), cases[i].text);
}

static void test_moments(void **state) {
    char text[TIME_TEXT_SIZE];
    (void)state;
    assert_string_equal(time_text_utc(0, text), "1970-01-01 00:00 UTC");
    assert_string_equal(time_text_utc(1795000000, text), "2026-11-18 11:06 UTC");
    assert_string_equal(time_text_utc(INT64_MAX, text), "@9223372036854775807");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_moments),
    };
    return cmocka_run_group_tests_name("time text", tests, NULL, NULL);
}
