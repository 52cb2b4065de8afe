/* See status_answer.h. */
#include "ipc/ctl/status_answer.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define STRING(struct_, member_, required_)                                                        \
    JSON_FIELD(struct struct_, member_, #member_, JSON_FIELD_STRING, required_, 0, 4096)
#define INT(struct_, member_)                                                                      \
    JSON_FIELD(struct struct_, member_, #member_, JSON_FIELD_INT, false, 0, 0)
#define BOOL(struct_, member_)                                                                     \
    JSON_FIELD(struct struct_, member_, #member_, JSON_FIELD_BOOL, true, 0, 0)
#define TROUBLE(struct_)                                                                           \
    JSON_FIELD(struct struct_, trouble.code, "code", JSON_FIELD_STRING, false, 0, 0),              \
        JSON_FIELD(struct struct_, trouble.text, "text", JSON_FIELD_STRING, false, 0, 0),          \
        JSON_FIELD(struct struct_, trouble.remedy, "remedy", JSON_FIELD_STRING, false, 0, 0)

static const struct json_field status_table[] = {
    STRING(status, version, true),
    JSON_FIELD(struct status, now, "now", JSON_FIELD_INT, true, 0, 0),
    JSON_FIELD(struct status, enrolment_object, "enrolment", JSON_FIELD_OBJECT, true, 0, 0),
    JSON_FIELD(struct status, push_object, "push", JSON_FIELD_OBJECT, true, 0, 0),
    JSON_FIELD(struct status, desired_object, "desired", JSON_FIELD_OBJECT, true, 0, 0),
    JSON_FIELD(struct status, policies, "policies", JSON_FIELD_ARRAY, true, 0, 64),
    JSON_FIELD(struct status, users, "users", JSON_FIELD_ARRAY, true, 0, 4096),
};

static const struct json_field enrolment_table[] = {
    STRING(status_enrolment, state, true),
    STRING(status_enrolment, url, false),
    STRING(status_enrolment, device_uuid, false),
    INT(status_enrolment, not_after),
    TROUBLE(status_enrolment),
};

static const struct json_field push_table[] = {
    BOOL(status_push, connected),
    INT(status_push, last_event_s),
    TROUBLE(status_push),
};

static const struct json_field desired_table[] = {
    STRING(status_desired, distribution, false),
    STRING(status_desired, organisation, false),
    INT(status_desired, generation),
};

static const struct json_field policy_table[] = {
    STRING(status_policy, family, true),
    STRING(status_policy, path, true),
    BOOL(status_policy, installed),
    TROUBLE(status_policy),
};

static const struct json_field user_table[] = {
    STRING(status_user, id, true),
    STRING(status_user, name, true),
    STRING(status_user, state, true),
    STRING(status_user, serial, false),
    BOOL(status_user, agent_attached),
    INT(status_user, not_after),
    INT(status_user, renew_at),
    INT(status_user, retry_at),
    JSON_FIELD(struct status_user, stores, "stores", JSON_FIELD_ARRAY, true, 0, 0),
    TROUBLE(status_user),
};

static const struct json_field store_table[] = {
    STRING(status_store, kind, true),
    STRING(status_store, path, true),
    STRING(status_store, code, false),
    BOOL(status_store, ok),
};

#define READ(object_, table_, ret_)                                                                \
    json_fields_read((object_), (table_), ARRAY_LENGTH(table_), (ret_), NULL)

int status_read(struct json_object *answer, struct status *ret) {
    int r = READ(answer, status_table, ret);
    if (r == 0)
        r = READ(ret->enrolment_object, enrolment_table, &ret->enrolment);
    if (r == 0)
        r = READ(ret->push_object, push_table, &ret->push);
    if (r == 0)
        r = READ(ret->desired_object, desired_table, &ret->desired);
    return r;
}

struct status_user *status_users_read(const struct status *status, size_t *ret_count) {
    size_t count = json_object_array_length(status->users);
    struct status_user CLEANUP_FREE *users = calloc(count + 1, sizeof *users);
    if (!users)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        struct json_object *user = json_object_array_get_idx(status->users, i);
        if (!json_object_is_type(user, json_type_object) || READ(user, user_table, &users[i]) < 0)
            return NULL;
    }
    *ret_count = count;
    return TAKE_PTR(users);
}

static int element_read(
    struct json_object *list, size_t i, const struct json_field *table, size_t count, void *ret) {
    struct json_object *object = json_object_array_get_idx(list, i);
    if (!json_object_is_type(object, json_type_object))
        return -EINVAL;
    return json_fields_read(object, table, count, ret, NULL);
}

int status_policy_read(const struct status *status, size_t i, struct status_policy *ret) {
    struct status_policy policy = {0};
    int r = element_read(status->policies, i, policy_table, ARRAY_LENGTH(policy_table), &policy);
    if (r == 0)
        *ret = policy;
    return r;
}

int status_store_read(const struct status_user *user, size_t i, struct status_store *ret) {
    struct status_store store = {0};
    int r = element_read(user->stores, i, store_table, ARRAY_LENGTH(store_table), &store);
    if (r == 0)
        *ret = store;
    return r;
}

bool status_is_enrolled(const struct status *status) {
    return strcmp(status->enrolment.state, "enrolled") == 0;
}

bool status_has_certificate(const struct status_user *user, int64_t now) {
    return user->serial && user->not_after > now;
}

bool status_trouble_is_set(const struct status_trouble *trouble) {
    return trouble->code && reason_from_code(trouble->code) != REASON_NONE;
}

const char *status_trouble_text(const struct status_trouble *trouble) {
    return trouble->text ? trouble->text : reason_text(reason_from_code(trouble->code));
}

const char *status_trouble_remedy(const struct status_trouble *trouble) {
    return trouble->remedy ? trouble->remedy : reason_remedy(reason_from_code(trouble->code));
}

/* In a status, "the server refuses" is the one thing worse than "no". */
static int trouble_exit(const struct status_trouble *trouble) {
    return reason_exit_status(reason_from_code(trouble->code)) == CTL_REFUSED ? CTL_REFUSED
                                                                              : CTL_NO;
}

int status_exit(const struct status *status, const struct status_user *users, size_t count) {
    if (!status_is_enrolled(status) || trouble_exit(&status->enrolment.trouble) == CTL_REFUSED)
        return trouble_exit(&status->enrolment.trouble);
    if (status->desired.distribution && strcmp(status->desired.distribution, "on") != 0)
        return CTL_NO;
    int result = count > 0 ? CTL_GOOD : CTL_NO;
    for (size_t i = 0; i < count; i++) {
        /* whatever else is wrong, a valid certificate is the answer "yes": offline is no failure */
        int one = status_has_certificate(&users[i], status->now) ? CTL_GOOD
                                                                 : trouble_exit(&users[i].trouble);
        if (one > result)
            result = one;
    }
    return result;
}
