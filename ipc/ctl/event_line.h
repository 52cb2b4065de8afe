/* An event as people read it: one line that fits the screen, in columns that do not move. */
#pragma once

#include "ipc/ctl/event.h"

/* How it is shown, and what was shown before. */
struct event_style {
    const struct ctl *ctl; /* colour, UTF-8 */
    unsigned columns;      /* of the screen; 0: no screen, nothing is cut */
    bool verbose;          /* what does not fit goes on below instead of being cut */
    int day;               /* of the last event; 0: none yet */
};

/** What the marks and the columns mean. */
void event_line_print_header(const struct event_style *style, FILE *file);

/** One event; before it the date, where that is another than the last event's. What goes wrong
 * (errors, warnings) is never cut. */
void event_line_print(struct event_style *style, FILE *file, const struct event *event);

/** "85 µs", "1.23 ms", "12.3 s": three digits, at most 7 columns. Returns `ret`. */
#define EVENT_LINE_SPAN_SIZE 40
const char *event_line_span(const struct ctl *ctl, int64_t us, char ret[EVENT_LINE_SPAN_SIZE]);
