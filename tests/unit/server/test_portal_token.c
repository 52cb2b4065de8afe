/* Sessions, nonces and answers under a clock that the test moves: what was made elsewhere, for
 * another session, too long ago or taken already is worth nothing. */
#include "server/portal_token.h"

#include "common/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NONCE_S 60
#define SESSION_S 600

static int64_t now_s = 1800000000;

static int64_t wall(void *userdata) {
    (void)userdata;
    return now_s;
}

static const struct clock_source test_clock = {.wall_s = wall};
static const uint8_t fingerprint[SHA256_SIZE] = {1, 2, 3};

struct fixture {
    struct portal_tokens *tokens;
    char session[PORTAL_SESSION_SIZE], nonce[PORTAL_NONCE_SIZE], answer[PORTAL_ANSWER_SIZE];
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (portal_tokens_new(&random_system, &test_clock, NONCE_S, SESSION_S, &f->tokens) < 0 ||
        portal_session_make(f->tokens, f->session) < 0 ||
        portal_nonce_make(f->tokens, f->session, f->nonce) < 0)
        return -1;
    return portal_answer_make(f->tokens, f->nonce, fingerprint, f->answer);
}

static int teardown(void **state) {
    struct fixture *f = *state;

    portal_tokens_free(f->tokens);
    free(f);
    return 0;
}

static int take(struct fixture *f, const char *session, const char *answer) {
    struct portal_proof proof = {0};

    return portal_answer_take(f->tokens, session, answer, &proof);
}

static void test_answer_brings_the_fingerprint_once(void **state) {
    struct fixture *f = *state;
    struct portal_proof proof = {0};

    assert_int_equal(portal_answer_take(f->tokens, f->session, f->answer, &proof), 0);
    assert_true(proof.presented);
    assert_memory_equal(proof.fingerprint, fingerprint, SHA256_SIZE);
    assert_int_equal(take(f, f->session, f->answer), -EALREADY);
    /* another answer about the same nonce is the same use */
    assert_int_equal(portal_answer_make(f->tokens, f->nonce, NULL, f->answer), 0);
    assert_int_equal(take(f, f->session, f->answer), -EALREADY);
}

static void test_answer_without_certificate(void **state) {
    struct fixture *f = *state;
    struct portal_proof proof = {.presented = true};

    assert_int_equal(portal_answer_make(f->tokens, f->nonce, NULL, f->answer), 0);
    assert_int_equal(portal_answer_take(f->tokens, f->session, f->answer, &proof), 0);
    assert_false(proof.presented);
}

static void test_answer_is_bound_to_its_session(void **state) {
    struct fixture *f = *state;
    char other[PORTAL_SESSION_SIZE];

    assert_int_equal(portal_session_make(f->tokens, other), 0);
    assert_int_equal(take(f, other, f->answer), -EBADMSG);
    assert_int_equal(take(f, "", f->answer), -EBADMSG);
    assert_int_equal(take(f, f->session, f->answer), 0); /* none of that used it up */
}

static void test_another_process_made_it(void **state) {
    struct fixture *f = *state;
    struct portal_tokens *other;

    assert_int_equal(portal_tokens_new(&random_system, &test_clock, NONCE_S, SESSION_S, &other), 0);
    assert_int_equal(portal_session_check(other, f->session, false), -EBADMSG);
    assert_int_equal(
        portal_answer_take(other, f->session, f->answer, &(struct portal_proof){0}), -EBADMSG);
    portal_tokens_free(other);
}

static void test_every_changed_digit_is_seen(void **state) {
    struct fixture *f = *state;
    char text[PORTAL_ANSWER_SIZE];

    for (size_t i = 0; i + 1 < sizeof(f->answer); i++) {
        memcpy(text, f->answer, sizeof(text));
        text[i] = text[i] == '0' ? '1' : '0';
        assert_int_equal(take(f, f->session, text), -EBADMSG);
    }
    for (size_t i = 0; i + 1 < sizeof(f->session); i++) {
        memcpy(text, f->session, sizeof(f->session));
        text[i] = text[i] == '0' ? '1' : '0';
        assert_int_equal(portal_session_check(f->tokens, text, false), -EBADMSG);
    }
    assert_int_equal(take(f, f->session, f->answer), 0);
}

static void test_things_that_are_no_tokens(void **state) {
    struct fixture *f = *state;
    static const char *const texts[] = {"", "x", "00", "not hex at all"};
    char ret[PORTAL_ANSWER_SIZE];

    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        assert_int_equal(portal_session_check(f->tokens, texts[i], false), -EBADMSG);
        assert_int_equal(portal_answer_make(f->tokens, texts[i], NULL, ret), -EBADMSG);
        assert_int_equal(take(f, f->session, texts[i]), -EBADMSG);
    }
    /* one kind does not pass as another */
    assert_int_equal(portal_session_check(f->tokens, f->nonce, false), -EBADMSG);
    assert_int_equal(take(f, f->session, f->nonce), -EBADMSG);
    /* a session in a nonce's place can be answered, but the answer is worth nothing */
    assert_int_equal(portal_answer_make(f->tokens, f->session, fingerprint, ret), 0);
    assert_int_equal(take(f, f->session, ret), -EBADMSG);
}

static void test_time(void **state) {
    struct fixture *f = *state;
    int64_t begin_s = now_s;
    char ret[PORTAL_ANSWER_SIZE];

    now_s = begin_s + NONCE_S - 1;
    assert_int_equal(portal_answer_make(f->tokens, f->nonce, NULL, ret), 0);
    now_s = begin_s + NONCE_S;
    assert_int_equal(portal_answer_make(f->tokens, f->nonce, NULL, ret), -ETIME);
    assert_int_equal(take(f, f->session, f->answer), -ETIME);
    now_s = begin_s + SESSION_S - NONCE_S;
    assert_int_equal(portal_session_check(f->tokens, f->session, true), 0);
    now_s++;
    assert_int_equal(portal_session_check(f->tokens, f->session, true), -ETIME);
    assert_int_equal(portal_session_check(f->tokens, f->session, false), 0);
    now_s = begin_s + SESSION_S + 1;
    assert_int_equal(portal_session_check(f->tokens, f->session, false), -ETIME);
    now_s = begin_s;
}

static int use_one(struct fixture *f) {
    assert_int_equal(portal_nonce_make(f->tokens, f->session, f->nonce), 0);
    assert_int_equal(portal_answer_make(f->tokens, f->nonce, NULL, f->answer), 0);
    return take(f, f->session, f->answer);
}

/* The list of used answers is full: nothing is forgotten before its time, the newcomer waits. */
static void test_maximum(void **state) {
    struct fixture *f = *state;
    char first[PORTAL_ANSWER_SIZE];
    int64_t begin_s = now_s;

    memcpy(first, f->answer, sizeof(first));
    assert_int_equal(take(f, f->session, first), 0);
    for (int i = 1; i < PORTAL_MAX_USED; i++)
        assert_int_equal(use_one(f), 0);
    assert_int_equal(use_one(f), -EBUSY);
    assert_int_equal(take(f, f->session, first), -EALREADY);
    now_s = begin_s + NONCE_S;
    for (int i = 0; i < PORTAL_MAX_USED; i++)
        assert_int_equal(use_one(f), 0);
    assert_int_equal(use_one(f), -EBUSY);
    now_s = begin_s;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_answer_brings_the_fingerprint_once),
        TEST(test_answer_without_certificate),
        TEST(test_answer_is_bound_to_its_session),
        TEST(test_another_process_made_it),
        TEST(test_every_changed_digit_is_seen),
        TEST(test_things_that_are_no_tokens),
        TEST(test_time),
        TEST(test_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
