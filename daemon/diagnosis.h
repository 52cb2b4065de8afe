/* One look at everything: the device, its server, its browsers, and users with their agents. What
 * has to be asked is asked at once; what did not answer in time is a failure, never left out. */
#pragma once

#include "daemon/daemon.h"

struct diagnosis;

/** Every answer comes within it: of the probe and the inspections, whose deadlines are shorter. */
#define DIAGNOSIS_DEADLINE_MS 30000

struct diagnosis_whom {
    struct user *const *users; /* borrowed for the call only */
    size_t count;
    int64_t own_uid;  /* who asks */
    bool is_stranger; /* and is not managed */
};

/** `checks`: array of io.devtrust.Device's Check, owned by the callee; NULL: memory ran out. The
 * diagnosis is gone. Not from inside diagnosis_begin(). */
typedef void (*diagnosis_done)(struct json_object *checks, void *userdata);

/** Begins to ask. Returns 0 or a negative errno. */
int diagnosis_begin(
    struct daemon *daemon, const struct diagnosis_whom *whom, diagnosis_done done, void *userdata,
    struct diagnosis **ret);

/** To be called once after diagnosis_begin(): tells at once where nobody is waited for. */
void diagnosis_settle(struct diagnosis *diagnosis);

/** Forgets it without its callback. */
void diagnosis_cancel(struct diagnosis *diagnosis);
