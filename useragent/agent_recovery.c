/* What the agent does at its start and whenever it looks again: finish or undo what a kill
 * interrupted, rebuild a lost record from the stores, see whether the stores still hold what the
 * record says. */
#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/paths.h"
#include "useragent/agent_work_internal.h"
#include "useragent/renewal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Where nobody has said when to renew (no settings yet): two thirds of the life. */
#define DEFAULT_RENEW_NUMERATOR 2
#define DEFAULT_RENEW_DENOMINATOR 3

static int64_t renew_after(const struct agent_work *work) {
    const struct agent_record *record = &work->record;

    if (work->settings.present && work->settings.renew_after_s > 0)
        return work->settings.renew_after_s;
    if (record->renew_after_s > 0)
        return record->renew_after_s;
    return (record->not_after - record->not_before) / DEFAULT_RENEW_DENOMINATOR *
           DEFAULT_RENEW_NUMERATOR;
}

void agent_work_plan_renewal(struct agent_work *work) {
    struct agent_record *record = &work->record;

    record->renew_after_s = renew_after(work);
    record->renew_at = renewal_draw(
        record->installed_at, record->renew_after_s, record->not_before, record->not_after,
        work->random);
}

static bool has_key_hash(X509 *certificate, const uint8_t spki[SHA256_SIZE]) {
    uint8_t own[SHA256_SIZE];

    return x509_cert_spki_sha256(certificate, own) >= 0 && memcmp(own, spki, SHA256_SIZE) == 0;
}

static struct store_certificate *find_verified(
    struct store_certificates *found, const uint8_t spki[SHA256_SIZE]) {
    for (size_t i = 0; i < found->count; i++)
        if (found->items[i].verified && has_key_hash(found->items[i].leaf, spki))
            return &found->items[i];
    return NULL;
}

/* Marks the stores in which the key's certificate works. Returns one of its copies, or NULL. */
static struct store_certificate *mark_verified(
    struct agent_work *work, struct store_certificates *found, const uint8_t spki[SHA256_SIZE]) {
    struct store_certificate *any = NULL;

    for (size_t i = 0; i < work->set.count; i++) {
        struct store_certificate *here = find_verified(&found[i], spki);

        work->set.items[i].verified = here != NULL;
        if (here)
            any = here;
    }
    return any;
}

/* ---- start ---- */

static void add_superseded(struct agent_record *record) {
    if (agent_record_has_current(record) && record->old_count < AGENT_RECORD_MAX_OLD)
        memcpy(record->old[record->old_count++], record->spki, SHA256_SIZE);
}

/* The process died between the first write to a store and the record of its success. The new one is
 * kept where it works. */
static enum agent_event recover_import(struct agent_work *work) {
    CLEANUP_OURS struct ours ours = {0};
    struct store_certificates found[STORE_MAX];
    struct store_certificate *installed;
    struct agent_record *record = &work->record;
    enum agent_event event = AGENT_EVENT_RECOVERED;

    agent_work_ours(work, &ours);
    store_set_list(&work->set, &work->dirs, record);
    (void)store_set_open(&work->set, false);
    store_set_find(&work->set, &ours, found);
    installed = mark_verified(work, found, record->intent_spki);
    if (installed) {
        add_superseded(record);
        record->intent = AGENT_INTENT_SUPERSEDE;
        agent_work_set_current(work, installed->leaf, record->intent_request_id);
        event = AGENT_EVENT_RESUME_SUPERSEDE;
    } else {
        store_set_discard(&work->set, &ours, record->intent_spki);
        record->intent = record->old_count > 0 ? AGENT_INTENT_SUPERSEDE : AGENT_INTENT_NONE;
    }
    store_set_release(found);
    if (agent_work_write_record(work) < 0 && installed) {
        /* on disk it is still an import: nothing is superseded now, the next start decides again */
        return AGENT_EVENT_RECOVERED;
    }
    return event;
}

/* The new one is current on record; it is looked for before anything else is deleted. */
static enum agent_event recover_supersede(struct agent_work *work) {
    CLEANUP_OURS struct ours ours = {0};
    struct store_certificates found[STORE_MAX];
    bool works;

    agent_work_ours(work, &ours);
    store_set_list(&work->set, &work->dirs, &work->record);
    (void)store_set_open(&work->set, false);
    store_set_find(&work->set, &ours, found);
    works = mark_verified(work, found, work->record.spki) != NULL;
    store_set_release(found);
    return works ? AGENT_EVENT_RESUME_SUPERSEDE : AGENT_EVENT_RECOVERED;
}

static void note_record(int error) {
    enum reason reason = error == -EPROTO ? REASON_NEWER_STATE : REASON_BROKEN_STATE;

    log_event(
        LOG_LEVEL_WARNING, MSG_STORAGE, reason_text(reason),
        LOG_TEXT("REMEDY", reason_remedy(reason)), LOG_ERRNO(error));
}

int agent_work_recover(struct agent_work *work, enum agent_event *ret_event) {
    int r = agent_record_read(&work->dirs, &work->record);

    *ret_event = AGENT_EVENT_RECOVERED;
    if (r == -EPROTO) {
        note_record(r);
        return r;
    }
    if (r == -EBADMSG)
        note_record(r);
    else if (r < 0 && r != -ENOENT && r != -ENOTDIR)
        log_event(
            LOG_LEVEL_WARNING, MSG_STORAGE,
            "The agent's record cannot be read; it is rebuilt from the stores.", LOG_ERRNO(r));
    if (r < 0)
        return 0;
    work->record_exists = true;
    switch (work->record.intent) {
    case AGENT_INTENT_IMPORT:
        *ret_event = recover_import(work);
        break;
    case AGENT_INTENT_SUPERSEDE:
        *ret_event = recover_supersede(work);
        break;
    case AGENT_INTENT_REMOVE:
        *ret_event = AGENT_EVENT_RESUME_REMOVE;
        break;
    case AGENT_INTENT_NONE:
        break;
    }
    return 0;
}

/* ---- check ---- */

static int64_t not_before_of(const struct store_certificate *certificate) {
    int64_t not_before = 0;

    (void)x509_not_before(certificate->leaf, &not_before);
    return not_before;
}

/* Without a record: the newest that works is the current one; what else is ours goes. */
static enum agent_event rebuild(struct agent_work *work, struct store_certificates *found) {
    struct store_certificate *newest = NULL;
    size_t count = 0;
    uint8_t spki[SHA256_SIZE];

    for (size_t i = 0; i < work->set.count; i++) {
        for (size_t j = 0; j < found[i].count; j++) {
            struct store_certificate *one = &found[i].items[j];

            count++;
            if (one->verified && (!newest || not_before_of(one) > not_before_of(newest)))
                newest = one;
        }
    }
    if (!newest) {
        /* what does not work is swept when the next one is installed */
        work->wanted = "lost";
        work->wanted_later = count == 0;
        return AGENT_EVENT_CHECKED;
    }
    if (x509_cert_spki_sha256(newest->leaf, spki) < 0)
        return AGENT_EVENT_CHECKED;
    (void)mark_verified(work, found, spki);
    /* since when they are there was in the record that is lost */
    for (size_t i = 0; i < work->set.count; i++)
        if (work->set.items[i].verified)
            work->set.items[i].present_since = AGENT_RECORD_UNKNOWN;
    memcpy(work->record.device_uuid, work->settings.device_uuid, sizeof work->record.device_uuid);
    if (newest->issuer)
        (void)agent_record_add_issuer(&work->record, newest->issuer);
    agent_work_set_current(work, newest->leaf, newest->request_id);
    /* it was installed about when it was made */
    work->record.installed_at = not_before_of(newest);
    agent_work_plan_renewal(work);
    work->record.intent = AGENT_INTENT_SUPERSEDE;
    log_event(
        LOG_LEVEL_NOTICE, MSG_STORAGE,
        "The agent's record was missing and has been rebuilt from the certificate stores.",
        LOG_TEXT("SERIAL", (const char *)work->record.serial));
    if (agent_work_write_record(work) < 0)
        return AGENT_EVENT_CHECKED;
    agent_work_note_action(work, "record-rebuilt");
    return AGENT_EVENT_RESUME_SUPERSEDE;
}

/* A store that cannot be opened or read says nothing. */
static bool was_looked_into(const struct store_set_item *item) {
    return item->store ? item->reason == REASON_NONE : item->reason == REASON_STORE_MISSING;
}

/* In one that could not be looked into is no lost certificate: it may be there, and nothing could
 * be put there either. */
static const char *judge_store(
    const struct store_set_item *item, struct store_certificates *found, const uint8_t *spki) {
    if (!item->listed || !was_looked_into(item))
        return NULL;
    if (item->store && find_verified(found, spki))
        return NULL;
    return item->current ? "lost" : "store_added";
}

/* The entry of a store of this kind that is nowhere any more; NULL: all are still there. */
static struct agent_record_store *find_gone(struct agent_work *work, enum store_kind kind) {
    struct agent_record *record = &work->record;

    /* the set begins with what is on record, in the same order */
    for (size_t i = 0; i < record->store_count && i < work->set.count; i++) {
        const struct store_set_item *item = &work->set.items[i];

        if (!item->listed && item->reason == REASON_STORE_MISSING && item->location.kind == kind &&
            strcmp(record->stores[i].location.path, item->location.path) == 0)
            return &record->stores[i];
    }
    return NULL;
}

/* A store that was moved, or copied, with what we had put there: it is on record from now on, and
 * whether its issuer is ours to remove is known of the one that it was. Returns whether the record
 * has changed. */
static bool adopt(struct agent_work *work, struct store_set_item *item) {
    struct agent_record *record = &work->record;
    struct agent_record_store *gone = find_gone(work, item->location.kind);

    if (!item->listed || item->recorded || !item->verified ||
        (!gone && record->store_count == STORE_MAX))
        return false;
    item->recorded = true;
    item->current = true;
    item->present_since = gone ? gone->present_since : AGENT_RECORD_UNKNOWN;
    item->issuer_found = gone && gone->issuer_found;
    for (size_t i = 0; !gone && i < record->store_count; i++)
        item->issuer_found |= record->stores[i].issuer_found; /* of which, nobody knows */
    if (!gone)
        gone = &record->stores[record->store_count++];
    *gone = (struct agent_record_store){
        .location = item->location,
        .present_since = item->present_since,
        .issuer_found = item->issuer_found,
        .verified = true,
    };
    return true;
}

/* A browser may have been there without a certificate since; one that works but is not the current
 * one keeps it from that. Returns whether the record has changed. */
static bool note_absence(
    struct agent_record *record, const struct store_set_item *item,
    const struct store_certificates *found) {
    if (!was_looked_into(item))
        return false;
    for (size_t i = 0; i < found->count; i++)
        if (found->items[i].verified)
            return false;
    for (size_t i = 0; i < record->store_count; i++) {
        struct agent_record_store *store = &record->stores[i];

        if (store->location.kind == item->location.kind &&
            strcmp(store->location.path, item->location.path) == 0 &&
            store->present_since != AGENT_RECORD_ABSENT) {
            store->present_since = AGENT_RECORD_ABSENT;
            return true;
        }
    }
    return false;
}

/* More of ours than the one: doubles, and keys that no certificate names. */
static bool has_superfluous(
    const struct store_set_item *item, const struct ours *ours,
    const struct store_certificates *found) {
    struct store_counts counts = {0};
    enum reason ignored;

    if (!item->verified)
        return false;
    return found->count > 1 ||
           (item->ops->count(item->store, ours, &counts, &ignored) >= 0 && counts.orphans > 0);
}

/* The clock has jumped, or the server has changed the age at which to renew. */
static bool replan(struct agent_work *work) {
    struct agent_record *record = &work->record;

    if (!renewal_correct_installed(
            clock_wall_s(work->clock), record->not_before, &record->installed_at) &&
        renew_after(work) == record->renew_after_s)
        return false;
    agent_work_plan_renewal(work);
    return true;
}

static enum agent_event compare(
    struct agent_work *work, const struct ours *ours, struct store_certificates *found) {
    struct agent_record *record = &work->record;
    bool again = record->old_count > 0;
    bool works = mark_verified(work, found, record->spki) != NULL;
    bool changed = false;

    /* what is reported of the stores is another then, too */
    for (size_t i = 0; i < work->set.count; i++)
        again |= adopt(work, &work->set.items[i]);
    for (size_t i = 0; i < work->set.count; i++) {
        const char *wanted = judge_store(&work->set.items[i], &found[i], record->spki);

        if (wanted && (!work->wanted || strcmp(wanted, "lost") == 0))
            work->wanted = wanted;
        if (has_superfluous(&work->set.items[i], ours, &found[i]))
            again = true;
        changed |= note_absence(record, &work->set.items[i], &found[i]);
    }
    changed |= replan(work);
    if (changed)
        (void)agent_work_write_record(work);
    if (!work->wanted && clock_wall_s(work->clock) >= record->renew_at)
        work->wanted = "due";
    if (!works || !again)
        return AGENT_EVENT_CHECKED;
    work->record.intent = AGENT_INTENT_SUPERSEDE;
    return agent_work_write_record(work) < 0 ? AGENT_EVENT_CHECKED : AGENT_EVENT_RESUME_SUPERSEDE;
}

/* What a check does not look at, since it mends itself with the next certificate. */
static void repair_record(struct agent_work *work) {
    char path[USER_DIRS_PATH_MAX];
    struct stat status;
    int r = agent_record_probe(&work->dirs);

    if (agent_record_has_current(&work->record) && (r == -ENOENT || r == -EBADMSG) &&
        agent_work_write_record(work) >= 0)
        agent_work_note_action(work, "record-written");
    if (user_dirs_join(work->dirs.state, PATH_AGENT_STATE_DIR, path) >= 0 &&
        lstat(path, &status) >= 0 && S_ISDIR(status.st_mode) && (status.st_mode & 0022) &&
        chmod(path, 0700) >= 0)
        agent_work_note_action(work, "state-permissions");
}

static void note_wanted(struct agent_work *work) {
    static const char *const actions[][2] = {
        {"lost", "renewal-lost"},
        {"store_added", "renewal-store_added"},
        {"due", "renewal-due"},
    };

    for (size_t i = 0; work->wanted && i < ARRAY_LENGTH(actions); i++)
        if (strcmp(actions[i][0], work->wanted) == 0)
            agent_work_note_action(work, actions[i][1]);
}

enum agent_event agent_work_check(struct agent_work *work) {
    CLEANUP_OURS struct ours ours = {0};
    struct store_certificates found[STORE_MAX];
    enum agent_event event = AGENT_EVENT_CHECKED;

    work->wanted = NULL;
    work->wanted_later = false;
    if (!agent_record_has_current(&work->record) && !work->settings.present)
        return event;
    agent_work_ours(work, &ours);
    store_set_list(&work->set, &work->dirs, &work->record);
    (void)store_set_open(&work->set, false);
    store_set_find(&work->set, &ours, found);
    if (agent_record_has_current(&work->record))
        event = compare(work, &ours, found);
    else
        event = rebuild(work, found);
    store_set_release(found);
    agent_work_note_stores(work);
    if (work->repairing) {
        repair_record(work);
        note_wanted(work);
    }
    return event;
}
