/* See event.h. */
#include "ipc/ctl/event.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <string.h>

#define NUMBER_MAX (INT64_MAX - 1)
#define OUR_INTERFACES "io.devtrust."

#define STRING(member_)                                                                            \
    JSON_FIELD(struct event, member_, #member_, JSON_FIELD_STRING, false, 0, 4096)
#define NUMBER(member_)                                                                            \
    JSON_FIELD(struct event, member_, #member_, JSON_FIELD_INT, false, 0, NUMBER_MAX)
#define OBJECT(member_) JSON_FIELD(struct event, member_, #member_, JSON_FIELD_OBJECT, false, 0, 0)

static const struct json_field event_table[] = {
    JSON_FIELD(struct event, kind, "kind", JSON_FIELD_STRING, true, 1, 32),
    NUMBER(time_us),
    NUMBER(connection),
    NUMBER(uid),
    NUMBER(pid),
    STRING(method),
    STRING(error),
    JSON_FIELD(struct event, flags, "flags", JSON_FIELD_ARRAY, false, 0, 16),
    NUMBER(size),
    NUMBER(latency_us),
    OBJECT(parameters),
    STRING(level),
    STRING(text),
    OBJECT(fields),
    STRING(user),
    NUMBER(lost),
};

int event_read(struct json_object *object, struct event *ret, const char **ret_field) {
    struct event event = {
        .time_us = -1,
        .connection = -1,
        .uid = -1,
        .pid = -1,
        .size = -1,
        .latency_us = -1,
        .lost = -1,
    };
    int r = json_fields_read(object, event_table, ARRAY_LENGTH(event_table), &event, ret_field);
    if (r < 0)
        return r;
    if (event.time_us < 0 && strcmp(event.kind, "lost") != 0) {
        if (ret_field)
            *ret_field = "time_us";
        return -EINVAL;
    }
    *ret = event;
    return 0;
}

int event_add_user(const struct ctl *ctl, struct json_object *object) {
    struct json_object *uid = NULL;
    char name[CTL_NAME_SIZE];
    if (json_object_object_get_ex(object, "user", NULL) ||
        !json_object_object_get_ex(object, "uid", &uid) ||
        !json_object_is_type(uid, json_type_int) ||
        ctl_account(ctl, (uid_t)json_object_get_int64(uid), name) < 0)
        return 0;
    return json_fields_add_string(object, "user", name);
}

struct json_object *event_lost(int64_t lost) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    if (json_fields_add_string(object, "kind", "lost") < 0 ||
        json_fields_add_int(object, "lost", lost) < 0)
        return NULL;
    return TAKE_PTR(object);
}

/* ---- filters ---- */

int event_filter_parse(
    struct ctl *ctl, const struct ctl_arguments *arguments, struct event_filter *ret) {
    const char *method = arguments->options[CTL_OPTION_METHOD];
    *ret = (struct event_filter){.user = arguments->options[CTL_OPTION_ONLY_USER]};
    if (!method)
        return CTL_GOOD;
    bool is_short = method[0] >= 'A' && method[0] <= 'Z';
    int length = snprintf(
        ret->method_full, sizeof ret->method_full, "%s%s%s", is_short ? OUR_INTERFACES : "", method,
        is_short && !strchr(method, '.') ? "." : "");
    if (!*method || length < 0 || (size_t)length >= sizeof ret->method_full ||
        !strchr(ret->method_full, '.'))
        return ctl_usage(
            ctl,
            "--method takes a method (io.devtrust.Agent.Submit, or Agent.Submit), or a "
            "beginning that ends in a dot; not",
            method);
    ret->method = ret->method_full;
    return CTL_GOOD;
}

static bool method_is_taken(const char *wanted, const char *method) {
    size_t length = strlen(wanted);
    if (!method)
        return false;
    return length > 0 && wanted[length - 1] == '.' ? strncmp(method, wanted, length) == 0
                                                   : strcmp(method, wanted) == 0;
}

bool event_filter_takes(const struct event_filter *filter, const struct event *event) {
    if (strcmp(event->kind, "lost") == 0)
        return true;
    if (filter->method && !method_is_taken(filter->method, event->method))
        return false;
    return !filter->user || (event->user && strcmp(event->user, filter->user) == 0);
}
