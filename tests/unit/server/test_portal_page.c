/* The page as bytes: every value is escaped, every name is filled, and it fits. */
#include "server/portal_page.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct portal_view trusted_view(void) {
    struct portal_view view = {.verdict = PORTAL_TRUSTED, .status = {.known = true}};

    snprintf(view.status.user_id, sizeof(view.status.user_id), "u1");
    snprintf(
        view.status.user_name, sizeof(view.status.user_name), "%s",
        "<script>alert('x')</script>\"&");
    snprintf(view.status.device, sizeof(view.status.device), "device");
    snprintf(view.status.serial, sizeof(view.status.serial), "0a");
    view.status.not_after = 1800000000;
    return view;
}

static char *render(const struct portal_view *view, const char *check_url, const char *return_url) {
    const struct portal_page page = {view, "Rock & <Roll>", check_url, return_url};
    struct buffer body = BUFFER_INIT(PORTAL_PAGE_MAX);
    size_t size;

    assert_int_equal(portal_page_render(&page, &body), 0);
    return buffer_steal(&body, &size);
}

static void test_values_are_escaped(void **state) {
    struct portal_view view = trusted_view();
    CLEANUP_FREE char *text = render(&view, "https://x/check?n=1&m=2", "");

    (void)state;
    assert_null(strstr(text, "<script>alert"));
    assert_non_null(
        strstr(text, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp; (u1)"));
    assert_non_null(strstr(text, "Rock &amp; &lt;Roll&gt;"));
    assert_non_null(strstr(text, "data-check=\"https://x/check?n=1&amp;m=2\""));
    assert_non_null(strstr(text, "2027-01-15 08:00:00 UTC"));
    assert_null(strstr(text, "{{"));
    assert_null(strstr(text, "<noscript>"));
    assert_null(strstr(text, "<dl hidden>"));
}

static void test_details_are_hidden_where_there_are_none(void **state) {
    struct portal_view view = {.verdict = PORTAL_UNMANAGED, .reason = REASON_NO_CERTIFICATE};
    CLEANUP_FREE char *text = render(&view, "", "");

    (void)state;
    assert_non_null(strstr(text, "<dl hidden>"));
    assert_non_null(strstr(text, "no-certificate"));
}

static void test_refresh_only_while_checking(void **state) {
    struct portal_view view = {.verdict = PORTAL_CHECKING};
    CLEANUP_FREE char *checking = render(&view, "https://x/", "https://x/?a=1&return=1");
    CLEANUP_FREE char *nowhere = render(&view, "https://x/", "");
    CLEANUP_FREE char *after = NULL;

    (void)state;
    assert_non_null(strstr(
        checking, "<noscript><meta http-equiv=\"refresh\" content=\"0; "
                  "url=https://x/?a=1&amp;return=1\"></noscript>"));
    assert_null(strstr(nowhere, "http-equiv"));
    view.verdict = PORTAL_UNMANAGED;
    after = render(&view, "https://x/", "https://x/?return=1");
    assert_null(strstr(after, "http-equiv"));
}

static void test_what_there_is_not_is_hidden(void **state) {
    struct portal_view view = {
        .verdict = PORTAL_UNMANAGED,
        .reason = REASON_NO_CERTIFICATE,
        .browser = PORTAL_BROWSER_FIREFOX,
        .reference = "DT-01-7K3QX9F",
    };
    CLEANUP_FREE char *with = render(&view, "", "");
    CLEANUP_FREE char *without = NULL;

    (void)state;
    assert_non_null(strstr(with, "Firefox may ask"));
    assert_non_null(strstr(with, ">DT-01-7K3QX9F<"));
    assert_null(strstr(with, "\"hint\" hidden"));
    assert_null(strstr(with, "\"desk\" hidden"));
    view = (struct portal_view){.verdict = PORTAL_UNMANAGED, .reason = REASON_DISTRIBUTION_OFF};
    without = render(&view, "", "");
    assert_non_null(strstr(without, "\"hint\" hidden"));
    assert_non_null(strstr(without, "\"desk\" hidden"));
}

/* Every reason has something to say and something to do. */
static void test_every_reason_has_words(void **state) {
    (void)state;
    for (int reason = REASON_NONE + 1; reason < REASON_COUNT_; reason++) {
        struct portal_view view = {.verdict = PORTAL_UNMANAGED, .reason = (enum reason)reason};

        assert_true(strlen(portal_view_text(&view)) > 0);
        assert_true(strlen(portal_view_remedy(&view)) > 0);
    }
}

static void test_too_small_a_buffer(void **state) {
    struct portal_view view = trusted_view();
    const struct portal_page page = {&view, "Example", "", ""};
    struct buffer body = BUFFER_INIT(100);

    (void)state;
    assert_int_equal(portal_page_render(&page, &body), -EMSGSIZE);
    buffer_deinit(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_escaped),
        cmocka_unit_test(test_details_are_hidden_where_there_are_none),
        cmocka_unit_test(test_refresh_only_while_checking),
        cmocka_unit_test(test_what_there_is_not_is_hidden),
        cmocka_unit_test(test_every_reason_has_words),
        cmocka_unit_test(test_too_small_a_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
