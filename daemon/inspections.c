/* Collects the agents' answers to an inspection. */
#include "daemon/inspections.h"

#include "daemon/user_view.h"

#include "common/cleanup.h"
#include "common/json_gate.h"
#include "common/x509_profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct inspection {
    struct inspections *inspections;
    struct inspection *next;
    inspection_done done;
    void *userdata;
    uv_timer_t deadline;
    struct json_object *certificates;
    size_t count;
    struct inspected_user users[];
};

struct inspections {
    uv_loop_t *loop;
    const struct clock_source *clock;
    struct agents *agents;
    struct inspection *first;
};

int inspections_new(
    uv_loop_t *loop, const struct clock_source *clock, struct agents *agents,
    struct inspections **ret) {
    struct inspections *inspections = calloc(1, sizeof(*inspections));
    if (!inspections)
        return -ENOMEM;
    inspections->loop = loop;
    inspections->clock = clock;
    inspections->agents = agents;
    *ret = inspections;
    return 0;
}

struct inspections *inspections_free(struct inspections *inspections) {
    free(inspections);
    return NULL;
}

/* ---- one ---- */

static void timer_closed(uv_handle_t *handle) {
    free(handle->data);
}

struct inspection *inspection_end(struct inspection *inspection) {
    if (!inspection)
        return NULL;
    for (struct inspection **link = &inspection->inspections->first; *link; link = &(*link)->next)
        if (*link == inspection) {
            *link = inspection->next;
            break;
        }
    for (size_t i = 0; i < inspection->count; i++) {
        X509_free(inspection->users[i].owner.issuer);
        json_object_put(inspection->users[i].checks);
        json_object_put(inspection->users[i].actions);
    }
    json_object_put(inspection->certificates);
    uv_close((uv_handle_t *)&inspection->deadline, timer_closed);
    return NULL;
}

bool inspection_is_open(const struct inspection *inspection) {
    for (size_t i = 0; i < inspection->count; i++)
        if (inspection->users[i].outcome == INSPECTION_OPEN)
            return true;
    return false;
}

size_t inspection_count(const struct inspection *inspection) {
    return inspection->count;
}

const struct inspected_user *inspection_get(const struct inspection *inspection, size_t index) {
    return &inspection->users[index];
}

struct json_object *inspection_certificates(const struct inspection *inspection) {
    return inspection->certificates;
}

/* Whoever is told ends it. */
static void tell_when_done(struct inspection *inspection) {
    if (inspection_is_open(inspection))
        return;
    uv_timer_stop(&inspection->deadline);
    inspection->done(inspection, inspection->userdata);
}

static void deadline_passed(uv_timer_t *timer) {
    struct inspection *inspection = timer->data;
    for (size_t i = 0; i < inspection->count; i++)
        if (inspection->users[i].outcome == INSPECTION_OPEN)
            inspection->users[i].outcome = INSPECTION_TIMEOUT;
    tell_when_done(inspection);
}

/* ---- asking ---- */

/* What is ours by this user's record, or by the present enrolment. */
static bool set_owner(const struct user *user, struct certificate_owner *ret) {
    const struct user_record *record = &user->record;
    char issuer_spki[SHA256_HEX_SIZE], root_spki[SHA256_HEX_SIZE];
    const char *device_uuid = record->device_uuid,
               *name = user->listed ? user->listed_name : record->name;

    X509 *root = NULL, *issuer = NULL;
    const char *ignored;

    memcpy(ret->name, name, strlen(name) + 1);
    if (user->services->trust(&root, &issuer, &ignored, user->services->userdata) &&
        X509_up_ref(issuer))
        ret->issuer = issuer;
    if (record->device_uuid[0])
        memcpy(issuer_spki, record->issuer_spki, sizeof(issuer_spki));
    else if (!user_view_trust(user->services, issuer_spki, root_spki, &device_uuid))
        return false;
    memcpy(ret->device_uuid, device_uuid, sizeof(ret->device_uuid));
    return hex_decode(issuer_spki, ret->issuer_spki, sizeof(ret->issuer_spki)) == 0;
}

/* Whoever asks for nothing but certificates needs no agent where none could be known as ours. */
static void ask(
    struct inspection *inspection, struct user *user, unsigned want, struct inspected_user *one) {
    struct agents *agents = inspection->inspections->agents;
    const char *id = NULL;

    one->uid = user_uid(user);
    one->is_known = set_owner(user, &one->owner);
    bool nothing = !one->is_known && want == AGENT_INSPECT_CERTIFICATES;
    if (!agents_is_attached(agents, one->uid) ||
        (!nothing && agents_inspect(agents, one->uid, want, &id) < 0))
        one->outcome = INSPECTION_NO_AGENT;
    else if (nothing)
        one->outcome = INSPECTION_NOTHING;
}

int inspections_begin(
    struct inspections *inspections, struct user *const *users, size_t count, unsigned want,
    inspection_done done, void *userdata, struct inspection **ret) {
    struct inspection *inspection =
        calloc(1, sizeof(*inspection) + count * sizeof(inspection->users[0]));
    struct json_object *certificates = json_object_new_array();
    if (!inspection || !certificates) {
        json_object_put(certificates);
        free(inspection);
        return -ENOMEM;
    }
    inspection->inspections = inspections;
    inspection->certificates = certificates;
    inspection->done = done;
    inspection->userdata = userdata;
    inspection->count = count;
    inspection->next = inspections->first;
    inspections->first = inspection;
    uv_timer_init(inspections->loop, &inspection->deadline);
    inspection->deadline.data = inspection;
    for (size_t i = 0; i < count; i++)
        ask(inspection, users[i], want, &inspection->users[i]);
    uv_timer_start(&inspection->deadline, deadline_passed, INSPECTION_DEADLINE_MS, 0);
    *ret = inspection;
    return 0;
}

/* ---- answers ---- */

static void take_answer(
    struct inspection *inspection, struct inspected_user *one,
    const struct inspection_answer *answer) {
    if (one->is_known)
        inspected_certificates_add(
            inspection->certificates, &one->owner, answer->certificates,
            clock_wall_s(inspection->inspections->clock), &one->counts);
    one->checks = json_object_get(answer->checks);
    one->actions = json_object_get(answer->actions);
    one->outcome = INSPECTION_ANSWERED;
}

bool inspections_answer(
    struct inspections *inspections, int64_t uid, const char *id,
    const struct inspection_answer *answer) {
    struct inspection *next;

    if (!agents_inspected(inspections->agents, uid, id))
        return false;
    for (struct inspection *inspection = inspections->first; inspection; inspection = next) {
        bool moved = false;
        next = inspection->next;
        for (size_t i = 0; i < inspection->count; i++) {
            struct inspected_user *one = &inspection->users[i];
            if (one->outcome != INSPECTION_OPEN || one->uid != uid)
                continue;
            take_answer(inspection, one, answer);
            moved = true;
        }
        if (moved)
            tell_when_done(inspection);
    }
    return true;
}

void inspections_agent_gone(struct inspections *inspections, int64_t uid) {
    struct inspection *next;

    for (struct inspection *inspection = inspections->first; inspection; inspection = next) {
        bool moved = false;
        next = inspection->next;
        for (size_t i = 0; i < inspection->count; i++) {
            struct inspected_user *one = &inspection->users[i];
            if (one->outcome != INSPECTION_OPEN || one->uid != uid)
                continue;
            one->outcome = INSPECTION_NO_AGENT;
            moved = true;
        }
        if (moved)
            tell_when_done(inspection);
    }
}
