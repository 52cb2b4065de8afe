/* Which account a name is: the round trip, those that are never served, and a name service that
 * hangs. */
#include "daemon/user_lookup.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct account {
    const char *asked; /* what by_name finds it by */
    const char *name;  /* as the service spells it */
    uid_t uid;
};

static const struct account accounts[] = {
    {"alice", "alice", 1000},      {"Alice", "alice", 1000}, /* a service that ignores case */
    {"root", "root", 0},           {"toor", "toor", 0},       {"nobody", "nobody", 65534},
    {"minus", "minus", (uid_t)-1}, {"short", "short", 65535}, {"daemon", "daemon", 999},
    {"shared", "shared", 1001}, /* whose uid is another's first */
    {"broken", "broken", 1002},
};

static sem_t gate;
static int failure; /* by_name fails so */

static int by_name(const char *name, uid_t *ret_uid, char *ret_name, size_t size) {
    if (strcmp(name, "hangs") == 0)
        sem_wait(&gate);
    if (failure != 0)
        return failure;
    for (size_t i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++)
        if (strcmp(accounts[i].asked, name) == 0) {
            *ret_uid = accounts[i].uid;
            snprintf(ret_name, size, "%s", accounts[i].name);
            return 0;
        }
    return -ENOENT;
}

static int by_uid(uid_t uid, char *ret_name, size_t size) {
    if (uid == 1002)
        return -EIO;
    snprintf(ret_name, size, "%s", uid == 1001 ? "owner" : uid == 1000 ? "alice" : "?");
    return 0;
}

static const struct user_database database = {by_name, by_uid};

static void decisions(void **unused) {
    (void)unused;
    static const struct {
        const char *name;
        enum user_lookup_result result;
    } expected[] = {
        {"alice", USER_LOOKUP_FOUND},    {"Alice", USER_LOOKUP_REFUSED},
        {"root", USER_LOOKUP_REFUSED},   {"toor", USER_LOOKUP_REFUSED},
        {"nobody", USER_LOOKUP_REFUSED}, {"minus", USER_LOOKUP_REFUSED},
        {"short", USER_LOOKUP_REFUSED},  {"daemon", USER_LOOKUP_REFUSED},
        {"shared", USER_LOOKUP_REFUSED}, {"broken", USER_LOOKUP_LATER},
        {"absent", USER_LOOKUP_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        uid_t uid = 77;
        enum user_lookup_result result = user_lookup_now(&database, expected[i].name, 1000, &uid);
        if (result != expected[i].result)
            fail_msg("%s: %d", expected[i].name, result);
        assert_int_equal(uid, result == USER_LOOKUP_FOUND ? 1000 : 77);
    }
    uid_t uid = 77;
    assert_int_equal(user_lookup_now(&database, "alice", 1001, &uid), USER_LOOKUP_REFUSED);
    failure = -EIO;
    assert_int_equal(user_lookup_now(&database, "alice", 1000, &uid), USER_LOOKUP_LATER);
    failure = 0;
}

static void the_machines_own(void **unused) {
    (void)unused;
    uid_t uid = 77;
    assert_int_equal(user_lookup_now(&user_database_system, "root", 1, &uid), USER_LOOKUP_REFUSED);
    assert_int_equal(
        user_lookup_now(&user_database_system, "no-such-account-here", 1, &uid),
        USER_LOOKUP_UNKNOWN);
    assert_int_equal(user_lookup_now(&user_database_system, "daemon", 1, &uid), USER_LOOKUP_FOUND);
    assert_int_equal(uid, 1);
}

struct answer {
    int count;
    enum user_lookup_result result;
    uid_t uid;
};

static void answered(enum user_lookup_result result, uid_t uid, void *userdata) {
    struct answer *answer = userdata;
    answer->count++;
    answer->result = result;
    answer->uid = uid;
}

static void on_the_loop(void **unused) {
    (void)unused;
    uv_loop_t loop;
    struct answer answer = {.count = 0};
    struct user_lookup *lookup = NULL;
    uv_loop_init(&loop);
    assert_int_equal(
        user_lookup_start(&loop, &database, "alice", 1000, 60000, answered, &answer, &lookup), 0);
    assert_int_equal(answer.count, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.result, USER_LOOKUP_FOUND);
    assert_int_equal(answer.uid, 1000);
    assert_int_equal(
        user_lookup_start(
            &loop, &database, "a-name-of-more-than-thirty-two-bytes", 1000, 60000, answered,
            &answer, &lookup),
        -ENAMETOOLONG);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void a_service_that_hangs(void **unused) {
    (void)unused;
    uv_loop_t loop;
    struct answer answer = {.count = 0};
    struct user_lookup *lookup = NULL;
    uv_loop_init(&loop);
    assert_int_equal(
        user_lookup_start(&loop, &database, "hangs", 1000, 1, answered, &answer, &lookup), 0);
    while (answer.count == 0)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(answer.result, USER_LOOKUP_LATER);
    /* asked again meanwhile, it would hang once more */
    assert_int_equal(
        user_lookup_start(&loop, &database, "hangs", 1000, 1, answered, &answer, &lookup), -EBUSY);
    sem_post(&gate);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(answer.count, 1); /* what comes later is not told */
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void cancelled(void **unused) {
    (void)unused;
    uv_loop_t loop;
    struct answer answer = {.count = 0};
    struct user_lookup *lookup = NULL;
    uv_loop_init(&loop);
    assert_int_equal(
        user_lookup_start(&loop, &database, "hangs", 1000, 60000, answered, &answer, &lookup), 0);
    user_lookup_cancel(lookup);
    user_lookup_cancel(NULL);
    sem_post(&gate);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(answer.count, 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions),   cmocka_unit_test(the_machines_own),
        cmocka_unit_test(on_the_loop), cmocka_unit_test(a_service_that_hangs),
        cmocka_unit_test(cancelled),
    };
    sem_init(&gate, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
