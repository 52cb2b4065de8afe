/* Device records. */
#include "server/device.h"

#include "server/assignment.h"
#include "server/settings.h"

#include <errno.h>

int device_find(struct db *db, const char *uuid, struct device *ret) {
    CLEANUP_DB_STATEMENT struct db_statement *row = NULL;
    int r = db_query(
        db,
        "SELECT state, reenrolment, generation, enrolled_at, removed_at FROM devices"
        " WHERE uuid = ?",
        DB_VALUES(DB_TEXT(uuid)), &row);
    if (r < 0)
        return r;
    r = db_step(row);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    *ret = (struct device){
        .state = (enum device_state)db_column_int(row, 0),
        .reenrolment = (enum device_reenrolment)db_column_int(row, 1),
        .generation = db_column_int(row, 2),
        .enrolled_at = db_column_int(row, 3),
        .removed_at = db_column_int(row, 4),
    };
    return 0;
}

int device_enrol(struct db *db, int64_t now_s, const char *uuid) {
    int r = db_execute(
        db,
        "INSERT INTO devices (uuid, state, enrolled_at) VALUES (?1, 1, ?2)"
        " ON CONFLICT (uuid) DO UPDATE SET state = 1, reenrolment = 0, enrolled_at = ?2,"
        " removed_at = 0",
        DB_VALUES(DB_TEXT(uuid), DB_INT(now_s)));
    return r < 0 ? r : settings_bump_device(db, uuid);
}

int device_remove(struct db *db, int64_t now_s, const char *uuid, int64_t *ret_revoked) {
    int r = db_execute(
        db,
        "UPDATE devices SET state = 2, reenrolment = 0, removed_at = ?"
        " WHERE uuid = ? AND state = 1",
        DB_VALUES(DB_INT(now_s), DB_TEXT(uuid)));
    if (r == 0)
        return -ENOENT;
    if (r >= 0)
        r = assignment_remove_device(db, uuid);
    if (r >= 0)
        r = settings_bump_device(db, uuid);
    if (r >= 0)
        r = certificate_revoke_all(
            db, &(struct certificate_filter){.device = uuid, .with_device = true},
            CRL_REASON_CESSATION, now_s);
    if (r < 0)
        return r;
    *ret_revoked = r;
    return 0;
}

int device_set_reenrolment(struct db *db, const char *uuid, enum device_reenrolment value) {
    int r = db_execute(
        db, "UPDATE devices SET reenrolment = ? WHERE uuid = ?",
        DB_VALUES(DB_INT((int64_t)value), DB_TEXT(uuid)));
    if (r < 0)
        return r;
    return r == 0 ? -ENOENT : 0;
}
