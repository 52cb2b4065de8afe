/* The verdict is made anew from the records for every request: what an administrator changes shows
 * at once, on open connections too. */
#include "server/portal_view.h"

#include "common/clock.h"
#include "common/json_fields.h"
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct portal_view view_of(const struct certificate_status *status, bool presented) {
    struct portal_view view = {.verdict = PORTAL_UNMANAGED, .status = *status};

    if (status->managed) {
        view.verdict = PORTAL_TRUSTED;
        return view;
    }
    /* a device's own certificate, or somebody else's, is no user's: its details are not shown */
    if (presented && (!status->known || status->kind != CERTIFICATE_USER)) {
        view.status = (struct certificate_status){0};
        view.reason = REASON_WRONG_CERTIFICATE;
        return view;
    }
    view.reason = presented ? status->reason : REASON_NO_CERTIFICATE;
    return view;
}

/* `fingerprint` NULL: no certificate was presented. */
static int look_up(struct server *server, const uint8_t *fingerprint, struct portal_view *ret) {
    struct certificate_status status = {0};
    int r = fingerprint ? certificate_status_by_fingerprint(
                              server->db, fingerprint, clock_wall_s(server->clock),
                              server->config.superseded_grace_s, &status)
                        : 0;

    if (r < 0)
        return r;
    *ret = view_of(&status, fingerprint != NULL);
    ret->presented = fingerprint != NULL;
    if (fingerprint)
        memcpy(ret->fingerprint, fingerprint, SHA256_SIZE);
    return 0;
}

static int look_up_peer(struct server *server, X509 *peer, struct portal_view *ret) {
    uint8_t fingerprint[SHA256_SIZE];
    int r = peer ? x509_cert_sha256(peer, fingerprint) : 0;

    return r < 0 ? r : look_up(server, peer ? fingerprint : NULL, ret);
}

int portal_view_first(struct server *server, X509 *peer, bool can_check, struct portal_view *ret) {
    struct portal_view view = {0};
    int r = look_up_peer(server, peer, &view);

    if (r < 0)
        return r;
    if (can_check &&
        (view.verdict != PORTAL_TRUSTED || view.status.state == CERTIFICATE_SUPERSEDED))
        view = (struct portal_view){.verdict = PORTAL_CHECKING};
    *ret = view;
    return 0;
}

int portal_view_final(
    struct server *server, X509 *peer, const struct portal_proof *proof, struct portal_view *ret) {
    struct portal_view fresh = {.verdict = PORTAL_UNMANAGED, .reason = REASON_CHECK_FAILED},
                       own = {0};
    int r = proof ? look_up(server, proof->presented ? proof->fingerprint : NULL, &fresh) : 0;

    if (r == 0)
        r = look_up_peer(server, peer, &own);
    if (r < 0)
        return r;
    /* a good one wins, the fresh one first; of two that are not, the one that tells why */
    bool take_own = fresh.verdict != PORTAL_TRUSTED &&
                    (own.verdict == PORTAL_TRUSTED || (!fresh.status.known && own.status.known));

    *ret = take_own ? own : fresh;
    return 0;
}

void portal_view_clock(struct portal_view *view, int64_t visitor_s, int64_t now_s) {
    int64_t distance = visitor_s > now_s ? visitor_s - now_s : now_s - visitor_s;

    if (view->verdict == PORTAL_UNMANAGED && distance > PORTAL_CLOCK_TOLERANCE_S &&
        (view->reason == REASON_NO_CERTIFICATE || view->reason == REASON_EXPIRED))
        view->reason = REASON_CLOCK;
}

/* --- words --- */

const char *portal_verdict_name(enum portal_verdict verdict) {
    static const char *const names[] = {
        [PORTAL_CHECKING] = "checking",
        [PORTAL_TRUSTED] = "trusted",
        [PORTAL_UNMANAGED] = "unmanaged",
    };

    return names[verdict];
}

const char *portal_view_headline(const struct portal_view *view) {
    static const char *const headlines[] = {
        [PORTAL_CHECKING] = "Checking this device …",
        [PORTAL_TRUSTED] = "This device is trusted",
        [PORTAL_UNMANAGED] = "This device is unmanaged",
    };

    return headlines[view->verdict];
}

/* The table of reasons speaks to whoever runs devtrustctl; here a person looks at a browser. */
static const struct {
    enum reason reason;
    const char *text, *remedy;
} for_visitors[] = {
    {REASON_NO_CERTIFICATE, "This browser presented no device trust certificate.",
     "On a managed device, wait a moment and try again. If it stays so, look at Device trust among "
     "its applications (devtrustctl status), or ask your administrator to manage this device."},
    {REASON_REVOKED, "The certificate that this browser presented has been revoked.",
     "A newer one takes its place by itself; try again in a moment. If it stays so, ask your "
     "administrator."},
    {REASON_EXPIRED, "The certificate that this browser presented has expired.",
     "Connect the device to the network: it renews the certificate by itself. Then try "
     "again."},
    {REASON_DISTRIBUTION_OFF, "Your administrator has switched certificate distribution off.",
     "Nothing to do on this device; ask your administrator when it will be on again."},
    {REASON_DISTRIBUTION_PAUSED, "Your administrator has paused certificate distribution.",
     "Nothing to do on this device; ask your administrator when it will go on."},
    {REASON_NOT_MANAGED, "You are not assigned to this device.",
     "Ask your administrator to assign you to this device."},
    {REASON_CLOCK, "This device's clock is more than ten minutes wrong.",
     "Set the clock, best by switching automatic time on: certificates are judged and renewed by "
     "it."},
    {REASON_WRONG_CERTIFICATE,
     "The certificate that this browser presented is not a user's device trust certificate.",
     "Present the one that devtrust put here; on a managed device, devtrustctl status names it."},
    {REASON_CHECK_FAILED, "The browser did not complete the check.",
     "Try again; if it stays so, this network may block the host name of the check."},
    {REASON_DEVICE_REMOVED, "This device has been removed from management.",
     "Ask your administrator to enrol it again."},
};

const char *portal_view_text(const struct portal_view *view) {
    if (view->verdict == PORTAL_CHECKING)
        return "The browser is being asked for its certificate.";
    if (view->verdict == PORTAL_TRUSTED)
        return "Your browser proved that you are a managed user on a managed device.";
    for (size_t i = 0; i < ARRAY_LENGTH(for_visitors); i++)
        if (for_visitors[i].reason == view->reason)
            return for_visitors[i].text;
    return reason_text(view->reason);
}

const char *portal_view_remedy(const struct portal_view *view) {
    if (view->verdict == PORTAL_CHECKING)
        return "If this does not end by itself, allow cookies for this site and reload.";
    for (size_t i = 0; i < ARRAY_LENGTH(for_visitors); i++)
        if (for_visitors[i].reason == view->reason)
            return for_visitors[i].remedy;
    return view->verdict == PORTAL_TRUSTED ? "Nothing to do." : reason_remedy(view->reason);
}

const char *portal_view_hint(const struct portal_view *view) {
    return view->verdict == PORTAL_UNMANAGED ? portal_browser_hint(view->browser, view->reason)
                                             : "";
}

void portal_view_user(const struct portal_view *view, char ret[PORTAL_USER_SIZE]) {
    const struct certificate_status *status = &view->status;

    if (!status->known || strcmp(status->user_name, status->user_id) == 0)
        snprintf(ret, PORTAL_USER_SIZE, "%s", status->known ? status->user_id : "");
    else
        snprintf(ret, PORTAL_USER_SIZE, "%s (%s)", status->user_name, status->user_id);
}

void portal_view_expires(const struct portal_view *view, char ret[PORTAL_TIME_SIZE]) {
    time_t seconds = (time_t)view->status.not_after;
    struct tm tm;

    ret[0] = '\0';
    if (view->status.known && gmtime_r(&seconds, &tm))
        (void)strftime(ret, PORTAL_TIME_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

static const char *text_or_null(const char *text) {
    return text[0] != '\0' ? text : NULL;
}

struct json_object *portal_view_json(const struct portal_view *view) {
    const struct certificate_status *status = &view->status;
    struct json_object *object = json_object_new_object();
    char user[PORTAL_USER_SIZE], expires[PORTAL_TIME_SIZE];

    portal_view_user(view, user);
    portal_view_expires(view, expires);
    if (json_fields_add_string(object, "status", portal_verdict_name(view->verdict)) == 0 &&
        json_fields_add_string(object, "user", status->known ? user : NULL) == 0 &&
        json_fields_add_string(object, "user_id", status->known ? status->user_id : NULL) == 0 &&
        json_fields_add_string(object, "device", status->known ? status->device : NULL) == 0 &&
        json_fields_add_string(object, "serial", status->known ? status->serial : NULL) == 0 &&
        (!status->known || json_fields_add_int(object, "not_after", status->not_after) == 0) &&
        json_fields_add_string(object, "expires", status->known ? expires : NULL) == 0 &&
        json_fields_add_string(object, "code", reason_code(view->reason)) == 0 &&
        json_fields_add_string(object, "headline", portal_view_headline(view)) == 0 &&
        json_fields_add_string(object, "text", portal_view_text(view)) == 0 &&
        json_fields_add_string(object, "remedy", portal_view_remedy(view)) == 0 &&
        json_fields_add_string(object, "hint", text_or_null(portal_view_hint(view))) == 0 &&
        json_fields_add_string(object, "reference", text_or_null(view->reference)) == 0)
        return object;
    json_object_put(object);
    return NULL;
}
