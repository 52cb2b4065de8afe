/* See event_text.h. */
#include "daemon/event_text.h"

#include "daemon/redaction.h"

#include "common/cleanup.h"
#include "common/log_messages.h"

#include <errno.h>
#include <string.h>

#define FIELDS_MAX 24              /* of one event, as log.c has it */
#define FIELDS_SIZE_MAX 2048       /* bytes; a field behind it is left out */
#define ESCAPED_MAX (256 * 4 + 16) /* what log_escape() can make */

/* ---- messages and connections ---- */

static const char *message_kind(const struct varlink_event *event) {
    switch (event->kind) {
    case VARLINK_EVENT_OPENED:
        return "opened";
    case VARLINK_EVENT_CLOSED:
        return "closed";
    case VARLINK_EVENT_REFUSED:
        return "refused";
    case VARLINK_EVENT_CALL:
        return "call";
    case VARLINK_EVENT_REPLY:
        return event->error ? "error" : "reply";
    }
    return "call";
}

/* Why a connection was closed, or a peer refused. */
static const char *reason_phrase(const struct varlink_event *event) {
    static const struct {
        int error;
        const char *refused, *closed;
    } phrases[] = {
        {0, "refused", NULL},
        {-EDQUOT, "too many connections of this user", "too many calls wait behind its stream"},
        {-EUSERS, "too many connections in all", NULL},
        {-EBADMSG, "what it sent is no JSON object", "what it sent is no JSON object"},
        {-EMSGSIZE, "its message is too large", "its message is too large"},
        {-ETIMEDOUT, "it did not finish a message in time", "it did not finish a message in time"},
        {-ENOBUFS, "it does not read its answers", "it does not read its answers"},
        {-ENOMEM, "memory is out", "memory is out"},
        {-ECONNRESET, NULL, "the peer reset it"},
        {-EPIPE, NULL, "the peer reset it"},
    };
    bool refused = event->kind == VARLINK_EVENT_REFUSED;
    for (size_t i = 0; i < ARRAY_LENGTH(phrases); i++)
        if (phrases[i].error == event->reason)
            return refused ? phrases[i].refused : phrases[i].closed;
    return strerror(-event->reason);
}

static void write_flags(struct json_text *text, const struct varlink_event *event) {
    if (!event->more && !event->oneway && !event->continues)
        return;
    json_text_key(text, "flags");
    json_text_begin(text, '[');
    if (event->more)
        json_text_string(text, "more", strlen("more"));
    if (event->oneway)
        json_text_string(text, "oneway", strlen("oneway"));
    if (event->continues)
        json_text_string(text, "continues", strlen("continues"));
    json_text_end(text, ']');
}

/* A name that the peer has chosen may be of any length. */
static void write_name(struct json_text *text, const char *key, const char *name) {
    if (!name)
        return;
    json_text_key(text, key);
    redaction_write_string(text, name, strlen(name));
}

static void write_head(struct json_text *text, const char *kind, int64_t time_us) {
    json_text_begin(text, '{');
    json_text_add_int(text, "time_us", time_us);
    json_text_add_string(text, "kind", kind);
}

void event_text_write(struct json_text *text, const struct varlink_event *event, int64_t time_us) {
    bool message = event->kind == VARLINK_EVENT_CALL || event->kind == VARLINK_EVENT_REPLY;
    write_head(text, message_kind(event), time_us);
    if (event->connection > 0)
        json_text_add_int(text, "connection", (int64_t)event->connection);
    json_text_add_int(text, "uid", (int64_t)event->uid);
    json_text_add_int(text, "pid", (int64_t)event->pid);
    write_name(text, "method", event->method);
    write_name(text, "error", event->error);
    if (message) {
        write_flags(text, event);
        json_text_add_int(text, "size", (int64_t)event->size);
    }
    if (event->latency_us >= 0 && event->kind == VARLINK_EVENT_REPLY)
        json_text_add_int(text, "latency_us", event->latency_us);
    /* what no row describes may hold anything */
    if (message && event->row && event->parameters) {
        json_text_key(text, "parameters");
        redaction_write(text, event->parameters, event->row->secrets);
    }
    if (!message)
        json_text_add_string(text, "text", reason_phrase(event));
    json_text_end(text, '}');
}

/* ---- the log ---- */

static const struct log_field *find_field(const struct event_log *log, const char *name) {
    for (size_t i = 0; i < log->count; i++)
        if (strcmp(log->fields[i].name, name) == 0)
            return &log->fields[i];
    return NULL;
}

const char *event_log_text(const struct event_log *log, const char *name) {
    const struct log_field *field = find_field(log, name);
    return field ? field->text : NULL;
}

int event_log_number(const struct event_log *log, const char *name, int64_t *ret) {
    const struct log_field *field = find_field(log, name);
    if (!field || field->text)
        return -ENOENT;
    *ret = field->number;
    return 0;
}

bool event_log_is_state(const struct event_log *log) {
    return log->message_id && strcmp(log->message_id, MSG_USER_STATE) == 0;
}

/* The log's texts are not always valid UTF-8: log_escape() makes them so. */
static void write_escaped(struct json_text *text, const char *value) {
    char escaped[ESCAPED_MAX];
    log_escape(value, strlen(value), escaped, sizeof(escaped));
    json_text_string(text, escaped, strlen(escaped));
}

static void write_fields(struct json_text *text, const struct event_log *log) {
    size_t end = text->size + FIELDS_SIZE_MAX;
    json_text_key(text, "fields");
    json_text_begin(text, '{');
    for (size_t i = 0; i < log->count && i < FIELDS_MAX && text->size < end; i++) {
        const struct log_field *field = &log->fields[i];
        if (find_field(log, field->name) != field)
            continue; /* a name twice is no JSON object */
        json_text_key(text, field->name);
        if (field->text)
            write_escaped(text, field->text);
        else
            json_text_int(text, field->number);
    }
    json_text_end(text, '}');
}

static void write_log_members(struct json_text *text, const struct event_log *log) {
    json_text_add_string(text, "level", log_level_name(log->level));
    json_text_add_string(text, "message_id", log->message_id ? log->message_id : "");
    json_text_key(text, "text");
    write_escaped(text, log->text);
    write_fields(text, log);
}

void event_text_write_log(struct json_text *text, const struct event_log *log, int64_t time_us) {
    const char *user = event_log_text(log, "USER_NAME");
    int64_t uid = 0;
    write_head(text, event_log_is_state(log) ? "state" : "log", time_us);
    if (event_log_number(log, "PEER_UID", &uid) == 0)
        json_text_add_int(text, "uid", uid);
    if (user && *user) {
        json_text_key(text, "user");
        write_escaped(text, user);
    }
    write_log_members(text, log);
    json_text_end(text, '}');
}

void event_text_write_entry(struct json_text *text, const struct event_log *log, int64_t time_us) {
    json_text_begin(text, '{');
    json_text_add_int(text, "time_us", time_us);
    write_log_members(text, log);
    json_text_end(text, '}');
}
