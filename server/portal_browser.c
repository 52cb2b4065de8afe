/* User agents and what is known of each (docs/BROWSERS.md). */
#include "server/portal_browser.h"

#include "common/cleanup.h"

#include <stddef.h>
#include <string.h>

#define OURS                                                                                       \
    "the certificate whose name ends in “Device Trust Certificate” and eight letters and digits"

/* In this order: each one's text names those below, too. */
static const struct {
    const char *product;
    enum portal_browser browser;
} products[] = {
    {"Firefox/", PORTAL_BROWSER_FIREFOX},
    {"Chrome/", PORTAL_BROWSER_CHROMIUM},
    {"Chromium/", PORTAL_BROWSER_CHROMIUM},
    {"Safari/", PORTAL_BROWSER_SAFARI},
};

enum portal_browser portal_browser_of(const char *user_agent) {
    for (size_t i = 0; user_agent && i < ARRAY_LENGTH(products); i++)
        if (strstr(user_agent, products[i].product))
            return products[i].browser;
    return PORTAL_BROWSER_OTHER;
}

const char *portal_browser_name(enum portal_browser browser) {
    static const char *const names[] = {
        [PORTAL_BROWSER_OTHER] = "another",
        [PORTAL_BROWSER_CHROMIUM] = "Chromium",
        [PORTAL_BROWSER_FIREFOX] = "Firefox",
        [PORTAL_BROWSER_SAFARI] = "Safari",
    };

    return names[browser];
}

static const char *choosing(enum portal_browser browser) {
    static const char *const hints[] = {
        [PORTAL_BROWSER_OTHER] = "If this browser asks for a certificate, choose " OURS
                                 ". If it does not ask, close all its windows and open it again.",
        [PORTAL_BROWSER_CHROMIUM] =
            "Chromium and its relatives take the certificate up by themselves within seconds. If "
            "this one asks all the same, choose " OURS ".",
        [PORTAL_BROWSER_FIREFOX] =
            "Firefox may ask which certificate to present: choose " OURS
            ", and do not cancel. If it does not ask, close all its windows and open it again.",
        [PORTAL_BROWSER_SAFARI] = "If Safari asks for a certificate, choose " OURS
                                  ". If it does not ask, quit Safari and open it again.",
    };

    return hints[browser];
}

static const char *checking(enum portal_browser browser) {
    static const char *const hints[] = {
        [PORTAL_BROWSER_OTHER] = "Allow cookies for this site.",
        [PORTAL_BROWSER_CHROMIUM] = "Allow cookies for this site: the sign left of the address, "
                                    "then Cookies and site data.",
        [PORTAL_BROWSER_FIREFOX] = "Allow cookies for this site, and switch its Enhanced Tracking "
                                   "Protection off: the shield left of the address.",
        [PORTAL_BROWSER_SAFARI] = "Allow cookies: Safari, Settings, Privacy.",
    };

    return hints[browser];
}

const char *portal_browser_hint(enum portal_browser browser, enum reason reason) {
    if (reason == REASON_NO_CERTIFICATE || reason == REASON_WRONG_CERTIFICATE)
        return choosing(browser);
    return reason == REASON_CHECK_FAILED ? checking(browser) : "";
}
