/* Nobody's name leaves with a report: what is replaced, what is not, and that the same is always
 * the same. */
#include "ipc/ctl/pseudonyms.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct pseudonyms *pseudonyms;

static int set_up(void **state) {
    (void)state;
    assert_int_equal(pseudonyms_new(&pseudonyms), 0);
    assert_int_equal(pseudonyms_add_user(pseudonyms, "alice", "/home/alice"), 0);
    assert_int_equal(pseudonyms_add_user(pseudonyms, "bob", "/srv/people/bob/"), 0);
    assert_int_equal(pseudonyms_add_user(pseudonyms, "al", "/home/al"), 0);
    assert_int_equal(pseudonyms_add_user(pseudonyms, "maria-luisa.o", NULL), 0);
    assert_int_equal(pseudonyms_add_user(pseudonyms, "j\xc3\xb6rg", "/"), 0);
    assert_int_equal(pseudonyms_add_person(pseudonyms, "u-alice"), 0);
    assert_int_equal(pseudonyms_add_person(pseudonyms, "4711"), 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    pseudonyms = pseudonyms_free(pseudonyms);
    return 0;
}

static void expect(const char *text, const char *expected) {
    char CLEANUP_FREE *replaced = pseudonyms_replace(pseudonyms, text);
    assert_non_null(replaced);
    assert_string_equal(replaced, expected);
}

static void names(void **state) {
    (void)state;
    expect("", "");
    expect("nobody is named here", "nobody is named here");
    expect("alice", "user-1");
    expect("User alice waits", "User user-1 waits");
    expect("USER=alice, STATE=installed", "USER=user-1, STATE=installed");
    expect("Alice's ALICE", "user-1's user-1");
    expect("\"bob\" (alice)", "\"user-2\" (user-1)");
    expect("alice.pem alice_x alice-y", "user-1.pem user-1_x user-1-y");
    expect("maria-luisa.o", "user-4");
    expect("J\xc3\xb6rg j\xc3\xb6rg j\xc3\xb6rgs", "user-5 user-5 j\xc3\xb6rgs");
    /* no part of a word */
    expect("malice alices alice1 balance bobby", "malice alices alice1 balance bobby");
    expect("\xc3\xa4lice al\xc3\xa4", "\xc3\xa4lice al\xc3\xa4");
    /* short names go by case */
    expect("al AL Al", "user-3 AL Al");
}

static void people_at_the_server(void **state) {
    (void)state;
    expect("u-alice", "person-1");
    expect("urn:devtrust:user:u-alice,", "urn:devtrust:user:person-1,");
    expect("id 4711, not 47110", "id person-2, not 47110");
    expect("users/u-alice.json", "users/person-1.json");
}

static void homes(void **state) {
    (void)state;
    expect("/home/alice", "~user-1");
    expect("/home/alice/.pki/nssdb", "~user-1/.pki/nssdb");
    expect("sql:/home/alice/.pki", "sql:~user-1/.pki");
    expect("/srv/people/bob/.pki", "~user-2/.pki");
    expect("/srv/people/bob", "~user-2");
    expect("/home/al/x", "~user-3/x");
    /* another's home, and one below another root */
    expect("/home/alicent/x", "/home/alicent/x");
    expect("/mnt/home/alice/x", "/mnt/home/user-1/x");
    expect("/home/carol/x", "/home/carol/x");
    /* a home of "/" says nothing */
    expect("/etc/passwd", "/etc/passwd");
}

static void mail_addresses_and_principal_names(void **state) {
    (void)state;
    expect("alice@example.com", "mail-1");
    expect("<Alice@Example.com>", "<mail-1>");
    expect("mailto:alice.smith+x@mail.example.com.", "mailto:mail-2.");
    expect("MAIL=alice@example.com,bob@EXAMPLE", "MAIL=mail-1,mail-3");
    expect("'o'brien@example.com'", "'mail-4'");
    expect("alice%40example.com", "mail-5");
    expect("https://carol@example.com/x", "https://mail-6/x");
    expect(
        "j\xc3\xb6rg@b\xc3\xbc"
        "cher.example",
        "mail-7");
    expect(
        "someone-else@example.org and again someone-else@example.org", "mail-8 and again mail-8");
    expect("u-alice@example.com", "mail-9");
    expect("@example.com alice@ a @ b", "@example.com user-1@ a @ b");
    expect("alice@example.com-", "mail-1-");
    struct pseudonyms_counts counts = pseudonyms_count(pseudonyms);
    assert_int_equal(counts.mails, 9);
    assert_int_equal(counts.users, 1);
}

static void what_was_replaced_is_not_looked_at_again(void **state) {
    (void)state;
    assert_int_equal(pseudonyms_add_user(pseudonyms, "user", NULL), 0);
    assert_int_equal(pseudonyms_add_user(pseudonyms, "person", NULL), 0);
    expect("alice user person u-alice", "user-1 user-6 user-7 person-1");
}

static void the_same_is_always_the_same(void **state) {
    (void)state;
    assert_int_equal(pseudonyms_add_user(pseudonyms, "alice", "/elsewhere/alice"), 0);
    assert_int_equal(pseudonyms_add_user(pseudonyms, "ALICE", NULL), 0);
    assert_int_equal(pseudonyms_add_person(pseudonyms, "u-alice"), 0);
    expect("/elsewhere/alice/x alice", "~user-1/x user-1");
    expect("u-alice", "person-1");
    assert_int_equal(pseudonyms_add_user(pseudonyms, "dave", "/home/dave"), 0);
    expect("dave", "user-6");
}

static void nothing_empty_is_added(void **state) {
    (void)state;
    assert_int_equal(pseudonyms_add_user(pseudonyms, "", "/home"), -EINVAL);
    assert_int_equal(pseudonyms_add_person(pseudonyms, ""), -EINVAL);
    assert_int_equal(pseudonyms_add_user(pseudonyms, "eve", "relative/home"), 0);
    expect("relative/home", "relative/home");
    assert_null(pseudonyms_free(NULL));
}

static void json(void **state) {
    static const char text[] =
        "{\"alice\":\"alice\",\"n\":7,\"b\":true,\"nothing\":null,\"list\":[\"bob\",[\"alice\"]],"
        "\"code\":\"alice\",\"checks\":[{\"id\":\"alice\",\"user\":\"alice\",\"result\":\"alice\","
        "\"text\":\"of alice\",\"subject\":\"/home/alice/.pki\"}],"
        "\"users\":[{\"id\":\"u-alice\",\"name\":\"alice\"}],\"fields\":{\"USER_ID\":\"u-alice\"},"
        "\"level\":\"al\",\"method\":\"bob\"}";
    static const char expected[] =
        "{\"alice\":\"user-1\",\"n\":7,\"b\":true,\"nothing\":null,\"list\":[\"user-2\",[\"user-"
        "1\"]],"
        "\"code\":\"alice\",\"checks\":[{\"id\":\"alice\",\"user\":\"user-1\",\"result\":\"alice\","
        "\"text\":\"of user-1\",\"subject\":\"~user-1/.pki\"}],"
        "\"users\":[{\"id\":\"person-1\",\"name\":\"user-1\"}],\"fields\":{\"USER_ID\":\"person-"
        "1\"},"
        "\"level\":\"al\",\"method\":\"bob\"}";
    struct json_object CLEANUP_JSON *value = NULL;
    (void)state;
    assert_int_equal(json_gate_parse(text, strlen(text), &value), 0);
    assert_int_equal(pseudonyms_apply(pseudonyms, value), 0);
    assert_string_equal(
        json_object_to_json_string_ext(
            value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        expected);
    struct pseudonyms_counts counts = pseudonyms_count(pseudonyms);
    assert_int_equal(counts.users, 2);
    assert_int_equal(counts.homes, 1);
    assert_int_equal(counts.persons, 1);
    assert_int_equal(counts.mails, 0);
}

/* At the maximum, and one past it: mail addresses share the last, names are refused. */
static void there_is_a_maximum(void **state) {
    char text[64];
    (void)state;
    for (unsigned i = 5; i < PSEUDONYMS_MAX; i++) {
        snprintf(text, sizeof text, "account%u", i);
        assert_int_equal(pseudonyms_add_user(pseudonyms, text, NULL), 0);
    }
    assert_int_equal(pseudonyms_add_user(pseudonyms, "one-more", NULL), -ENOSPC);
    assert_int_equal(pseudonyms_add_user(pseudonyms, "alice", NULL), 0);
    for (unsigned i = 0; i < PSEUDONYMS_MAX; i++) {
        snprintf(text, sizeof text, "m%u@example.com", i);
        char CLEANUP_FREE *replaced = pseudonyms_replace(pseudonyms, text);
        assert_non_null(replaced);
        assert_null(strchr(replaced, '@'));
    }
    char CLEANUP_FREE *past = pseudonyms_replace(pseudonyms, "one.more@example.com");
    assert_non_null(past);
    assert_null(strstr(past, "example"));
    assert_memory_equal(past, "mail-", 5);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(names),
        TEST(people_at_the_server),
        TEST(homes),
        TEST(mail_addresses_and_principal_names),
        TEST(what_was_replaced_is_not_looked_at_again),
        TEST(the_same_is_always_the_same),
        TEST(nothing_empty_is_added),
        TEST(json),
        TEST(there_is_a_maximum),
    };
    return cmocka_run_group_tests_name("pseudonyms", tests, NULL, NULL);
}
