/* Does to every store what a job does to one, and keeps the outcomes apart. */
#include "useragent/store_set.h"

#include "common/log.h"
#include "common/log_messages.h"

#include <string.h>

static void close_item(struct store_set_item *item) {
    if (item->store)
        item->ops->close(item->store);
    item->store = NULL;
}

void store_set_close(struct store_set *set) {
    for (size_t i = 0; i < set->count; i++)
        close_item(&set->items[i]);
    store_unload();
}

bool store_set_is_open(const struct store_set *set) {
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].store)
            return true;
    return false;
}

static struct store_set_item *find_item(
    struct store_set *set, const struct store_location *location) {
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].location.kind == location->kind &&
            strcmp(set->items[i].location.path, location->path) == 0)
            return &set->items[i];
    return NULL;
}

static struct store_set_item *add_item(
    struct store_set *set, const struct store_location *location) {
    const struct store_ops *ops = store_ops_of(location->kind);
    struct store_set_item *item;

    if (!ops || set->count == STORE_MAX)
        return NULL;
    item = &set->items[set->count++];
    *item = (struct store_set_item){.location = *location, .ops = ops};
    return item;
}

void store_set_list(
    struct store_set *set, const struct user_dirs *dirs, const struct agent_record *record) {
    struct store_location locations[STORE_MAX];
    size_t count;

    for (size_t i = 0; i < set->count; i++)
        close_item(&set->items[i]);
    set->count = 0;
    /* those that hold something of ours have a place, whatever else there is: it must go one day */
    for (size_t i = 0; i < record->store_count; i++) {
        const struct agent_record_store *known = &record->stores[i];
        struct store_set_item *item = add_item(set, &known->location);

        if (!item)
            continue;
        item->recorded = true;
        item->current = known->verified;
        item->issuer_found = known->issuer_found;
        item->present_since = known->present_since;
    }
    store_list(dirs, locations, &count);
    for (size_t i = 0; i < count; i++) {
        struct store_set_item *item = find_item(set, &locations[i]);

        if (!item)
            item = add_item(set, &locations[i]);
        if (item)
            item->listed = true;
    }
}

static void note_failure(const struct store_set_item *item) {
    log_event(
        LOG_LEVEL_WARNING, MSG_STORE_FAILED, reason_text(item->reason),
        LOG_TEXT("PATH", item->location.path), LOG_TEXT("CODE", reason_code(item->reason)),
        LOG_TEXT("REMEDY", reason_remedy(item->reason)));
}

size_t store_set_precheck(struct store_set *set, const struct user_dirs *dirs) {
    size_t usable = 0;

    for (size_t i = 0; i < set->count; i++) {
        struct store_set_item *item = &set->items[i];

        item->reason = REASON_NONE;
        if (!item->listed)
            continue;
        if (store_precheck(&item->location, dirs, &item->reason) >= 0)
            usable++;
        else
            note_failure(item);
    }
    return usable;
}

bool store_set_open_one(struct store_set *set, size_t index, bool create) {
    struct store_set_item *item = &set->items[index];

    if (!item->store) {
        item->reason = REASON_NONE;
        if (item->ops->open(&item->location, create && item->listed, &item->store, &item->reason) <
                0 &&
            item->reason != REASON_STORE_MISSING)
            note_failure(item);
    }
    return item->store != NULL;
}

size_t store_set_open(struct store_set *set, bool create) {
    size_t open = 0;

    for (size_t i = 0; i < set->count; i++)
        open += store_set_open_one(set, i, create);
    return open;
}

static void install_one(
    struct store_set_item *item, const struct store_material *material, const struct ours *ours,
    const uint8_t spki[SHA256_SIZE], bool issuer_known) {
    enum reason ignored = REASON_NONE;
    bool found = false;
    int r;

    r = item->ops->install(item->store, material, &found, &item->reason);
    if (r >= 0 && !(issuer_known && item->recorded))
        item->issuer_found = found;
    if (r >= 0)
        r = item->ops->verify(item->store, material->leaf, &item->reason);
    if (r >= 0) {
        item->verified = true;
        return;
    }
    note_failure(item);
    (void)item->ops->discard(item->store, ours, spki, item->issuer_found, &ignored);
}

size_t store_set_install(
    struct store_set *set, const struct store_material *material, const struct ours *ours,
    const uint8_t spki[SHA256_SIZE], bool issuer_known) {
    size_t verified = 0;

    for (size_t i = 0; i < set->count; i++) {
        struct store_set_item *item = &set->items[i];

        item->verified = false;
        if (!item->store)
            continue;
        install_one(item, material, ours, spki, issuer_known);
        if (item->verified)
            verified++;
    }
    return verified;
}

void store_set_discard(
    struct store_set *set, const struct ours *ours, const uint8_t spki[SHA256_SIZE]) {
    for (size_t i = 0; i < set->count; i++) {
        struct store_set_item *item = &set->items[i];

        item->verified = false;
        if (item->store &&
            item->ops->discard(item->store, ours, spki, item->issuer_found, &item->reason) < 0)
            note_failure(item);
    }
}

bool store_set_sweep(struct store_set *set, const struct ours *ours, const uint8_t *keep) {
    bool clean = true;

    for (size_t i = 0; i < set->count; i++) {
        struct store_set_item *item = &set->items[i];

        item->swept = false;
        if (!item->store || (keep && !item->verified)) {
            /* what may still hold something of ours is not clean */
            clean = clean && (!item->recorded || item->reason == REASON_STORE_MISSING);
            continue;
        }
        item->swept =
            item->ops->sweep(item->store, ours, keep, item->issuer_found, &item->reason) >= 0;
        if (!item->swept) {
            note_failure(item);
            clean = false;
        }
    }
    return clean;
}

int store_set_find_one(
    struct store_set *set, size_t index, const struct ours *ours,
    struct store_certificates *ret_found) {
    struct store_set_item *item = &set->items[index];
    int r = item->ops->list(item->store, ours, ret_found, &item->reason);

    if (r < 0)
        note_failure(item);
    return r;
}

void store_set_find(
    struct store_set *set, const struct ours *ours, struct store_certificates *ret_found) {
    for (size_t i = 0; i < STORE_MAX; i++)
        ret_found[i] = (struct store_certificates){0};
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].store)
            (void)store_set_find_one(set, i, ours, &ret_found[i]);
}

void store_set_release(struct store_certificates *found) {
    for (size_t i = 0; i < STORE_MAX; i++)
        store_certificates_deinit(&found[i]);
}

void store_set_results(const struct store_set *set, struct agent_store_results *ret) {
    ret->count = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct store_set_item *item = &set->items[i];

        ret->items[ret->count++] =
            (struct agent_store_result){.location = item->location, .reason = item->reason};
    }
}
