/* Why something is not well: one table of codes, used by IPC, status, doctor, logs and the man
 * page. A code never changes its meaning; texts may. The table itself is reason_table.h. */
#pragma once

enum reason {
#define REASON(symbol, code, exit_status, text, remedy) REASON_##symbol,
#include "reason_table.h"
#undef REASON
    REASON_COUNT_
};

/** Stable code, such as "token-expired"; goes over the wire. */
const char *reason_code(enum reason reason);

/** One sentence that says what is wrong. */
const char *reason_text(enum reason reason);

/** One sentence that says what to do; empty for REASON_NONE. */
const char *reason_remedy(enum reason reason);

/** Exit status of devtrustctl for it (0 good, 1 the answer is no, 2 usage, 3 unreachable, 4 not
 * permitted, 5 refused). */
int reason_exit_status(enum reason reason);

/** Finds a code; unknown ones (a newer peer's) give REASON_OTHER, NULL gives REASON_NONE. */
enum reason reason_from_code(const char *code);
