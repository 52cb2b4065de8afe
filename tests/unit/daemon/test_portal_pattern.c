/* Which portal patterns a browser policy may carry. */
#include "daemon/portal_pattern.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void good_forms(void **unused) {
    (void)unused;
    struct portal_pattern pattern;
    assert_int_equal(portal_pattern_parse("https://Portal.Example.com", &pattern), 0);
    assert_string_equal(pattern.host, "portal.example.com");
    assert_false(pattern.wildcard);
    assert_int_equal(pattern.port, 0);
    assert_int_equal(portal_pattern_parse("https://[*.]check.localhost:9443/", &pattern), 0);
    assert_true(pattern.wildcard);
    assert_string_equal(pattern.host, "check.localhost");
    assert_int_equal(pattern.port, 9443);
    assert_int_equal(portal_pattern_parse("https://[::1]:65535/a/b-c_d.e~f", &pattern), 0);
    assert_string_equal(pattern.host, "::1");
    assert_int_equal(pattern.port, 65535);
    assert_int_equal(portal_pattern_parse("https://192.0.2.1", &pattern), 0);
}

static void bad_forms(void **unused) {
    (void)unused;
    static const char *const bad[] = {
        "",
        "*",
        "https://*",
        "https://*.example.com",
        "https://",
        "http://portal.example.com",
        "portal.example.com",
        "HTTPS://portal.example.com",
        "https://[*.]",
        "https://[*.]*",
        "https://[*.][*.]example.com",
        "https://[*.]192.0.2.1",
        "https://[*.][::1]",
        "https://a..b",
        "https://.a",
        "https://a.",
        "https://-a.b",
        "https://a-.b",
        "https://a_b",
        "https://a:0",
        "https://a:65536",
        "https://a:",
        "https://a:1x",
        "https://u@a",
        "https://a/?q",
        "https://a/*",
        "https://a\"b",
        "https://[::1",
        "https://[::g]",
        "https://[::1]x",
        "https://a b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct portal_pattern pattern;
        if (portal_pattern_parse(bad[i], &pattern) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    }
    char longest[PORTAL_PATTERN_MAX + 2];
    struct portal_pattern pattern;
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "https://a/", 10);
    longest[PORTAL_PATTERN_MAX] = '\0';
    assert_int_equal(portal_pattern_parse(longest, &pattern), 0);
    longest[PORTAL_PATTERN_MAX] = 'a';
    longest[PORTAL_PATTERN_MAX + 1] = '\0';
    assert_int_equal(portal_pattern_parse(longest, &pattern), -EINVAL);
}

struct judged {
    const char *home, *pattern;
    bool allowed;
};

static void judged_by_the_servers_domain(void **unused) {
    (void)unused;
    static const struct judged list[] = {
        {"trust.example.com", "https://portal.example.com", true},
        {"trust.example.com", "https://example.com", true},
        {"trust.example.com", "https://[*.]check.example.com:8443", true},
        {"trust.example.com", "https://[*.]example.com", false}, /* the whole domain */
        {"trust.example.com", "https://example.org", false},
        {"trust.example.com", "https://badexample.com", false},
        {"trust.example.com", "https://[*.]com", false},
        {"trust.example.co.uk", "https://a.example.co.uk", true},
        {"trust.example.co.uk", "https://other.co.uk", false},
        {"me.github.io", "https://you.github.io", false}, /* a public suffix of its own */
        {"me.github.io", "https://a.me.github.io", true},
        {"github.io", "https://you.github.io", false}, /* below a public suffix are others */
        {"github.io", "https://github.io", true},
        {"localhost", "https://localhost:9443", true},
        {"localhost", "https://[*.]check.localhost", true},
        {"localhost", "https://[*.]localhost", false},
        {"localhost", "https://example.com", false},
        {"server", "https://portal.server", true},
        {"server", "https://portal", false},
        {"192.0.2.1", "https://192.0.2.1", true},
        {"192.0.2.1", "https://192.0.2.2", false},
        {"192.0.2.1", "https://a.192.0.2.1", false},
        {"::1", "https://[::1]:443", true},
        {NULL, "https://portal.example.com", false},
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        if (portal_pattern_is_allowed(list[i].pattern, list[i].home, NULL) != list[i].allowed)
            fail_msg("%s from %s", list[i].pattern, list[i].home ? list[i].home : "nowhere");
}

static void roots_word_adds(void **unused) {
    (void)unused;
    char plain_1[] = "https://portal.other.org", wide_1[] = "nonsense",
         wide_2[] = "https://[*.]other.org", port_1[] = "https://portal.other.org:8443";
    char *plain[] = {plain_1, NULL};
    char *wide[] = {wide_1, wide_2, NULL};
    char *port[] = {port_1, NULL};
    assert_true(portal_pattern_is_allowed("https://portal.other.org:1", "a.example.com", plain));
    assert_false(portal_pattern_is_allowed("https://x.portal.other.org", "a.example.com", plain));
    assert_false(portal_pattern_is_allowed("https://[*.]portal.other.org", "a.example.com", plain));
    assert_true(portal_pattern_is_allowed("https://[*.]check.other.org", "a.example.com", wide));
    assert_true(portal_pattern_is_allowed("https://other.org", "a.example.com", wide));
    assert_false(portal_pattern_is_allowed("https://another.org", "a.example.com", wide));
    assert_true(portal_pattern_is_allowed("https://portal.other.org:8443", "a.example.com", port));
    assert_false(portal_pattern_is_allowed("https://portal.other.org", "a.example.com", port));
    assert_false(portal_pattern_is_allowed("*", "a.example.com", wide));
}

static void one_check_domain(void **unused) {
    (void)unused;
    static char portal[] = "https://portal.example.com", all[] = "*",
                check[] = "https://[*.]check.example.com",
                check_port[] = "https://[*.]check.example.com:8443",
                second[] = "https://[*.]second.example.com";
    char *patterns[] = {portal, all, check, check_port, second};
    bool good[5];
    assert_int_equal(portal_pattern_filter(patterns, 5, "t.example.com", NULL, good), 2);
    assert_true(good[0] && !good[1] && good[2] && good[3] && !good[4]);
}

static void hosts_of_urls(void **unused) {
    (void)unused;
    char host[256];
    assert_int_equal(
        portal_pattern_url_host("https://Trust.Example.com:8443/x?y", host, sizeof(host)), 0);
    assert_string_equal(host, "trust.example.com");
    assert_int_equal(portal_pattern_url_host("https://[::1]:1", host, sizeof(host)), 0);
    assert_string_equal(host, "::1");
    assert_int_equal(portal_pattern_url_host("http://a", host, sizeof(host)), -EINVAL);
    assert_int_equal(portal_pattern_url_host("https://u@a", host, sizeof(host)), -EINVAL);
    assert_int_equal(portal_pattern_url_host("https://abc", host, 3), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_forms),
        cmocka_unit_test(bad_forms),
        cmocka_unit_test(judged_by_the_servers_domain),
        cmocka_unit_test(roots_word_adds),
        cmocka_unit_test(one_check_domain),
        cmocka_unit_test(hosts_of_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
