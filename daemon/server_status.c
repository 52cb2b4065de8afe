/* What people see of the server link: judged in one place, in the words of the interface. */
#include "daemon/server_status.h"

#include "daemon/device_renewal.h"
#include "daemon/enrolment.h"
#include "daemon/push_stream.h"
#include "daemon/server_parts.h"
#include "daemon/state_sync.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/x509_profile.h"

#include <errno.h>

static const char *const state_names[] = {
    [ENROLMENT_NONE] = "none",         [ENROLMENT_ENROLLING] = "enrolling",
    [ENROLMENT_ENROLLED] = "enrolled", [ENROLMENT_CLONED] = "cloned",
    [ENROLMENT_REMOVED] = "removed",   [ENROLMENT_HELD] = "held",
};

static int add_reason(struct json_object *object, enum reason reason) {
    if (reason == REASON_NONE)
        return 0;
    int r = json_fields_add_string(object, "code", reason_code(reason));
    r = r < 0 ? r : json_fields_add_string(object, "text", reason_text(reason));
    return r < 0 ? r : json_fields_add_string(object, "remedy", reason_remedy(reason));
}

int server_status_enrolment(const struct enrolment_status *status, struct json_object **ret) {
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    if (!object)
        return -ENOMEM;
    int r = json_fields_add_string(object, "state", state_names[status->state]);
    r = r < 0 ? r : json_fields_add_string(object, "url", status->url);
    r = r < 0 ? r : json_fields_add_string(object, "device_uuid", status->device_uuid);
    if (r == 0 && status->not_after != 0)
        r = json_fields_add_int(object, "not_after", status->not_after);
    r = r < 0 ? r : add_reason(object, status->reason);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(object);
    return 0;
}

int server_status_push(const struct push_status *status, struct json_object **ret) {
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    if (!object)
        return -ENOMEM;
    int r = json_fields_add_bool(object, "connected", status->connected);
    if (r == 0 && status->last_event_s != 0)
        r = json_fields_add_int(object, "last_event_s", status->last_event_s);
    r = r < 0 ? r : add_reason(object, status->reason);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(object);
    return 0;
}

/* --- of a link --- */

static enum reason first_reason(const enum reason *reasons, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (reasons[i] != REASON_NONE)
            return reasons[i];
    return REASON_NONE;
}

static void judge_enrolled(struct server_link *link, struct enrolment_status *status) {
    x509_not_after(link->identity->certificate, &status->not_after);
    bool expired = status->not_after <= clock_wall_s(link->options.clock);
    const enum reason reasons[] = {
        link->clock_wrong ? REASON_CLOCK : REASON_NONE,
        expired ? REASON_EXPIRED : REASON_NONE,
        enrolment_reason(link->enrolment),
        device_renewal_reason(link->renewal),
    };
    status->url = link->identity->server.url;
    status->device_uuid = link->identity->uuid;
    status->reason = first_reason(reasons, ARRAY_LENGTH(reasons));
    status->state = ENROLMENT_ENROLLED;
    if (link->identity->held) {
        status->state = ENROLMENT_HELD;
        status->reason = REASON_HELD;
    } else if (server_link_is_removed(link)) {
        status->state = ENROLMENT_REMOVED;
        status->reason = REASON_DEVICE_REMOVED;
    }
}

static void judge_not_enrolled(struct server_link *link, struct enrolment_status *status) {
    const enum reason reasons[] = {
        enrolment_reason(link->enrolment),
        link->identity_reason,
        REASON_NOT_ENROLLED,
    };
    status->state = link->identity_reason == REASON_CLONED ? ENROLMENT_CLONED : ENROLMENT_NONE;
    status->reason = first_reason(reasons, ARRAY_LENGTH(reasons));
}

/* A device that is enrolled stays so until another enrolment has succeeded; why that has not yet is
 * among the reasons. */
static struct enrolment_status judge(struct server_link *link) {
    struct enrolment_status status = {0};
    if (link->identity)
        judge_enrolled(link, &status);
    else
        judge_not_enrolled(link, &status);
    if (status.state != ENROLMENT_ENROLLED && enrolment_is_active(link->enrolment)) {
        status.state = ENROLMENT_ENROLLING;
        status.url = enrolment_url(link->enrolment);
        status.reason = enrolment_reason(link->enrolment);
    }
    return status;
}

static void certificate_facts(const struct server_link *link, struct server_facts *ret) {
    if (!link->identity)
        return;
    ret->has_pin = link->identity->server.has_pin;
    x509_not_before(link->identity->certificate, &ret->not_before);
    x509_not_after(link->identity->certificate, &ret->not_after);
    ret->renew_at = device_identity_renew_at(link->identity);
    ret->renewal_reason = device_renewal_reason(link->renewal);
}

void server_status_facts(struct server_link *link, struct server_facts *ret) {
    struct enrolment_status status = judge(link);
    *ret = (struct server_facts){
        .state = status.state,
        .reason = status.reason,
        .url = link->identity ? link->identity->server.url : status.url,
        .device_uuid = link->identity ? link->identity->uuid : NULL,
        .now = clock_wall_s(link->options.clock),
        .push_used = push_stream_is_used(link->push),
        .push_connected = push_stream_is_connected(link->push),
        .push_reason = push_stream_reason(link->push),
        .push_silent_ms = push_stream_silent_ms(link->push),
        .push_ping_s = push_stream_ping_s(link->push),
        .current = state_sync_current(link->sync),
        .sync_reason = state_sync_reason(link->sync),
    };
    certificate_facts(link, ret);
}

int server_link_status(
    struct server_link *link, struct json_object **ret_enrolment, struct json_object **ret_push) {
    const struct enrolment_status status = judge(link);
    enum reason push_reason = push_stream_reason(link->push);
    const struct push_status push = {
        .connected = push_stream_is_connected(link->push),
        .last_event_s = push_stream_last_event_s(link->push),
        .reason = push_reason != REASON_NONE ? push_reason : state_sync_reason(link->sync),
    };
    struct json_object *enrolment = NULL;
    int r = server_status_enrolment(&status, &enrolment);
    if (r < 0)
        return r;
    r = server_status_push(&push, ret_push);
    if (r < 0) {
        json_object_put(enrolment);
        return r;
    }
    *ret_enrolment = enrolment;
    return 0;
}
