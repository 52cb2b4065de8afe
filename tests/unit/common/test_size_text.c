/* Sizes for people. */
#include "common/size_text.h"

#include "unit.h"

static void expect(uint64_t bytes, const char *text) {
    char shown[SIZE_TEXT_SIZE];
    assert_string_equal(size_text(bytes, shown), text);
}

static void test_units(void **state) {
    (void)state;
    expect(0, "0 bytes");
    expect(1023, "1023 bytes");
    expect(1024, "1.0 KiB");
    expect(1024 * 1024 - 1, "1023.9 KiB");
    expect(64 * UINT64_C(1024) * 1024, "64.0 MiB");
    expect(UINT64_C(12641892352), "11.7 GiB");
}

static void test_the_largest_that_tenths_can_count(void **state) {
    (void)state;
    expect(UINT64_MAX / 10, "1.5 EiB");
    expect(UINT64_MAX, "1.5 EiB"); /* more than any disk: cut, not wrapped */
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_the_largest_that_tenths_can_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
