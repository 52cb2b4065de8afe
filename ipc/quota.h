/* What each uid uses of what all users share, so that none of them can take it all. */
#pragma once

#include "ipc/rate_bucket.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#define QUOTA_REMEMBERED 64 /* accounts that are kept when nothing is open any more */

struct varlink_connection;

struct quota_account {
    TAILQ_ENTRY(quota_account) all;
    uid_t uid;
    unsigned connections;
    unsigned outstanding; /* calls not yet answered, of all its connections */
    unsigned streams;     /* open ones */
    size_t bytes;         /* kept of what came, and not yet read by the peers */
    struct rate_bucket messages, connects;
    uint64_t refused; /* connections and messages */
    uint64_t delayed; /* how often it had to wait for a limit */
    /* varlink_turn.c */
    TAILQ_ENTRY(quota_account) ring;
    TAILQ_HEAD(, varlink_connection) waiting; /* its connections that have something to do */
    bool in_ring;
    uint64_t paused_until; /* a deadline of the server: its messages wait for tokens */
};

/* Begin with quota_init(); release with quota_deinit(). */
struct quota {
    unsigned per_uid; /* > 0 */
    unsigned total;   /* > 0; the last per_uid of them are kept for root, where total allows it */
    unsigned used;
    unsigned remembered; /* accounts without a connection */
    TAILQ_HEAD(quota_accounts, quota_account)
    accounts; /* those without a connection last, the oldest first */
};

/** Limits in connections. */
void quota_init(struct quota *quota, unsigned per_uid, unsigned total);

/** The account of `uid`, made where there is none; it stays where it is until quota_release()
 * forgets it. NULL: memory is out. */
struct quota_account *quota_account(struct quota *quota, uid_t uid);

/** Takes one connection; `stranger`: those together may have no more than half of the total.
 * Returns 0, -EDQUOT (this uid has its share), -EUSERS (the total is used up). */
int quota_take(struct quota *quota, struct quota_account *account, bool stranger);

/** Gives one back that quota_take() gave. The account may be forgotten. */
void quota_release(struct quota *quota, struct quota_account *account);

void quota_deinit(struct quota *quota);
