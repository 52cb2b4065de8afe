/* Answers for people: a value, a table, or lines; or as JSON. */
#include "server/cli.h"

#include "common/log.h"
#include "server/command_table.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define CELL_SIZE 300

/* Characters, not bytes: UTF-8 continuation bytes take no column. */
static size_t width(const char *text) {
    size_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void format_time(int64_t seconds, char *ret, size_t size) {
    time_t value = (time_t)seconds;
    struct tm parts;
    if (seconds == 0 || !gmtime_r(&value, &parts) ||
        strftime(ret, size, "%Y-%m-%d %H:%MZ", &parts) == 0)
        snprintf(ret, size, "-");
}

static void format_cell(
    struct json_object *row, const struct command_column *column, char *ret, size_t size) {
    struct json_object *value;
    if (!json_object_object_get_ex(row, column->member, &value) || !value)
        snprintf(ret, size, "-");
    else if (column->format == COMMAND_TIME)
        format_time(json_object_get_int64(value), ret, size);
    else {
        const char *text = json_object_get_string(value);
        log_escape(text, strlen(text), ret, size);
    }
}

static void print_cell(const char *text, size_t column_width, bool last) {
    if (last)
        printf("%s\n", text);
    else
        printf("%s%*s  ", text, (int)(column_width - width(text)), "");
}

static size_t column_count(const struct command *command) {
    size_t count = 0;
    while (count < COMMAND_MAX_COLUMNS && command->columns[count].title)
        count++;
    return count;
}

static void measure(
    const struct command *command, struct json_object *rows, size_t widths[COMMAND_MAX_COLUMNS]) {
    char cell[CELL_SIZE];
    for (size_t k = 0; k < column_count(command); k++)
        widths[k] = width(command->columns[k].title);
    for (size_t i = 0; i < json_object_array_length(rows); i++)
        for (size_t k = 0; k < column_count(command); k++) {
            struct json_object *row = json_object_array_get_idx(rows, i);
            format_cell(row, &command->columns[k], cell, sizeof(cell));
            if (width(cell) > widths[k])
                widths[k] = width(cell);
        }
}

static void print_table(const struct command *command, struct json_object *rows) {
    size_t widths[COMMAND_MAX_COLUMNS] = {0}, count = column_count(command);
    char cell[CELL_SIZE];
    if (json_object_array_length(rows) == 0) {
        printf("There are no %s.\n", command->rows);
        return;
    }
    measure(command, rows, widths);
    for (size_t k = 0; k < count; k++)
        print_cell(command->columns[k].title, widths[k], k + 1 == count);
    for (size_t i = 0; i < json_object_array_length(rows); i++)
        for (size_t k = 0; k < count; k++) {
            format_cell(
                json_object_array_get_idx(rows, i), &command->columns[k], cell, sizeof(cell));
            print_cell(cell, widths[k], k + 1 == count);
        }
}

static void print_lines(const struct command *command, struct json_object *answer) {
    char cell[CELL_SIZE];
    for (size_t k = 0; k < column_count(command); k++) {
        format_cell(answer, &command->columns[k], cell, sizeof(cell));
        printf("%16s: %s\n", command->columns[k].title, cell);
    }
}

static void print_member(struct json_object *answer, const char *member) {
    struct json_object *value;
    if (json_object_object_get_ex(answer, member, &value))
        printf("%s\n", json_object_get_string(value));
}

void cli_print(const struct cli_request *request, struct json_object *answer) {
    const struct command *command = request->command;
    struct json_object *rows, *truncated;
    if (request->json)
        printf(
            "%s\n", json_object_to_json_string_ext(
                        answer, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
    else if (command->value)
        print_member(answer, command->value);
    else if (command->rows && json_object_object_get_ex(answer, command->rows, &rows)) {
        print_table(command, rows);
        if (json_object_object_get_ex(answer, "truncated", &truncated))
            fputs("There are more; narrow the list down with an option.\n", stderr);
    } else if (command->columns[0].title)
        print_lines(command, answer);
    else
        print_member(answer, "message");
}
