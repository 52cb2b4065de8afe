/* The audit table's one writer. */
#include "server/audit.h"

#include <inttypes.h>
#include <stdio.h>

int audit_append(struct db *db, int64_t now_s, const char *what, int64_t uid) {
    char who[32];
    snprintf(who, sizeof(who), "uid %" PRId64, uid);
    int r = db_execute(
        db, "INSERT INTO audit (time, what, who) VALUES (?, ?, ?)",
        DB_VALUES(DB_INT(now_s), DB_TEXT(what), DB_TEXT(who)));
    return r < 0 ? r : 0;
}
