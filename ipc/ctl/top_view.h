/* A look of `ipc top` as text, and as JSON. */
#pragma once

#include "ipc/ctl/top_sample.h"

/* `rows` 0: as many lines as there is to say; `columns` at least 80. On a screen every line is
 * followed by the sequence that clears what stood there. */
struct top_screen {
    const struct ctl *ctl;
    unsigned columns, rows;
    bool in_place;
};

/** Two tables: methods, users. Where there are more than rows, the busiest methods and the users
 * nearest to their limits, and how many are not shown. */
void top_view_print(const struct top_screen *screen, FILE *file, const struct top_sample *sample);

/** As one object, for --json. NULL when memory is out. */
struct json_object *top_view_to_json(const struct top_sample *sample);
