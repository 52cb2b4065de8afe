/* Random numbers over sources that play a script, so that bounds, rejection and failure are exact.
 */
#include "common/random.h"

#include "unit.h"

#include <errno.h>

struct script {
    const uint64_t *draws;
    size_t count, next;
    size_t asked;
};

/* The draws of the script in turn, the last one for ever. */
static int script_bytes(void *ret, size_t size, void *userdata) {
    struct script *script = userdata;
    script->asked++;
    if (script->count == 0)
        return -EIO;
    uint64_t draw = script->draws[script->next];
    if (script->next + 1 < script->count)
        script->next++;
    memset(ret, 0, size);
    memcpy(ret, &draw, size < sizeof(draw) ? size : sizeof(draw));
    return 0;
}

static uint64_t below(uint64_t bound, const uint64_t *draws, size_t count, size_t *ret_asked) {
    struct script script = {draws, count, 0, 0};
    const struct random_source source = {script_bytes, &script};
    uint64_t result = random_below(&source, bound);
    if (ret_asked)
        *ret_asked = script.asked;
    return result;
}

static void test_small_bounds_ask_nobody(void **state) {
    (void)state;
    size_t asked = 99;
    assert_int_equal(below(0, NULL, 0, &asked), 0);
    assert_int_equal(asked, 0);
    assert_int_equal(below(1, NULL, 0, &asked), 0);
    assert_int_equal(asked, 0);
}

/* 2⁶⁴ mod 10 is 6: the draws 0 … 5 would favour the results 0 … 5 and are thrown away. */
static void test_no_modulo_bias(void **state) {
    (void)state;
    size_t asked;
    const uint64_t rejected[] = {0, 5, 17};
    assert_int_equal(below(10, rejected, 3, &asked), 7);
    assert_int_equal(asked, 3);
    const uint64_t first_good[] = {6};
    assert_int_equal(below(10, first_good, 1, &asked), 6);
    assert_int_equal(asked, 1);
    const uint64_t last[] = {UINT64_MAX};
    assert_int_equal(below(10, last, 1, NULL), UINT64_MAX % 10);
}

static void test_largest_bounds(void **state) {
    (void)state;
    const uint64_t last[] = {UINT64_MAX};
    assert_true(below(UINT64_MAX, last, 1, NULL) < UINT64_MAX);
    const uint64_t draws[] = {0, 12345};
    assert_int_equal(below(UINT64_MAX, draws, 2, NULL), 12345); /* 2⁶⁴ mod (2⁶⁴−1) is 1 */
    const uint64_t zero[] = {0};
    assert_int_equal(
        below(UINT64_C(1) << 63, zero, 1, NULL), 0); /* a power of two rejects nothing */
}

static void test_bad_sources_end(void **state) {
    (void)state;
    size_t asked;
    assert_int_equal(below(10, NULL, 0, &asked), 5); /* failing: the middle */
    assert_int_equal(asked, 1);
    const uint64_t zero[] = {0};
    assert_int_equal(below(10, zero, 1, &asked), 0); /* always rejected: it ends all the same */
    assert_true(asked > 1 && asked < 1000);
}

static void test_uuid_form(void **state) {
    (void)state;
    const uint64_t ones[] = {UINT64_MAX};
    struct script script = {ones, 1, 0, 0};
    const struct random_source source = {script_bytes, &script};
    char uuid[37];
    assert_int_equal(random_uuid(&source, uuid), 0);
    assert_string_equal(uuid, "ffffffff-ffff-4fff-8000-000000000000");

    struct script broken = {NULL, 0, 0, 0};
    const struct random_source broken_source = {script_bytes, &broken};
    strcpy(uuid, "untouched");
    assert_int_equal(random_uuid(&broken_source, uuid), -EIO);
    assert_string_equal(uuid, "untouched");
}

static void test_system_source(void **state) {
    (void)state;
    char first[37], second[37];
    for (int i = 0; i < 100; i++) {
        assert_int_equal(random_uuid(&random_system, first), 0);
        assert_int_equal(random_uuid(&random_system, second), 0);
        assert_true(random_uuid_is_valid(first));
        assert_int_equal(first[14], '4');
        assert_non_null(strchr("89ab", first[19]));
        assert_string_not_equal(first, second);
        assert_true(random_below(&random_system, 7) < 7);
    }
    assert_int_equal(random_system.bytes(NULL, 0, NULL), 0);
}

static void test_uuid_validity(void **state) {
    (void)state;
    assert_true(random_uuid_is_valid("01234567-89ab-cdef-0123-456789abcdef"));
    static const char *const bad[] = {
        "",
        "01234567-89ab-cdef-0123-456789abcde",   /* one short */
        "01234567-89ab-cdef-0123-456789abcdef0", /* one long */
        "01234567-89ab-cdef-0123-456789abcdeg",
        "01234567-89AB-cdef-0123-456789abcdef",
        "0123456-789ab-cdef-0123-456789abcdef",
        "01234567_89ab-cdef-0123-456789abcdef",
        "{1234567-89ab-cdef-0123-456789abcde}",
        "../../../../../../../../etc/passwd00",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(random_uuid_is_valid(bad[i]));
    assert_false(random_uuid_is_valid(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_bounds_ask_nobody),
        cmocka_unit_test(test_no_modulo_bias),
        cmocka_unit_test(test_largest_bounds),
        cmocka_unit_test(test_bad_sources_end),
        cmocka_unit_test(test_uuid_form),
        cmocka_unit_test(test_system_source),
        cmocka_unit_test(test_uuid_validity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
