/* The life of a certificate's record: issued → installed → superseded → revoked. */
#include "server/certificate.h"

#include <errno.h>
#include <openssl/x509.h>
#include <string.h>

int certificate_insert(struct db *db, const struct certificate_record *record, X509 *certificate) {
    char serial[X509_SERIAL_HEX_SIZE];
    uint8_t fingerprint[SHA256_SIZE];
    int64_t not_before, not_after;
    int r = x509_serial_hex(certificate, serial);
    if (r >= 0)
        r = x509_cert_sha256(certificate, fingerprint);
    if (r >= 0)
        r = x509_not_before(certificate, &not_before);
    if (r >= 0)
        r = x509_not_after(certificate, &not_after);
    if (r < 0)
        return r;
    unsigned char *der = NULL;
    int size = i2d_X509(certificate, &der);
    if (size < 0)
        return -EIO;
    r = db_execute(
        db,
        "INSERT INTO certificates (kind, state, serial, device, user_id, request_id, token,"
        " csr_sha256, spki_sha256, fingerprint, not_before, not_after, issued_at, der)"
        " VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        DB_VALUES(
            DB_INT((int64_t)record->kind), DB_TEXT(serial), DB_TEXT(record->device),
            DB_TEXT(record->user_id), DB_TEXT(record->request_id), DB_TEXT(record->token),
            DB_BLOB(record->csr_sha256, SHA256_SIZE), DB_BLOB(record->spki_sha256, SHA256_SIZE),
            DB_BLOB(fingerprint, SHA256_SIZE), DB_INT(not_before), DB_INT(not_after),
            DB_INT(record->now_s), DB_BLOB(der, (size_t)size)));
    OPENSSL_free(der);
    return r < 0 ? r : 0;
}

static int read_found(struct db_statement *row, struct certificate_found *found) {
    size_t size;
    if (db_column_copy(row, 3, found->device, sizeof(found->device)) < 0 ||
        db_column_copy(row, 4, found->user_id, sizeof(found->user_id)) < 0 ||
        db_column_copy(row, 5, found->request_id, sizeof(found->request_id)) < 0 ||
        db_column_copy(row, 6, found->token, sizeof(found->token)) < 0)
        return -EBADMSG;
    const void *hash = db_column_blob(row, 7, &size);
    if (size != SHA256_SIZE)
        return -EBADMSG;
    memcpy(found->csr_sha256, hash, SHA256_SIZE);
    const unsigned char *der = db_column_blob(row, 9, &size);
    found->certificate = d2i_X509(NULL, &der, (long)size);
    return found->certificate ? 0 : -EBADMSG;
}

int certificate_find_by_key(
    struct db *db, const uint8_t spki_sha256[SHA256_SIZE], struct certificate_found *ret) {
    CLEANUP_DB_STATEMENT struct db_statement *row = NULL;
    int r = db_query(
        db,
        "SELECT id, kind, state, device, user_id, request_id, token, csr_sha256, not_after, der"
        " FROM certificates WHERE spki_sha256 = ?",
        DB_VALUES(DB_BLOB(spki_sha256, SHA256_SIZE)), &row);
    if (r >= 0)
        r = db_step(row);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct certificate_found found = {
        .id = db_column_int(row, 0),
        .kind = (enum certificate_kind)db_column_int(row, 1),
        .state = (enum certificate_state)db_column_int(row, 2),
        .not_after = db_column_int(row, 8),
    };
    r = read_found(row, &found);
    if (r < 0)
        return r;
    *ret = found;
    return 0;
}

void certificate_found_deinit(struct certificate_found *found) {
    X509_free(found->certificate);
    found->certificate = NULL;
}

int certificate_find_by_serial(
    struct db *db, const char *serial, const char *device, const char *user_id, int64_t *ret_id) {
    return db_query_int(
        db, "SELECT id FROM certificates WHERE serial = ? AND device = ? AND user_id = ?",
        DB_VALUES(DB_TEXT(serial), DB_TEXT(device), DB_TEXT(user_id)), ret_id);
}

int certificate_confirm(struct db *db, int64_t id, bool supersede, int64_t now_s) {
    int r = db_execute(
        db, "UPDATE certificates SET state = 2 WHERE id = ? AND state = 1", DB_VALUES(DB_INT(id)));
    if (r <= 0)
        return r;
    if (supersede)
        r = db_execute(
            db,
            "UPDATE certificates SET state = 3, superseded_at = ?2 WHERE state = 2 AND id < ?1"
            " AND (kind, device, user_id) ="
            " (SELECT kind, device, user_id FROM certificates WHERE id = ?1)",
            DB_VALUES(DB_INT(id), DB_INT(now_s)));
    if (r >= 0)
        r = db_execute(
            db,
            "UPDATE certificates SET state = 4, revoked_at = ?2, revocation_reason = 4"
            " WHERE state IN (1, 2) AND id < ?1 AND (kind, device, user_id) ="
            " (SELECT kind, device, user_id FROM certificates WHERE id = ?1)",
            DB_VALUES(DB_INT(id), DB_INT(now_s)));
    return r < 0 ? r : 1;
}

/* One literal per filter, so that each uses its index. */
#define REVOKE                                                                                     \
    "UPDATE certificates SET state = 4, revoked_at = ?1, revocation_reason = ?2, with_device = ?3" \
    " WHERE state IN (1, 2, 3) AND "

static int revoke_of_user(
    struct db *db, const struct certificate_filter *filter, enum crl_reason reason, int64_t now_s) {
    const struct db_value since = DB_INT(now_s), why = DB_INT((int64_t)reason), no = DB_INT(0);
    if (!filter->device)
        return db_execute(
            db, REVOKE "kind = 2 AND user_id = ?4",
            DB_VALUES(since, why, no, DB_TEXT(filter->user_id)));
    if (!filter->up_to_request)
        return db_execute(
            db, REVOKE "device = ?4 AND user_id = ?5",
            DB_VALUES(since, why, no, DB_TEXT(filter->device), DB_TEXT(filter->user_id)));
    return db_execute(
        db,
        REVOKE "device = ?4 AND user_id = ?5 AND id <= coalesce((SELECT max(o.id)"
               " FROM certificates o WHERE o.device = ?4 AND o.user_id = ?5 AND o.request_id = ?6),"
               " 9223372036854775807)",
        DB_VALUES(
            since, why, no, DB_TEXT(filter->device), DB_TEXT(filter->user_id),
            DB_TEXT(filter->up_to_request)));
}

int certificate_revoke_all(
    struct db *db, const struct certificate_filter *filter, enum crl_reason reason, int64_t now_s) {
    const struct db_value since = DB_INT(now_s), why = DB_INT((int64_t)reason),
                          with_device = DB_INT(filter->with_device);
    if (filter->user_id)
        return revoke_of_user(db, filter, reason, now_s);
    if (filter->serial)
        return db_execute(
            db, REVOKE "serial = ?4", DB_VALUES(since, why, with_device, DB_TEXT(filter->serial)));
    if (filter->device)
        return db_execute(
            db, REVOKE "device = ?4", DB_VALUES(since, why, with_device, DB_TEXT(filter->device)));
    return db_execute(
        db, REVOKE "kind = ?4", DB_VALUES(since, why, with_device, DB_INT((int64_t)filter->kind)));
}

int certificate_end_grace(struct db *db, int64_t now_s, int64_t grace_s) {
    return db_execute(
        db,
        "UPDATE certificates SET state = 4, revoked_at = superseded_at + ?2,"
        " revocation_reason = 4 WHERE kind IN (1, 2) AND state = 3 AND superseded_at + ?2 <= ?1",
        DB_VALUES(DB_INT(now_s), DB_INT(grace_s)));
}

int certificate_count_since(
    struct db *db, const char *device, const char *user_id, int64_t since_s, int64_t *ret) {
    return db_query_int(
        db, "SELECT count(*) FROM certificates WHERE device = ? AND user_id = ? AND issued_at > ?",
        DB_VALUES(DB_TEXT(device), DB_TEXT(user_id), DB_INT(since_s)), ret);
}
