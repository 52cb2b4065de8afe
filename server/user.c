/* Users and the rules for what stands in their records, since it ends up in certificates. */
#include "server/user.h"

#include "server/assignment.h"

#include <errno.h>
#include <string.h>

bool user_id_is_valid(const char *id) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-";
    size_t length = strlen(id);
    return length > 0 && length < SERVER_USER_ID_SIZE && strspn(id, allowed) == length;
}

bool user_mail_is_valid(const char *mail) {
    size_t length = strlen(mail);
    if (length < 3 || length >= USER_MAX_MAIL)
        return false;
    for (size_t i = 0; i < length; i++)
        if (mail[i] <= ' ' || mail[i] > '~')
            return false;
    const char *at = strchr(mail, '@');
    return at && at != mail && at[1] && !strchr(at + 1, '@');
}

bool user_name_is_valid(const char *name) {
    size_t length = strlen(name);
    if (length == 0 || length >= SERVER_USER_NAME_SIZE)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
            return false;
    return true;
}

int user_add(
    struct db *db, int64_t now_s, const char *id, const char *name, const char *mail,
    const char *upn) {
    int r = db_execute(
        db, "INSERT INTO users (id, name, mail, upn, created_at) VALUES (?, ?, ?, ?, ?)",
        DB_VALUES(DB_TEXT(id), DB_TEXT(name), DB_TEXT(mail), DB_TEXT(upn), DB_INT(now_s)));
    return r < 0 ? r : 0;
}

int user_find(struct db *db, const char *id, struct user *ret) {
    CLEANUP_DB_STATEMENT struct db_statement *row = NULL;
    int r = db_query(
        db, "SELECT id, name, mail, upn FROM users WHERE id = ?", DB_VALUES(DB_TEXT(id)), &row);
    if (r < 0)
        return r;
    r = db_step(row);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct user user;
    if (db_column_copy(row, 0, user.id, sizeof(user.id)) < 0 ||
        db_column_copy(row, 1, user.name, sizeof(user.name)) < 0 ||
        db_column_copy(row, 2, user.mail, sizeof(user.mail)) < 0 ||
        db_column_copy(row, 3, user.upn, sizeof(user.upn)) < 0)
        return -EBADMSG;
    *ret = user;
    return 0;
}

int user_remove(struct db *db, int64_t now_s, const char *id, int64_t *ret_revoked) {
    struct user user;
    int r = user_find(db, id, &user);
    if (r >= 0)
        r = assignment_remove_user(db, id);
    if (r >= 0)
        r = certificate_revoke_all(
            db, &(struct certificate_filter){.kind = CERTIFICATE_USER, .user_id = id},
            CRL_REASON_CESSATION, now_s);
    if (r < 0)
        return r;
    int64_t revoked = r;
    r = db_execute(db, "DELETE FROM users WHERE id = ?", DB_VALUES(DB_TEXT(id)));
    if (r < 0)
        return r;
    *ret_revoked = revoked;
    return 0;
}
