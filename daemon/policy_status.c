/* Shows the state of the browser policy to people. */
#include "daemon/chrome_policy.h"
#include "daemon/policy_internal.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <stdio.h>
#include <string.h>

struct policy_rules policy_rules(const struct policy *policy) {
    return (struct policy_rules){
        .issuer_cn = policy->record.issuer_cn,
        .patterns = policy->record.patterns,
        .count = policy->record.pattern_count};
}

int64_t policy_place_since(const struct policy *policy, const struct place_status *place) {
    if (!place->installed)
        return 0;
    if (policy->options.owner == POLICY_OWNER_EXTERNAL)
        return place->verified_since;
    for (size_t i = 0; i < policy->record.place_count; i++)
        if (strcmp(policy->record.places[i].path, place->path) == 0)
            return policy->record.places[i].since;
    return 0;
}

/* What another tool has to install, for people to copy. */
static char *snippet(const struct policy *policy) {
    static const struct policy_merge none = {0};
    struct policy_rules rules = policy_rules(policy);
    char *text CLEANUP_FREE = NULL, *result = NULL;
    if (policy_merge_render(&none, &rules, &text) < 0 ||
        asprintf(&result, "Have the tool that owns the policy install: %s", text) < 0)
        return NULL;
    return result;
}

static int add_reason(
    struct json_object *object, enum reason reason, const char *detail, const char *remedy) {
    char text[512];
    if (reason == REASON_NONE)
        return 0;
    snprintf(
        text, sizeof(text), "%s%s%s%s", reason_text(reason), detail[0] ? " (" : "", detail,
        detail[0] ? ")" : "");
    int r = json_fields_add_string(object, "code", reason_code(reason));
    if (r == 0)
        r = json_fields_add_string(object, "text", text);
    if (r == 0)
        r = json_fields_add_string(object, "remedy", remedy ? remedy : reason_remedy(reason));
    return r;
}

static struct json_object *place_to_json(
    const struct policy *policy, const struct place_status *place) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    int64_t since = policy_place_since(policy, place);
    char *remedy CLEANUP_FREE = NULL;
    enum reason reason = place->reason;
    const char *detail = place->detail;

    if (reason == REASON_POLICY_EXTERNAL)
        remedy = snippet(policy);
    if (reason == REASON_NONE && policy->refused[0]) {
        reason = REASON_PATTERN_REFUSED;
        detail = policy->refused;
    }
    if (!object ||
        json_fields_add_string(object, "family", chrome_policy_family_name(place->path)) < 0 ||
        json_fields_add_string(object, "path", place->path) < 0 ||
        json_fields_add_bool(object, "installed", place->installed) < 0 ||
        (since > 0 && json_fields_add_int(object, "since", since) < 0) ||
        add_reason(object, reason, detail, remedy) < 0)
        return NULL;
    return TAKE_PTR(object);
}

struct json_object *policy_status(const struct policy *policy) {
    struct json_object *array CLEANUP_JSON = json_object_new_array();
    for (size_t i = 0; array && i < policy->place_count; i++) {
        const struct place_status *place = &policy->places[i];
        /* other families' places are of interest only where they exist */
        if (!place->make && !place->installed && place->reason == REASON_NONE)
            continue;
        struct json_object *object = place_to_json(policy, place);
        if (!object || json_object_array_add(array, object) < 0) {
            json_object_put(object);
            return NULL;
        }
    }
    if (array && firefox_policy_add_status(policy->firefox, array) < 0)
        return NULL;
    return TAKE_PTR(array);
}
