/* Collects what an inspection finds, under a lock. */
#include "useragent/inspection.h"

#include "common/cleanup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

struct inspection {
    uv_mutex_t lock;
    struct agent_inspection order;
    enum agent_mode mode;
    bool closed;
    bool done[STORE_MAX];
    struct agent_store_results stores;
    struct store_certificates found[STORE_MAX];
    struct agent_findings findings;
};

int inspection_new(
    const struct agent_inspection *order, enum agent_mode mode, struct inspection **ret) {
    struct inspection *inspection = calloc(1, sizeof *inspection);

    if (!inspection)
        return -ENOMEM;
    if (uv_mutex_init(&inspection->lock) < 0) {
        free(inspection);
        return -ENOMEM;
    }
    inspection->order = *order;
    inspection->mode = mode;
    *ret = inspection;
    return 0;
}

struct inspection *inspection_free(struct inspection *inspection) {
    if (!inspection)
        return NULL;
    store_set_release(inspection->found);
    uv_mutex_destroy(&inspection->lock);
    free(inspection);
    return NULL;
}

const struct agent_inspection *inspection_order(const struct inspection *inspection) {
    return &inspection->order;
}

enum agent_mode inspection_mode(const struct inspection *inspection) {
    return inspection->mode;
}

/* ---- the worker's ---- */

bool inspection_is_open(struct inspection *inspection) {
    bool open;

    uv_mutex_lock(&inspection->lock);
    open = !inspection->closed;
    uv_mutex_unlock(&inspection->lock);
    return open;
}

void inspection_expect(struct inspection *inspection, const struct store_set *set) {
    uv_mutex_lock(&inspection->lock);
    store_set_results(set, &inspection->stores);
    uv_mutex_unlock(&inspection->lock);
}

void inspection_store_done(
    struct inspection *inspection, size_t index, enum reason reason,
    const struct store_certificates *found) {
    uv_mutex_lock(&inspection->lock);
    if (!inspection->closed && index < inspection->stores.count) {
        inspection->stores.items[index].reason = reason;
        inspection->done[index] = true;
        inspection->found[index] = *found;
        for (size_t i = 0; i < found->count; i++) {
            X509_up_ref(found->items[i].leaf);
            if (found->items[i].issuer)
                X509_up_ref(found->items[i].issuer);
        }
    }
    uv_mutex_unlock(&inspection->lock);
}

static void add(
    struct inspection *inspection, enum agent_check_id id, const char *subject,
    enum agent_result result, enum reason reason, const char *detail) {
    struct agent_findings *findings = &inspection->findings;
    struct agent_check *check;

    if (findings->check_count == AGENT_CHECKS_MAX)
        return;
    check = &findings->checks[findings->check_count++];
    check->id = id;
    check->result = result;
    check->reason = reason;
    agent_message_clean(subject, check->subject, sizeof check->subject);
    agent_message_clean(detail, check->detail, sizeof check->detail);
}

void inspection_add(
    struct inspection *inspection, enum agent_check_id id, const char *subject,
    enum agent_result result, enum reason reason, const char *detail, ...) {
    char text[AGENT_DETAIL_SIZE * 2] = "";
    va_list arguments;

    va_start(arguments, detail);
    if (detail)
        (void)vsnprintf(text, sizeof text, detail, arguments);
    va_end(arguments);
    uv_mutex_lock(&inspection->lock);
    if (!inspection->closed)
        add(inspection, id, subject, result, reason, text);
    uv_mutex_unlock(&inspection->lock);
}

void inspection_add_action(struct inspection *inspection, const char *action) {
    struct agent_findings *findings = &inspection->findings;

    uv_mutex_lock(&inspection->lock);
    if (!inspection->closed && findings->action_count < AGENT_ACTIONS_MAX)
        findings->actions[findings->action_count++] = action;
    uv_mutex_unlock(&inspection->lock);
}

/* ---- the loop's ---- */

/* Returns whether any store was looked at. */
static bool name_busy_stores(struct inspection *inspection) {
    bool any = false;

    for (size_t i = 0; i < inspection->stores.count; i++) {
        struct agent_store_result *store = &inspection->stores.items[i];

        if (inspection->done[i]) {
            any = true;
            continue;
        }
        store->reason = REASON_STORE_BUSY;
        add(inspection, AGENT_CHECK_STORE, store->location.path, AGENT_RESULT_FAILURE,
            REASON_STORE_BUSY, "");
    }
    return any;
}

struct json_object *inspection_close(struct inspection *inspection, bool late) {
    struct json_object *parameters = NULL;

    uv_mutex_lock(&inspection->lock);
    if (!inspection->closed) {
        inspection->closed = true;
        if (late && inspection->order.full && inspection->stores.count == 0 &&
            inspection->findings.check_count == 0)
            add(inspection, AGENT_CHECK_STORE, "", AGENT_RESULT_FAILURE, REASON_STORE_BUSY, "");
        /* without checks an answer that found nothing would read as "nothing is there" */
        if (!late || name_busy_stores(inspection) || inspection->order.full)
            parameters = agent_message_inspected(
                inspection->order.id, &inspection->stores, inspection->found,
                inspection->order.full || inspection->order.repair ? &inspection->findings : NULL);
    }
    uv_mutex_unlock(&inspection->lock);
    return parameters;
}
