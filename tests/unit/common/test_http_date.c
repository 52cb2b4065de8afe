/* The examples of RFC 9110 section 5.6.7, and dates that are none. */
#include "common/http_date.h"

#include "common/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int64_t parse(const char *text) {
    int64_t seconds = -1;
    int r = http_date_parse(text, &seconds);

    return r < 0 ? r : seconds;
}

static void test_three_forms(void **state) {
    (void)state;
    assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
    assert_int_equal(parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
    assert_int_equal(parse("Sun Nov  6 08:49:37 1994"), 784111777);
    assert_int_equal(parse("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    assert_int_equal(parse("Tue, 29 Feb 2028 12:00:00 GMT"), 1835438400);
    assert_int_equal(parse("Monday, 01-Jan-29 00:00:00 GMT"), 1861920000);
}

static void test_no_dates(void **state) {
    static const char *const bad[] = {
        "",
        "now",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:61:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(parse(bad[i]), -EINVAL);
}

static void test_format(void **state) {
    char text[HTTP_DATE_SIZE];

    (void)state;
    assert_int_equal(http_date_format(784111777, text), 0);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_int_equal(http_date_format(253402300799, text), 0);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
    assert_int_equal(http_date_format(253402300800, text), -EINVAL);
    assert_int_equal(http_date_format(-1, text), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_forms),
        cmocka_unit_test(test_no_dates),
        cmocka_unit_test(test_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
