/* The answer to "is what this certificate stands for managed now?": one row of joins and one
 * function that reads it, so that the portal, the status endpoint and the device listener can never
 * differ. */
#include "server/certificate.h"

#include "server/device.h"
#include "server/settings.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

static const char *const state_names[] = {
    [CERTIFICATE_ISSUED] = "issued",
    [CERTIFICATE_INSTALLED] = "installed",
    [CERTIFICATE_SUPERSEDED] = "superseded",
    [CERTIFICATE_REVOKED] = "revoked",
};

const char *certificate_state_name(enum certificate_state state) {
    return state_names[state];
}

struct context {
    bool assigned;
    enum distribution_switch distribution;
    int64_t now_s;
};

/* From the outside in: what an administrator can change first, then the certificate's own life. */
static enum reason judge_user(const struct certificate_status *status, const struct context *ctx) {
    if (status->device_removed)
        return REASON_DEVICE_REMOVED;
    if (!ctx->assigned)
        return REASON_NOT_MANAGED;
    if (ctx->distribution == SWITCH_OFF)
        return REASON_DISTRIBUTION_OFF;
    if (ctx->distribution == SWITCH_PAUSED)
        return REASON_DISTRIBUTION_PAUSED;
    if (status->state == CERTIFICATE_REVOKED)
        return REASON_REVOKED;
    return status->not_after <= ctx->now_s ? REASON_EXPIRED : REASON_NONE;
}

static enum reason judge_device(
    const struct certificate_status *status, const struct context *ctx) {
    if (status->device_removed)
        return REASON_DEVICE_REMOVED;
    if (status->state == CERTIFICATE_REVOKED)
        return REASON_REVOKED;
    return status->not_after <= ctx->now_s ? REASON_EXPIRED : REASON_NONE;
}

static int copy_texts(struct db_statement *row, struct certificate_status *ret) {
    if (db_column_copy(row, 3, ret->serial, sizeof(ret->serial)) < 0 ||
        db_column_copy(row, 4, ret->device, sizeof(ret->device)) < 0 ||
        db_column_copy(row, 5, ret->user_id, sizeof(ret->user_id)) < 0 ||
        db_column_copy(row, 6, ret->user_name, sizeof(ret->user_name)) < 0)
        return -EBADMSG;
    return 0;
}

static int read_row(
    struct db_statement *row, const struct context *base, int64_t grace_s,
    struct certificate_status *ret) {
    struct certificate_status status = {
        .known = true,
        .id = db_column_int(row, 0),
        .kind = (enum certificate_kind)db_column_int(row, 1),
        .state = (enum certificate_state)db_column_int(row, 2),
        .not_before = db_column_int(row, 7),
        .not_after = db_column_int(row, 8),
        .revoked_at = db_column_int(row, 10),
        .revoked_with_device = db_column_int(row, 11) != 0,
        .device_removed = db_column_int(row, 12) != DEVICE_ACTIVE,
        .device_removed_at = db_column_int(row, 13),
    };
    if (copy_texts(row, &status) < 0)
        return -EBADMSG;
    int64_t superseded_at = db_column_int(row, 9);
    if (status.state == CERTIFICATE_SUPERSEDED && base->now_s >= superseded_at + grace_s) {
        status.state = CERTIFICATE_REVOKED;
        status.revoked_at = superseded_at + grace_s;
    }
    struct context context = *base;
    context.assigned = db_column_int(row, 14) != 0;
    if (status.kind == CERTIFICATE_USER) {
        status.reason = judge_user(&status, &context);
        status.managed = status.reason == REASON_NONE;
    } else
        status.reason = judge_device(&status, &context);
    *ret = status;
    return 0;
}

int certificate_status_by_fingerprint(
    struct db *db, const uint8_t fingerprint[SHA256_SIZE], int64_t now_s, int64_t grace_s,
    struct certificate_status *ret) {
    struct context context = {.now_s = now_s};
    int r = settings_distribution(db, &context.distribution);
    if (r < 0)
        return r;
    CLEANUP_DB_STATEMENT struct db_statement *row = NULL;
    r = db_query(
        db,
        "SELECT c.id, c.kind, c.state, c.serial, c.device, c.user_id,"
        " coalesce(u.name, c.user_id), c.not_before, c.not_after, c.superseded_at, c.revoked_at,"
        " c.with_device, d.state, d.removed_at, a.user_id IS NOT NULL"
        " FROM certificates c JOIN devices d ON d.uuid = c.device"
        " LEFT JOIN users u ON u.id = c.user_id"
        " LEFT JOIN assignments a ON a.device = c.device AND a.user_id = c.user_id"
        " WHERE c.fingerprint = ?",
        DB_VALUES(DB_BLOB(fingerprint, SHA256_SIZE)), &row);
    if (r >= 0)
        r = db_step(row);
    if (r < 0)
        return r;
    if (r == 0) {
        *ret = (struct certificate_status){.reason = REASON_NOT_MANAGED};
        return 0;
    }
    return read_row(row, &context, grace_s, ret);
}

int certificate_status_of(
    struct db *db, X509 *certificate, int64_t now_s, int64_t grace_s,
    struct certificate_status *ret) {
    uint8_t fingerprint[SHA256_SIZE];
    if (!certificate) {
        *ret = (struct certificate_status){.reason = REASON_NO_CERTIFICATE};
        return 0;
    }
    int r = x509_cert_sha256(certificate, fingerprint);
    return r < 0 ? r : certificate_status_by_fingerprint(db, fingerprint, now_s, grace_s, ret);
}

int certificate_each_revoked(
    struct db *db, enum certificate_kind kind, int64_t now_s, int64_t grace_s,
    int (*each)(const struct crl_entry *entry, void *userdata), void *userdata) {
    CLEANUP_DB_STATEMENT struct db_statement *rows = NULL;
    int r = db_query(
        db,
        "SELECT serial, CASE state WHEN 4 THEN revoked_at ELSE superseded_at + ?3 END,"
        " CASE state WHEN 4 THEN revocation_reason ELSE 4 END FROM certificates"
        " WHERE kind = ?1 AND not_after > ?2 - 3600"
        " AND (state = 4 OR (state = 3 AND superseded_at + ?3 <= ?2))",
        DB_VALUES(DB_INT((int64_t)kind), DB_INT(now_s), DB_INT(grace_s)), &rows);
    while (r >= 0 && (r = db_step(rows)) > 0)
        r = each(
            &(struct crl_entry){
                .serial_hex = db_column_text(rows, 0),
                .revoked_s = db_column_int(rows, 1),
                .reason = (enum crl_reason)db_column_int(rows, 2),
            },
            userdata);
    return r;
}
