/* Builds the two status objects; the words are the interface's. */
#include "daemon/server_status.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

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
