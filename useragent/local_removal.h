/* Removal for the end of an installation, which needs no daemon: what this user's record names goes
 * from every store, then the record. Runs once, on the calling thread; nothing else of the agent
 * runs. */
#pragma once

#include "common/clock.h"
#include "common/random.h"
#include "common/reason.h"
#include "useragent/agent_message.h"

/** Removes and looks again. Without a record, devtrustd is asked what is ours (`socket_path`). The
 * caller holds the agent's lock. Returns 0 and *ret_report (outcome removed): nothing of ours is
 * left; otherwise a negative errno with *ret_reason: -ENOENT (the home is not there, or holds
 * neither a record nor any store, as one that is not mounted or decrypted; or a store holds
 * something that no record explains, and devtrustd does not say what is ours), -EPROTO (a newer
 * version's record), -EBADMSG (a broken one), -EBUSY (a store could not be swept: it is logged, and
 * stays on record), or what reading gave. */
int local_removal_run(
    const char *socket_path, const struct user_dirs *dirs, const struct clock_source *clock,
    const struct random_source *random, struct agent_report *ret_report, enum reason *ret_reason);

/** Reports it to devtrustd, who takes the browsers' policy away when the last user is done. Returns
 * 0, or a negative errno as varlink_stream_open() and _receive(); -EPROTO where the daemon does not
 * take it. */
int local_removal_tell(const char *socket_path, const struct agent_report *report);
