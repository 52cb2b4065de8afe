/* A set of uids; small, so looked through. */
#include "daemon/logins.h"

static size_t find(const struct logins *logins, uint32_t uid) {
    size_t i = 0;
    while (i < logins->count && logins->uids[i] != uid)
        i++;
    return i;
}

void logins_forget(struct logins *logins) {
    logins->known = logins->overflown = false;
    logins->count = 0;
}

void logins_begin(struct logins *logins) {
    logins_forget(logins);
    logins->known = true;
}

void logins_add(struct logins *logins, uint32_t uid) {
    if (find(logins, uid) < logins->count)
        return;
    if (logins->count == LOGINS_MAX)
        logins->overflown = true;
    else
        logins->uids[logins->count++] = uid;
}

void logins_remove(struct logins *logins, uint32_t uid) {
    size_t i = find(logins, uid);
    if (i < logins->count)
        logins->uids[i] = logins->uids[--logins->count];
}

enum login logins_state(const struct logins *logins, int64_t uid) {
    if (!logins->known || uid < 0 || uid > UINT32_MAX)
        return LOGIN_UNKNOWN;
    if (find(logins, (uint32_t)uid) < logins->count)
        return LOGIN_YES;
    return logins->overflown ? LOGIN_UNKNOWN : LOGIN_NO;
}
