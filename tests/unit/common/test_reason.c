/* The table of reasons: every entry is fit to be shown, and codes find their way back. */
#include "common/reason.h"

#include "unit.h"

static void test_every_entry(void **state) {
    (void)state;
    for (int i = 0; i < REASON_COUNT_; i++) {
        const char *code = reason_code(i), *text = reason_text(i), *remedy = reason_remedy(i);
        assert_true(strlen(code) > 0 && strlen(code) <= 32);
        assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(code));
        assert_int_equal(text[strlen(text) - 1], '.');
        if (i == REASON_NONE)
            assert_string_equal(remedy, "");
        else
            assert_int_equal(remedy[strlen(remedy) - 1], '.');
        assert_in_range(reason_exit_status(i), 0, 5);
        assert_int_equal(reason_exit_status(i) == 0, i == REASON_NONE);
        assert_int_equal(reason_from_code(code), i); /* also: no code stands twice */
    }
}

static void test_unknown(void **state) {
    (void)state;
    assert_int_equal(reason_from_code(NULL), REASON_NONE);
    assert_int_equal(reason_from_code(""), REASON_OTHER);
    assert_int_equal(reason_from_code("from-the-future"), REASON_OTHER);
    assert_int_equal(reason_from_code("None"), REASON_OTHER);
    assert_string_equal(reason_code(REASON_COUNT_), "other");
    assert_string_equal(reason_code((enum reason) - 1), "other");
    assert_string_equal(reason_text((enum reason)100000), reason_text(REASON_OTHER));
    assert_int_equal(reason_exit_status((enum reason) - 1), 1);
}

/* Codes go over the wire and into scripts; these must never move. */
static void test_codes_of_the_wire(void **state) {
    (void)state;
    assert_string_equal(reason_code(REASON_NONE), "none");
    assert_string_equal(reason_code(REASON_TOKEN_REFUSED), "token-refused");
    assert_string_equal(reason_code(REASON_DISTRIBUTION_OFF), "distribution-off");
    assert_string_equal(reason_code(REASON_DAEMON_UNREACHABLE), "daemon-unreachable");
    assert_int_equal(reason_exit_status(REASON_DAEMON_UNREACHABLE), 3);
    assert_int_equal(reason_exit_status(REASON_NOT_PERMITTED), 4);
    assert_int_equal(reason_exit_status(REASON_SERVER_REFUSED), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_entry),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_codes_of_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
