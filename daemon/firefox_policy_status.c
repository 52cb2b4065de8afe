/* Shows the state of Firefox's policy to people. */
#include "daemon/firefox_policy_internal.h"
#include "daemon/firefox_policy_text.h"

#include "common/browser_family.h"
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *family_name(const char *directory) {
    const struct browser_family *family = browser_family_of_policy(directory);
    /* /etc/firefox is read by several */
    return family && family->process_prefix ? family->id : "firefox";
}

static int64_t place_since(const struct firefox_policy *policy, const struct firefox_place *place) {
    if (!place->installed)
        return 0;
    for (size_t i = 0; i < policy->record.place_count; i++)
        if (strcmp(policy->record.places[i].path, place->directory) == 0)
            return policy->record.places[i].since;
    return place->seen_since;
}

int64_t firefox_policy_since(const struct firefox_policy *policy) {
    int64_t youngest = 0;
    for (size_t i = 0; i < policy->place_count; i++) {
        int64_t since = place_since(policy, &policy->places[i]);
        if (since > youngest)
            youngest = since;
    }
    return youngest;
}

/* What another tool has to install, for people to copy. */
static char *snippet(void) {
    char *text CLEANUP_FREE = NULL, *inserted CLEANUP_FREE = NULL, *result = NULL;
    if (firefox_policy_insert(NULL, 0, &text, &inserted) < 0 ||
        asprintf(
            &result, "Have the tool that owns the policy install in " FIREFOX_POLICY_FILE ": %s",
            text) < 0)
        return NULL;
    return result;
}

static int add_reason(struct json_object *object, const struct firefox_place *place) {
    char *external CLEANUP_FREE = place->reason == REASON_POLICY_EXTERNAL ? snippet() : NULL;
    const char *remedy = external        ? external
                         : place->remedy ? place->remedy
                                         : reason_remedy(place->reason);
    char text[512];

    if (place->reason == REASON_NONE)
        return 0;
    snprintf(
        text, sizeof(text), "%s%s%s%s", reason_text(place->reason), place->detail[0] ? " (" : "",
        place->detail, place->detail[0] ? ")" : "");
    int r = json_fields_add_string(object, "code", reason_code(place->reason));
    if (r == 0)
        r = json_fields_add_string(object, "text", text);
    if (r == 0)
        r = json_fields_add_string(object, "remedy", remedy);
    return r;
}

static struct json_object *place_to_json(
    const struct firefox_policy *policy, const struct firefox_place *place) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    char *path CLEANUP_FREE = NULL;

    if (asprintf(&path, "%s/" FIREFOX_POLICY_FILE, place->directory) < 0)
        return NULL;
    if (!object || json_fields_add_string(object, "family", family_name(place->directory)) < 0 ||
        json_fields_add_string(object, "path", path) < 0 ||
        json_fields_add_bool(object, "installed", place->installed) < 0 ||
        (place_since(policy, place) > 0 &&
         json_fields_add_int(object, "since", place_since(policy, place)) < 0) ||
        add_reason(object, place) < 0)
        return NULL;
    return TAKE_PTR(object);
}

int firefox_policy_add_status(const struct firefox_policy *policy, struct json_object *array) {
    for (size_t i = 0; i < policy->place_count; i++) {
        const struct firefox_place *place = &policy->places[i];
        /* others' places are of interest only where they exist */
        if (!place->make && !place->installed && place->reason == REASON_NONE)
            continue;
        struct json_object *object = place_to_json(policy, place);
        if (!object || json_object_array_add(array, object) < 0) {
            json_object_put(object);
            return -ENOMEM;
        }
    }
    return 0;
}
