/* Structured log: one event, one line on standard error, or one journal entry where standard error
 * is the journal. The text tells the reader what to do next; everything variable goes into fields.
 * Text from elsewhere is escaped and cut (log_escape). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR = 3, /* syslog(3) numbers */
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7,
};

/** Names are upper case, digits and underscores. The journal has them with DEVTRUST_ before, ERRNO
 * excepted; lines and io.devtrust.Debug as they are. Values are copied. */
struct log_field {
    const char *name;
    const char *text; /* NULL: use number */
    int64_t number;
};

/* A function, since compilers warn of an array that is tested for NULL. */
static inline const char *log_text_or_empty(const char *text) {
    return text ? text : "";
}

#define LOG_TEXT(name_, value_)                                                                    \
    { .name = (name_), .text = log_text_or_empty(value_) }
#define LOG_NUMBER(name_, value_)                                                                  \
    { .name = (name_), .text = NULL, .number = (int64_t)(value_) }
#define LOG_ERRNO(error_) LOG_NUMBER("ERRNO", (error_) < 0 ? -(error_) : (error_))

/** Program name for the lines, the least important level that is still written. Detects the journal
 * by JOURNAL_STREAM against standard error's inode (systemd.exec(5)). */
void log_init(const char *program, enum log_level maximum);

/** Parses error|warning|notice|info|debug. Returns 0 or -EINVAL. */
int log_level_parse(const char *name, enum log_level *ret);

/** The name that log_level_parse() takes. */
const char *log_level_name(enum log_level level);

/** Writes one event. `message_id`: 32 hex digits from log_messages.h. Never fails, never blocks on
 * a full pipe for longer than the kernel's write; keeps errno. */
void log_write(
    enum log_level level, const char *message_id, const char *text, const struct log_field *fields,
    size_t count);

/** log_event(LOG_LEVEL_INFO, MSG_X, "text", LOG_TEXT("USER", id), LOG_ERRNO(r)); at least one
 * field. */
#define log_event(level, message_id, text, ...)                                                    \
    do {                                                                                           \
        const struct log_field log_fields_[] = {__VA_ARGS__};                                      \
        log_write(                                                                                 \
            (level), (message_id), (text), log_fields_,                                            \
            sizeof(log_fields_) / sizeof(log_fields_[0]));                                         \
    } while (0)

/** Copies at most 256 bytes of foreign text into `ret` (always NUL-terminated): valid UTF-8 only,
 * control and bidirectional-override characters as \xHH or \u{H}. `size` ≥ 8. Returns `ret`. */
char *log_escape(const char *text, size_t length, char *ret, size_t size);

/** A hook that sees each event after the line is written, for io.devtrust.Debug; NULL removes it.
 */
typedef void (*log_hook)(
    enum log_level level, const char *message_id, const char *text, const struct log_field *fields,
    size_t count, void *userdata);
void log_set_hook(log_hook hook, void *userdata);
