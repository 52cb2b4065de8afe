/* What administrators did, for ever: rows are appended in the transaction of the act itself, and
 * the schema forbids to change them. */
#pragma once

#include "server/db.h"

#include <stdint.h>

/** `what`: the command and its subject, no secrets; `uid`: who sat behind the command line's
 * socket. Returns 0 or a negative errno. */
int audit_append(struct db *db, int64_t now_s, const char *what, int64_t uid);
