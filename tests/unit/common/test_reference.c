/* References: what is written is read again, as people type it; a slip is noticed. */
#include "common/reference.h"

#include "common/cleanup.h"
#include "unit.h"

#include <errno.h>

static int fixed_bytes(void *ret, size_t size, void *userdata) {
    memset(ret, *(uint8_t *)userdata, size);
    return 0;
}

static int no_bytes(void *ret, size_t size, void *userdata) {
    (void)ret;
    (void)size;
    (void)userdata;
    return -EIO;
}

static void make(enum reason reason, char ret[REFERENCE_SIZE]) {
    assert_int_equal(reference_make(&random_system, reason, ret), 0);
}

static void expect(const char *text, const char *reference, enum reason reason) {
    char read[REFERENCE_SIZE];
    enum reason found = REASON_NONE;
    assert_int_equal(reference_parse(text, read, &found), 0);
    assert_string_equal(read, reference);
    assert_int_equal(found, reason);
}

static void test_every_reason_comes_back(void **state) {
    static const enum reason with_number[] = {
        REASON_NO_CERTIFICATE, REASON_WRONG_CERTIFICATE, REASON_REVOKED,
        REASON_EXPIRED,        REASON_DISTRIBUTION_OFF,  REASON_DISTRIBUTION_PAUSED,
        REASON_NOT_MANAGED,    REASON_DEVICE_REMOVED,    REASON_CHECK_FAILED,
        REASON_CLOCK,
    };
    char text[REFERENCE_SIZE];
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(with_number); i++) {
        make(with_number[i], text);
        assert_int_equal(strlen(text), REFERENCE_SIZE - 1);
        expect(text, text, with_number[i]);
    }
    make(REASON_DISK_FULL, text); /* none of the portal's */
    expect(text, text, REASON_OTHER);
}

/* Written down once, in help desks' tickets, they must be read by every later version. */
static void test_the_form_is_for_ever(void **state) {
    uint8_t octet = 9;
    const struct random_source fixed = {fixed_bytes, &octet};
    char text[REFERENCE_SIZE];
    (void)state;
    assert_int_equal(reference_make(&fixed, REASON_EXPIRED, text), 0);
    assert_string_equal(text, "DT-04-9999997");
    octet = 255;
    assert_int_equal(reference_make(&fixed, REASON_NO_CERTIFICATE, text), 0);
    assert_string_equal(text, "DT-01-ZZZZZZ4");
}

static void test_as_people_type(void **state) {
    (void)state;
    expect("dt-04-9999997", "DT-04-9999997", REASON_EXPIRED);
    expect("DT 04 999 999 7", "DT-04-9999997", REASON_EXPIRED);
    expect("DT049999997", "DT-04-9999997", REASON_EXPIRED);
    expect("DT-O4-9999997", "DT-04-9999997", REASON_EXPIRED);
    expect("DT-oL-zzzzzz4", "DT-01-ZZZZZZ4", REASON_NO_CERTIFICATE);
    assert_true(reference_is_meant("dt-whatever"));
    assert_true(reference_is_meant("DT 04"));
    assert_false(reference_is_meant("expired"));
    assert_false(reference_is_meant("DT"));
}

static void test_every_wrong_character_is_noticed(void **state) {
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    char text[REFERENCE_SIZE], read[REFERENCE_SIZE];
    enum reason reason;
    (void)state;
    make(REASON_REVOKED, text);
    for (size_t i = 3; i < REFERENCE_SIZE - 1; i++) {
        char right = text[i];
        if (right == '-')
            continue;
        for (const char *wrong = alphabet; *wrong; wrong++) {
            text[i] = *wrong;
            if (*wrong != right)
                assert_int_equal(reference_parse(text, read, &reason), -EBADMSG);
        }
        text[i] = right;
    }
}

static void test_swapped_neighbours_are_noticed(void **state) {
    char read[REFERENCE_SIZE];
    enum reason reason;
    (void)state;
    assert_int_equal(reference_parse("DT-40-9999997", read, &reason), -EBADMSG);
    assert_int_equal(reference_parse("DT-04-9999979", read, &reason), -EBADMSG);
}

static void test_no_reference(void **state) {
    static const char *const bad[] = {
        "",
        "DT",
        "DT-",
        "DT-04",
        "DT-04-999999",
        "DT-04-99999970",
        "XX-04-9999997",
        "DT-04-99999!7",
        "DT-04-99999U7",
        "DT-04-999999\xc3\xa9",
    };
    char read[REFERENCE_SIZE] = "kept";
    enum reason reason = REASON_NONE;
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(reference_parse(bad[i], read, &reason), -EINVAL);
    assert_string_equal(read, "kept");
    assert_int_equal(reason, REASON_NONE);
}

/* Of a newer server: the reference is good, its reason is not known here. */
static void test_a_newer_reason(void **state) {
    char read[REFERENCE_SIZE];
    enum reason reason = REASON_NONE;
    (void)state;
    assert_int_equal(reference_parse("DT-ZZ-999999H", read, &reason), -EPROTO);
    assert_string_equal(read, "DT-ZZ-999999H");
    assert_int_equal(reason, REASON_NONE);
}

/* Whatever is typed: no more than what is documented, and what is read is read again as it is. */
static void test_anything(void **state) {
    static const char likely[] = "DT-- 0123456789ABCDEFGHJKMNPQRSTVWXYZOILUoil!\x80\xff";
    unsigned seed = 1, good = 0;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        char text[24] = "DT", read[REFERENCE_SIZE], again[REFERENCE_SIZE];
        enum reason reason = REASON_NONE;
        seed = seed * 1664525 + 1013904223;
        size_t length = 9 + (seed >> 16) % 4;
        for (size_t at = i % 64 ? 2 : 0; at < length; at++) {
            seed = seed * 1664525 + 1013904223;
            text[at] = likely[(seed >> 16) % (sizeof likely - 1)];
        }
        int r = reference_parse(text, read, &reason);
        assert_true(r == 0 || r == -EINVAL || r == -EBADMSG || r == -EPROTO);
        if (r != 0 && r != -EPROTO)
            continue;
        good++;
        assert_int_equal(reference_parse(read, again, &reason), r);
        assert_string_equal(again, read);
    }
    assert_true(good > 0);
}

static void test_no_randomness(void **state) {
    const struct random_source none = {no_bytes, NULL};
    char text[REFERENCE_SIZE];
    (void)state;
    assert_int_equal(reference_make(&none, REASON_EXPIRED, text), -EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_reason_comes_back),
        cmocka_unit_test(test_the_form_is_for_ever),
        cmocka_unit_test(test_as_people_type),
        cmocka_unit_test(test_every_wrong_character_is_noticed),
        cmocka_unit_test(test_swapped_neighbours_are_noticed),
        cmocka_unit_test(test_no_reference),
        cmocka_unit_test(test_a_newer_reason),
        cmocka_unit_test(test_anything),
        cmocka_unit_test(test_no_randomness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
