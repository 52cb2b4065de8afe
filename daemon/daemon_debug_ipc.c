/* io.devtrust.Debug: what happens inside, for root. */
#include "daemon/daemon.h"
#include "daemon/daemon_methods.h"
#include "daemon/user_view.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Adds `object`, which it owns, to `array`; without memory the answer lacks it. */
static void add_element(struct json_object *array, struct json_object *object) {
    if (!object || json_object_array_add(array, object) < 0)
        json_object_put(object);
}

struct number {
    const char *name;
    int64_t value;
};

static struct json_object *with_numbers(const struct number *numbers, size_t count) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    for (size_t i = 0; i < count; i++)
        if (json_fields_add_int(object, numbers[i].name, numbers[i].value) < 0)
            return NULL;
    return TAKE_PTR(object);
}

/* ---- ListConnections ---- */

static void add_connection(const struct varlink_connection_info *info, void *userdata) {
    const struct number numbers[] = {
        {"id", (int64_t)info->id},
        {"uid", (int64_t)info->uid},
        {"pid", (int64_t)info->pid},
        {"calls", (int64_t)info->calls},
        {"outstanding", (int64_t)info->outstanding},
        {"bytes_in", (int64_t)info->bytes_in},
        {"bytes_out", (int64_t)info->bytes_out},
        {"age_s", (int64_t)(info->age_ms / 1000)},
    };
    struct json_object *object CLEANUP_JSON = with_numbers(numbers, ARRAY_LENGTH(numbers));
    if (object && json_fields_add_string(object, "stream", info->stream) == 0)
        add_element(userdata, TAKE_PTR(object));
}

static void add_quota(const struct varlink_uid_info *info, void *userdata) {
    const struct number numbers[] = {
        {"uid", (int64_t)info->uid},
        {"connections", (int64_t)info->connections},
        {"outstanding", (int64_t)info->outstanding},
        {"bytes", (int64_t)info->bytes},
        {"messages_left", (int64_t)info->messages_left},
        {"refused", (int64_t)info->refused},
        {"delayed", (int64_t)info->delayed},
    };
    add_element(userdata, with_numbers(numbers, ARRAY_LENGTH(numbers)));
}

static struct json_object *limits_to_json(const struct varlink_limits *limits) {
    const struct number numbers[] = {
        {"connections", (int64_t)limits->connections_per_uid},
        {"outstanding", (int64_t)limits->outstanding_per_uid},
        {"bytes", (int64_t)limits->bytes_per_uid},
        {"messages_per_s", (int64_t)limits->messages_per_uid.per_s},
        {"messages_burst", (int64_t)limits->messages_per_uid.burst},
    };
    return with_numbers(numbers, ARRAY_LENGTH(numbers));
}

void daemon_debug_list_connections(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct json_object *connections CLEANUP_JSON = json_object_new_array();
    struct json_object *quotas CLEANUP_JSON = json_object_new_array();
    struct json_object *reply CLEANUP_JSON = json_object_new_object();

    if (connections)
        varlink_server_each_connection(daemon->server, add_connection, connections);
    if (quotas)
        varlink_server_each_uid(daemon->server, add_quota, quotas);
    (void)json_fields_add(reply, "connections", TAKE_PTR(connections));
    (void)json_fields_add_int(
        reply, "limit_per_uid", (int64_t)varlink_limits_default.connections_per_uid);
    (void)json_fields_add(reply, "quotas", TAKE_PTR(quotas));
    (void)json_fields_add(reply, "limits", limits_to_json(&varlink_limits_default));
    varlink_call_reply(call, TAKE_PTR(reply));
}

/* ---- GetStatistics ---- */

static void add_method(const struct varlink_method_info *info, void *userdata) {
    const struct number numbers[] = {
        {"calls", (int64_t)info->calls},
        {"errors", (int64_t)info->errors},
        {"open", (int64_t)info->open},
    };
    const struct number latency[] = {
        {"p50_us", info->p50_us},
        {"p90_us", info->p90_us},
        {"p99_us", info->p99_us},
        {"max_us", info->max_us},
    };
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    if (json_fields_add_string(object, "method", info->method) < 0)
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        if (json_fields_add_int(object, numbers[i].name, numbers[i].value) < 0)
            return;
    if (json_fields_add(object, "latency", with_numbers(latency, ARRAY_LENGTH(latency))) == 0)
        add_element(userdata, TAKE_PTR(object));
}

void daemon_debug_get_statistics(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct json_object *methods CLEANUP_JSON = json_object_new_array();
    struct json_object *reply CLEANUP_JSON = json_object_new_object();
    int64_t uptime_ms = clock_monotonic_ms(&clock_system) - daemon->started_ms;

    if (methods)
        varlink_server_each_method(daemon->server, add_method, methods);
    (void)json_fields_add_int(reply, "uptime_s", uptime_ms / 1000);
    (void)json_fields_add(reply, "methods", TAKE_PTR(methods));
    varlink_call_reply(call, TAKE_PTR(reply));
}

/* ---- Monitor ---- */

struct monitor_fields {
    const char *user, *method;
};

static const struct json_field monitor_table[] = {
    JSON_FIELD(
        struct monitor_fields, user, "user", JSON_FIELD_STRING, false, 1, USER_NAME_SIZE - 1),
    JSON_FIELD(
        struct monitor_fields, method, "method", JSON_FIELD_STRING, false, 1,
        MONITOR_METHOD_NAME_MAX),
};

/* Who watches what is quiet knows that he does, and that he may. Without memory he will see. */
static void say_begun(struct varlink_call *call) {
    struct json_object *reply CLEANUP_JSON = json_object_new_object();
    if (json_fields_add(reply, "events", json_object_new_array()) == 0 &&
        json_fields_add_int(reply, "lost", 0) == 0)
        varlink_call_notify(call, TAKE_PTR(reply));
}

static void begin_monitor(
    struct daemon *daemon, struct varlink_call *call, const struct monitor_fields *fields,
    int64_t uid) {
    const struct monitor_filter filter = {fields->user, uid, fields->method};
    int r = monitor_add(daemon->monitor, call, &filter);
    if (r == -EMFILE) {
        struct json_object *limit = json_object_new_object();
        (void)json_fields_add_int(limit, "limit", MONITOR_STREAMS_MAX);
        varlink_call_error(call, "io.devtrust.Debug.TooManyMonitors", limit);
    } else if (r < 0) {
        varlink_call_error(call, VARLINK_ERROR_NO_MEMORY, NULL);
    } else {
        say_begun(call);
    }
}

/* A call of Monitor that waits for a name service. */
struct monitor_lookup {
    struct daemon *daemon;
    struct varlink_call *call;
    struct monitor_fields fields; /* borrowed from the call */
    struct user_lookup *lookup;
};

static void monitor_lookup_done(enum user_lookup_result result, uid_t uid, void *userdata) {
    struct monitor_lookup *lookup = userdata;
    struct daemon *daemon = lookup->daemon;
    struct varlink_call *call = lookup->call;
    struct monitor_fields fields = lookup->fields;
    free(lookup);
    varlink_call_on_cancel(call, NULL, NULL);
    if (result == USER_LOOKUP_FOUND)
        begin_monitor(daemon, call, &fields, (int64_t)uid);
    else if (users_find_by_name(daemon->users, fields.user)) /* has states all the same */
        begin_monitor(daemon, call, &fields, MONITOR_UID_NONE);
    else
        varlink_call_invalid_parameter(call, "user");
}

static void monitor_lookup_cancelled(
    struct varlink_call *call __attribute__((unused)), void *userdata) {
    struct monitor_lookup *lookup = userdata;
    user_lookup_cancel(lookup->lookup);
    free(lookup);
}

static void look_up_for_monitor(
    struct daemon *daemon, struct varlink_call *call, const struct monitor_fields *fields) {
    struct monitor_lookup *lookup = calloc(1, sizeof(*lookup));
    int r = lookup ? 0 : -ENOMEM;
    if (r == 0) {
        *lookup = (struct monitor_lookup){.daemon = daemon, .call = call, .fields = *fields};
        r = user_lookup_start(
            daemon->loop, &user_database_system, fields->user, 1, USER_LOOKUP_DEADLINE_MS,
            monitor_lookup_done, lookup, &lookup->lookup);
    }
    if (r < 0) {
        free(lookup);
        varlink_call_error(call, VARLINK_ERROR_NO_MEMORY, NULL);
        return;
    }
    varlink_call_on_cancel(call, monitor_lookup_cancelled, lookup);
}

void daemon_debug_monitor(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct monitor_fields fields = {0};

    if (varlink_call_read_parameters(call, monitor_table, ARRAY_LENGTH(monitor_table), &fields) < 0)
        return;
    const struct user *user = fields.user ? users_find_by_name(daemon->users, fields.user) : NULL;
    if (!fields.user)
        begin_monitor(daemon, call, &fields, MONITOR_UID_NONE);
    else if (strcmp(fields.user, "root") == 0)
        begin_monitor(daemon, call, &fields, 0);
    else if (user && user_uid(user) != USER_UID_NONE)
        begin_monitor(daemon, call, &fields, user_uid(user));
    else
        look_up_for_monitor(daemon, call, &fields);
}

/* ---- GetLog ---- */

void daemon_debug_get_log(struct varlink_call *call, void *userdata) {
    const struct daemon *daemon = userdata;
    struct json_object *reply CLEANUP_JSON = json_object_new_object();

    if (json_fields_add(reply, "entries", log_ring_to_json(daemon->log_ring)) < 0)
        return varlink_call_error(call, VARLINK_ERROR_NO_MEMORY, NULL);
    varlink_call_reply(call, TAKE_PTR(reply));
}

/* ---- GetUserMachine ---- */

struct machine_fields {
    const char *user;
};

static const struct json_field machine_table[] = {
    JSON_FIELD(struct machine_fields, user, "user", JSON_FIELD_STRING, true, 1, USER_NAME_SIZE - 1),
};

void daemon_debug_get_user_machine(struct varlink_call *call, void *userdata) {
    struct daemon *daemon = userdata;
    struct machine_fields fields = {0};
    struct json_object *reply CLEANUP_JSON = json_object_new_object();

    if (varlink_call_read_parameters(call, machine_table, ARRAY_LENGTH(machine_table), &fields) < 0)
        return;
    struct user *user = users_find_by_name(daemon->users, fields.user);
    if (!user)
        return varlink_call_invalid_parameter(call, "user");
    (void)json_fields_add(reply, "machine", user_view_machine(user));
    varlink_call_reply(call, TAKE_PTR(reply));
}
