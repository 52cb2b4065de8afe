/* Dispatch of commands: arguments by the table, readers at once, writers through the writer's
 * queue. */
#include "server/commands.h"

#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "server/audit.h"
#include "server/command_table.h"
#include "server/event_hub.h"

#include <errno.h>
#include <json-c/linkhash.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "/v1/command/"
#define MAX_AUDIT 512

struct pending {
    struct command_call call;
    const struct command *command;
    const struct command_entry *entry;
    struct http_request *request;
    char what[MAX_AUDIT]; /* for those who read logs */
};

/* --- what handlers use --- */

const char *command_text(const struct command_call *call, const char *name) {
    struct json_object *value;
    return json_object_object_get_ex(call->arguments, name, &value) ? json_object_get_string(value)
                                                                    : NULL;
}

int64_t command_int(const struct command_call *call, const char *name, int64_t fallback) {
    struct json_object *value;
    return json_object_object_get_ex(call->arguments, name, &value) ? json_object_get_int64(value)
                                                                    : fallback;
}

int command_refuse(struct command_call *call, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->detail, sizeof(call->detail), format, arguments);
    va_end(arguments);
    call->status = status;
    return -ECANCELED;
}

int command_say(struct command_call *call, const char *format, ...) {
    char text[COMMAND_MAX_DETAIL];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return json_fields_add_string(call->answer, "message", text);
}

int command_notify(struct command_call *call, const char *device) {
    struct json_object *text = json_object_new_string(device);
    if (!call->notify)
        call->notify = json_object_new_array();
    return text && call->notify && json_object_array_add(call->notify, text) == 0 ? 0 : -ENOMEM;
}

/* --- arguments --- */

static int check_argument(
    struct command_call *call, const struct command_argument *argument, struct json_object *value) {
    bool text = argument->type == COMMAND_TEXT;
    int64_t size = text ? json_object_get_string_len(value) : json_object_get_int64(value);
    if (!json_object_is_type(value, text ? json_type_string : json_type_int) ||
        size < argument->minimum || size > argument->maximum)
        return command_refuse(call, 400, "%s: %s.", argument->name, argument->help);
    return 0;
}

static int check_arguments(struct command_call *call, const struct command *command) {
    for (size_t i = 0; i < COMMAND_MAX_ARGUMENTS && command->arguments[i].name; i++) {
        const struct command_argument *argument = &command->arguments[i];
        struct json_object *value;
        int r = 0;
        if (json_object_object_get_ex(call->arguments, argument->name, &value))
            r = check_argument(call, argument, value);
        else if (argument->positional)
            r = command_refuse(call, 400, "%s is missing: %s.", argument->shown, argument->help);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- running --- */

static void append_argument(char *text, size_t size, const char *name, struct json_object *value) {
    size_t length = strlen(text);
    snprintf(text + length, size - length, " %s=%s", name, json_object_get_string(value));
}

/* "assign user=u1 device=…": what the audit log and the log say. */
static void describe(struct pending *pending) {
    char *what = pending->what;
    snprintf(what, sizeof(pending->what), "%s", pending->command->words);
    json_object_object_foreach(pending->call.arguments, name, value)
        append_argument(what, sizeof(pending->what), name, value);
}

static int run_command(struct db *db, void *data) {
    struct pending *pending = data;
    pending->call.db = db;
    int r = pending->entry->run(&pending->call);
    return r < 0 ? r : audit_append(db, pending->call.now_s, pending->what, pending->call.uid);
}

static void notify(struct pending *pending) {
    struct event_hub *hub = pending->call.server->hub;
    size_t count = pending->call.notify ? json_object_array_length(pending->call.notify) : 0;
    for (size_t i = 0; i < count; i++) {
        const char *device =
            json_object_get_string(json_object_array_get_idx(pending->call.notify, i));
        if (pending->call.drop)
            event_hub_drop(hub, device);
        else
            event_hub_notify(hub, device);
    }
    if (pending->call.notify_all)
        event_hub_notify(hub, NULL);
}

static void pending_free(struct pending *pending) {
    json_object_put(pending->call.arguments);
    json_object_put(pending->call.answer);
    json_object_put(pending->call.notify);
    free(pending);
}

static void finish(int result, void *data) {
    struct pending *pending = data;
    struct command_call *call = &pending->call;
    const char *what = pending->what;
    if (result == -ECANCELED)
        http_send_problem(pending->request, call->status, REASON_OTHER, call->detail);
    else if (result < 0)
        http_send_error(pending->request, result);
    else {
        if (pending->entry->writes)
            log_event(
                LOG_LEVEL_NOTICE, MSG_ADMIN, "An administrator changed something.",
                LOG_TEXT("COMMAND", what), LOG_NUMBER("ADMIN_UID", call->uid));
        http_send_json(pending->request, 200, TAKE_PTR(call->answer));
        notify(pending);
    }
    pending_free(pending);
}

static const struct command_entry *find_entry(const char *name) {
    const struct command_entry *const tables[] = {command_changes, command_lists, command_explain};
    for (size_t i = 0; i < ARRAY_LENGTH(tables); i++)
        for (const struct command_entry *entry = tables[i]; entry->name; entry++)
            if (strcmp(entry->name, name) == 0)
                return entry;
    return NULL;
}

static int start(struct pending *pending, struct server *server) {
    struct command_call *call = &pending->call;
    size_t size;
    const char *body = http_request_body(pending->request, &size);
    call->server = server;
    call->db = server->db;
    call->now_s = clock_wall_s(server->clock);
    call->uid = http_request_uid(pending->request);
    call->status = 200;
    call->answer = json_object_new_object();
    if (!call->answer)
        return -ENOMEM;
    int r = json_gate_parse(body, size, &call->arguments);
    if (r == -EBADMSG || (r >= 0 && !json_object_is_type(call->arguments, json_type_object)))
        return command_refuse(call, 400, "The arguments are not a JSON object.");
    return r < 0 ? r : check_arguments(call, pending->command);
}

static void handle_command(struct http_request *request, struct server *server) {
    const char *name = http_request_path(request) + sizeof(PREFIX) - 1;
    const struct command *command = command_find(name);
    const struct command_entry *entry = find_entry(name);
    if (!command || !entry) {
        http_send_problem(request, 404, REASON_OTHER, "There is no such command.");
        return;
    }
    struct pending *pending = calloc(1, sizeof(*pending));
    if (!pending) {
        http_send_error(request, -ENOMEM);
        return;
    }
    *pending = (struct pending){.command = command, .entry = entry, .request = request};
    int r = start(pending, server);
    if (r >= 0 && entry->writes) {
        describe(pending);
        const struct db_job job = {.run = run_command, .done = finish, .data = pending};
        r = db_writer_submit(server->writer, &job);
        if (r >= 0)
            return;
    } else if (r >= 0)
        r = entry->run(&pending->call);
    finish(r, pending);
}

const struct http_route command_routes[] = {
    {"POST", PREFIX "*", HTTP_LISTENER_COMMAND, HTTP_IDENTITY_NONE, handle_command},
    {.method = NULL},
};
