/* What the calls of io.devtrust.Device share: whom they are about, and how they fail. A user sees
 * and moves his own affairs, root everybody's. */
#pragma once

#include "daemon/daemon.h"

#include "common/reason.h"

struct device_call_whom {
    const char *user; /* NULL: none was named; borrowed from the call */
    bool all;
};

/** Ends the call with io.devtrust.Device.Failed. */
void device_call_fail(struct varlink_call *call, enum reason reason);

bool device_call_is_root(const struct varlink_call *call);

/** Reads `user` and `all`. Returns 0, or a negative errno after the call has been answered. */
int device_call_read_whom(struct varlink_call *call, struct device_call_whom *ret);

/** The user of that name, or the caller's (NULL). NULL after the call has been answered: who may
 * not ask is not told whether there is such a user. */
struct user *device_call_user(struct daemon *daemon, struct varlink_call *call, const char *name);

/** Every user, for root. free() the list. Returns 0, or a negative errno after the call has been
 * answered. */
int device_call_all_users(
    struct daemon *daemon, struct varlink_call *call, struct user ***ret, size_t *ret_count);
