/* A table for people: columns as wide as they need, no wider than the screen. */
#pragma once

#include "ipc/ctl/text.h"

#define TABLE_MAX_COLUMNS 6

struct table_cell {
    const char *text; /* borrowed until table_print(); NULL: empty */
    enum text_colour colour;
};

struct table_row {
    struct table_cell cells[TABLE_MAX_COLUMNS];
};

/** Prints a header and rows; where they are wider than CTL_WIDTH, the widest column is cut with an
 * ellipsis. Cells are made safe. Columns are two spaces apart; nothing trails. */
void table_print(
    const struct ctl *ctl, FILE *file, const char *const *header, const struct table_row *rows,
    size_t row_count, size_t column_count);
