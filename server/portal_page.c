/* A template of {{names}} from a fixed list: no logic in it, and no value that is not escaped. */
#include "server/portal_page.h"

#include "common/html.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define URL_SIZE 1024

struct value {
    const char *name;
    const char *text;
    bool markup; /* made here, goes in as it is */
};

static int append_value(
    const struct value *values, size_t count, const char *name, size_t length, struct buffer *ret) {
    for (size_t i = 0; i < count; i++)
        if (strlen(values[i].name) == length && memcmp(values[i].name, name, length) == 0)
            return values[i].markup ? buffer_append_string(ret, values[i].text)
                                    : html_append_escaped(ret, values[i].text);
    return -EINVAL;
}

static int fill(
    const char *template, const struct value *values, size_t count, struct buffer *ret) {
    for (;;) {
        const char *begin = strstr(template, "{{"), *end;
        int r;

        if (!begin)
            return buffer_append_string(ret, template);
        end = strstr(begin, "}}");
        if (!end)
            return -EINVAL;
        r = buffer_append(ret, template, (size_t)(begin - template));
        if (r == 0)
            r = append_value(values, count, begin + 2, (size_t)(end - begin) - 2, ret);
        if (r < 0)
            return r;
        template = end + 2;
    }
}

/* Where scripts are off, the browser itself goes through the check host and comes back. */
static int without_scripts(const char *return_url, struct buffer *ret) {
    int r = buffer_append_string(ret, "<noscript><meta http-equiv=\"refresh\" content=\"0; url=");

    if (r == 0)
        r = html_append_escaped(ret, return_url);
    return r == 0 ? buffer_append_string(ret, "\"></noscript>") : r;
}

int portal_page_render(const struct portal_page *page, struct buffer *ret) {
    const struct portal_view *view = page->view;
    CLEANUP_BUFFER struct buffer noscript = BUFFER_INIT(URL_SIZE);
    char user[PORTAL_USER_SIZE], expires[PORTAL_TIME_SIZE];
    int r = 0;

    if (view->verdict == PORTAL_CHECKING && page->return_url[0] != '\0')
        r = without_scripts(page->return_url, &noscript);
    if (r < 0)
        return r;
    portal_view_user(view, user);
    portal_view_expires(view, expires);
    const struct value values[] = {
        {"organisation", page->organisation, false},
        {"headline", portal_view_headline(view), false},
        {"status", portal_verdict_name(view->verdict), false},
        {"reason", portal_view_text(view), false},
        {"remedy", portal_view_remedy(view), false},
        {"hint", portal_view_hint(view), false},
        {"hint_hidden", portal_view_hint(view)[0] != '\0' ? "" : " hidden", true},
        {"code", reason_code(view->reason), false},
        {"reference", view->reference, false},
        {"reference_hidden", view->reference[0] != '\0' ? "" : " hidden", true},
        {"user", user, false},
        {"device", view->status.device, false},
        {"serial", view->status.serial, false},
        {"expires", expires, false},
        {"check", page->check_url, false},
        {"details_hidden", view->status.known ? "" : " hidden", true},
        {"without_scripts", noscript.size > 0 ? (const char *)noscript.data : "", true},
    };
    return fill(asset_portal_page, values, ARRAY_LENGTH(values), ret);
}
