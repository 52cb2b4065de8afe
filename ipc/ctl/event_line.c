/* See event_line.h. The columns:
 *
 *     TIME         CONN USER     METHOD                  BYTES LATENCY PARAMETERS
 *     14:03:12.391   12 alice    → Agent.Submit            466         request_id=6b6c39a8-3b9…
 *     14:03:12.394   12 alice    ← Agent.Submit           2349 3.19 ms bundle={root=…
 */
#include "ipc/ctl/event_line.h"

#include "ipc/ctl/parameters.h"
#include "ipc/ctl/text.h"

#include "common/cleanup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define USER_COLUMNS 8
#define METHOD_COLUMNS 22      /* Device.GetCertificates */
#define WIDE 120               /* columns from which on methods have their full names */
#define WIDE_METHOD_COLUMNS 36 /* io.devtrust.Debug.GetUserMachine and more */
#define INDENT 31              /* of what goes on below: behind the mark */
#define LEFT_COLUMNS 28        /* up to the mark */
#define LITTLE_ROOM 30         /* less is no place to begin a sentence in */
#define MINIMUM_ROOM 8         /* less is not worth a cut text */

struct mark {
    const char *kind, *utf8, *ascii;
    enum text_colour colour;
};

static const struct mark marks[] = {
    {"call", "→", ">", TEXT_PLAIN},   {"reply", "←", "<", TEXT_GOOD},
    {"error", "✗", "x", TEXT_BAD},    {"state", "●", "*", TEXT_BOLD},
    {"opened", "+", "+", TEXT_FAINT}, {"closed", "-", "-", TEXT_FAINT},
    {"refused", "✗", "x", TEXT_BAD},  {"log", "·", ".", TEXT_PLAIN},
    {"lost", "…", "?", TEXT_WARN},
};
static const struct mark warning_mark = {"log", "!", "!", TEXT_WARN};
static const struct mark failure_mark = {"log", "!", "!", TEXT_BAD};
static const struct mark unknown_mark = {"", "?", "?", TEXT_PLAIN};

static bool is(const char *text, const char *value) {
    return text && strcmp(text, value) == 0;
}

static const struct mark *mark_of(const struct event *event) {
    if (is(event->kind, "log") && is(event->level, "error"))
        return &failure_mark;
    if (is(event->kind, "log") && is(event->level, "warning"))
        return &warning_mark;
    for (size_t i = 0; i < ARRAY_LENGTH(marks); i++)
        if (strcmp(marks[i].kind, event->kind) == 0)
            return &marks[i];
    return &unknown_mark;
}

/* ---- text that fits the screen ---- */

/* Where the screen knows ASCII only, others are shown as such. */
static char *to_screen(const struct event_style *style, char *text) {
    char *converted = NULL;
    size_t size;
    if (style->ctl->unicode || !text)
        return text;
    FILE *file = open_memstream(&converted, &size);
    if (!file)
        return text;
    for (const char *at = text; *at; at++) {
        if (strncmp(at, "…", strlen("…")) == 0)
            fputs("...", file);
        else if (strncmp(at, "µ", strlen("µ")) == 0)
            fputc('u', file);
        else if (((unsigned char)*at & 0xc0) != 0x80)
            fputc(((unsigned char)*at & 0x80) ? '?' : *at, file);
    }
    fclose(file);
    free(text);
    return converted;
}

static const char *ellipsis(const struct event_style *style) {
    return style->ctl->unicode ? "…" : "...";
}

/* In exactly `columns`, cut where it is longer. */
static void print_cell(
    const struct event_style *style, FILE *file, const char *text, unsigned columns) {
    char safe[TEXT_SAFE_SIZE];
    char CLEANUP_FREE *shown = to_screen(style, strdup(text_safe(text, safe)));
    unsigned width = shown ? text_columns(shown) : 0;
    const char *mark = ellipsis(style);
    if (width <= columns) {
        fprintf(file, "%s%*s", shown ? shown : "", (int)(columns - width), "");
        return;
    }
    size_t part = text_prefix(shown, columns - text_columns(mark));
    fprintf(file, "%.*s%s", (int)part, shown, mark);
}

/* Bytes of the next line: up to the last space that fits, or as much as fits. */
static size_t next_line(const char *text, unsigned columns) {
    size_t whole = text_prefix(text, columns);
    if (text[whole] == '\0' || text[whole] == ' ')
        return whole;
    size_t length = whole;
    while (length > 0 && text[length - 1] != ' ')
        length--;
    return length > 0 ? length - 1 : whole;
}

static void print_lines(
    const struct event_style *style, FILE *file, const char *text, unsigned used,
    enum text_colour colour) {
    unsigned columns = style->columns - used;
    for (;;) {
        size_t length = next_line(text, columns);
        fprintf(
            file, "%s%.*s%s\n", text_begin(style->ctl, colour), (int)length, text,
            text_end(style->ctl, colour));
        text += length;
        text += strspn(text, " ");
        if (!*text)
            return;
        fprintf(file, "%*s", INDENT, "");
        columns = style->columns - INDENT;
    }
}

/* The end of a line that takes `used` columns already. */
static void print_rest(
    const struct event_style *style, FILE *file, const char *text, unsigned used, bool whole,
    enum text_colour colour) {
    const char *begin = text_begin(style->ctl, colour), *end = text_end(style->ctl, colour);
    unsigned room = style->columns > used + 1 ? style->columns - used - 1 : 0;
    unsigned width = text_columns(text);
    bool fits = style->columns == 0 || width <= room;
    if (width > 0 && fits) {
        fprintf(file, " %s%s%s\n", begin, text, end);
    } else if (width > 0 && (whole || style->verbose) && style->columns > INDENT + MINIMUM_ROOM) {
        bool here = room >= LITTLE_ROOM;
        fprintf(file, "%s%*s", here ? "" : "\n", here ? 1 : INDENT, "");
        print_lines(style, file, text, here ? used + 1 : INDENT, colour);
    } else if (width > 0 && room >= MINIMUM_ROOM) {
        const char *mark = ellipsis(style);
        size_t part = text_prefix(text, room - text_columns(mark));
        fprintf(file, " %s%.*s%s%s\n", begin, (int)part, text, mark, end);
    } else {
        fputc('\n', file);
    }
}

/* ---- numbers ---- */

const char *event_line_span(const struct ctl *ctl, int64_t us, char ret[EVENT_LINE_SPAN_SIZE]) {
    static const struct {
        int64_t below, unit; /* µs */
        int decimals;
        const char *name;
    } units[] = {
        {10000, 1000, 2, "ms"},          {100000, 1000, 1, "ms"},
        {1000000, 1000, 0, "ms"},        {10000000, 1000000, 2, "s"},
        {100000000, 1000000, 1, "s"},    {1000000000, 1000000, 0, "s"},
        {INT64_MAX, 60000000, 0, "min"},
    };
    size_t i = 0;
    if (us < 1000) {
        snprintf(ret, EVENT_LINE_SPAN_SIZE, "%" PRId64 " %s", us, ctl->unicode ? "µs" : "us");
        return ret;
    }
    while (us >= units[i].below && i + 1 < ARRAY_LENGTH(units))
        i++;
    int64_t whole = us / units[i].unit, rest = us % units[i].unit;
    int digits = units[i].decimals == 2 ? (int)(rest * 100 / units[i].unit)
                                        : (int)(rest * 10 / units[i].unit);
    if (units[i].decimals == 0)
        snprintf(ret, EVENT_LINE_SPAN_SIZE, "%" PRId64 " %s", whole, units[i].name);
    else
        snprintf(
            ret, EVENT_LINE_SPAN_SIZE, "%" PRId64 ".%0*d %s", whole, units[i].decimals, digits,
            units[i].name);
    return ret;
}

static void print_span(const struct event_style *style, FILE *file, int64_t us) {
    char span[EVENT_LINE_SPAN_SIZE] = "";
    if (us >= 0)
        event_line_span(style->ctl, us, span);
    unsigned width = text_columns(span);
    fprintf(file, " %*s%s", width < 7 ? (int)(7 - width) : 0, "", span);
}

/* ---- the left part ---- */

static void print_date(struct event_style *style, FILE *file, const struct tm *local) {
    int day = (local->tm_year + 1900) * 1000 + local->tm_yday;
    char date[64];
    if (day == style->day || strftime(date, sizeof date, "%A, %Y-%m-%d %Z", local) == 0)
        return;
    style->day = day;
    fprintf(
        file, "%s%s%s\n", text_begin(style->ctl, TEXT_BOLD), date, text_end(style->ctl, TEXT_BOLD));
}

static void print_time(struct event_style *style, FILE *file, int64_t time_us) {
    time_t seconds = (time_t)(time_us / 1000000);
    struct tm local;
    char clock[16];
    if (time_us < 0 || !localtime_r(&seconds, &local) ||
        strftime(clock, sizeof clock, "%H:%M:%S", &local) == 0) {
        fprintf(file, "%12s", "");
        return;
    }
    print_date(style, file, &local);
    fprintf(file, "%s.%03d", clock, (int)(time_us / 1000 % 1000));
}

static void print_left(struct event_style *style, FILE *file, const struct event *event) {
    const struct mark *mark = mark_of(event);
    char number[24] = "";
    bool own = is(event->kind, "state"); /* says the user itself */
    print_time(style, file, event->time_us);
    if (event->connection >= 0)
        snprintf(number, sizeof number, "%" PRId64, event->connection);
    fprintf(file, " %4s ", number);
    snprintf(number, sizeof number, "%" PRId64, event->uid);
    const char *user = event->user ? event->user : event->uid >= 0 ? number : "";
    print_cell(style, file, own ? "" : user, USER_COLUMNS);
    fprintf(
        file, " %s%s%s", text_begin(style->ctl, mark->colour),
        style->ctl->unicode ? mark->utf8 : mark->ascii, text_end(style->ctl, mark->colour));
}

/* ---- messages ---- */

/* Without the part that is the same in all: io.devtrust.Agent.Submit → Agent.Submit. */
static const char *short_name(const char *name) {
    const char *last = strrchr(name, '.'), *start = last;
    while (start && start > name && start[-1] != '.')
        start--;
    return start ? start : name;
}

static const char *last_part(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

static bool has_flag(const struct event *event, const char *name) {
    for (size_t i = 0; event->flags && i < json_object_array_length(event->flags); i++)
        if (is(json_object_get_string(json_object_array_get_idx(event->flags, i)), name))
            return true;
    return false;
}

/* What it is besides a call and an answer. A reply of a stream shows by having no latency. */
static const char *message_note(const struct event *event) {
    if (event->error)
        return last_part(event->error);
    if (!is(event->kind, "call"))
        return event->size == 0 ? "(not sent)" : "";
    return has_flag(event, "more") ? "more" : has_flag(event, "oneway") ? "oneway" : "";
}

static char *message_text(const struct event_style *style, const struct event *event) {
    char *text = NULL, safe[TEXT_SAFE_SIZE];
    size_t size;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return NULL;
    fputs(text_safe(message_note(event), safe), file);
    const char *space = *safe ? " " : "";
    if (event->parameters && json_object_object_length(event->parameters) > 0) {
        fputs(space, file);
        parameters_print(file, event->parameters);
    }
    fclose(file);
    return to_screen(style, text);
}

static void print_message(const struct event_style *style, FILE *file, const struct event *event) {
    bool wide = style->columns == 0 || style->columns >= WIDE;
    bool failed = is(event->kind, "error");
    /* replies of a stream come whenever there is something to say */
    bool timed = !is(event->kind, "call") && !has_flag(event, "continues");
    unsigned method_columns = wide ? WIDE_METHOD_COLUMNS : METHOD_COLUMNS;
    unsigned used = LEFT_COLUMNS + method_columns + 8;
    const char *method = event->method ? event->method : "(no method)";
    char CLEANUP_FREE *text = message_text(style, event);
    char size[24];
    if (event->size >= 1000000)
        snprintf(size, sizeof size, "%" PRId64 "k", event->size / 1024);
    else
        snprintf(size, sizeof size, "%" PRId64, event->size);
    fputc(' ', file);
    print_cell(style, file, wide ? method : short_name(method), method_columns);
    fprintf(file, " %6s", event->size > 0 ? size : "");
    if (timed) {
        print_span(style, file, event->latency_us);
        used += 8;
    }
    print_rest(style, file, text ? text : "", used, failed, failed ? TEXT_BAD : TEXT_PLAIN);
}

/* ---- everything else ---- */

static const char *field_of(const struct event *event, const char *name) {
    struct json_object *value = NULL;
    if (!event->fields || !json_object_object_get_ex(event->fields, name, &value) ||
        !json_object_is_type(value, json_type_string))
        return NULL;
    const char *text = json_object_get_string(value);
    return *text ? text : NULL;
}

/* "alice: requested → signing (submit)", "alice: signing → refused (forbidden): server-refused" */
static void write_state(const struct event_style *style, FILE *file, const struct event *event) {
    const char *from = field_of(event, "FROM"), *to = field_of(event, "TO");
    const char *why = field_of(event, "EVENT"), *reason = field_of(event, "REASON");
    if (!to) {
        fputs(event->text ? event->text : "", file);
        return;
    }
    fprintf(file, "%s: ", event->user ? event->user : "?");
    if (from && strcmp(from, to) != 0)
        fprintf(file, "%s %s ", from, style->ctl->unicode ? "→" : "->");
    fputs(to, file);
    if (why)
        fprintf(file, " (%s)", why);
    if (reason && strcmp(reason, "none") != 0)
        fprintf(file, ": %s", reason);
}

static void write_other(const struct event_style *style, FILE *file, const struct event *event) {
    const char *text = event->text ? event->text : "";
    if (is(event->kind, "state"))
        write_state(style, file, event);
    else if (is(event->kind, "opened"))
        fprintf(file, "opened, pid %" PRId64, event->pid);
    else if (is(event->kind, "closed"))
        fprintf(file, "%s%s", *text ? "cut off: " : "closed", text);
    else if (is(event->kind, "refused"))
        fprintf(file, "refused: %s (pid %" PRId64 ")", text, event->pid);
    else if (is(event->kind, "lost"))
        fprintf(
            file, "%" PRId64 " event%s lost here: too many, or read too slowly", event->lost,
            event->lost == 1 ? "" : "s");
    else if (is(event->kind, "log"))
        fputs(text, file);
    else
        fprintf(file, "%s %s", event->kind, text); /* of a newer daemon */
}

static char *other_text(const struct event_style *style, const struct event *event) {
    char *text = NULL, *shown = NULL, safe[TEXT_SAFE_SIZE];
    size_t size;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return NULL;
    write_other(style, file, event);
    fclose(file);
    file = open_memstream(&shown, &size);
    if (file) {
        fputs(text_safe(text, safe), file);
        if (is(event->kind, "log") && event->fields &&
            json_object_object_length(event->fields) > 0) {
            fputc(' ', file);
            parameters_print(file, event->fields);
        }
        fclose(file);
    }
    free(text);
    return to_screen(style, shown);
}

static void print_other(const struct event_style *style, FILE *file, const struct event *event) {
    const struct mark *mark = mark_of(event);
    bool whole = mark->colour == TEXT_BAD || mark->colour == TEXT_WARN || is(event->kind, "state");
    bool coloured = !is(event->kind, "log");
    char CLEANUP_FREE *text = other_text(style, event);
    print_rest(
        style, file, text ? text : "", LEFT_COLUMNS, whole, coloured ? mark->colour : TEXT_PLAIN);
}

/* ---- all ---- */

static bool is_message(const struct event *event) {
    return is(event->kind, "call") || is(event->kind, "reply") || is(event->kind, "error");
}

void event_line_print(struct event_style *style, FILE *file, const struct event *event) {
    print_left(style, file, event);
    if (is_message(event))
        print_message(style, file, event);
    else
        print_other(style, file, event);
}

void event_line_print_header(const struct event_style *style, FILE *file) {
    bool wide = style->columns == 0 || style->columns >= WIDE;
    bool utf8 = style->ctl->unicode;
    fprintf(
        file, "%s call  %s reply  %s error  %s state of a user  + opened  - closed  %s ! log\n",
        utf8 ? "→" : ">", utf8 ? "←" : "<", utf8 ? "✗" : "x", utf8 ? "●" : "*", utf8 ? "·" : ".");
    fprintf(
        file, "%s%-12s %4s %-*s   %-*s %6s %7s %s%s\n", text_begin(style->ctl, TEXT_BOLD), "TIME",
        "CONN", USER_COLUMNS, "USER", wide ? WIDE_METHOD_COLUMNS : METHOD_COLUMNS, "METHOD",
        "BYTES", "LATENCY", "PARAMETERS", text_end(style->ctl, TEXT_BOLD));
}
