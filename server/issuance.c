/* The checks in front of a signature, in the order in which their answers should be given. */
#include "server/issuance.h"

#include "server/assignment.h"
#include "server/ca.h"
#include "server/device.h"
#include "server/server.h"
#include "server/settings.h"
#include "server/user.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

/* Each step returns 0 (go on), DECIDED (the answer stands in the issuance) or a negative errno. */
#define DECIDED 1

static int refuse(struct issuance *issuance, int status, enum reason reason) {
    issuance->status = status;
    issuance->refusal = reason;
    return DECIDED;
}

void issuance_deinit(struct issuance *issuance) {
    OPENSSL_cleanse(issuance->token_secret, sizeof(issuance->token_secret));
    X509_REQ_free(issuance->request);
    X509_free(issuance->certificate);
    issuance->request = NULL;
    issuance->certificate = NULL;
}

/* Whether a certificate for this key is this request's own earlier answer (the reply was lost). */
static bool is_repetition(const struct issuance *issuance, const struct certificate_found *found) {
    if (strcmp(found->device, issuance->device) != 0 ||
        strcmp(found->user_id, issuance->user_id) != 0 ||
        strcmp(found->request_id, issuance->request_id) != 0)
        return false;
    /* a spent token fetches what it was spent on, and nothing else */
    if (issuance->token_spent && strcmp(found->token, issuance->token_id) != 0)
        return false;
    return memcmp(found->csr_sha256, issuance->csr_sha256, SHA256_SIZE) == 0;
}

static int check_key(struct db *db, struct issuance *issuance) {
    struct certificate_found found = {0};
    int r = certificate_find_by_key(db, issuance->spki_sha256, &found);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    bool usable = found.state != CERTIFICATE_REVOKED && found.not_after > issuance->now_s;
    if (usable && is_repetition(issuance, &found)) {
        issuance->repeated = true;
        issuance->status = 200;
        issuance->certificate = TAKE_PTR(found.certificate);
        r = DECIDED;
    } else
        r = refuse(issuance, 400, REASON_CSR_KEY_REUSED);
    certificate_found_deinit(&found);
    return r;
}

static int check_rate(struct db *db, struct issuance *issuance) {
    int64_t count;
    int r = certificate_count_since(
        db, issuance->device, issuance->user_id, issuance->now_s - 3600, &count);
    if (r < 0)
        return r;
    if (count >= issuance->server->config.hourly_limit)
        return refuse(issuance, 429, REASON_RATE_LIMITED);
    return 0;
}

static int store(struct db *db, struct issuance *issuance, enum certificate_kind kind) {
    const struct certificate_record record = {
        .kind = kind,
        .device = issuance->device,
        .user_id = issuance->user_id,
        .request_id = issuance->request_id,
        .token = issuance->token_id,
        .csr_sha256 = issuance->csr_sha256,
        .spki_sha256 = issuance->spki_sha256,
        .now_s = issuance->now_s,
    };
    issuance->status = 200;
    return certificate_insert(db, &record, issuance->certificate);
}

/* --- devices --- */

static int issue_device(struct db *db, struct issuance *issuance) {
    const struct ca_device_leaf leaf = {
        .device_uuid = issuance->device,
        .lifetime_s = issuance->server->config.device_lifetime_s,
        .now_s = issuance->now_s,
    };
    int r = ca_issue_device(issuance->server->ca, &leaf, issuance->request, &issuance->certificate);
    return r < 0 ? r : store(db, issuance, CERTIFICATE_DEVICE);
}

/* A UUID that is known already comes with another key here: only an administrator can tell a new
 * installation from a copy. */
static int check_known_device(
    struct db *db, struct issuance *issuance, const struct device *known) {
    if (known->reenrolment == REENROLMENT_ALLOWED) {
        int r = certificate_revoke_all(
            db, &(struct certificate_filter){.device = issuance->device}, CRL_REASON_SUPERSEDED,
            issuance->now_s);
        return r < 0 ? r : 0;
    }
    int r = device_set_reenrolment(db, issuance->device, REENROLMENT_WAITS);
    return r < 0 ? r : refuse(issuance, 403, REASON_DEVICE_SUSPENDED);
}

static int run_enrol(struct db *db, struct issuance *issuance) {
    enum token_verdict verdict;
    int r = token_check(db, issuance->now_s, issuance->token_id, issuance->token_secret, &verdict);
    if (r < 0)
        return r;
    if (verdict == TOKEN_UNKNOWN)
        return refuse(issuance, 401, REASON_TOKEN_REFUSED);
    issuance->token_spent = verdict == TOKEN_SPENT;
    r = check_key(db, issuance); /* a lost reply is asked for again with a token that is spent */
    if (r < 0 || issuance->repeated)
        return r;
    if (issuance->token_spent)
        return refuse(issuance, 401, REASON_TOKEN_REFUSED);
    if (r == DECIDED)
        return r;
    struct device known;
    r = device_find(db, issuance->device, &known);
    if (r >= 0 && known.state == DEVICE_ACTIVE)
        r = check_known_device(db, issuance, &known);
    if (r != 0 && r != -ENOENT)
        return r;
    r = device_enrol(db, issuance->now_s, issuance->device);
    if (r >= 0)
        r = token_use(db, issuance->token_id);
    return r < 0 ? r : issue_device(db, issuance);
}

/* The device was judged when the request came; this is the same question at the moment that counts.
 */
static int check_device(struct db *db, struct issuance *issuance) {
    struct device device;
    int r = device_find(db, issuance->device, &device);
    if (r == -ENOENT || (r >= 0 && device.state != DEVICE_ACTIVE))
        return refuse(issuance, 403, REASON_DEVICE_REMOVED);
    return r;
}

static int run_renew(struct db *db, struct issuance *issuance) {
    int64_t revoked;
    int r = check_device(db, issuance);
    if (r != 0)
        return r;
    r = db_query_int(
        db, "SELECT state = 4 FROM certificates WHERE id = ?",
        DB_VALUES(DB_INT(issuance->presented_id)), &revoked);
    if (r < 0)
        return r;
    if (revoked)
        return refuse(issuance, 403, REASON_REVOKED);
    r = check_key(db, issuance);
    if (r == 0)
        r = check_rate(db, issuance);
    return r != 0 ? r : issue_device(db, issuance);
}

/* --- users --- */

static int check_switch(struct db *db, struct issuance *issuance) {
    enum distribution_switch distribution;
    int r = settings_distribution(db, &distribution);
    if (r < 0)
        return r;
    switch (distribution) {
    case SWITCH_OFF:
        return refuse(issuance, 403, REASON_DISTRIBUTION_OFF);
    case SWITCH_PAUSED:
        return refuse(issuance, 403, REASON_DISTRIBUTION_PAUSED);
    case SWITCH_ON:
        break;
    }
    return 0;
}

static int issue_user(struct db *db, struct issuance *issuance) {
    struct user user;
    int r = user_find(db, issuance->user_id, &user);
    if (r < 0)
        return r;
    const struct ca_user_leaf leaf = {
        .device_uuid = issuance->device,
        .user_id = user.id,
        .organisation = issuance->server->identity.organisation,
        .mail = user.mail[0] ? user.mail : NULL,
        .upn = user.upn[0] ? user.upn : NULL,
        .lifetime_s = issuance->server->config.user_lifetime_s,
        .now_s = issuance->now_s,
    };
    r = ca_issue_user(issuance->server->ca, &leaf, issuance->request, &issuance->certificate);
    return r < 0 ? r : store(db, issuance, CERTIFICATE_USER);
}

static int run_user(struct db *db, struct issuance *issuance) {
    int r = check_device(db, issuance);
    if (r == 0)
        r = check_switch(db, issuance);
    if (r != 0)
        return r;
    r = assignment_exists(db, issuance->user_id, issuance->device);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(issuance, 403, REASON_NOT_MANAGED);
    r = check_key(db, issuance);
    if (r == 0)
        r = check_rate(db, issuance);
    return r != 0 ? r : issue_user(db, issuance);
}

int issuance_run(struct db *db, struct issuance *issuance) {
    static int (*const runs[])(struct db *, struct issuance *) = {
        [ISSUANCE_ENROL] = run_enrol,
        [ISSUANCE_RENEW] = run_renew,
        [ISSUANCE_USER] = run_user,
    };
    int r = runs[issuance->kind](db, issuance);
    return r < 0 ? r : 0;
}
