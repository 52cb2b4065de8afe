/* The desired state: what is taken, what is clamped, and what changes nothing. */
#include "daemon/desired_state.h"

#include "common/buffer.h"
#include "common/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EPOCH "0c6d2f6e-51a4-4d4b-9a3f-0d2f1c9b7a11"
#define DEVICE "11111111-2222-4333-8444-555555555555"
#define HEAD "{\"epoch\":\"" EPOCH "\",\"generation\":12,\"enrolled\":true,"
#define NAMES "\"organisation\":\"Example\",\"device\":\"" DEVICE "\",\"distribution\":\"on\","
#define NUMBERS "\"splay_s\":5,\"key_type\":\"p256\",\"lifetime_s\":1000,\"renew_after_s\":500,"
#define LISTS                                                                                      \
    "\"portal_patterns\":[\"https://portal.example.com\",\"*\"],"                                  \
    "\"users\":[{\"id\":\"u1\",\"name\":\"alice\"}],\"trusted_applications\":[]"
#define GOOD HEAD NAMES NUMBERS LISTS "}"

static struct desired_state *good(const char *text) {
    struct desired_state *state = NULL;
    const char *field = "?";
    int r = desired_state_parse(text, strlen(text), &state, &field);
    if (r < 0)
        print_error("%d at %s\n", r, field);
    assert_int_equal(r, 0);
    return state;
}

static void bad(const char *text, int error, const char *expected) {
    struct desired_state *state = (void *)1;
    const char *field = "none";
    assert_int_equal(desired_state_parse(text, strlen(text), &state, &field), error);
    assert_ptr_equal(state, (void *)1);
    assert_string_equal(field, expected);
}

static void the_whole_state(void **unused) {
    (void)unused;
    struct desired_state *state = good(GOOD);
    assert_string_equal(state->epoch, EPOCH);
    assert_int_equal(state->generation, 12);
    assert_true(state->enrolled && state->key_type_known);
    assert_int_equal(state->key_type, KEY_TYPE_P256);
    assert_int_equal(state->distribution, DISTRIBUTION_ON);
    assert_string_equal(state->organisation, "Example");
    assert_string_equal(state->device, DEVICE);
    assert_string_equal(state->est_label, "user");
    assert_int_equal(state->splay_s, 5);
    assert_int_equal(state->lifetime_s, 1000);
    assert_int_equal(state->renew_after_s, 500);
    assert_int_equal(state->portal_pattern_count, 2);
    assert_string_equal(state->portal_patterns[1], "*"); /* judged by the policy */
    assert_int_equal(state->user_count, 1);
    assert_string_equal(state->users[0].id, "u1");
    assert_string_equal(state->users[0].name, "alice");
    desired_state_free(state);
}

static void unknown_keys_are_ignored(void **unused) {
    (void)unused;
    desired_state_free(good(HEAD NAMES NUMBERS LISTS ",\"new\":{\"x\":[1,2]}}"));
    struct desired_state *state = good(
        HEAD NAMES "\"key_type\":\"kyber\",\"lifetime_s\":1000,\"renew_after_s\":500," LISTS "}");
    assert_false(state->key_type_known);
    assert_int_equal(state->splay_s, 0);
    desired_state_free(state);
}

static void the_tombstone(void **unused) {
    (void)unused;
    struct desired_state *state =
        good("{\"epoch\":\"" EPOCH "\",\"generation\":9223372036854775807,\"enrolled\":false}");
    assert_false(state->enrolled);
    assert_true(state->generation == INT64_MAX);
    assert_null(state->device);
    desired_state_free(state);
}

static struct desired_state *with_numbers(const char *numbers) {
    char text[2048];
    snprintf(text, sizeof(text), "%s%s%s}", HEAD NAMES "\"key_type\":\"p384\",", numbers, LISTS);
    return good(text);
}

static void numbers_are_clamped(void **unused) {
    (void)unused;
    const struct {
        const char *numbers;
        int64_t splay, lifetime, renew;
    } cases[] = {
        {"\"splay_s\":31536000,\"lifetime_s\":1000,\"renew_after_s\":0,", 86400, 1000, 100},
        {"\"splay_s\":86400,\"lifetime_s\":1000,\"renew_after_s\":100,", 86400, 1000, 100},
        {"\"splay_s\":86401,\"lifetime_s\":1000,\"renew_after_s\":99,", 86400, 1000, 100},
        {"\"splay_s\":0,\"lifetime_s\":1000,\"renew_after_s\":801,", 0, 1000, 800},
        {"\"splay_s\":0,\"lifetime_s\":1000,\"renew_after_s\":9223372036854775807,", 0, 1000, 800},
        {"\"lifetime_s\":9223372036854775807,\"renew_after_s\":1,", 0, 316224000, 31622400},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct desired_state *state = with_numbers(cases[i].numbers);
        assert_int_equal(state->splay_s, cases[i].splay);
        assert_int_equal(state->lifetime_s, cases[i].lifetime);
        assert_int_equal(state->renew_after_s, cases[i].renew);
        desired_state_free(state);
    }
}

static void what_is_not_json(void **unused) {
    (void)unused;
    bad("", -EBADMSG, "none");
    bad("{", -EBADMSG, "none");
    bad("[]", -EBADMSG, "none");
    bad("<html></html>", -EBADMSG, "none");
    bad(GOOD "x", -EBADMSG, "none");
    bad("{\"epoch\":\"" EPOCH "\",\"generation\":1,\"generation\":2,\"enrolled\":false}", -EBADMSG,
        "none");
    bad("{\"epoch\":\"" EPOCH "\",\"generation\":9223372036854775808,\"enrolled\":false}", -EBADMSG,
        "none");
}

static void what_has_the_wrong_type_or_value(void **unused) {
    (void)unused;
    bad("{\"epoch\":1,\"generation\":1,\"enrolled\":false}", -EINVAL, "epoch");
    bad("{\"epoch\":\"" EPOCH "\",\"generation\":\"1\",\"enrolled\":false}", -EINVAL, "generation");
    bad("{\"epoch\":\"" EPOCH "\",\"generation\":-1,\"enrolled\":false}", -EINVAL, "generation");
    bad("{\"epoch\":\"" EPOCH "\",\"generation\":1,\"enrolled\":0}", -EINVAL, "enrolled");
    bad("{\"epoch\":\"" EPOCH "\",\"generation\":1}", -EINVAL, "enrolled");
    bad("{\"epoch\":\"0c6d2f6e-51a4-4d4b-9a3f-0d2f1c9b7a1X\",\"generation\":1,\"enrolled\":false}",
        -EINVAL, "epoch");
    bad(HEAD "\"x\":1}", -EINVAL, "organisation");
    bad(HEAD "\"organisation\":\"Example\",\"device\":\"" DEVICE
             "\",\"distribution\":\"maybe\"," NUMBERS LISTS "}",
        -EINVAL, "distribution");
    bad(HEAD NAMES
        "\"splay_s\":-1,\"key_type\":\"p256\",\"lifetime_s\":1,\"renew_after_s\":1," LISTS "}",
        -EINVAL, "splay_s");
    bad(HEAD NAMES "\"key_type\":\"p256\",\"lifetime_s\":0,\"renew_after_s\":1," LISTS "}", -EINVAL,
        "lifetime_s");
    bad(HEAD NAMES NUMBERS "\"users\":[],\"est_label\":\"a/b\"}", -EINVAL, "est_label");
    bad(HEAD NAMES NUMBERS "\"users\":[],\"portal_patterns\":[1]}", -EINVAL, "portal_patterns");
    bad(HEAD NAMES NUMBERS "\"users\":[],\"portal_patterns\":[\"a b\"]}", -EINVAL,
        "portal_patterns");
}

static void bad_users(const char *users) {
    char text[2048];
    snprintf(text, sizeof(text), "%s\"users\":%s}", HEAD NAMES NUMBERS, users);
    bad(text, -EINVAL, "users");
}

static void users_are_checked(void **unused) {
    (void)unused;
    bad_users("{}");
    bad_users("[1]");
    bad_users("[{\"id\":\"u1\"}]");
    bad_users("[{\"id\":\"u/1\",\"name\":\"alice\"}]");
    bad_users("[{\"id\":\"u1\",\"name\":\"al:ice\"}]");
    bad_users("[{\"id\":\"u1\",\"name\":\"../x\"}]");
    bad_users("[{\"id\":\"u1\",\"name\":\"123456789012345678901234567890123\"}]");
    bad_users("[{\"id\":\"u1\",\"name\":\"a\"},{\"id\":\"u1\",\"name\":\"b\"}]");
    bad_users("[{\"id\":\"u1\",\"name\":\"a\"},{\"id\":\"u2\",\"name\":\"a\"}]");
    bad_users("[{\"id\":\"u1\",\"name\":\"a\",\"revoked\":\"5a\"}]");
    bad_users("[{\"id\":\"u1\",\"name\":\"a\",\"revoked\":[7]}]");
    bad_users("[{\"id\":\"u1\",\"name\":\"a\",\"revoked\":[\"5A\"]}]");
    bad_users("[{\"id\":\"u1\",\"name\":\"a\",\"revoked\":"
              "[\"00000000000000000000000000000000000000000\"]}]");
}

static void revoked_certificates_are_named(void **unused) {
    (void)unused;
    struct desired_state *state =
        good(HEAD NAMES NUMBERS "\"users\":[{\"id\":\"u1\",\"name\":\"a\",\"revoked\":"
                                "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]},"
                                "{\"id\":\"u2\",\"name\":\"b\"}]}");
    assert_int_equal(state->users[0].revoked_count, DESIRED_STATE_MAX_REVOKED);
    assert_string_equal(state->users[0].revoked[7], "8");
    assert_int_equal(state->users[1].revoked_count, 0);
    desired_state_free(state);
}

static int parse_many(const char *field, const char *format, size_t count) {
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT(1024 * 1024);
    char item[64];
    buffer_append_string(&text, HEAD NAMES NUMBERS);
    if (strcmp(field, "users") != 0)
        buffer_append_string(&text, "\"users\":[],");
    buffer_append_string(&text, "\"");
    buffer_append_string(&text, field);
    buffer_append_string(&text, "\":[");
    for (size_t i = 0; i < count; i++) {
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(item, sizeof(item), format, i ? "," : "", i, i);
        buffer_append_string(&text, item);
    }
    buffer_append_string(&text, "]}");
    struct desired_state *state = NULL;
    int r = desired_state_parse((char *)text.data, text.size, &state, NULL);
    desired_state_free(state);
    return r;
}

static void lists_have_limits(void **unused) {
    (void)unused;
    const char *user = "%s{\"id\":\"u%zu\",\"name\":\"n%zu\"}", *pattern = "%s\"https://h%zu.%zu\"";
    assert_int_equal(parse_many("users", user, DESIRED_STATE_MAX_USERS), 0);
    assert_int_equal(parse_many("users", user, DESIRED_STATE_MAX_USERS + 1), -EINVAL);
    assert_int_equal(parse_many("portal_patterns", pattern, DESIRED_STATE_MAX_PATTERNS), 0);
    assert_int_equal(
        parse_many("portal_patterns", pattern, DESIRED_STATE_MAX_PATTERNS + 1), -EINVAL);
}

static void the_size_has_a_limit(void **unused) {
    (void)unused;
    CLEANUP_FREE char *text = malloc(DESIRED_STATE_MAX_SIZE + 1);
    struct desired_state *state = NULL;
    memset(text, ' ', DESIRED_STATE_MAX_SIZE + 1);
    memcpy(text, GOOD, strlen(GOOD));
    assert_int_equal(desired_state_parse(text, DESIRED_STATE_MAX_SIZE, &state, NULL), 0);
    desired_state_free(state);
    assert_int_equal(desired_state_parse(text, DESIRED_STATE_MAX_SIZE + 1, &state, NULL), -EBADMSG);
}

static void what_is_newer(void **unused) {
    (void)unused;
    struct desired_state one = {.epoch = EPOCH, .generation = 5}, two = one;
    assert_true(desired_state_is_newer(NULL, &one));
    assert_true(desired_state_is_newer(&one, &two));
    two.generation = 6;
    assert_true(desired_state_is_newer(&one, &two));
    assert_false(desired_state_is_newer(&two, &one));
    two.generation = INT64_MAX;
    assert_true(desired_state_is_newer(&one, &two));
    assert_false(desired_state_is_newer(&two, &one));
    one.epoch[0] = 'f';
    assert_true(desired_state_is_newer(&two, &one)); /* another epoch, however small the number */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_state),
        cmocka_unit_test(unknown_keys_are_ignored),
        cmocka_unit_test(the_tombstone),
        cmocka_unit_test(numbers_are_clamped),
        cmocka_unit_test(what_is_not_json),
        cmocka_unit_test(what_has_the_wrong_type_or_value),
        cmocka_unit_test(revoked_certificates_are_named),
        cmocka_unit_test(users_are_checked),
        cmocka_unit_test(lists_have_limits),
        cmocka_unit_test(the_size_has_a_limit),
        cmocka_unit_test(what_is_newer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
