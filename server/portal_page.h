/* The page as bytes: the template server/portal_page.html, filled. */
#pragma once

#include "common/buffer.h"
#include "server/portal_view.h"

#define PORTAL_PAGE_MAX (64 * 1024)

/* embedded from portal_style.css, portal_script.js and portal_page.html (Makefile) */
extern const char asset_portal_style[];
extern const char asset_portal_script[];
extern const char asset_portal_page[];

struct portal_page {
    const struct portal_view *view;
    const char *organisation;
    const char *check_url; /* what the script asks; "": no check host */
    const char
        *return_url; /* where a browser without scripts is sent while checking; "": nowhere */
};

/** Renders into `ret`. Every value is escaped for HTML. Returns 0, -EMSGSIZE, -ENOMEM, or -EINVAL
 * (a template of another version). */
int portal_page_render(const struct portal_page *page, struct buffer *ret);
