/* A short list: a device has tens of users at most, and it is looked at once per connection. An
 * account outlives its connections, or who comes back would begin with fresh limits. */
#include "ipc/quota.h"

#include <errno.h>
#include <stdlib.h>

void quota_init(struct quota *quota, unsigned per_uid, unsigned total) {
    *quota = (struct quota){.per_uid = per_uid, .total = total};
    TAILQ_INIT(&quota->accounts);
}

static void quota_forget(struct quota *quota, struct quota_account *account) {
    TAILQ_REMOVE(&quota->accounts, account, all);
    quota->remembered--;
    free(account);
}

/* Behind the others, as the youngest of those that nobody uses. */
static void quota_remember(struct quota *quota, struct quota_account *account) {
    TAILQ_INSERT_TAIL(&quota->accounts, account, all);
    if (++quota->remembered <= QUOTA_REMEMBERED)
        return;
    struct quota_account *oldest = account, *before;
    while ((before = TAILQ_PREV(oldest, quota_accounts, all)) && before->connections == 0)
        oldest = before;
    quota_forget(quota, oldest);
}

struct quota_account *quota_account(struct quota *quota, uid_t uid) {
    struct quota_account *account;
    TAILQ_FOREACH(account, &quota->accounts, all)
    if (account->uid == uid)
        return account;
    account = calloc(1, sizeof *account);
    if (!account)
        return NULL;
    account->uid = uid;
    TAILQ_INIT(&account->waiting);
    quota_remember(quota, account);
    return account;
}

/* root must be able to look at a machine whose users have taken everything they may; and who has
 * many uids at his disposal (/etc/subuid) must not shut out those that the machine is for */
static unsigned quota_total(const struct quota *quota, uid_t uid, bool stranger) {
    if (uid == 0 || quota->total <= quota->per_uid)
        return quota->total;
    return stranger ? quota->total / 2 : quota->total - quota->per_uid;
}

int quota_take(struct quota *quota, struct quota_account *account, bool stranger) {
    if (account->connections >= quota->per_uid)
        return -EDQUOT;
    if (quota->used >= quota_total(quota, account->uid, stranger))
        return -EUSERS;
    if (account->connections++ == 0) {
        TAILQ_REMOVE(&quota->accounts, account, all);
        TAILQ_INSERT_HEAD(&quota->accounts, account, all);
        quota->remembered--;
    }
    quota->used++;
    return 0;
}

void quota_release(struct quota *quota, struct quota_account *account) {
    quota->used--;
    if (--account->connections > 0)
        return;
    TAILQ_REMOVE(&quota->accounts, account, all);
    quota_remember(quota, account);
}

void quota_deinit(struct quota *quota) {
    struct quota_account *account;
    while ((account = TAILQ_FIRST(&quota->accounts))) {
        TAILQ_REMOVE(&quota->accounts, account, all);
        free(account);
    }
    quota->used = quota->remembered = 0;
}
