/* Does what the remedies say, where that is safe: never takes away a credential, and nothing that
 * is well is touched. For a user his own affairs; for root everybody's, and the machine's files. */
#pragma once

#include "daemon/daemon.h"

struct repair;

/** Every answer comes within it. */
#define REPAIR_DEADLINE_MS 30000

struct repair_whom {
    struct user *const *users; /* borrowed for the call only */
    size_t count;
    bool is_root;
    bool is_stranger; /* who asks is not managed, or not yet */
    int64_t own_uid;  /* who asks */
};

/** `actions`: array of io.devtrust.Device's Action, owned by the callee; NULL: memory ran out. The
 * repair is gone. Not from inside repair_begin(). */
typedef void (*repair_done)(struct json_object *actions, void *userdata);

/** Begins. Returns 0 or a negative errno. */
int repair_begin(
    struct daemon *daemon, const struct repair_whom *whom, repair_done done, void *userdata,
    struct repair **ret);

/** To be called once after repair_begin(): tells at once where nobody is waited for. */
void repair_settle(struct repair *repair);

/** Forgets it without its callback; what has begun goes on. */
void repair_cancel(struct repair *repair);
