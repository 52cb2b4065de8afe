/* Oldest first, so that no pass is long. */
#include "server/retention.h"

int retention_forget(struct db *db, int64_t now_s, int64_t keep_s) {
    int certificates = db_execute(
        db,
        "DELETE FROM certificates WHERE id IN (SELECT old.id FROM certificates AS old"
        " WHERE old.not_after <= ?1 AND (old.kind = 2 OR old.state <> 2 AND EXISTS"
        " (SELECT 1 FROM certificates AS newer"
        " WHERE newer.device = old.device AND newer.user_id = '' AND newer.kind = 1"
        " AND newer.id > old.id)) ORDER BY old.not_after LIMIT ?2)",
        DB_VALUES(DB_INT(now_s - keep_s), DB_INT(RETENTION_BATCH)));
    if (certificates < 0)
        return certificates;
    int tokens = db_execute(
        db,
        "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires_at <= ?1 LIMIT ?2)",
        DB_VALUES(DB_INT(now_s - keep_s), DB_INT(RETENTION_BATCH)));
    return tokens < 0 ? tokens : certificates + tokens;
}
