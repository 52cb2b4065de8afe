/* See table.h. */
#include "ipc/ctl/table.h"

#include <string.h>

#define GAP 2

static void widths_measure(
    unsigned *widths, const char *const *header, const struct table_row *rows, size_t row_count,
    size_t column_count) {
    char safe[TEXT_SAFE_SIZE];
    for (size_t column = 0; column < column_count; column++) {
        widths[column] = text_columns(header[column]);
        for (size_t row = 0; row < row_count; row++) {
            unsigned width = text_columns(text_safe(rows[row].cells[column].text, safe));
            if (width > widths[column])
                widths[column] = width;
        }
    }
}

/* Takes from the widest until everything fits; a column keeps one character at least. */
static void widths_fit(unsigned *widths, size_t column_count) {
    for (;;) {
        unsigned total = (unsigned)(column_count - 1) * GAP;
        size_t widest = 0;
        for (size_t column = 0; column < column_count; column++) {
            total += widths[column];
            if (widths[column] > widths[widest])
                widest = column;
        }
        if (total <= CTL_WIDTH || widths[widest] <= 1)
            return;
        unsigned over = total - CTL_WIDTH;
        widths[widest] = over < widths[widest] ? widths[widest] - 1 : 1;
    }
}

static void cell_print(
    const struct ctl *ctl, FILE *file, struct table_cell cell, unsigned width, bool is_last) {
    char safe[TEXT_SAFE_SIZE];
    const char *text = text_safe(cell.text, safe);
    unsigned columns = text_columns(text);
    bool cut = columns > width;
    fprintf(
        file, "%s%.*s%s%s", text_begin(ctl, cell.colour),
        (int)text_prefix(text, cut ? width - 1 : width), text, cut ? "…" : "",
        text_end(ctl, cell.colour));
    if (!is_last)
        fprintf(file, "%*s", (int)((cut ? 0 : width - columns) + GAP), "");
}

void table_print(
    const struct ctl *ctl, FILE *file, const char *const *header, const struct table_row *rows,
    size_t row_count, size_t column_count) {
    unsigned widths[TABLE_MAX_COLUMNS] = {0};
    widths_measure(widths, header, rows, row_count, column_count);
    widths_fit(widths, column_count);
    for (size_t column = 0; column < column_count; column++) {
        struct table_cell cell = {header[column], TEXT_BOLD};
        cell_print(ctl, file, cell, widths[column], column + 1 == column_count);
    }
    fputc('\n', file);
    for (size_t row = 0; row < row_count; row++) {
        for (size_t column = 0; column < column_count; column++)
            cell_print(
                ctl, file, rows[row].cells[column], widths[column], column + 1 == column_count);
        fputc('\n', file);
    }
}
