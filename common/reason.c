/* The table of reasons in C form: reason_table.h read once, so that code, text and remedy cannot
 * drift apart. */
#include "common/reason.h"

#include <stddef.h>
#include <string.h>

struct reason_entry {
    const char *code;
    const char *text;
    const char *remedy;
    int exit_status;
};

static const struct reason_entry entries[REASON_COUNT_] = {
#define REASON(symbol, code_, exit_status_, text_, remedy_)                                        \
    [REASON_##symbol] = {                                                                          \
        .code = (code_), .text = (text_), .remedy = (remedy_), .exit_status = (exit_status_)},
#include "common/reason_table.h"
#undef REASON
};

/* A number that is no reason (memory of a newer peer, a mistake) reads as "other", never as a
 * crash. */
static const struct reason_entry *entry_of(enum reason reason) {
    if ((unsigned)reason >= REASON_COUNT_)
        return &entries[REASON_OTHER];
    return &entries[reason];
}

const char *reason_code(enum reason reason) {
    return entry_of(reason)->code;
}

const char *reason_text(enum reason reason) {
    return entry_of(reason)->text;
}

const char *reason_remedy(enum reason reason) {
    return entry_of(reason)->remedy;
}

int reason_exit_status(enum reason reason) {
    return entry_of(reason)->exit_status;
}

enum reason reason_from_code(const char *code) {
    if (!code)
        return REASON_NONE;
    for (unsigned i = 0; i < REASON_COUNT_; i++)
        if (strcmp(entries[i].code, code) == 0)
            return (enum reason)i;
    return REASON_OTHER;
}
