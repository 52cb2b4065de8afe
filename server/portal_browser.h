/* Which browser says it is visiting, for words alone: a User-Agent is whatever the visitor likes,
 * and nothing is decided by it. */
#pragma once

#include "common/reason.h"

enum portal_browser {
    PORTAL_BROWSER_OTHER,
    PORTAL_BROWSER_CHROMIUM, /* and what is built from it */
    PORTAL_BROWSER_FIREFOX,
    PORTAL_BROWSER_SAFARI, /* and every browser of iOS, which are WebKit inside */
};

/** `user_agent` may be NULL. */
enum portal_browser portal_browser_of(const char *user_agent);

/** "Chromium", "Firefox", "Safari", "another". */
const char *portal_browser_name(enum portal_browser browser);

/** What this browser's user can do about this reason; "" where the browser makes no difference. */
const char *portal_browser_hint(enum portal_browser browser, enum reason reason);
