/* One event of io.devtrust.Debug as text: a message, a connection, or a line of the log. */
#pragma once

#include "daemon/json_text.h"

#include "common/log.h"
#include "ipc/varlink_observer.h"

#define EVENT_TEXT_MAX ((size_t)8 * 1024) /* bytes of any event */

/* What the log's hook is told. */
struct event_log {
    enum log_level level;
    const char *message_id, *text;
    const struct log_field *fields;
    size_t count;
};

/** The field's text, or NULL where there is none of this name; a number: 0 and *ret. */
const char *event_log_text(const struct event_log *log, const char *name);
int event_log_number(const struct event_log *log, const char *name, int64_t *ret);

/** Whether it is a step of a user's state machine. */
bool event_log_is_state(const struct event_log *log);

/** Writes {time_us, kind, …} (type Event), parameters redacted. */
void event_text_write(struct json_text *text, const struct varlink_event *event, int64_t time_us);
void event_text_write_log(struct json_text *text, const struct event_log *log, int64_t time_us);

/** Writes {time_us, level, message_id, text, fields} (type LogEntry). */
void event_text_write_entry(struct json_text *text, const struct event_log *log, int64_t time_us);
