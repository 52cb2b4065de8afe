/* See findings.h; how they are shown is in findings_print.c. */
#include "ipc/ctl/findings.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#define MAX_CHECKS 16384 /* what fits into a reply */

static const char *const result_names[] = {
    [FINDING_OK] = "ok",
    [FINDING_WARNING] = "warning",
    [FINDING_FAILURE] = "failure",
    [FINDING_NOT_APPLICABLE] = "not_applicable",
};

struct check_fields {
    const char *id, *user, *subject, *result, *code, *text, *remedy;
};

#define STRING(member_, required_)                                                                 \
    JSON_FIELD(struct check_fields, member_, #member_, JSON_FIELD_STRING, required_, 0, 4096)

static const struct json_field check_table[] = {
    STRING(id, true),    STRING(user, false), STRING(subject, false), STRING(result, true),
    STRING(code, false), STRING(text, true),  STRING(remedy, false),
};

/* Where a newer daemon says something else, a person has to look. */
static enum finding_result result_from_name(const char *name) {
    for (size_t i = 0; i < ARRAY_LENGTH(result_names); i++)
        if (strcmp(result_names[i], name) == 0)
            return (enum finding_result)i;
    return FINDING_WARNING;
}

static int read_check(struct json_object *object, struct finding *ret) {
    struct check_fields fields = {0};
    if (!json_object_is_type(object, json_type_object) ||
        json_fields_read(object, check_table, ARRAY_LENGTH(check_table), &fields, NULL) < 0)
        return -EINVAL;
    *ret = (struct finding){
        .id = fields.id,
        .user = fields.user,
        .subject = fields.subject,
        .code = fields.code,
        .text = fields.text,
        .remedy = fields.remedy,
        .result = result_from_name(fields.result),
    };
    return 0;
}

static void count(struct findings *findings, enum finding_result result) {
    switch (result) {
    case FINDING_OK:
        findings->ok++;
        break;
    case FINDING_WARNING:
        findings->warnings++;
        break;
    case FINDING_FAILURE:
        findings->failures++;
        break;
    case FINDING_NOT_APPLICABLE:
        findings->not_applicable++;
        break;
    }
}

/* Owns `check`. */
static int append(struct findings *findings, struct json_object *check) {
    struct finding finding;
    int r = read_check(check, &finding);
    if (!findings->checks)
        findings->checks = json_object_new_array();
    if (r == 0 && (!findings->checks || json_object_array_add(findings->checks, check) < 0))
        r = -ENOMEM;
    if (r < 0) {
        json_object_put(check);
        return r;
    }
    count(findings, finding.result);
    return 0;
}

int findings_add(
    struct findings *findings, const char *id, const char *subject, enum finding_result result,
    enum reason reason, const char *text) {
    struct json_object CLEANUP_JSON *check = json_object_new_object();
    bool is_well = reason == REASON_NONE;
    if (!check || json_fields_add_string(check, "id", id) < 0 ||
        json_fields_add_string(check, "subject", subject) < 0 ||
        json_fields_add_string(check, "result", result_names[result]) < 0 ||
        json_fields_add_string(check, "code", is_well ? NULL : reason_code(reason)) < 0 ||
        json_fields_add_string(check, "text", text ? text : reason_text(reason)) < 0 ||
        json_fields_add_string(check, "remedy", is_well ? NULL : reason_remedy(reason)) < 0)
        return -ENOMEM;
    return append(findings, TAKE_PTR(check));
}

int findings_take(struct findings *findings, struct json_object *checks) {
    size_t length = json_object_array_length(checks);
    if (length > MAX_CHECKS)
        return -EINVAL;
    for (size_t i = 0; i < length; i++) {
        int r = append(findings, json_object_get(json_object_array_get_idx(checks, i)));
        if (r < 0)
            return r;
    }
    return 0;
}

size_t findings_length(const struct findings *findings) {
    return findings->checks ? json_object_array_length(findings->checks) : 0;
}

struct finding findings_get(const struct findings *findings, size_t index) {
    struct finding finding = {0};
    (void)read_check(json_object_array_get_idx(findings->checks, index), &finding);
    return finding;
}

struct json_object *findings_to_json(const struct findings *findings) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    struct json_object *checks =
        findings->checks ? json_object_get(findings->checks) : json_object_new_array();
    int r = json_fields_add(object, "checks", checks);
    if (r < 0 || json_fields_add_int(object, "ok", findings->ok) < 0 ||
        json_fields_add_int(object, "warnings", findings->warnings) < 0 ||
        json_fields_add_int(object, "failures", findings->failures) < 0 ||
        json_fields_add_int(object, "not_applicable", findings->not_applicable) < 0)
        return NULL;
    return TAKE_PTR(object);
}

int findings_status(const struct findings *findings) {
    if (findings->status != CTL_GOOD)
        return findings->status;
    return findings->failures > 0 ? CTL_NO : CTL_GOOD;
}

void findings_deinit(struct findings *findings) {
    json_object_put(findings->checks);
    *findings = (struct findings){0};
}
