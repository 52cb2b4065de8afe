/* See device_call.h. */
#include "daemon/device_call.h"

#include "common/cleanup.h"
#include "common/json_fields.h"

#include <errno.h>
#include <stdlib.h>

static const struct json_field whom_table[] = {
    JSON_FIELD(
        struct device_call_whom, user, "user", JSON_FIELD_STRING, false, 1, USER_NAME_SIZE - 1),
    JSON_FIELD(struct device_call_whom, all, "all", JSON_FIELD_BOOL, false, 0, 0),
};

void device_call_fail(struct varlink_call *call, enum reason reason) {
    struct json_object *object = json_object_new_object();
    (void)json_fields_add_string(object, "code", reason_code(reason));
    (void)json_fields_add_string(object, "text", reason_text(reason));
    (void)json_fields_add_string(object, "remedy", reason_remedy(reason));
    varlink_call_error(call, "io.devtrust.Device.Failed", object);
}

bool device_call_is_root(const struct varlink_call *call) {
    return varlink_call_uid(call) == 0;
}

int device_call_read_whom(struct varlink_call *call, struct device_call_whom *ret) {
    return varlink_call_read_parameters(call, whom_table, ARRAY_LENGTH(whom_table), ret);
}

struct user *device_call_user(struct daemon *daemon, struct varlink_call *call, const char *name) {
    int64_t uid = (int64_t)varlink_call_uid(call);
    struct user *user =
        name ? users_find_by_name(daemon->users, name) : users_find_by_uid(daemon->users, uid);

    if (name && !device_call_is_root(call) && (!user || !user_serves(user, uid)))
        device_call_fail(call, REASON_NOT_PERMITTED);
    else if (!user)
        device_call_fail(call, name ? REASON_NO_SUCH_USER : REASON_NOT_MANAGED);
    else
        return user;
    return NULL;
}

int device_call_all_users(
    struct daemon *daemon, struct varlink_call *call, struct user ***ret, size_t *ret_count) {
    if (!device_call_is_root(call)) {
        device_call_fail(call, REASON_NOT_PERMITTED);
        return -EPERM;
    }
    size_t count = users_count(daemon->users);
    struct user **list = calloc(count ? count : 1, sizeof(struct user *));
    if (!list) {
        device_call_fail(call, REASON_NO_MEMORY);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++)
        list[i] = users_get(daemon->users, i);
    *ret = list;
    *ret_count = count;
    return 0;
}
