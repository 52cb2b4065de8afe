/* What this user's agent can see of the user's certificate stores, browsers and home: looked at
 * now, nothing assumed. Blocks: worker only; changes nothing. */
#pragma once

#include "useragent/agent_work.h"

/** Looks at every store, which is all that an inspection asks for; with `full` at the rest too.
 * Stops early when nobody waits any more. */
void agent_checks_run(
    struct agent_work *work, const struct ours *ours, struct inspection *inspection);
