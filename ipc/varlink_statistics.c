/* Counts and latencies per method, what each uid uses, and whoever watches it happen. */
#include "ipc/varlink_connection.h"
#include "ipc/varlink_observer.h"

#include <errno.h>
#include <stdlib.h>

/* ---- methods ---- */

int64_t varlink_server_tick(struct varlink_server *server) {
    server->now_us = (int64_t)(uv_hrtime() / 1000);
    return server->now_us;
}

void varlink_statistics_begin(struct varlink_method *method) {
    method->calls++;
    method->open++;
}

void varlink_statistics_answer(
    struct varlink_method *method, int64_t now_us, int64_t latency_us, bool first, bool failed) {
    if (failed)
        method->errors++;
    if (!first)
        return;
    if (!method->latency) /* most methods are never called */
        method->latency = calloc(1, sizeof *method->latency);
    if (method->latency)
        histogram_window_record(method->latency, now_us, latency_us);
}

void varlink_statistics_end(struct varlink_method *method) {
    method->open--;
}

void varlink_server_each_method(
    struct varlink_server *server, void (*visit)(const struct varlink_method_info *, void *),
    void *userdata) {
    int64_t now = varlink_server_tick(server);
    for (size_t i = 0; i < server->method_count; i++) {
        struct varlink_method *method = &server->methods[i];
        struct varlink_method_info info = {
            .method = method->row->name,
            .calls = method->calls,
            .errors = method->errors,
            .open = method->open,
        };
        if (method->latency) {
            info.p50_us = histogram_window_quantile(method->latency, now, 500);
            info.p90_us = histogram_window_quantile(method->latency, now, 900);
            info.p99_us = histogram_window_quantile(method->latency, now, 990);
            info.max_us = histogram_window_quantile(method->latency, now, 1000);
        }
        visit(&info, userdata);
    }
}

/* ---- users ---- */

void varlink_server_each_uid(
    struct varlink_server *server, void (*visit)(const struct varlink_uid_info *, void *),
    void *userdata) {
    int64_t now = varlink_server_tick(server);
    const struct quota_account *account;
    TAILQ_FOREACH(account, &server->quota.accounts, all) {
        struct varlink_uid_info info = {
            .uid = account->uid,
            .connections = account->connections,
            .outstanding = account->outstanding,
            .bytes = account->bytes,
            .messages_left = account->uid == 0 ? server->options.limits.messages_per_uid.burst
                                               : rate_bucket_left(
                                                     &account->messages,
                                                     &server->options.limits.messages_per_uid, now),
            .refused = account->refused,
            .delayed = account->delayed,
        };
        visit(&info, userdata);
    }
}

/* ---- the observer ---- */

void varlink_server_set_observer(
    struct varlink_server *server, varlink_observe observe, void *userdata) {
    server->observe = observe;
    server->observe_userdata = userdata;
}

/* What the observer itself sends is not shown to it. */
static void statistics_observe(struct varlink_server *server, const struct varlink_event *event) {
    if (server->observing)
        return;
    server->observing = true;
    server->observe(event, server->observe_userdata);
    server->observing = false;
}

void varlink_statistics_show_connection(
    struct varlink_server *server, enum varlink_event_kind kind, uint64_t id, uid_t uid, pid_t pid,
    int reason) {
    bool left = reason == UV_EOF || reason == -EPIPE || reason == -ECONNRESET;
    const struct varlink_event event = {
        .kind = kind,
        .connection = id,
        .uid = uid,
        .pid = pid,
        .latency_us = -1,
        .reason = left ? 0 : reason,
    };
    statistics_observe(server, &event);
}

void varlink_statistics_show_call(
    const struct varlink_call *call, struct json_object *parameters, size_t size) {
    const struct varlink_connection *connection = call->connection;
    const struct varlink_event event = {
        .kind = VARLINK_EVENT_CALL,
        .connection = connection->id,
        .uid = connection->uid,
        .pid = connection->pid,
        .method = call->name,
        .row = call->method,
        .more = call->more,
        .oneway = call->oneway,
        .size = size,
        .latency_us = -1,
        .parameters = parameters,
    };
    statistics_observe(connection->server, &event);
}

void varlink_statistics_show_reply(
    const struct varlink_call *call, const char *error, struct json_object *parameters,
    bool continues, size_t size, int64_t latency_us) {
    const struct varlink_connection *connection = call->connection;
    const struct varlink_event event = {
        .kind = VARLINK_EVENT_REPLY,
        .connection = connection->id,
        .uid = connection->uid,
        .pid = connection->pid,
        .method = call->name,
        .row = call->method,
        .error = error,
        .more = call->more,
        .oneway = call->oneway,
        .continues = continues,
        .size = size,
        .latency_us = latency_us,
        .parameters = parameters,
    };
    statistics_observe(connection->server, &event);
}
