/* Text for people: local times with their zone, spans in words, paragraphs and tables that fit the
 * screen, colour. */
#pragma once

#include "ipc/ctl/ctl.h"

#define TEXT_TIME_SIZE 64

/** "2026-12-20 14:03 CET". Returns `ret`. */
const char *text_time(int64_t seconds, char ret[TEXT_TIME_SIZE]);

/** "in 29 days", "3 hours ago", "now". Returns `ret`. */
const char *text_distance(int64_t seconds, int64_t now, char ret[TEXT_TIME_SIZE]);

/** Both: "2026-12-20 14:03 CET (in 29 days)". Returns `ret`. */
const char *text_time_and_distance(int64_t seconds, int64_t now, char ret[2 * TEXT_TIME_SIZE]);

/** Text made safe for a terminal (log_escape); always valid, at most 1000 bytes of it. */
#define TEXT_SAFE_SIZE 4096
const char *text_safe(const char *text, char ret[TEXT_SAFE_SIZE]);

/** "No agent of this user is attached. [no-agent]": what a code means, and the code, whether this
 * version knows it or not. */
const char *text_reason(const char *code, char ret[TEXT_SAFE_SIZE]);

/** Prints the text of a JSON value and ends the line: what text_safe() would escape stands as
 * \uXXXX in it, which means the same to whoever reads the JSON, and nothing to a terminal. */
void text_json(FILE *file, const char *json);

/** Columns that a text takes: characters, not bytes. */
unsigned text_columns(const char *text);

/** Bytes of its beginning that take at most `columns`. */
size_t text_prefix(const char *text, unsigned columns);

enum text_colour { TEXT_PLAIN, TEXT_GOOD, TEXT_WARN, TEXT_BAD, TEXT_BOLD, TEXT_FAINT };

/** Escape sequences to begin and to end a colour; empty without colour. */
const char *text_begin(const struct ctl *ctl, enum text_colour colour);
const char *text_end(const struct ctl *ctl, enum text_colour colour);

/** Prints text in a column that begins at `indent`, where `used` columns of the line are taken
 * already: pads, wraps at CTL_WIDTH, ends the line. `text` is made safe. */
void text_column(
    const struct ctl *ctl, FILE *file, unsigned used, unsigned indent, const char *text,
    enum text_colour colour);

/** Prints `label`, padded to `indent` columns, and then `text`, wrapped at CTL_WIDTH with the same
 * indent. `text` is made safe. */
void text_paragraph(
    const struct ctl *ctl, FILE *file, const char *label, unsigned indent, const char *text,
    enum text_colour colour);
