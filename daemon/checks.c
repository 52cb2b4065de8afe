/* See checks.h. */
#include "daemon/checks.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>

#define MAX_ESCAPED 1025 /* log_escape() takes 256 bytes and makes at most four of each */
#define MAX_TEXT 2048

static const char *const result_names[] = {
    [CHECK_OK] = "ok",
    [CHECK_WARNING] = "warning",
    [CHECK_FAILURE] = "failure",
    [CHECK_NOT_APPLICABLE] = "not_applicable",
};

const char *check_result_name(enum check_result result) {
    return result_names[result];
}

enum check_result check_result_from_name(const char *name) {
    for (size_t i = 0; i < ARRAY_LENGTH(result_names); i++)
        if (strcmp(result_names[i], name) == 0)
            return (enum check_result)i;
    return CHECK_WARNING;
}

/* A warning without a reason is a mistake of ours; it must not look as if nothing were wrong. */
static enum reason reason_of(const struct check *check) {
    bool bad = check->result == CHECK_WARNING || check->result == CHECK_FAILURE;
    return bad && check->reason == REASON_NONE ? REASON_INTERNAL : check->reason;
}

static const char *escape(const char *text, char ret[MAX_ESCAPED]) {
    return text ? log_escape(text, strlen(text), ret, MAX_ESCAPED) : NULL;
}

static int add_text(const struct check *check, enum reason reason, struct json_object *object) {
    char escaped[MAX_ESCAPED], text[MAX_TEXT];
    const char *sentence = check->text ? check->text : reason_text(reason);
    if (!check->detail || !check->detail[0])
        return json_fields_add_string(object, "text", sentence);
    snprintf(text, sizeof(text), "%s (%s)", sentence, escape(check->detail, escaped));
    return json_fields_add_string(object, "text", text);
}

static struct json_object *check_to_json(const struct check *check) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    enum reason reason = reason_of(check);
    char subject[MAX_ESCAPED];
    const char *remedy = check->remedy ? check->remedy : reason_remedy(reason);

    if (!object || json_fields_add_string(object, "id", check->id) < 0 ||
        json_fields_add_string(object, "user", check->user) < 0 ||
        json_fields_add_string(object, "subject", escape(check->subject, subject)) < 0 ||
        json_fields_add_string(object, "result", check_result_name(check->result)) < 0)
        return NULL;
    if (reason != REASON_NONE &&
        json_fields_add_string(object, "code", check->code ? check->code : reason_code(reason)) < 0)
        return NULL;
    if (add_text(check, reason, object) < 0)
        return NULL;
    if (reason != REASON_NONE && json_fields_add_string(object, "remedy", remedy) < 0)
        return NULL;
    return TAKE_PTR(object);
}

static bool has_room(const struct checks *checks, const struct check *check, size_t size) {
    bool good = check->result == CHECK_OK || check->result == CHECK_NOT_APPLICABLE;
    return checks->bytes + size <= (good ? CHECKS_MAX_GOOD : CHECKS_MAX);
}

void checks_add(struct checks *checks, const struct check *check) {
    struct json_object *object CLEANUP_JSON = check_to_json(check);
    size_t size = 0;

    if (!checks->array)
        checks->array = json_object_new_array();
    if (!checks->array || !object ||
        !json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &size)) {
        checks->failed = true;
        return;
    }
    if (!has_room(checks, check, size + 1)) {
        checks->left_out++;
        return;
    }
    if (json_object_array_add(checks->array, object) < 0) {
        checks->failed = true;
        return;
    }
    object = NULL;
    checks->bytes += size + 1;
}

static bool member_is(struct json_object *object, const char *name, const char *value) {
    struct json_object *member = NULL;
    return json_object_object_get_ex(object, name, &member) &&
           strcmp(json_object_get_string(member), value) == 0;
}

bool checks_has(const struct checks *checks, const char *id, const char *subject) {
    char escaped[MAX_ESCAPED];
    size_t count = checks->array ? json_object_array_length(checks->array) : 0;
    escape(subject, escaped);
    for (size_t i = 0; i < count; i++) {
        struct json_object *object = json_object_array_get_idx(checks->array, i);
        if (member_is(object, "id", id) && member_is(object, "subject", escaped))
            return true;
    }
    return false;
}

static void add_left_out(struct checks *checks) {
    char detail[32];
    const struct check check = {
        .id = "checks",
        .result = CHECK_WARNING,
        .reason = REASON_CHECKS_LEFT_OUT,
        .detail = detail,
    };
    snprintf(detail, sizeof(detail), "%u left out", checks->left_out);
    checks->bytes = 0; /* it always fits: the maximum leaves room for it */
    checks_add(checks, &check);
}

struct json_object *checks_take(struct checks *checks) {
    if (!checks->array && !checks->failed)
        checks->array = json_object_new_array();
    if (checks->left_out > 0)
        add_left_out(checks);
    struct json_object *array = checks->failed ? NULL : TAKE_PTR(checks->array);
    checks_deinit(checks);
    return array;
}

void checks_deinit(struct checks *checks) {
    json_object_put(checks->array);
    *checks = (struct checks){0};
}
