/* Looks at each store: usable, ours, its key, one only, its time. */
#include "useragent/agent_checks_internal.h"

#include "common/cleanup.h"

#include <stdio.h>
#include <string.h>

/* A certificate that is not renewed by then is late: the agent renews before (renewal.h). */
#define EXPIRING_NUMERATOR 9
#define EXPIRING_DENOMINATOR 10

#define TIME_SIZE 32

struct look {
    struct agent_checks *checks;
    const struct store_set_item *item;
    const char *path;
    const struct store_certificates *found;
    const struct store_certificate *current; /* the record's current one; NULL: not here */
    const struct store_certificate *shown;   /* the current one, else the newest of ours; NULL */
};

__attribute__((format(printf, 5, 6))) static void add(
    const struct look *look, enum agent_check_id id, enum agent_result result, enum reason reason,
    const char *detail, ...) {
    char text[AGENT_DETAIL_SIZE];
    va_list arguments;

    va_start(arguments, detail);
    (void)vsnprintf(text, sizeof text, detail, arguments);
    va_end(arguments);
    inspection_add(look->checks->inspection, id, look->path, result, reason, "%s", text);
}

static const char *time_text(int64_t seconds, char ret[TIME_SIZE]) {
    time_t time = (time_t)seconds;
    struct tm parts;

    if (!gmtime_r(&time, &parts) || strftime(ret, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        ret[0] = '\0';
    return ret;
}

static bool is_current(const struct agent_record *record, X509 *leaf) {
    uint8_t spki[SHA256_SIZE];

    return agent_record_has_current(record) && x509_cert_spki_sha256(leaf, spki) >= 0 &&
           memcmp(spki, record->spki, SHA256_SIZE) == 0;
}

static int64_t not_before_of(const struct store_certificate *certificate) {
    int64_t not_before = 0;

    (void)x509_not_before(certificate->leaf, &not_before);
    return not_before;
}

static void choose(struct look *look) {
    for (size_t i = 0; i < look->found->count; i++) {
        const struct store_certificate *one = &look->found->items[i];

        if (is_current(&look->checks->work->record, one->leaf))
            look->current = one;
        if (!look->shown || not_before_of(one) > not_before_of(look->shown))
            look->shown = one;
    }
    if (look->current)
        look->shown = look->current;
}

/* ---- a store that is open ---- */

static void check_store(const struct look *look) {
    enum reason reason = REASON_NONE;

    if (look->item->listed &&
        store_precheck(&look->item->location, &look->checks->work->dirs, &reason) < 0)
        add(look, AGENT_CHECK_STORE, AGENT_RESULT_FAILURE, reason, "%s", "");
    else
        add(look, AGENT_CHECK_STORE, AGENT_RESULT_OK, REASON_NONE, "%s",
            look->item->listed ? "" : "no browser reads it");
}

static void check_certificate(const struct look *look) {
    const enum agent_check_id id = AGENT_CHECK_STORE_CERTIFICATE;
    bool expected = agent_checks_expect_one(look->checks);
    char serial[X509_SERIAL_HEX_SIZE] = "";

    if (look->shown)
        (void)x509_serial_hex(look->shown->leaf, serial);
    if (look->shown && inspection_mode(look->checks->inspection) == AGENT_MODE_REMOVE)
        add(look, id, AGENT_RESULT_WARNING, REASON_REMOVING, "%s", serial);
    else if (look->current)
        add(look, id, AGENT_RESULT_OK, REASON_NONE, "%s", serial);
    else if (look->shown)
        add(look, id, expected ? AGENT_RESULT_FAILURE : AGENT_RESULT_WARNING, REASON_STORE_STALE,
            "%s", serial);
    else if (!expected)
        add(look, id, AGENT_RESULT_NOT_APPLICABLE, REASON_NONE, "%s", "none is wanted now");
    else if (!look->item->listed)
        add(look, id, AGENT_RESULT_NOT_APPLICABLE, REASON_NONE, "%s", "no browser reads it");
    else
        add(look, id,
            agent_record_has_current(&look->checks->work->record) ? AGENT_RESULT_FAILURE
                                                                  : AGENT_RESULT_WARNING,
            REASON_NO_CERTIFICATE, "%s", "");
}

static void check_key(const struct look *look) {
    if (!look->shown)
        add(look, AGENT_CHECK_STORE_KEY, AGENT_RESULT_NOT_APPLICABLE, REASON_NO_CERTIFICATE, "%s",
            "");
    else if (look->shown->verified)
        add(look, AGENT_CHECK_STORE_KEY, AGENT_RESULT_OK, REASON_NONE, "%s", "");
    else
        add(look, AGENT_CHECK_STORE_KEY, AGENT_RESULT_FAILURE, REASON_STORE_KEY, "%s", "");
}

static void check_single(const struct look *look) {
    const enum agent_check_id id = AGENT_CHECK_STORE_SINGLE;
    struct store_counts counts = {0};
    enum reason reason = REASON_STORE_ERROR;

    if (look->item->ops->count(look->item->store, look->checks->ours, &counts, &reason) < 0)
        add(look, id, AGENT_RESULT_NOT_APPLICABLE, reason, "%s", "");
    else if (counts.certificates == 0 && counts.keys == 0)
        add(look, id, AGENT_RESULT_NOT_APPLICABLE, REASON_NO_CERTIFICATE, "%s", "");
    else if (counts.certificates <= 1 && counts.keys <= 1 && counts.orphans == 0)
        add(look, id, AGENT_RESULT_OK, REASON_NONE, "%s", "");
    else
        add(look, id, AGENT_RESULT_WARNING, REASON_STORE_DOUBLE,
            "certificates: %zu, keys: %zu, keys without certificate: %zu", counts.certificates,
            counts.keys, counts.orphans);
}

static void check_expiry(const struct look *look) {
    const enum agent_check_id id = AGENT_CHECK_STORE_EXPIRY;
    int64_t now = clock_wall_s(look->checks->work->clock);
    int64_t not_before = 0, not_after = 0;
    char text[TIME_SIZE];

    if (!look->shown) {
        add(look, id, AGENT_RESULT_NOT_APPLICABLE, REASON_NO_CERTIFICATE, "%s", "");
        return;
    }
    (void)x509_not_before(look->shown->leaf, &not_before);
    (void)x509_not_after(look->shown->leaf, &not_after);
    if (now >= not_after)
        add(look, id, AGENT_RESULT_FAILURE, REASON_EXPIRED, "%s", time_text(not_after, text));
    else if (now < not_before)
        add(look, id, AGENT_RESULT_FAILURE, REASON_NOT_YET_VALID, "valid from %s",
            time_text(not_before, text));
    else if (
        now - not_before >= (not_after - not_before) / EXPIRING_DENOMINATOR * EXPIRING_NUMERATOR)
        add(look, id, AGENT_RESULT_WARNING, REASON_RENEWAL_OVERDUE, "%s",
            time_text(not_after, text));
    else
        add(look, id, AGENT_RESULT_OK, REASON_NONE, "%s", time_text(not_after, text));
}

/* ---- a store that is not ---- */

/* Nothing can be said of what is in it; why not stands beside each. */
static void check_unusable(const struct look *look, enum reason reason) {
    add(look, AGENT_CHECK_STORE, AGENT_RESULT_FAILURE, reason, "%s", "");
    for (enum agent_check_id id = AGENT_CHECK_STORE_CERTIFICATE; id <= AGENT_CHECK_STORE_EXPIRY;
         id++)
        add(look, id, AGENT_RESULT_NOT_APPLICABLE, reason, "%s", "");
}

static void check_missing(const struct look *look) {
    enum reason reason = REASON_STORE_MISSING;

    if (look->item->listed && look->item->current && agent_checks_expect_one(look->checks))
        check_unusable(look, REASON_STORE_MISSING);
    else if (
        look->item->listed &&
        store_precheck(&look->item->location, &look->checks->work->dirs, &reason) < 0)
        check_unusable(look, reason);
    else
        add(look, AGENT_CHECK_STORE, AGENT_RESULT_NOT_APPLICABLE, REASON_NONE, "%s",
            look->item->listed ? "not there yet" : "not there any more");
}

/* ---- all ---- */

static void look_at(struct agent_checks *checks, size_t index) {
    CLEANUP_STORE_CERTIFICATES struct store_certificates found = {0};
    struct store_set *set = &checks->work->set;
    const struct store_set_item *item = &set->items[index];
    struct look look = {
        .checks = checks, .item = item, .path = item->location.path, .found = &found};
    bool open = store_set_open_one(set, index, false);

    if (open)
        open = store_set_find_one(set, index, checks->ours, &found) >= 0;
    choose(&look);
    checks->good[index] = look.current && look.current->verified;
    if (inspection_order(checks->inspection)->full) {
        if (open) {
            check_store(&look);
            check_certificate(&look);
            check_key(&look);
            check_single(&look);
            check_expiry(&look);
        } else if (item->reason == REASON_STORE_MISSING) {
            check_missing(&look);
        } else {
            check_unusable(&look, item->reason);
        }
    }
    /* last: until now the store counts as busy */
    inspection_store_done(checks->inspection, index, item->reason, &found);
}

void agent_checks_run(
    struct agent_work *work, const struct ours *ours, struct inspection *inspection) {
    struct agent_checks checks = {.work = work, .ours = ours, .inspection = inspection};
    bool full = inspection_order(inspection)->full;

    inspection_expect(inspection, &work->set);
    if (full)
        home_checks_run(&checks);
    for (size_t i = 0; i < work->set.count && inspection_is_open(inspection); i++)
        look_at(&checks, i);
    if (full && inspection_is_open(inspection))
        browser_checks_run(&checks);
}
