/* io.devtrust.Debug: what happens inside, for root. */
#include "daemon/daemon.h"
#include "daemon/daemon_methods.h"
#include "daemon/user_view.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

static void add_connection(const struct varlink_connection_info *info, void *userdata) {
    struct json_object *array = userdata;
    struct json_object *object CLEANUP_JSON = json_object_new_object();

    if (!object || json_fields_add_int(object, "id", (int64_t)info->id) < 0 ||
        json_fields_add_int(object, "uid", (int64_t)info->uid) < 0 ||
        json_fields_add_int(object, "pid", (int64_t)info->pid) < 0 ||
        json_fields_add_int(object, "calls", (int64_t)info->calls) < 0 ||
        json_fields_add_int(object, "outstanding", (int64_t)info->outstanding) < 0 ||
        json_fields_add_int(object, "bytes_in", (int64_t)info->bytes_in) < 0 ||
        json_fields_add_int(object, "bytes_out", (int64_t)info->bytes_out) < 0)
        return;
    if (json_object_array_add(array, object) == 0)
        object = NULL;
}

void daemon_debug_list_connections(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct json_object *array CLEANUP_JSON = json_object_new_array();
    struct json_object *reply CLEANUP_JSON = json_object_new_object();

    if (array)
        varlink_server_each_connection(daemon->server, add_connection, array);
    (void)json_fields_add(reply, "connections", TAKE_PTR(array));
    (void)json_fields_add_int(
        reply, "limit_per_uid", (int64_t)varlink_limits_default.connections_per_uid);
    varlink_call_reply(call, TAKE_PTR(reply));
}

struct machine_fields {
    const char *user;
};

static const struct json_field machine_table[] = {
    JSON_FIELD(struct machine_fields, user, "user", JSON_FIELD_STRING, true, 1, USER_NAME_SIZE - 1),
};

void daemon_debug_get_user_machine(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct machine_fields fields = {0};
    const char *field = NULL;
    struct json_object *reply CLEANUP_JSON = json_object_new_object();

    if (json_fields_read(
            varlink_call_parameters(call), machine_table, ARRAY_LENGTH(machine_table), &fields,
            &field) < 0)
        return varlink_call_invalid_parameter(call, field);
    struct user *user = users_find_by_name(daemon->users, fields.user);
    if (!user)
        return varlink_call_invalid_parameter(call, "user");
    (void)json_fields_add(reply, "machine", user_view_machine(user));
    varlink_call_reply(call, TAKE_PTR(reply));
}
