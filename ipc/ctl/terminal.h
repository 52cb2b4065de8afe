/* The terminal behind standard output, as far as a screen that changes in place needs it. */
#pragma once

#include <stdbool.h>

/** Its size; 0, or -ENOTTY where standard output is no terminal. */
int terminal_size(unsigned *ret_columns, unsigned *ret_rows);

/** Shows a screen of its own without a cursor; keys come at once, unseen, from standard input if
 * that is a terminal. terminal_leave() undoes it, also from a process that exits by itself. Returns
 * 0 or a negative errno. */
int terminal_enter(void);

/** Puts back what terminal_enter() changed; nothing if it changed nothing. Async-signal-safe. */
void terminal_leave(void);

/** Whether standard input is a terminal that keys can come from. */
bool terminal_has_keys(void);
