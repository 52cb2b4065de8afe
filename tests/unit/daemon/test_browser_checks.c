/* How a diagnosis judges browser policies and browsers; and what policy_examine() sees on disk is
 * in test_policy.c. */
#include "daemon/browser_checks.h"

#include "tests/unit/daemon/found.h"

#include <errno.h>

#define PLACE "/etc/chromium/policies/managed"

static struct policy_place_facts good(void) {
    return (struct policy_place_facts){
        .path = PLACE,
        .is_wanted = true,
        .is_made = true,
        .rules = 2,
        .refused = "",
        .error = 0,
        .own_is_json = true,
        .own_is_same = true,
        .own_is_readable = true,
    };
}

static struct found policy_of(const struct policy_place_facts *facts) {
    struct checks checks = {0};
    browser_checks_policy(facts, &checks);
    return found_one(&checks);
}

static void a_good_policy(void **state) {
    (void)state;
    struct policy_place_facts facts = good();
    struct found found = policy_of(&facts);
    EXPECT_FOUND(found, "policy", "ok", "");
    assert_string_equal(found.subject, PLACE "/zz-devtrust.json");
    assert_string_equal(found.text, "2 rules of ours, as written; no other file overrides them.");
    facts.is_wanted = false;
    found = policy_of(&facts);
    EXPECT_FOUND(found, "policy", "not_applicable", "");
    assert_string_equal(found.subject, PLACE);
}

static void bad_policies(void **state) {
    (void)state;
    struct policy_place_facts facts = good();
    snprintf(facts.broken_file, sizeof(facts.broken_file), "50-corp.json");
    struct found found = policy_of(&facts);
    EXPECT_FOUND(found, "policy", "warning", "policy-broken-file");
    assert_non_null(strstr(found.text, "(50-corp.json)"));
    snprintf(facts.conflict_file, sizeof(facts.conflict_file), "zzz.json");
    found = policy_of(&facts);
    EXPECT_FOUND(found, "policy", "failure", "policy-conflict");
    assert_non_null(strstr(found.text, "(zzz.json)"));
    facts.own_is_same = false;
    EXPECT_FOUND(policy_of(&facts), "policy", "failure", "policy-changed");
    facts.own_is_readable = false;
    assert_non_null(strstr(policy_of(&facts).text, "may not read it"));
    facts.own_is_json = false;
    assert_non_null(strstr(policy_of(&facts).text, "not valid JSON"));
    facts.own_error = -EIO;
    EXPECT_FOUND(policy_of(&facts), "policy", "failure", "storage");
    facts.own_error = -ENOENT;
    EXPECT_FOUND(policy_of(&facts), "policy", "failure", "policy-missing");
    facts.error = -EPERM;
    found = policy_of(&facts);
    EXPECT_FOUND(found, "policy", "failure", "policy-directory");
    assert_string_equal(found.subject, PLACE);
    assert_non_null(strstr(found.text, "writable by others"));
    facts.error = -ENOENT;
    EXPECT_FOUND(policy_of(&facts), "policy", "failure", "policy-directory");

    facts = good();
    facts.refused = "https://evil.example.org";
    EXPECT_FOUND(policy_of(&facts), "policy", "warning", "pattern-refused");
}

/* A family whose directory does not exist is no concern of the policy's. */
static void a_place_of_another_family(void **state) {
    struct checks checks CLEANUP_CHECKS = {0};
    (void)state;
    struct policy_place_facts facts = good();
    facts.is_made = false;
    facts.error = -ENOENT;
    browser_checks_policy(&facts, &checks);
    assert_null(checks.array);
    facts.error = -ELOOP;
    EXPECT_FOUND(policy_of(&facts), "policy", "failure", "policy-directory");
}

static void another_tool_owns_it(void **state) {
    (void)state;
    struct policy_place_facts facts = good();
    facts.is_external = true;
    facts.own_error = -ENOENT;
    EXPECT_FOUND(policy_of(&facts), "policy", "failure", "policy-external");
    facts.others_have_rules = true;
    struct found found = policy_of(&facts);
    EXPECT_FOUND(found, "policy", "ok", "");
    assert_string_equal(found.subject, PLACE);
    facts.error = -EPERM;
    EXPECT_FOUND(policy_of(&facts), "policy", "failure", "policy-directory");
    facts.error = -ENOENT;
    EXPECT_FOUND(policy_of(&facts), "policy", "failure", "policy-external");
}

static struct found firefox_of(const struct firefox_place_facts *facts) {
    struct checks checks = {0};
    browser_checks_firefox(facts, &checks);
    struct found found = found_one(&checks);
    assert_string_equal(found.subject, "/etc/firefox/policies/policies.json");
    return found;
}

static void the_policy_of_firefox(void **state) {
    struct checks checks CLEANUP_CHECKS = {0};
    (void)state;
    struct firefox_place_facts facts = {
        .directory = "/etc/firefox/policies",
        .is_wanted = true,
        .is_made = true,
        .finding = FIREFOX_POLICY_SET,
        .is_readable = true,
    };
    EXPECT_FOUND(firefox_of(&facts), "policy", "ok", "");
    facts.is_readable = false;
    EXPECT_FOUND(firefox_of(&facts), "policy", "failure", "permissions");
    facts.finding = FIREFOX_POLICY_ABSENT;
    EXPECT_FOUND(firefox_of(&facts), "policy", "failure", "policy-missing");
    facts.is_external = true;
    EXPECT_FOUND(firefox_of(&facts), "policy", "failure", "policy-external");
    snprintf(facts.shadowed, sizeof(facts.shadowed), "/usr/lib/firefox/distribution/policies.json");
    struct found found = firefox_of(&facts);
    EXPECT_FOUND(found, "policy", "failure", "policy-conflict");
    assert_non_null(strstr(found.text, "(/usr/lib/firefox/distribution/policies.json)"));
    facts.finding = FIREFOX_POLICY_OTHER;
    EXPECT_FOUND(firefox_of(&facts), "policy", "failure", "policy-conflict");
    facts.finding = FIREFOX_POLICY_BROKEN;
    EXPECT_FOUND(firefox_of(&facts), "policy", "failure", "policy-broken-file");
    facts.error = -EPERM;
    EXPECT_FOUND(firefox_of(&facts), "policy", "failure", "policy-directory");
    facts.is_wanted = false;
    EXPECT_FOUND(firefox_of(&facts), "policy", "not_applicable", "");
    facts.is_made = false;
    facts.error = -ENOENT;
    browser_checks_firefox(&facts, &checks);
    assert_null(checks.array);
}

static struct found browser_of(const struct browser_facts *facts) {
    struct checks checks = {0};
    browser_checks_browser(facts, &checks);
    return found_one(&checks);
}

static void browsers(void **state) {
    (void)state;
    struct browser_facts facts = {
        .name = "Chromium",
        .directory = PLACE,
        .is_wanted = true,
        .has_rules = true,
    };
    struct found found = browser_of(&facts);
    EXPECT_FOUND(found, "browser", "ok", "");
    assert_string_equal(found.subject, "Chromium");
    assert_string_equal(found.text, "Installed, with its policy in " PLACE ".");
    facts.has_rules = false;
    found = browser_of(&facts);
    EXPECT_FOUND(found, "browser", "warning", "browser-no-policy");
    assert_non_null(strstr(found.text, "(" PLACE ")"));
    facts.is_external = true;
    EXPECT_FOUND(browser_of(&facts), "browser", "warning", "policy-external");
    facts.is_wanted = false;
    EXPECT_FOUND(browser_of(&facts), "browser", "not_applicable", "");
    facts.directory = NULL;
    EXPECT_FOUND(browser_of(&facts), "browser", "not_applicable", "");
    facts.is_opted_out = true;
    EXPECT_FOUND(browser_of(&facts), "browser", "not_applicable", "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_policy),
        cmocka_unit_test(bad_policies),
        cmocka_unit_test(a_place_of_another_family),
        cmocka_unit_test(another_tool_owns_it),
        cmocka_unit_test(the_policy_of_firefox),
        cmocka_unit_test(browsers),
    };
    return cmocka_run_group_tests_name("browser checks", tests, NULL, NULL);
}
