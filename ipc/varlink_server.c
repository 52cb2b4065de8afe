/* The service as a whole: its tables, its listeners, its clock and its end. */
#include "ipc/varlink_connection.h"
#include "ipc/varlink_idl.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct varlink_limits varlink_limits_default = {
    .connections_per_uid = 16,
    .connections = 1024,
    .message_bytes = VARLINK_CALL_MAX,
    .write_queue_bytes = (size_t)1024 * 1024,
    .bytes_per_uid = (size_t)2 * 1024 * 1024,
    .outstanding_per_connection = 16,
    .outstanding_per_uid = 64,
    .messages_per_uid = {.per_s = 200, .burst = 400},
    .connects_per_uid = {.per_s = 100, .burst = 200},
    .first_message_ms = 10000,
    .partial_message_ms = 5000,
    .idle_ms = 60000,
};

/* ---- tables ---- */

const struct varlink_interface *varlink_server_find_interface(
    const struct varlink_server *server, const char *name, size_t length) {
    for (size_t i = 0; i < server->interface_count; i++)
        if (strncmp(server->interfaces[i].name, name, length) == 0 &&
            server->interfaces[i].name[length] == '\0')
            return &server->interfaces[i];
    return NULL;
}

static int method_compare_name(const void *key, const void *element) {
    const struct varlink_method *method = element;
    return strcmp(key, method->row->name);
}

static int method_compare(const void *a, const void *b) {
    const struct varlink_method *first = a;
    return method_compare_name(first->row->name, b);
}

struct varlink_method *varlink_server_find_method(
    const struct varlink_server *server, const char *name) {
    return bsearch(
        name, server->methods, server->method_count, sizeof server->methods[0],
        method_compare_name);
}

static int table_fault(const char *text, const char *name) {
    log_event(LOG_LEVEL_ERROR, MSG_INTERNAL, text, LOG_TEXT("NAME", name));
    return -EINVAL;
}

static int method_row_check(const struct varlink_server *server, const struct method *method) {
    size_t length;
    if (!varlink_name_is_valid(method->name, &length))
        return table_fault("A row of the method table has a bad name.", method->name);
    const struct varlink_interface *interface =
        varlink_server_find_interface(server, method->name, length);
    if (!interface ||
        !varlink_idl_has(
            interface->description, interface->name, VARLINK_IDL_METHOD, method->name + length + 1))
        return table_fault("A row of the method table is in no interface.", method->name);
    if (!method->handler || (!method->stream && method->deadline_ms == 0))
        return table_fault(
            "A row of the method table has no handler or no deadline.", method->name);
    return 0;
}

struct declared_check {
    const struct varlink_server *server;
    const struct varlink_interface *interface;
};

static int declared_method_check(
    enum varlink_idl_kind kind, const char *name, size_t length, void *userdata) {
    const struct declared_check *check = userdata;
    if (kind != VARLINK_IDL_METHOD)
        return 0;
    char full[2 * VARLINK_IDL_NAME_MAX + 2];
    snprintf(full, sizeof full, "%s.%.*s", check->interface->name, (int)length, name);
    if (varlink_server_find_method(check->server, full))
        return 0;
    return table_fault("A method of an interface has no row in the method table.", full);
}

static int tables_check(const struct varlink_server *server) {
    for (size_t i = 0; i < server->interface_count; i++) {
        struct declared_check check = {server, &server->interfaces[i]};
        int r = varlink_idl_read(
            check.interface->description, check.interface->name, declared_method_check, &check);
        if (r < 0)
            return table_fault(
                "An interface description is not well-formed or not complete.",
                check.interface->name);
    }
    for (size_t i = 0; i < server->method_count; i++) {
        int r = method_row_check(server, server->methods[i].row);
        if (r < 0)
            return r;
        if (i > 0 && strcmp(server->methods[i - 1].row->name, server->methods[i].row->name) == 0)
            return table_fault(
                "The method table names a method twice.", server->methods[i].row->name);
    }
    return 0;
}

static int tables_build(
    struct varlink_server *server, const struct varlink_server_options *options) {
    server->interface_count = options->interface_count + 1;
    server->method_count = options->method_count + varlink_service_method_count;
    server->interfaces = calloc(server->interface_count, sizeof(struct varlink_interface));
    server->methods = calloc(server->method_count, sizeof server->methods[0]);
    if (!server->interfaces || !server->methods)
        return -ENOMEM;
    for (size_t i = 0; i < options->interface_count; i++)
        server->interfaces[i] = options->interfaces[i];
    server->interfaces[options->interface_count] = varlink_service_interface;
    for (size_t i = 0; i < options->method_count; i++)
        server->methods[i].row = options->methods[i];
    for (size_t i = 0; i < varlink_service_method_count; i++)
        server->methods[options->method_count + i].row = varlink_service_methods[i];
    qsort(server->methods, server->method_count, sizeof server->methods[0], method_compare);
    return tables_check(server);
}

static bool rate_is_valid(const struct rate *rate) {
    return rate->per_s > 0 && rate->burst > 0;
}

static bool limits_are_valid(const struct varlink_limits *limits) {
    return limits->connections_per_uid > 0 && limits->connections > 0 &&
           limits->message_bytes > 0 && limits->message_bytes <= VARLINK_REPLY_MAX &&
           limits->write_queue_bytes > 0 && limits->bytes_per_uid > 0 &&
           limits->outstanding_per_connection > 0 && limits->outstanding_per_uid > 0 &&
           rate_is_valid(&limits->messages_per_uid) && rate_is_valid(&limits->connects_per_uid) &&
           limits->first_message_ms > 0 && limits->partial_message_ms > 0 && limits->idle_ms > 0;
}

/* ---- log ---- */

void varlink_server_log_refusal(
    struct varlink_server *server, const char *text, uid_t uid, pid_t pid, int error) {
    unsigned left_out;
    bool may_write = log_limit_take(&server->refusals, (int64_t)uv_now(server->loop), &left_out);
    if (left_out > 0)
        log_event(
            LOG_LEVEL_WARNING, MSG_IPC,
            "More local peers were refused than were logged; look at their uids.",
            LOG_NUMBER("COUNT", left_out));
    if (may_write)
        log_event(
            LOG_LEVEL_WARNING, MSG_IPC, text, LOG_NUMBER("PEER_UID", uid),
            LOG_NUMBER("PEER_PID", pid), LOG_ERRNO(error));
}

/* ---- life ---- */

/* libuv writes without MSG_NOSIGNAL: a peer that leaves would end this process */
static void ignore_sigpipe(void) {
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

static struct varlink_server *server_free(struct varlink_server *server) {
    if (!server)
        return NULL;
    quota_deinit(&server->quota);
    for (size_t i = 0; server->methods && i < server->method_count; i++)
        free(server->methods[i].latency);
    buffer_deinit(&server->message);
    buffer_deinit(&server->held);
    free(server->interfaces);
    free(server->methods);
    free(server);
    return NULL;
}

DEFINE_CLEANUP(struct varlink_server *, server_free);

int varlink_server_new(
    uv_loop_t *loop, const struct varlink_server_options *options, struct varlink_server **ret) {
    if (!limits_are_valid(&options->limits))
        return -EINVAL;
    struct varlink_server CLEANUP(server_free_ptr) *server = calloc(1, sizeof *server);
    if (!server)
        return -ENOMEM;
    server->loop = loop;
    server->options = *options;
    server->message = (struct buffer)BUFFER_INIT(VARLINK_REPLY_MAX);
    server->held = (struct buffer)BUFFER_INIT(VARLINK_READ_CHUNK);
    quota_init(&server->quota, options->limits.connections_per_uid, options->limits.connections);
    TAILQ_INIT(&server->listeners);
    TAILQ_INIT(&server->connections);
    int r = tables_build(server, options);
    if (r < 0)
        return r;
    ignore_sigpipe();
    uv_timer_init(loop, &server->timer);
    server->timer.data = server;
    server->open_handles = 1;
    varlink_turn_init(server);
    *ret = TAKE_PTR(server);
    return 0;
}

/* ---- end ---- */

void varlink_server_handle_closed(struct varlink_server *server) {
    if (--server->open_handles > 0)
        return;
    void (*closed)(void *) = server->closed;
    void *userdata = server->closed_userdata;
    server_free(server);
    if (closed)
        closed(userdata);
}

static void timer_closed(uv_handle_t *handle) {
    varlink_server_handle_closed(handle->data);
}

void varlink_server_close(struct varlink_server *server, void (*closed)(void *), void *userdata) {
    if (server->closing)
        return;
    server->closing = true;
    server->closed = closed;
    server->closed_userdata = userdata;
    struct varlink_listener *listener;
    while ((listener = TAILQ_FIRST(&server->listeners))) {
        TAILQ_REMOVE(&server->listeners, listener, all);
        varlink_listener_close(listener);
    }
    struct varlink_connection *connection; /* stays in the list until the loop has closed it */
    TAILQ_FOREACH(connection, &server->connections, all)
    varlink_connection_end(connection);
    varlink_turn_close(server);
    uv_close((uv_handle_t *)&server->timer, timer_closed);
}

void varlink_server_each_connection(
    struct varlink_server *server, void (*visit)(const struct varlink_connection_info *, void *),
    void *userdata) {
    const struct varlink_connection *connection;
    TAILQ_FOREACH(connection, &server->connections, all) {
        if (connection->closing)
            continue;
        struct varlink_connection_info info = {
            .id = connection->id,
            .uid = connection->uid,
            .pid = connection->pid,
            .calls = connection->calls,
            .bytes_in = connection->bytes_in,
            .bytes_out = connection->bytes_out,
            .outstanding = varlink_connection_outstanding(connection),
            .age_ms = uv_now(server->loop) - connection->opened,
        };
        if (connection->call && connection->call->method && connection->call->method->stream)
            info.stream = connection->call->method->name;
        visit(&info, userdata);
    }
}
