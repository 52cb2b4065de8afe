/* One agent per user: a lock file in the runtime directory, or in the state directory where there
 * is none. The kernel releases it when the process ends, however it ends. */
#pragma once

#include "useragent/user_dirs.h"

/** Takes the lock. Returns a descriptor to keep open (close() releases), -EWOULDBLOCK (another
 * agent of this user runs), or another negative errno. */
int agent_lock_take(const struct user_dirs *dirs);
