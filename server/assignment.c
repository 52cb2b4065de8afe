/* Who is managed where. */
#include "server/assignment.h"

#include "server/certificate.h"
#include "server/device.h"
#include "server/settings.h"
#include "server/user.h"

#include <errno.h>
#include <string.h>

bool assignment_local_name_is_valid(const char *name) {
    size_t length = strlen(name);
    if (length == 0 || length > ASSIGNMENT_MAX_LOCAL_NAME || name[0] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || name[i] == '/' || name[i] == ':')
            return false;
    return true;
}

static int check_parties(struct db *db, const char *user_id, const char *device) {
    struct user user;
    int r = user_find(db, user_id, &user);
    if (r < 0)
        return r;
    struct device record;
    r = device_find(db, device, &record);
    if (r == -ENOENT || (r >= 0 && record.state != DEVICE_ACTIVE))
        return -ENODEV;
    return r;
}

int assignment_add(
    struct db *db, int64_t now_s, const char *user_id, const char *device, const char *local_name) {
    int r = check_parties(db, user_id, device);
    if (r < 0)
        return r;
    int64_t count;
    r = db_query_int(
        db, "SELECT count(*) FROM assignments WHERE device = ?", DB_VALUES(DB_TEXT(device)),
        &count);
    if (r < 0)
        return r;
    if (count >= ASSIGNMENT_MAX_PER_DEVICE)
        return -E2BIG;
    r = db_execute(
        db, "INSERT INTO assignments (user_id, device, local_name, created_at) VALUES (?, ?, ?, ?)",
        DB_VALUES(DB_TEXT(user_id), DB_TEXT(device), DB_TEXT(local_name), DB_INT(now_s)));
    return r < 0 ? r : settings_bump_device(db, device);
}

int assignment_remove(
    struct db *db, int64_t now_s, const char *user_id, const char *device, int64_t *ret_revoked) {
    int r = db_execute(
        db, "DELETE FROM assignments WHERE user_id = ? AND device = ?",
        DB_VALUES(DB_TEXT(user_id), DB_TEXT(device)));
    if (r == 0)
        return -ENOENT;
    if (r >= 0)
        r = settings_bump_device(db, device);
    if (r >= 0)
        r = certificate_revoke_all(
            db,
            &(struct certificate_filter){
                .kind = CERTIFICATE_USER, .device = device, .user_id = user_id},
            CRL_REASON_CESSATION, now_s);
    if (r < 0)
        return r;
    *ret_revoked = r;
    return 0;
}

static int bump_devices_of(struct db *db, const char *user_id) {
    CLEANUP_DB_STATEMENT struct db_statement *rows = NULL;
    int r = db_query(
        db, "SELECT device FROM assignments WHERE user_id = ?", DB_VALUES(DB_TEXT(user_id)), &rows);
    while (r >= 0 && (r = db_step(rows)) > 0)
        r = settings_bump_device(db, db_column_text(rows, 0));
    return r;
}

int assignment_remove_user(struct db *db, const char *user_id) {
    int r = bump_devices_of(db, user_id);
    if (r >= 0)
        r = db_execute(
            db, "DELETE FROM assignments WHERE user_id = ?", DB_VALUES(DB_TEXT(user_id)));
    return r < 0 ? r : 0;
}

int assignment_remove_device(struct db *db, const char *device) {
    int r = db_execute(db, "DELETE FROM assignments WHERE device = ?", DB_VALUES(DB_TEXT(device)));
    return r < 0 ? r : 0;
}

int assignment_exists(struct db *db, const char *user_id, const char *device) {
    int64_t one;
    int r = db_query_int(
        db, "SELECT 1 FROM assignments WHERE user_id = ? AND device = ?",
        DB_VALUES(DB_TEXT(user_id), DB_TEXT(device)), &one);
    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : 1;
}
