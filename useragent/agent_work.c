/* The agent's blocking actions: prepare, import, supersede, remove. Start and checks are in
 * agent_recovery.c. */
#include "useragent/agent_work.h"

#include "common/log.h"
#include "common/log_messages.h"
#include "useragent/agent_checks.h"
#include "useragent/agent_work_internal.h"
#include "useragent/browser_check.h"
#include "useragent/store_watch.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

/* A leaf's life; what is asked for is the server's affair, what is plausible is checked by daemon
 * and agent alike. */
#define LIFETIME_MIN_S 1
#define LIFETIME_MAX_S (INT64_C(3660) * 24 * 3600)

void agent_work_init(struct agent_work *work) {
    *work = (struct agent_work){0};
}

void agent_work_wipe(struct agent_work *work) {
    work->key = credential_key_free(work->key);
    x509_bundle_deinit(&work->bundle);
}

void agent_work_deinit(struct agent_work *work) {
    agent_work_wipe(work);
    store_set_close(&work->set);
    agent_record_deinit(&work->record);
}

/* ---- shared with agent_recovery.c ---- */

void agent_work_ours(struct agent_work *work, struct ours *ret) {
    struct ours ours = {0};
    int r = 0;

    if (work->settings.present) {
        r = ours_add_device(&ours, work->settings.device_uuid);
        if (r >= 0)
            r = ours_add_issuer_key(&ours, work->settings.issuer_spki);
    }
    if (r >= 0 && work->key)
        r = ours_add_key(&ours, credential_key_spki(work->key));
    if (r >= 0)
        r = agent_record_add_to(&work->record, &ours);
    if (r < 0)
        log_event(
            LOG_LEVEL_WARNING, MSG_INTERNAL,
            "Not all that the record knows fits into the rule of what is ours.", LOG_ERRNO(r));
    *ret = ours;
}

int agent_work_write_record(struct agent_work *work) {
    int r = agent_record_write(&work->dirs, &work->record);

    if (r >= 0) {
        work->record_exists = true;
        return 0;
    }
    log_event(
        LOG_LEVEL_ERROR, MSG_STORAGE, reason_text(REASON_RECORD_WRITE),
        LOG_TEXT("REMEDY", reason_remedy(REASON_RECORD_WRITE)), LOG_ERRNO(r));
    return r;
}

void agent_work_set_current(struct agent_work *work, X509 *leaf, const char *request_id) {
    struct agent_record *record = &work->record;

    record->serial[0] = '\0';
    record->not_before = record->not_after = 0;
    (void)x509_serial_hex(leaf, record->serial);
    (void)x509_cert_spki_sha256(leaf, record->spki);
    (void)x509_not_before(leaf, &record->not_before);
    (void)x509_not_after(leaf, &record->not_after);
    memset(record->request_id, 0, sizeof record->request_id);
    strncpy(record->request_id, request_id, sizeof record->request_id - 1);
    record->installed_at = clock_wall_s(work->clock);
    agent_work_plan_renewal(work);
    agent_work_set_stores(work);
}

void agent_work_set_stores(struct agent_work *work) {
    struct agent_record *record = &work->record;

    record->store_count = 0;
    for (size_t i = 0; i < work->set.count; i++) {
        struct store_set_item *item = &work->set.items[i];

        if (item->verified && item->present_since == AGENT_RECORD_ABSENT)
            item->present_since = clock_wall_s(work->clock);

        /* a store that could not be used this time may hold the one before: it stays on record
         * until it was seen */
        if (item->verified || (item->recorded && item->reason != REASON_STORE_MISSING))
            record->stores[record->store_count++] = (struct agent_record_store){
                .location = item->location,
                .present_since = item->present_since,
                .issuer_found = item->issuer_found,
                .verified = item->verified,
            };
    }
}

void agent_work_note_stores(struct agent_work *work) {
    work->stores_seen = STORE_WATCH_NO_STORES;
    for (size_t i = 0; i < work->set.count; i++)
        if (work->set.items[i].listed)
            work->stores_seen += store_watch_mark(&work->set.items[i].location);
}

/* A store without a fault of its own may still be without the current certificate: seen as long as
 * the stores are open, known from the record afterwards. */
static enum reason lack_of(const struct agent_work *work, const struct store_set_item *item) {
    const struct agent_record *record = &work->record;
    bool open = store_set_is_open(&work->set);

    if (!item->listed || item->reason != REASON_NONE || (open && item->verified))
        return item->reason;
    for (size_t i = 0; i < record->store_count; i++)
        if (record->stores[i].location.kind == item->location.kind &&
            strcmp(record->stores[i].location.path, item->location.path) == 0)
            return !open && record->stores[i].verified ? REASON_NONE : REASON_STORE_STALE;
    return REASON_NO_CERTIFICATE;
}

/* All but those that are gone and that no browser reads. */
static void report_stores(struct agent_work *work) {
    struct agent_store_results *stores = &work->report.stores;
    size_t count = 0;

    store_set_results(&work->set, stores);
    for (size_t i = 0; i < stores->count; i++) {
        const struct store_set_item *item = &work->set.items[i];

        if (work->report.outcome == AGENT_OUTCOME_INSTALLED)
            stores->items[i].reason = lack_of(work, item);
        if (item->listed || item->reason != REASON_STORE_MISSING)
            stores->items[count++] = stores->items[i];
    }
    stores->count = count;
}

/* ---- prepare ---- */

static enum agent_event fail(struct agent_work *work, enum reason reason) {
    work->report = (struct agent_report){.outcome = AGENT_OUTCOME_FAILED, .reason = reason};
    memcpy(work->report.request_id, work->request.id, sizeof work->report.request_id);
    report_stores(work);
    agent_work_wipe(work);
    return AGENT_EVENT_FAILED;
}

/* One store: its own reason. Several: the reasons stand beside each. */
static enum reason common_reason(const struct store_set *set) {
    enum reason reason = REASON_STORE_NONE;

    for (size_t i = 0; i < set->count; i++) {
        if (!set->items[i].listed || set->items[i].reason == REASON_NONE)
            continue;
        if (reason != REASON_STORE_NONE && reason != set->items[i].reason)
            return REASON_STORE_NONE;
        reason = set->items[i].reason;
    }
    return reason;
}

enum agent_event agent_work_prepare(struct agent_work *work) {
    int r;

    work->key = credential_key_free(work->key);
    work->browser_runs = browser_check_running();
    store_set_list(&work->set, &work->dirs, &work->record);
    if (store_set_precheck(&work->set, &work->dirs) == 0) {
        work->stores_failed = true;
        return fail(work, common_reason(&work->set));
    }
    /* a store that failed the last time would cost a certificate for nothing: open it before the
     * server is asked */
    if (work->stores_failed && store_set_open(&work->set, true) == 0)
        return fail(work, common_reason(&work->set));
    if (!work->request.key_type_known) {
        log_event(
            LOG_LEVEL_ERROR, MSG_AGENT,
            "A key of a kind that this version cannot make is asked for; the old certificate is "
            "kept. Update devtrust.",
            LOG_TEXT("REQUEST_ID", work->request.id));
        return fail(work, REASON_OTHER);
    }
    r = credential_key_new(
        work->request.key_type, work->request.subject_uid, work->request.id, &work->key);
    if (r < 0)
        return fail(work, r == -ENOMEM ? REASON_NO_MEMORY : REASON_INTERNAL);
    return AGENT_EVENT_PREPARED;
}

void agent_work_open(struct agent_work *work) {
    work->stores_failed = store_set_open(&work->set, true) == 0;
}

int agent_work_take_bundle(struct agent_work *work, STACK_OF(X509) * certificates) {
    struct x509_leaf_expectation expectation = {
        .spki_sha256 = credential_key_spki(work->key),
        .device_uuid = work->settings.device_uuid,
        .user_id = work->request.subject_uid,
        .policy_oid = X509_POLICY_USER,
        .root_spki_sha256 = work->settings.root_spki,
        .min_lifetime_s = LIFETIME_MIN_S,
        .max_lifetime_s = LIFETIME_MAX_S,
    };
    struct x509_bundle bundle = {0};
    uint8_t issuer_spki[SHA256_SIZE];
    enum reason reason = REASON_BUNDLE_INVALID;

    if (x509_bundle_check(certificates, NULL, &expectation, &bundle, &reason) < 0) {
        log_event(
            LOG_LEVEL_ERROR, MSG_AGENT, reason_text(reason),
            LOG_TEXT("REQUEST_ID", work->request.id), LOG_TEXT("REMEDY", reason_remedy(reason)));
        (void)fail(work, reason);
        return -EBADMSG;
    }
    /* the selection filters name this issuer, and the rule of *ours* pins it */
    if (x509_cert_spki_sha256(bundle.intermediate, issuer_spki) < 0 ||
        memcmp(issuer_spki, work->settings.issuer_spki, SHA256_SIZE) != 0) {
        x509_bundle_deinit(&bundle);
        (void)fail(work, REASON_LEAF_CHAIN);
        return -EBADMSG;
    }
    x509_bundle_deinit(&work->bundle);
    work->bundle = bundle;
    return 0;
}

/* ---- import ---- */

static void add_old(struct agent_record *record, const uint8_t spki[SHA256_SIZE]) {
    for (size_t i = 0; i < record->old_count; i++)
        if (memcmp(record->old[i], spki, SHA256_SIZE) == 0)
            return;
    if (record->old_count == AGENT_RECORD_MAX_OLD) {
        /* the oldest is still ours by the rule; only a foreign CA's would have needed the hash */
        memmove(record->old[0], record->old[1], (AGENT_RECORD_MAX_OLD - 1) * SHA256_SIZE);
        record->old_count--;
    }
    memcpy(record->old[record->old_count++], spki, SHA256_SIZE);
}

static int write_import_intent(struct agent_work *work, bool *ret_issuer_known) {
    struct agent_record *record = &work->record;
    int r;

    memcpy(record->device_uuid, work->settings.device_uuid, sizeof record->device_uuid);
    r = agent_record_add_issuer(record, work->bundle.intermediate);
    if (r < 0)
        return r;
    *ret_issuer_known = r > 0;
    record->intent = AGENT_INTENT_IMPORT;
    memcpy(record->intent_request_id, work->request.id, sizeof record->intent_request_id);
    memcpy(record->intent_spki, credential_key_spki(work->key), SHA256_SIZE);
    return agent_work_write_record(work);
}

static size_t install(struct agent_work *work, const struct ours *ours, bool issuer_known) {
    struct store_material material = {
        .intermediate = work->bundle.intermediate, .leaf = work->bundle.leaf};
    char label[STORE_KEY_LABEL_SIZE];
    size_t verified;

    if (store_key_label(work->settings.device_uuid, work->request.id, label) < 0)
        return 0;
    if (credential_key_export(work->key, &material.key) < 0)
        return 0;
    material.key_label = label;
    verified = store_set_install(
        &work->set, &material, ours, credential_key_spki(work->key), issuer_known);
    secret_free(material.key);
    return verified;
}

/* The new one is current and the old one is to go, in one write. */
static int write_new_current(struct agent_work *work) {
    struct agent_record *record = &work->record;

    if (agent_record_has_current(record))
        add_old(record, record->spki);
    record->intent = AGENT_INTENT_SUPERSEDE;
    agent_work_set_current(work, work->bundle.leaf, work->request.id);
    return agent_work_write_record(work);
}

static enum agent_event undo_import(
    struct agent_work *work, struct agent_record *before, enum reason reason) {
    agent_record_deinit(&work->record);
    work->record = *before;
    *before = (struct agent_record){0};
    work->record.intent = work->record.old_count > 0 ? AGENT_INTENT_SUPERSEDE : AGENT_INTENT_NONE;
    (void)agent_work_write_record(work);
    return fail(work, reason);
}

static enum reason reason_of_record(int error) {
    return error == -ENOENT || error == -ENOTDIR ? REASON_STORE_MISSING : REASON_RECORD_WRITE;
}

enum agent_event agent_work_import(struct agent_work *work) {
    CLEANUP_AGENT_RECORD struct agent_record before = {0};
    CLEANUP_OURS struct ours ours = {0};
    bool issuer_known = false;
    int r;

    r = agent_record_copy(&work->record, &before);
    if (r < 0)
        return fail(work, REASON_NO_MEMORY);
    r = write_import_intent(work, &issuer_known);
    if (r < 0)
        return undo_import(work, &before, reason_of_record(r));
    agent_work_ours(work, &ours);
    (void)store_set_open(&work->set, true);
    if (install(work, &ours, issuer_known) == 0) {
        work->stores_failed = true;
        return undo_import(work, &before, common_reason(&work->set));
    }
    work->stores_failed = false;
    agent_work_note_stores(work);
    r = write_new_current(work);
    if (r < 0) {
        /* nothing may be superseded that is not on record: the old one stays the one */
        store_set_discard(&work->set, &ours, credential_key_spki(work->key));
        return undo_import(work, &before, reason_of_record(r));
    }
    agent_work_wipe(work);
    return AGENT_EVENT_VERIFIED;
}

/* ---- supersede ---- */

void agent_work_report_current(struct agent_work *work) {
    const struct agent_record *record = &work->record;

    work->report = (struct agent_report){
        .outcome = AGENT_OUTCOME_INSTALLED,
        .not_after = record->not_after,
        .renew_at = record->renew_at,
    };
    memcpy(work->report.request_id, record->request_id, sizeof work->report.request_id);
    memcpy(work->report.serial, record->serial, sizeof work->report.serial);
    if (work->set.count == 0)
        store_set_list(&work->set, &work->dirs, record);
    report_stores(work);
}

enum agent_event agent_work_supersede(struct agent_work *work) {
    CLEANUP_OURS struct ours ours = {0};

    agent_work_ours(work, &ours);
    if (store_set_sweep(&work->set, &ours, work->record.spki)) {
        agent_work_note_action(work, "swept");
        work->record.old_count = 0;
        agent_record_keep_issuers(&work->record, 1);
    }
    agent_work_report_current(work);
    log_event(
        LOG_LEVEL_INFO, MSG_STORE, "The certificate is installed and was verified by a signature.",
        LOG_TEXT("SERIAL", work->report.serial), LOG_NUMBER("RENEW_AT", work->record.renew_at));
    return AGENT_EVENT_SUPERSEDED;
}

void agent_work_finish(struct agent_work *work) {
    /* what could not be deleted stays named, and is tried again at the next check */
    work->record.intent = work->record.old_count > 0 ? AGENT_INTENT_SUPERSEDE : AGENT_INTENT_NONE;
    memset(work->record.intent_request_id, 0, sizeof work->record.intent_request_id);
    (void)agent_work_write_record(work);
}

/* ---- remove ---- */

/* A store that cannot be opened and is not on record holds nothing of ours that we put there; one
 * on record must be seen empty. */
static enum reason blocking_reason(const struct store_set *set) {
    for (size_t i = 0; i < set->count; i++) {
        const struct store_set_item *item = &set->items[i];

        if (item->store ? !item->swept : item->recorded && item->reason != REASON_STORE_MISSING)
            return item->reason == REASON_NONE ? REASON_STORE_ERROR : item->reason;
    }
    return REASON_NONE;
}

static enum agent_event not_removed(struct agent_work *work, enum reason reason) {
    work->report.outcome = AGENT_OUTCOME_FAILED;
    work->report.reason = reason;
    log_event(
        LOG_LEVEL_WARNING, MSG_STORE_FAILED,
        "The certificate could not be removed; it is tried again.",
        LOG_TEXT("CODE", reason_code(reason)), LOG_TEXT("REMEDY", reason_remedy(reason)));
    return AGENT_EVENT_FAILED;
}

enum agent_event agent_work_remove(struct agent_work *work) {
    CLEANUP_OURS struct ours ours = {0};
    enum reason reason = REASON_NONE;
    int r = 0;

    agent_work_wipe(work);
    work->report = (struct agent_report){.outcome = AGENT_OUTCOME_REMOVED};
    memcpy(work->report.serial, work->record.serial, sizeof work->report.serial);
    /* in a home that is not there nothing is found, which must not pass for gone */
    if (!user_dirs_has_home(&work->dirs))
        return not_removed(work, REASON_STORE_MISSING);
    if (work->record_exists && work->record.intent != AGENT_INTENT_REMOVE) {
        if (work->record.intent == AGENT_INTENT_IMPORT)
            add_old(&work->record, work->record.intent_spki);
        work->record.intent = AGENT_INTENT_REMOVE;
        r = agent_work_write_record(work);
    }
    agent_work_ours(work, &ours);
    store_set_list(&work->set, &work->dirs, &work->record);
    (void)store_set_open(&work->set, false);
    (void)store_set_sweep(&work->set, &ours, NULL);
    reason = blocking_reason(&work->set);
    if (reason == REASON_NONE && r < 0 && r != -ENOSPC && r != -EDQUOT)
        reason = reason_of_record(r);
    if (reason == REASON_NONE && ours.device_count == 0 && ours.key_count == 0) {
        /* neither settings nor record: nobody has said what ours is, so nothing was looked for */
        reason = REASON_NOT_ENROLLED;
    }
    report_stores(work);
    return reason == REASON_NONE ? AGENT_EVENT_GONE : not_removed(work, reason);
}

void agent_work_unlink(struct agent_work *work) {
    int r = agent_record_remove(&work->dirs);

    if (r < 0)
        log_event(
            LOG_LEVEL_WARNING, MSG_STORAGE,
            "The agent's record could not be removed; it holds nothing secret and is removed at "
            "the next start.",
            LOG_ERRNO(r));
    agent_record_deinit(&work->record);
    work->record = (struct agent_record){0};
    work->record_exists = r < 0;
    log_event(
        LOG_LEVEL_NOTICE, MSG_STORE, "Everything of devtrust is removed from this user's stores.",
        LOG_NUMBER("STORES", work->set.count));
    store_set_close(&work->set);
    work->set.count = 0;
}

/* ---- the rest ---- */

void agent_work_inspect(struct agent_work *work, struct inspection *inspection) {
    CLEANUP_OURS struct ours ours = {0};

    if (!inspection_is_open(inspection))
        return;
    /* while a certificate comes its stores stay as they were opened for it */
    if (!work->key || !store_set_is_open(&work->set))
        store_set_list(&work->set, &work->dirs, &work->record);
    agent_work_ours(work, &ours);
    for (size_t i = 0; i < work->action_count; i++)
        inspection_add_action(inspection, work->actions[i]);
    agent_work_begin_repair(work, false);
    agent_checks_run(work, &ours, inspection);
}

void agent_work_begin_repair(struct agent_work *work, bool repairing) {
    work->repairing = repairing;
    work->action_count = 0;
}

void agent_work_note_action(struct agent_work *work, const char *action) {
    if (work->repairing && work->action_count < AGENT_ACTIONS_MAX)
        work->actions[work->action_count++] = action;
}

void agent_work_close(struct agent_work *work) {
    store_set_close(&work->set);
    (void)malloc_trim(0);
}
