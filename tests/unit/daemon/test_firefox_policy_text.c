/* Our preference in an administrator's policies.json: put in and taken out to the byte. */
#include "daemon/firefox_policy_text.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OURS                                                                                       \
    "\"security.default_personal_cert\":{\"Value\":\"Select "                                      \
    "Automatically\",\"Status\":\"locked\"}"

static enum firefox_policy_finding look(const char *text) {
    return firefox_policy_look(text, strlen(text));
}

static void what_is_found(void **unused) {
    (void)unused;
    static const struct {
        const char *text;
        enum firefox_policy_finding finding;
    } cases[] = {
        {"{}", FIREFOX_POLICY_ABSENT},
        {"{\"policies\":{}}", FIREFOX_POLICY_ABSENT},
        {"{\"policies\":{\"Preferences\":{\"a\":1}}}", FIREFOX_POLICY_ABSENT},
        {"{\"policies\":{\"Preferences\":{" OURS "}}}", FIREFOX_POLICY_SET},
        {"{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":"
         "\"Select Automatically\"}}}",
         FIREFOX_POLICY_SET},
        {"{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":"
         "{\"Value\":\"Select Automatically\"}}}}",
         FIREFOX_POLICY_SET},
        {"{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":"
         "{\"Value\":\"Select Automatically\",\"Status\":\"clear\"}}}}",
         FIREFOX_POLICY_OTHER},
        {"{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":"
         "{\"Value\":\"Ask Every Time\",\"Status\":\"locked\"}}}}",
         FIREFOX_POLICY_OTHER},
        {"{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":null}}}",
         FIREFOX_POLICY_OTHER},
        {"{\"policies\":{\"Preferences\":\"{}\"}}", FIREFOX_POLICY_OTHER},
        {"{\"policies\":[]}", FIREFOX_POLICY_OTHER},
        {"{\"policies\":null}", FIREFOX_POLICY_OTHER},
        {"[]", FIREFOX_POLICY_OTHER},
        {"null", FIREFOX_POLICY_OTHER},
        {"", FIREFOX_POLICY_BROKEN},
        {"{\"policies\":{}", FIREFOX_POLICY_BROKEN},
        {"{\"policies\":{},}", FIREFOX_POLICY_BROKEN},
        {"{\"policies\":{},\"policies\":{}}", FIREFOX_POLICY_BROKEN},
        {"// ours\n{}", FIREFOX_POLICY_BROKEN},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (look(cases[i].text) != cases[i].finding)
            fail_msg("%s: %d", cases[i].text, (int)look(cases[i].text));
}

static const char *const administrators[] = {
    "{}",
    " {\n}\n",
    "{\"policies\":{}}",
    "{\r\n\t\"policies\" : {\r\n\t}\r\n}",
    "{\n  \"policies\": {\n    \"DisableTelemetry\": true\n  }\n}\n",
    "{\n  \"policies\": {\n    \"Preferences\": {\n      \"browser.a\": {\"Value\": 1.0}\n    },\n"
    "    \"Homepage\": {\"URL\": \"https://x.example/{}\\\"},\"}\n  }\n}",
    "{\"other\":[{\"policies\":{\"Preferences\":{}}},\"policies\"],\"policies\":{\"a\":{"
    "\"Preferences\":{}},\"Preferences\":{ } } }",
    "{\"policies\":{\"A\":1e2,\"B\":-0,\"C\":null,\"D\":false,\"\":\"\\\\\"}}  \n",
};

static void there_and_back(void **unused) {
    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(administrators); i++) {
        const char *before = administrators[i];
        char *with CLEANUP_FREE = NULL, *inserted CLEANUP_FREE = NULL, *after CLEANUP_FREE = NULL;

        assert_int_equal(firefox_policy_insert(before, strlen(before), &with, &inserted), 0);
        assert_int_equal(look(with), FIREFOX_POLICY_SET);
        assert_true(strlen(inserted) < FIREFOX_POLICY_MAX_INSERTED);
        /* one piece more, every other byte as it was */
        const char *piece = strstr(with, inserted);
        assert_non_null(piece);
        assert_memory_equal(with, before, (size_t)(piece - with));
        assert_string_equal(piece + strlen(inserted), before + (piece - with));
        assert_int_equal(firefox_policy_withdraw(with, strlen(with), inserted, &after), 1);
        assert_non_null(after);
        assert_string_equal(after, before);
    }
}

static void a_file_of_our_own(void **unused) {
    (void)unused;
    char *text CLEANUP_FREE = NULL, *inserted CLEANUP_FREE = NULL;
    char nothing[1], *after = nothing;

    assert_int_equal(firefox_policy_insert(NULL, 0, &text, &inserted), 0);
    assert_string_equal(text, "{\"policies\":{\"Preferences\":{" OURS "}}}\n");
    assert_int_equal(firefox_policy_withdraw(text, strlen(text), inserted, &after), 1);
    assert_null(after);
}

/* The administrator's tool has read and written the file since. */
static void taken_out_of_a_file_that_was_written_anew(void **unused) {
    (void)unused;
    static const struct {
        const char *inserted, *text, *after; /* after NULL: the file goes */
    } cases[] = {
        /* formatted */
        {OURS ",",
         "{\n \"policies\": {\n  \"Preferences\": {\n   \"a\": 1,\n   "
         "\"security.default_personal_cert\": {\n    \"Status\": \"locked\",\n    \"Value\": "
         "\"Select Automatically\"\n   }\n  }\n }\n}\n",
         "{\n \"policies\": {\n  \"Preferences\": {\n   \"a\": 1\n  }\n }\n}\n"},
        {OURS ",", "{\"policies\":{\"Preferences\":{ " OURS " , \"b\":2}}}",
         "{\"policies\":{\"Preferences\":{  \"b\":2}}}"},
        /* what followed is gone: the comma that we put in with it */
        {OURS ",", "{\"policies\":{\"Preferences\":{" OURS "}}}",
         "{\"policies\":{\"Preferences\":{}}}"},
        /* something was added behind ours */
        {OURS, "{\"policies\":{\"Preferences\":{" OURS ",\"a\":1}}}",
         "{\"policies\":{\"Preferences\":{\"a\":1}}}"},
        /* what we made goes once it is empty, and stays otherwise */
        {"\"Preferences\":{" OURS "},", "{\"policies\":{\"A\":1,\"Preferences\":{ " OURS " }}}",
         "{\"policies\":{\"A\":1}}"},
        {"\"Preferences\":{" OURS "},",
         "{\"policies\":{\"A\":1,\"Preferences\":{\"b\":2," OURS "}}}",
         "{\"policies\":{\"A\":1,\"Preferences\":{\"b\":2}}}"},
        {"\"policies\":{\"Preferences\":{" OURS "}},",
         "{\"x\":1,\"policies\":{\"Preferences\":{" OURS "}}}", "{\"x\":1}"},
        {"{\"policies\":{\"Preferences\":{" OURS "}}}\n",
         "{\n  \"policies\": {\n    \"Preferences\": {\n " OURS " } } }", NULL},
        {"{\"policies\":{\"Preferences\":{" OURS "}}}\n",
         "{\"policies\":{\"Preferences\":{" OURS "},\"New\":true}}",
         "{\"policies\":{\"New\":true}}"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char *after CLEANUP_FREE = NULL;
        int r = firefox_policy_withdraw(
            cases[i].text, strlen(cases[i].text), cases[i].inserted, &after);
        if (r != 1)
            fail_msg("%zu: %d", i, r);
        if (!cases[i].after)
            assert_null(after);
        else
            assert_string_equal(after, cases[i].after);
    }
}

static void what_is_not_ours_stays(void **unused) {
    (void)unused;
    static const char *const texts[] = {
        "{}",
        "{\"policies\":{\"Preferences\":{}}}",
        "{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":"
        "\"Select Automatically\"}}}",
        "{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":"
        "{\"Value\":\"Ask Every Time\",\"Status\":\"locked\"}}}}",
        "{\"policies\":{\"Preferences\":{\"security.default_personal_cert\":"
        "{\"Value\":\"Select Automatically\",\"Status\":\"default\"}}}}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        char nothing[1], *after = nothing;
        assert_int_equal(firefox_policy_withdraw(texts[i], strlen(texts[i]), OURS, &after), 0);
        assert_ptr_equal(after, nothing);
    }
    char *after = NULL;
    assert_int_equal(firefox_policy_withdraw("{" OURS, strlen("{" OURS), OURS, &after), -EBADMSG);
}

static void nothing_is_put_where_something_stands(void **unused) {
    (void)unused;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"policies\":[]}",
        "{\"policies\":{\"Preferences\":{" OURS "}}}",
        "{\"\\u0070olicies\":{\"Preferences\":{\"a\":1}}}", /* an odd spelling is left alone */
    };
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        char *with = NULL, *inserted = NULL;
        if (firefox_policy_insert(texts[i], strlen(texts[i]), &with, &inserted) != -EBADMSG)
            fail_msg("%s", texts[i]);
    }
}

static void the_largest_file_and_one_byte_more(void **unused) {
    (void)unused;
    char *text CLEANUP_FREE = malloc(FIREFOX_POLICY_MAX_FILE + 2);
    char *with = NULL, *inserted = NULL;
    size_t size = FIREFOX_POLICY_MAX_FILE - strlen("\"policies\":{\"Preferences\":{" OURS "}}");

    memset(text, ' ', FIREFOX_POLICY_MAX_FILE + 1);
    memcpy(text, "{}", 2);
    text[size] = '\0';
    assert_int_equal(firefox_policy_insert(text, size, &with, &inserted), 0);
    assert_int_equal(strlen(with), FIREFOX_POLICY_MAX_FILE);
    assert_int_equal(look(with), FIREFOX_POLICY_SET);
    free(with);
    free(inserted);
    text[size] = ' ';
    text[size + 1] = '\0';
    assert_int_equal(firefox_policy_insert(text, size + 1, &with, &inserted), -EMSGSIZE);
    memset(text, ' ', FIREFOX_POLICY_MAX_FILE + 1);
    memcpy(text, "{}", 2);
    assert_int_equal(firefox_policy_look(text, FIREFOX_POLICY_MAX_FILE), FIREFOX_POLICY_ABSENT);
    assert_int_equal(firefox_policy_look(text, FIREFOX_POLICY_MAX_FILE + 1), FIREFOX_POLICY_BROKEN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(a_file_of_our_own),
        cmocka_unit_test(taken_out_of_a_file_that_was_written_anew),
        cmocka_unit_test(what_is_not_ours_stays),
        cmocka_unit_test(nothing_is_put_where_something_stands),
        cmocka_unit_test(the_largest_file_and_one_byte_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
