/* Builds what the agent says to devtrustd. */
#include "useragent/agent_message.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/utf8.h"

#include <errno.h>
#include <string.h>

#define INSPECTED_MAX ((size_t)60 * 1024) /* of a call's 64 KiB */

/* ---- calls ---- */

static const char *text_or_null(const char *text) {
    return text[0] != '\0' ? text : NULL;
}

/* Gives the object on success, drops it otherwise. */
static struct json_object *finish(struct json_object *object, int r) {
    if (r >= 0)
        return object;
    json_object_put(object);
    return NULL;
}

struct json_object *agent_message_watch(const char *version) {
    struct json_object *object = json_object_new_object();

    return finish(object, object ? json_fields_add_string(object, "version", version) : -ENOMEM);
}

struct json_object *agent_message_submit(const char *request_id, const char *csr) {
    struct json_object *object = json_object_new_object();
    int r = object ? json_fields_add_string(object, "request_id", request_id) : -ENOMEM;

    if (r >= 0)
        r = json_fields_add_string(object, "csr", csr);
    return finish(object, r);
}

struct json_object *agent_message_renew(const char *reason) {
    struct json_object *object = json_object_new_object();

    return finish(object, object ? json_fields_add_string(object, "reason", reason) : -ENOMEM);
}

static int array_add(struct json_object *array, struct json_object *value) {
    if (!value)
        return -ENOMEM;
    if (json_object_array_add(array, value) < 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

void agent_message_clean(const char *text, char *ret, size_t size) {
    size_t length = strlen(text);
    size_t used = 0;

    while (length > 0) {
        uint32_t character;
        int step = utf8_decode(text, length, &character);
        bool broken = step < 0;

        if (broken)
            step = 1;
        if (used + (size_t)step >= size)
            break;
        if (broken)
            ret[used] = '?';
        else
            memcpy(ret + used, text, (size_t)step);
        used += (size_t)step;
        text += step;
        length -= (size_t)step;
    }
    ret[used] = '\0';
}

/* Whoever named the home may have used any byte but NUL. */
static int add_path(struct json_object *object, const char *path) {
    char clean[USER_DIRS_PATH_MAX];

    agent_message_clean(path, clean, sizeof clean);
    return json_fields_add_string(object, "path", clean);
}

static int add_result(struct json_object *array, const struct agent_store_result *result) {
    struct json_object *object = json_object_new_object();
    int r = array_add(array, object);

    if (r >= 0)
        r = json_fields_add_string(object, "kind", store_kind_name(result->location.kind));
    if (r >= 0)
        r = add_path(object, result->location.path);
    if (r >= 0)
        r = json_fields_add_bool(object, "ok", result->reason == REASON_NONE);
    if (r >= 0 && result->reason != REASON_NONE)
        r = json_fields_add_string(object, "code", reason_code(result->reason));
    return r;
}

static int add_results(struct json_object *object, const struct agent_store_results *results) {
    struct json_object *array = json_object_new_array();
    int r = array ? json_fields_add(object, "stores", array) : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < results->count; i++)
        r = add_result(array, &results->items[i]);
    return r;
}

struct json_object *agent_message_report(const struct agent_report *report) {
    static const char *const outcomes[] = {
        [AGENT_OUTCOME_INSTALLED] = "installed",
        [AGENT_OUTCOME_FAILED] = "failed",
        [AGENT_OUTCOME_REMOVED] = "removed",
    };
    struct json_object *object = json_object_new_object();
    int r = object ? json_fields_add_string(object, "outcome", outcomes[report->outcome]) : -ENOMEM;

    if (r >= 0)
        r = json_fields_add_string(object, "request_id", text_or_null(report->request_id));
    if (r >= 0)
        r = json_fields_add_string(object, "serial", text_or_null(report->serial));
    if (r >= 0 && report->not_after > 0)
        r = json_fields_add_int(object, "not_after", report->not_after);
    if (r >= 0 && report->renew_at > 0)
        r = json_fields_add_int(object, "renew_at", report->renew_at);
    if (r >= 0 && report->reason != REASON_NONE)
        r = json_fields_add_string(object, "code", reason_code(report->reason));
    if (r >= 0)
        r = add_results(object, &report->stores);
    return finish(object, r);
}

static int add_text(struct json_object *object, const char *name, X509 *certificate) {
    CLEANUP_FREE char *text = NULL;
    int r = x509_cert_to_base64(certificate, &text);

    return r < 0 ? r : json_fields_add_string(object, name, text);
}

static int add_found(
    struct json_object *array, const struct store_location *location,
    const struct store_certificate *certificate, bool with_issuer) {
    struct json_object *object = json_object_new_object();
    int r = array_add(array, object);

    if (r >= 0)
        r = json_fields_add_string(object, "kind", store_kind_name(location->kind));
    if (r >= 0)
        r = add_path(object, location->path);
    if (r >= 0)
        r = add_text(object, "leaf", certificate->leaf);
    if (r >= 0 && with_issuer && certificate->issuer)
        r = add_text(object, "issuer", certificate->issuer);
    if (r >= 0)
        r = json_fields_add_bool(object, "verified", certificate->verified);
    return r;
}

/* ---- Inspected ---- */

static const char *const check_names[AGENT_CHECK_COUNT_] = {
    [AGENT_CHECK_STORE] = "store",
    [AGENT_CHECK_STORE_CERTIFICATE] = "store-certificate",
    [AGENT_CHECK_STORE_KEY] = "store-key",
    [AGENT_CHECK_STORE_SINGLE] = "store-single",
    [AGENT_CHECK_STORE_EXPIRY] = "store-expiry",
    [AGENT_CHECK_BROWSER_STORE] = "browser-store",
    [AGENT_CHECK_BROWSER_RESTART] = "browser-restart",
    [AGENT_CHECK_HOME_DISK] = "home-disk",
    [AGENT_CHECK_HOME_PERMISSIONS] = "home-permissions",
    [AGENT_CHECK_RECORD] = "agent-record",
};

static const char *const result_names[AGENT_RESULT_COUNT_] = {
    [AGENT_RESULT_FAILURE] = "failure",
    [AGENT_RESULT_WARNING] = "warning",
    [AGENT_RESULT_NOT_APPLICABLE] = "not_applicable",
    [AGENT_RESULT_OK] = "ok",
};

const char *agent_check_name(enum agent_check_id id) {
    return check_names[id];
}

/* Brief: one of each store, and without the issuer, which devtrustd has unless its CA is new. */
static int add_all_found(
    struct json_object *object, const struct agent_store_results *results,
    const struct store_certificates *found, bool brief) {
    struct json_object *array = json_object_new_array();
    size_t most = brief ? 1 : STORE_MAX_CERTIFICATES;
    int r = array ? json_fields_add(object, "certificates", array) : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < results->count; i++)
        for (size_t j = 0; r >= 0 && j < found[i].count && j < most; j++)
            r = add_found(array, &results->items[i].location, &found[i].items[j], !brief);
    return r;
}

static int add_check(struct json_object *array, const struct agent_check *check) {
    struct json_object *object = json_object_new_object();
    int r = array_add(array, object);

    if (r >= 0)
        r = json_fields_add_string(object, "id", agent_check_name(check->id));
    if (r >= 0)
        r = json_fields_add_string(object, "subject", check->subject);
    if (r >= 0)
        r = json_fields_add_string(object, "result", result_names[check->result]);
    if (r >= 0 && check->reason != REASON_NONE)
        r = json_fields_add_string(object, "code", reason_code(check->reason));
    if (r >= 0)
        r = json_fields_add_string(object, "detail", text_or_null(check->detail));
    return r;
}

/* The least important result of which one still fits beside all that are more important. */
static enum agent_result last_that_fits(const struct agent_findings *findings, size_t *ret_room) {
    size_t count[AGENT_RESULT_COUNT_] = {0};
    enum agent_result result = AGENT_RESULT_FAILURE;
    size_t room = AGENT_CHECKS_SENT;

    for (size_t i = 0; i < findings->check_count; i++)
        count[findings->checks[i].result]++;
    while (result < AGENT_RESULT_OK && count[result] < room)
        room -= count[result++];
    *ret_room = room;
    return result;
}

static int add_checks(
    struct json_object *object, const struct agent_findings *findings, bool brief) {
    struct json_object *array = json_object_new_array();
    size_t room;
    enum agent_result last = last_that_fits(findings, &room);
    int r = array ? json_fields_add(object, "checks", array) : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < findings->check_count; i++) {
        const struct agent_check *check = &findings->checks[i];

        if (check->result > last || (brief && check->result > AGENT_RESULT_WARNING))
            continue;
        if (check->result == last) {
            if (room == 0)
                continue;
            room--;
        }
        r = add_check(array, check);
    }
    return r;
}

static int add_actions(struct json_object *object, const struct agent_findings *findings) {
    struct json_object *array = json_object_new_array();
    int r = array ? json_fields_add(object, "actions", array) : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < findings->action_count; i++)
        r = array_add(array, json_object_new_string(findings->actions[i]));
    return r;
}

static struct json_object *build_inspected(
    const char *id, const struct agent_store_results *results,
    const struct store_certificates *found, const struct agent_findings *findings, bool brief) {
    struct json_object *object = json_object_new_object();
    int r = object ? json_fields_add_string(object, "id", id) : -ENOMEM;

    if (r >= 0)
        r = add_all_found(object, results, found, brief);
    if (r >= 0)
        r = add_results(object, results);
    if (r >= 0 && findings)
        r = add_checks(object, findings, brief);
    if (r >= 0 && findings && findings->action_count > 0)
        r = add_actions(object, findings);
    return finish(object, r);
}

static bool fits(struct json_object *object) {
    size_t length = 0;

    return json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &length) &&
           length <= INSPECTED_MAX;
}

struct json_object *agent_message_inspected(
    const char *id, const struct agent_store_results *results,
    const struct store_certificates *found, const struct agent_findings *findings) {
    CLEANUP_JSON struct json_object *object = build_inspected(id, results, found, findings, false);

    if (object && !fits(object)) {
        json_object_put(object);
        object = build_inspected(id, results, found, findings, true);
    }
    return object && fits(object) ? TAKE_PTR(object) : NULL;
}
