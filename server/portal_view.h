/* What the portal says about a visitor: one verdict from what his connections presented, in the
 * words of page and JSON alike. */
#pragma once

#include "common/reference.h"
#include "server/certificate.h"
#include "server/portal_browser.h"
#include "server/portal_token.h"

#include <json-c/json_object.h>
#include <openssl/x509.h>

enum portal_verdict { PORTAL_CHECKING, PORTAL_TRUSTED, PORTAL_UNMANAGED };

struct portal_view {
    enum portal_verdict verdict;
    enum reason reason;               /* REASON_NONE when trusted */
    struct certificate_status status; /* .known false: nothing to show of it */
    bool presented;                   /* a certificate, of whatever kind */
    uint8_t fingerprint[SHA256_SIZE]; /* of that one */
    enum portal_browser browser;      /* for words alone */
    char reference[REFERENCE_SIZE];   /* for the help desk; "": none is needed */
};

struct server;

/** Before the check on a fresh host name: decides by `peer`, the certificate of the page's own
 * connection (NULL: none). Where a check can follow (`can_check`), only a good one that nothing has
 * superseded decides; everything else is PORTAL_CHECKING, since the browser may merely have cached
 * an older choice. Returns 0 or a negative errno of the database. */
int portal_view_first(struct server *server, X509 *peer, bool can_check, struct portal_view *ret);

/** After the check: the better of what it proved (NULL: it was not completed) and `peer`. */
int portal_view_final(
    struct server *server, X509 *peer, const struct portal_proof *proof, struct portal_view *ret);

/** What the visitor's own clock says (seconds since 1970): where it is far from `now_s`, that is
 * what the lack of a good certificate comes from, and the reason becomes REASON_CLOCK. A claim, and
 * so it only changes words. */
#define PORTAL_CLOCK_TOLERANCE_S 600
void portal_view_clock(struct portal_view *view, int64_t visitor_s, int64_t now_s);

/** "trusted", "unmanaged", "checking". */
const char *portal_verdict_name(enum portal_verdict verdict);

/** Sentences for a person. */
const char *portal_view_headline(const struct portal_view *view);
const char *portal_view_text(const struct portal_view *view);
const char *portal_view_remedy(const struct portal_view *view);

/** What to do in this browser; "" where there is nothing to say. */
const char *portal_view_hint(const struct portal_view *view);

/** Display name, and the id in brackets where it differs; "" when unknown. */
#define PORTAL_USER_SIZE (SERVER_USER_NAME_SIZE + SERVER_USER_ID_SIZE + 4)
void portal_view_user(const struct portal_view *view, char ret[PORTAL_USER_SIZE]);

/** "2026-12-23 18:05:00 UTC"; "" when unknown. */
#define PORTAL_TIME_SIZE 32
void portal_view_expires(const struct portal_view *view, char ret[PORTAL_TIME_SIZE]);

/** The object of docs/SERVER-API.md; NULL when memory is out. */
struct json_object *portal_view_json(const struct portal_view *view);
