/* Counts connections per uid, so that no user can take what all users share. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct quota_entry {
    uid_t uid;
    unsigned count; /* > 0 */
};

/* Release with quota_deinit(); safe on a zeroed one. */
struct quota {
    unsigned per_uid; /* > 0 */
    unsigned total;   /* > 0; the last per_uid of them are kept for root, where total allows it */
    unsigned used;
    struct quota_entry *entries;
    size_t entry_count, entry_capacity;
};

/** Takes one for `uid`. Returns 0, -EDQUOT (this uid has its share), -EUSERS (the total is used
 * up), -ENOMEM. */
int quota_take(struct quota *quota, uid_t uid);

/** Gives one back that quota_take() gave. */
void quota_release(struct quota *quota, uid_t uid);

/** How many `uid` holds. */
unsigned quota_used(const struct quota *quota, uid_t uid);

void quota_deinit(struct quota *quota);
