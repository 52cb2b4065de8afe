/* The log of all programs: what an event is, how foreign text is made harmless, and the two places
 * it can go. No memory is allocated, so that a program that is out of memory can still say so. */
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would always be a line of this file */
#include "common/log.h"

#include "common/cleanup.h"
#include "common/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define MAX_FIELDS 24
#define MAX_ESCAPED_SOURCE 256   /* bytes of foreign text, log_escape() */
#define MAX_VALUE_SOURCE 1024    /* bytes of one field; texts that are escaped already pass whole */
#define MAX_LINE 4096            /* PIPE_BUF: lines of several programs on one pipe do not mix */
#define MAX_ENTRY 8192           /* bytes of all fields of one journal entry */
#define FIELD_PREFIX "DEVTRUST_" /* of our fields in the journal */
#define CUT_MARK "…"
#define CUT_MARK_SIZE (sizeof(CUT_MARK) - 1)

enum destination {
    DESTINATION_UNKNOWN,
    DESTINATION_TERMINAL,
    DESTINATION_STREAM,
    DESTINATION_JOURNAL
};

static struct {
    const char *program;
    enum log_level maximum;
    enum destination destination;
    log_hook hook;
    void *hook_userdata;
} state = {.maximum = LOG_LEVEL_INFO};

/* A hook that logs would call itself. */
static __thread bool in_hook;

/* --- where to --- */

/* A number that ends with `end`; moves the text behind it. strtoumax() alone would take signs and
 * space. */
static bool take_number(const char **text, char end, uintmax_t *ret) {
    if (**text < '0' || **text > '9')
        return false;
    char *rest;
    errno = 0;
    *ret = strtoumax(*text, &rest, 10);
    if (errno != 0 || *rest != end)
        return false;
    *text = rest + 1;
    return true;
}

/* JOURNAL_STREAM holds "device:inode" of the stream that the service manager gave; a redirected
 * standard error has another one (systemd.exec(5)). */
static bool stderr_is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device, inode;
    struct stat st;

    return stream && take_number(&stream, ':', &device) && take_number(&stream, '\0', &inode) &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static enum destination find_destination(void) {
    if (stderr_is_journal())
        return DESTINATION_JOURNAL;
    return isatty(STDERR_FILENO) ? DESTINATION_TERMINAL : DESTINATION_STREAM;
}

void log_init(const char *program, enum log_level maximum) {
    int saved_errno = errno;
    state.program = program;
    state.maximum = maximum;
    state.destination = find_destination();
    errno = saved_errno;
}

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_NOTICE] = "notice",
    [LOG_LEVEL_INFO] = "info",   [LOG_LEVEL_DEBUG] = "debug",
};

int log_level_parse(const char *name, enum log_level *ret) {
    if (!name)
        return -EINVAL;
    for (size_t i = LOG_LEVEL_ERROR; i < ARRAY_LENGTH(level_names); i++)
        if (strcmp(name, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    return -EINVAL;
}

const char *log_level_name(enum log_level level) {
    return level_names[level];
}

void log_set_hook(log_hook hook, void *userdata) {
    state.hook = hook;
    state.hook_userdata = userdata;
}

/* --- harmless text --- */

/* One character as it is to appear, in `ret` (≥ 16 bytes). Returns how many bytes of the source it
 * stands for. A backslash stays: escaping twice is then the same as once. */
static size_t escape_one(const char *text, size_t length, bool in_quotes, char ret[16]) {
    uint32_t code;
    int size = utf8_decode(text, length, &code);
    const uint8_t byte = (uint8_t)text[0];

    if (size < 0 || byte < 0x20 || byte == 0x7f || (in_quotes && byte == '"')) {
        (void)snprintf(ret, 16, "\\x%02x", byte);
        return 1;
    }
    if (utf8_is_deceptive(code)) {
        (void)snprintf(ret, 16, "\\u{%" PRIx32 "}", code);
        return (size_t)size;
    }
    memcpy(ret, text, (size_t)size);
    ret[size] = '\0';
    return (size_t)size;
}

/* Escapes up to `maximum` bytes of `text` into `ret`, never cutting a character or an escape; what
 * does not fit is shown by the cut mark. Returns the length, `size` > CUT_MARK_SIZE. */
static size_t escape_text(
    const char *text, size_t length, size_t maximum, bool in_quotes, char *ret, size_t size) {
    size_t done = 0, used = 0;
    size_t marked = 0; /* as far as a cut mark still fits behind */
    while (done < length) {
        char one[16];
        size_t step = escape_one(text + done, length - done, in_quotes, one);
        size_t width = strlen(one);
        if (done + step > maximum || used + width + 1 > size)
            break;
        memcpy(ret + used, one, width);
        used += width;
        done += step;
        if (used + CUT_MARK_SIZE + 1 <= size)
            marked = used;
    }
    if (done < length) {
        memcpy(ret + marked, CUT_MARK, CUT_MARK_SIZE);
        used = marked + CUT_MARK_SIZE;
    }
    ret[used] = '\0';
    return used;
}

char *log_escape(const char *text, size_t length, char *ret, size_t size) {
    (void)escape_text(text, length, MAX_ESCAPED_SOURCE, false, ret, size);
    return ret;
}

/* --- the line --- */

struct line {
    char text[MAX_LINE]; /* the newline has its place behind `used` */
    size_t used;
};

/* Appends escaped text; leaves room for a closing quote, the newline and the NUL. Only called with
 * room for a cut mark. */
static void line_add(struct line *line, const char *text, bool in_quotes) {
    size_t room = sizeof(line->text) - line->used;
    if (room <= CUT_MARK_SIZE + 3)
        return;
    line->used += escape_text(
        text, strlen(text), MAX_VALUE_SOURCE, in_quotes, line->text + line->used, room - 2);
}

static void line_add_character(struct line *line, char c) {
    if (line->used + 2 < sizeof(line->text))
        line->text[line->used++] = c;
}

static void line_add_field(struct line *line, const struct log_field *field) {
    char number[24];
    const char *value = field->text;
    if (!value) {
        (void)snprintf(number, sizeof(number), "%" PRId64, field->number);
        value = number;
    }
    bool quoted = value[0] == '\0' || strpbrk(value, " \"=");

    line_add_character(line, ' ');
    line_add(line, field->name, false);
    line_add_character(line, '=');
    if (quoted)
        line_add_character(line, '"');
    line_add(line, value, quoted);
    if (quoted)
        line_add_character(line, '"');
}

static void write_line(
    enum log_level level, const char *text, const struct log_field *fields, size_t count) {
    struct line line;
    line.used = 0;
    if (state.destination !=
        DESTINATION_TERMINAL) { /* sd-daemon(3): whoever collects it knows the level */
        char prefix[8];
        (void)snprintf(prefix, sizeof(prefix), "<%d>", (int)level);
        line_add(&line, prefix, false);
    }
    line_add(&line, state.program ? state.program : program_invocation_short_name, false);
    line_add(&line, ": ", false);
    line_add(&line, text, false);
    for (size_t i = 0; i < count; i++)
        line_add_field(&line, &fields[i]);
    line.text[line.used++] = '\n';

    ssize_t n;
    do
        n = write(STDERR_FILENO, line.text, line.used);
    while (n < 0 && errno == EINTR);
}

/* --- the journal entry --- */

struct entry {
    char store[MAX_ENTRY];
    size_t used;
    struct iovec parts[MAX_FIELDS + 4];
    int count;
};

/* Appends "PREFIXNAME=value"; a field without room is left out. */
static void entry_add(
    struct entry *entry, const char *prefix, const char *name, const char *value) {
    size_t name_size = strlen(prefix) + strlen(name);
    size_t room = sizeof(entry->store) - entry->used;
    if ((size_t)entry->count == ARRAY_LENGTH(entry->parts) || name_size + CUT_MARK_SIZE + 2 > room)
        return;

    char *start = entry->store + entry->used;
    size_t size = (size_t)snprintf(start, room, "%s%s=", prefix, name);
    size += escape_text(value, strlen(value), MAX_VALUE_SOURCE, false, start + size, room - size);
    entry->parts[entry->count++] = (struct iovec){.iov_base = start, .iov_len = size};
    entry->used += size;
}

static void entry_add_number(
    struct entry *entry, const char *prefix, const char *name, int64_t number) {
    char value[24];
    (void)snprintf(value, sizeof(value), "%" PRId64, number);
    entry_add(entry, prefix, name, value);
}

/* Names such as USER_ID belong to others in the journal, which is one name space for all; ERRNO
 * means there what it means here (systemd.journal-fields(7)). */
static void entry_add_field(struct entry *entry, const struct log_field *field) {
    const char *prefix = strcmp(field->name, "ERRNO") == 0 ? "" : FIELD_PREFIX;
    if (field->text)
        entry_add(entry, prefix, field->name, field->text);
    else
        entry_add_number(entry, prefix, field->name, field->number);
}

static int write_journal(
    enum log_level level, const char *message_id, const char *text, const struct log_field *fields,
    size_t count) {
    struct entry entry;
    entry.used = 0;
    entry.count = 0;

    entry_add(&entry, "", "MESSAGE", text);
    entry_add_number(&entry, "", "PRIORITY", level);
    entry_add(
        &entry, "", "SYSLOG_IDENTIFIER",
        state.program ? state.program : program_invocation_short_name);
    if (message_id)
        entry_add(&entry, "", "MESSAGE_ID", message_id);
    for (size_t i = 0; i < count; i++)
        entry_add_field(&entry, &fields[i]);
    return sd_journal_sendv(entry.parts, entry.count);
}

void log_write(
    enum log_level level, const char *message_id, const char *text, const struct log_field *fields,
    size_t count) {
    const int saved_errno = errno;

    if (level <= state.maximum) {
        if (state.destination == DESTINATION_UNKNOWN)
            state.destination = find_destination();
        if (count > MAX_FIELDS)
            count = MAX_FIELDS;
        /* a journal that does not take the entry is no reason to lose it */
        if (state.destination != DESTINATION_JOURNAL ||
            write_journal(level, message_id, text, fields, count) < 0)
            write_line(level, text, fields, count);
    }
    if (state.hook && !in_hook) {
        in_hook = true;
        state.hook(level, message_id, text, fields, count, state.hook_userdata);
        in_hook = false;
    }
    errno = saved_errno;
}
