/* A short array of (uid, count): a device has tens of users at most, and it is looked at once per
 * connection. */
#include "ipc/quota.h"

#include <errno.h>
#include <stdlib.h>

static struct quota_entry *quota_find(const struct quota *quota, uid_t uid) {
    for (size_t i = 0; i < quota->entry_count; i++)
        if (quota->entries[i].uid == uid)
            return &quota->entries[i];
    return NULL;
}

static struct quota_entry *quota_add(struct quota *quota, uid_t uid) {
    if (quota->entry_count == quota->entry_capacity) {
        size_t capacity = quota->entry_capacity ? quota->entry_capacity * 2 : 8;
        struct quota_entry *entries =
            reallocarray(quota->entries, capacity, sizeof(struct quota_entry));
        if (!entries)
            return NULL;
        quota->entries = entries;
        quota->entry_capacity = capacity;
    }
    struct quota_entry *entry = &quota->entries[quota->entry_count++];
    *entry = (struct quota_entry){.uid = uid};
    return entry;
}

/* root must be able to look at a machine whose users have taken everything they may */
static unsigned quota_total(const struct quota *quota, uid_t uid) {
    if (uid == 0 || quota->total <= quota->per_uid)
        return quota->total;
    return quota->total - quota->per_uid;
}

int quota_take(struct quota *quota, uid_t uid) {
    struct quota_entry *entry = quota_find(quota, uid);
    if (entry && entry->count >= quota->per_uid)
        return -EDQUOT;
    if (quota->used >= quota_total(quota, uid))
        return -EUSERS;
    if (!entry)
        entry = quota_add(quota, uid);
    if (!entry)
        return -ENOMEM;
    entry->count++;
    quota->used++;
    return 0;
}

void quota_release(struct quota *quota, uid_t uid) {
    struct quota_entry *entry = quota_find(quota, uid);
    if (!entry)
        return;
    quota->used--;
    if (--entry->count == 0)
        *entry = quota->entries[--quota->entry_count];
    if (quota->entry_count == 0)
        quota_deinit(quota);
}

unsigned quota_used(const struct quota *quota, uid_t uid) {
    const struct quota_entry *entry = quota_find(quota, uid);
    return entry ? entry->count : 0;
}

void quota_deinit(struct quota *quota) {
    free(quota->entries);
    quota->entries = NULL;
    quota->entry_count = quota->entry_capacity = 0;
}
