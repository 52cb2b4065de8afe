/* See text.h. */
#include "ipc/ctl/text.h"

#include "common/log.h"
#include "common/time_text.h"
#include "common/utf8.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

const char *text_time(int64_t seconds, char ret[TEXT_TIME_SIZE]) {
    time_t when = (time_t)seconds;
    struct tm local;
    if (!localtime_r(&when, &local) ||
        strftime(ret, TEXT_TIME_SIZE, "%Y-%m-%d %H:%M %Z", &local) == 0)
        snprintf(ret, TEXT_TIME_SIZE, "@%" PRId64, seconds);
    return ret;
}

const char *text_distance(int64_t seconds, int64_t now, char ret[TEXT_TIME_SIZE]) {
    int64_t distance = 0;
    char span[TIME_TEXT_SIZE];
    if (__builtin_sub_overflow(seconds, now, &distance) || distance == 0 || distance == INT64_MIN)
        snprintf(ret, TEXT_TIME_SIZE, "now");
    else
        snprintf(
            ret, TEXT_TIME_SIZE, distance > 0 ? "in %s" : "%s ago", time_text_span(distance, span));
    return ret;
}

const char *text_time_and_distance(int64_t seconds, int64_t now, char ret[2 * TEXT_TIME_SIZE]) {
    char when[TEXT_TIME_SIZE], distance[TEXT_TIME_SIZE];
    snprintf(
        ret, 2 * (size_t)TEXT_TIME_SIZE, "%s (%s)", text_time(seconds, when),
        text_distance(seconds, now, distance));
    return ret;
}

#define SAFE_SOURCE 1000 /* bytes; escapes are at most four times as long */
#define SAFE_PART 200    /* log_escape() takes 256 */

/* A prefix of at most `limit` bytes that does not cut a character. */
static size_t whole_characters(const char *text, size_t length, size_t limit) {
    if (length <= limit)
        return length;
    size_t part = limit;
    while (part > limit - 4 && ((unsigned char)text[part] & 0xc0) == 0x80)
        part--;
    return part;
}

const char *text_safe(const char *text, char ret[TEXT_SAFE_SIZE]) {
    size_t left = text ? whole_characters(text, strlen(text), SAFE_SOURCE) : 0, used = 0;
    ret[0] = '\0';
    while (left > 0) {
        size_t part = whole_characters(text, left, SAFE_PART);
        log_escape(text, part, ret + used, TEXT_SAFE_SIZE - used);
        used += strlen(ret + used);
        text += part;
        left -= part;
    }
    return ret;
}

const char *text_reason(const char *code, char ret[TEXT_SAFE_SIZE]) {
    snprintf(ret, TEXT_SAFE_SIZE, "%s [%.64s]", reason_text(reason_from_code(code)), code);
    return ret;
}

/* RFC 8259, section 7: beyond U+FFFF it takes two. */
static void print_escape(FILE *file, uint32_t code) {
    if (code > 0xffff) {
        fprintf(file, "\\u%04x", (unsigned)(0xd800 + ((code - 0x10000) >> 10)));
        code = 0xdc00 + ((code - 0x10000) & 0x3ff);
    }
    fprintf(file, "\\u%04x", (unsigned)code);
}

/* Bytes of its beginning that are printed as they are. Outside of strings JSON has nothing but
 * printable ASCII and white space, and in them no ASCII control character but DEL. */
static size_t plain_length(const char *json, size_t left) {
    size_t length = 0;
    while (length < left) {
        uint32_t code = (uint8_t)json[length];
        int size = code < 0x7f ? 1 : utf8_decode(json + length, left - length, &code);
        if (size > 0 && (code == 0x7f || utf8_is_deceptive(code)))
            break;
        length += size > 0 ? (size_t)size : 1;
    }
    return length;
}

void text_json(FILE *file, const char *json) {
    size_t left = strlen(json);
    for (;;) {
        uint32_t code = 0;
        size_t plain = plain_length(json, left);
        fwrite(json, 1, plain, file);
        json += plain;
        left -= plain;
        if (left == 0)
            break;
        size_t size = (size_t)utf8_decode(json, left, &code);
        print_escape(file, code);
        json += size;
        left -= size;
    }
    fputc('\n', file);
}

unsigned text_columns(const char *text) {
    unsigned columns = 0;
    for (; *text; text++)
        if (((unsigned char)*text & 0xc0) != 0x80) /* not a continuation byte of UTF-8 */
            columns++;
    return columns;
}

size_t text_prefix(const char *text, unsigned columns) {
    const char *at = text;
    while (*at && (columns > 0 || ((unsigned char)*at & 0xc0) == 0x80)) {
        if (((unsigned char)*at & 0xc0) != 0x80)
            columns--;
        at++;
    }
    return (size_t)(at - text);
}

static const char *const colours[] = {
    [TEXT_PLAIN] = "",       [TEXT_GOOD] = "\033[32m", [TEXT_WARN] = "\033[33m",
    [TEXT_BAD] = "\033[31m", [TEXT_BOLD] = "\033[1m",  [TEXT_FAINT] = "\033[2m",
};

const char *text_begin(const struct ctl *ctl, enum text_colour colour) {
    return ctl->colour ? colours[colour] : "";
}

const char *text_end(const struct ctl *ctl, enum text_colour colour) {
    return ctl->colour && colour != TEXT_PLAIN ? "\033[0m" : "";
}

/* Bytes of the next line: as many words as fit, or the first word cut where it alone does not. */
static size_t line_length(const char *text, unsigned columns) {
    size_t fits = 0, at = 0;
    unsigned used = 0;
    while (text[at]) {
        if (text[at] == ' ')
            fits = at;
        if (((unsigned char)text[at] & 0xc0) != 0x80 && ++used > columns)
            return fits ? fits : at;
        at++;
    }
    return at;
}

void text_column(
    const struct ctl *ctl, FILE *file, unsigned used, unsigned indent, const char *text,
    enum text_colour colour) {
    char safe[TEXT_SAFE_SIZE];
    const char *at = text_safe(text, safe);
    fprintf(file, "%*s", used < indent ? (int)(indent - used) : 0, "");
    do {
        size_t length = line_length(at, CTL_WIDTH - indent);
        fprintf(
            file, "%s%.*s%s\n", text_begin(ctl, colour), (int)length, at, text_end(ctl, colour));
        at += length;
        at += strspn(at, " ");
        if (*at)
            fprintf(file, "%*s", (int)indent, "");
    } while (*at);
}

void text_paragraph(
    const struct ctl *ctl, FILE *file, const char *label, unsigned indent, const char *text,
    enum text_colour colour) {
    fputs(label, file);
    text_column(ctl, file, text_columns(label), indent, text, colour);
}
