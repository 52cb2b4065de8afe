/* References at the server: found again, kept by an open page, at an end after a week; strangers
 * push out only each other. */
#include "server/portal_denials.h"

#include "common/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int64_t now_s;

static int64_t wall(void *userdata) {
    (void)userdata;
    return now_s;
}

static const struct clock_source test_clock = {.wall_s = wall};

static int setup(void **state) {
    struct portal_denials *denials;

    now_s = 1800000000;
    if (portal_denials_new(&random_system, &test_clock, &denials) < 0)
        return -1;
    *state = denials;
    return 0;
}

static int teardown(void **state) {
    portal_denials_free(*state);
    return 0;
}

static const struct portal_denial stranger = {.reason = REASON_NO_CERTIFICATE};

static struct portal_denial of_certificate(unsigned number) {
    struct portal_denial denial = {
        .reason = REASON_REVOKED, .presented = true, .fingerprint = {1}, .user_id = "u1"};

    memcpy(denial.fingerprint, &number, sizeof(number));
    snprintf(denial.serial, sizeof(denial.serial), "%08x", number);
    return denial;
}

static void note(
    void **state, const char *session, const struct portal_denial *denial,
    char ret[REFERENCE_SIZE]) {
    assert_int_equal(portal_denials_note(*state, session, denial, ret), 0);
}

static void test_found_with_what_was_told(void **state) {
    struct portal_denial denial = of_certificate(7);
    const struct portal_denial *found;
    char reference[REFERENCE_SIZE];

    denial.browser = PORTAL_BROWSER_FIREFOX;
    note(state, "a", &denial, reference);
    found = portal_denials_find(*state, reference);
    assert_non_null(found);
    assert_string_equal(found->reference, reference);
    assert_int_equal(found->reason, REASON_REVOKED);
    assert_int_equal(found->browser, PORTAL_BROWSER_FIREFOX);
    assert_string_equal(found->serial, "00000007");
    assert_string_equal(found->user_id, "u1");
    assert_int_equal(found->first_s, now_s);
    assert_null(portal_denials_find(*state, "DT-01-ZZZZZZ4"));
}

static void test_an_open_page_keeps_its_reference(void **state) {
    struct portal_denial other = stranger;
    char first[REFERENCE_SIZE], again[REFERENCE_SIZE], elsewhere[REFERENCE_SIZE],
        changed[REFERENCE_SIZE], without[REFERENCE_SIZE];

    note(state, "a", &stranger, first);
    now_s += 60;
    note(state, "a", &stranger, again);
    assert_string_equal(again, first);
    assert_int_equal(portal_denials_find(*state, first)->last_s, now_s);
    assert_int_equal(portal_denials_find(*state, first)->first_s, now_s - 60);
    note(state, "b", &stranger, elsewhere);
    assert_string_not_equal(elsewhere, first);
    note(state, NULL, &stranger, without);
    note(state, NULL, &stranger, again);
    assert_string_not_equal(again, without);
    other.reason = REASON_CLOCK;
    note(state, "a", &other, changed);
    assert_string_not_equal(changed, first);
}

/* A program that asks without cookies, again and again, does not fill the table. */
static void test_a_certificate_keeps_its_reference(void **state) {
    const struct portal_denial one = of_certificate(1), two = of_certificate(2);
    char first[REFERENCE_SIZE], again[REFERENCE_SIZE], other[REFERENCE_SIZE];

    note(state, NULL, &one, first);
    note(state, "a", &one, again);
    assert_string_equal(again, first);
    note(state, NULL, &two, other);
    assert_string_not_equal(other, first);
}

static void test_it_ends_after_a_week(void **state) {
    char reference[REFERENCE_SIZE], later[REFERENCE_SIZE];

    note(state, "a", &stranger, reference);
    now_s += PORTAL_DENIALS_LIFE_S;
    assert_non_null(portal_denials_find(*state, reference));
    now_s++;
    assert_null(portal_denials_find(*state, reference));
    note(state, "a", &stranger, later);
    assert_string_not_equal(later, reference);
}

static void test_strangers_push_out_only_strangers(void **state) {
    const struct portal_denial known = of_certificate(1);
    char ours[REFERENCE_SIZE], first[REFERENCE_SIZE], second[REFERENCE_SIZE], any[REFERENCE_SIZE];

    note(state, "a", &known, ours);
    note(state, NULL, &stranger, first);
    note(state, NULL, &stranger, second);
    for (int i = 2; i < PORTAL_DENIALS_MAX; i++)
        note(state, NULL, &stranger, any);
    assert_non_null(portal_denials_find(*state, first)); /* at the maximum */
    note(state, NULL, &stranger, any);
    assert_null(portal_denials_find(*state, first)); /* one past it */
    assert_non_null(portal_denials_find(*state, second));
    assert_non_null(portal_denials_find(*state, any));
    assert_non_null(portal_denials_find(*state, ours));
}

static int same_bytes(void *ret, size_t size, void *userdata) {
    (void)userdata;
    memset(ret, 3, size);
    return 0;
}

/* Two visits never share a reference, whatever the source of randomness does. */
static void test_a_clash_is_refused(void **state) {
    const struct random_source same = {same_bytes, NULL};
    struct portal_denials *denials;
    char reference[REFERENCE_SIZE];

    (void)state;
    assert_int_equal(portal_denials_new(&same, &test_clock, &denials), 0);
    assert_int_equal(portal_denials_note(denials, "a", &stranger, reference), 0);
    assert_true(portal_denials_note(denials, "b", &stranger, reference) < 0);
    portal_denials_free(denials);
}

/* --- browsers --- */

static void test_browsers(void **state) {
    static const struct {
        const char *user_agent;
        enum portal_browser browser;
    } cases[] = {
        {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/156.0.0.0 Safari/537.36",
         PORTAL_BROWSER_CHROMIUM},
        {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0",
         PORTAL_BROWSER_CHROMIUM},
        {"Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
         PORTAL_BROWSER_FIREFOX},
        {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
         "Version/18.0 Safari/605.1.15",
         PORTAL_BROWSER_SAFARI},
        {"curl/7.88.1", PORTAL_BROWSER_OTHER},
        {"", PORTAL_BROWSER_OTHER},
        {NULL, PORTAL_BROWSER_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        enum portal_browser browser = portal_browser_of(cases[i].user_agent);

        assert_int_equal(browser, cases[i].browser);
        assert_true(strlen(portal_browser_name(browser)) > 0);
        assert_true(strlen(portal_browser_hint(browser, REASON_NO_CERTIFICATE)) > 0);
        assert_true(strlen(portal_browser_hint(browser, REASON_CHECK_FAILED)) > 0);
        assert_string_equal(portal_browser_hint(browser, REASON_DISTRIBUTION_OFF), "");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_found_with_what_was_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_open_page_keeps_its_reference, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_certificate_keeps_its_reference, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_ends_after_a_week, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strangers_push_out_only_strangers, setup, teardown),
        cmocka_unit_test(test_a_clash_is_refused),
        cmocka_unit_test(test_browsers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
