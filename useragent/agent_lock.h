/* One agent per user: a lock file in the runtime directory, or in the state directory where there
 * is none. The kernel releases it when the process ends, however it ends. */
#pragma once

#include "useragent/user_dirs.h"

/** Takes the lock. Returns a descriptor for agent_lock_release(), -EWOULDBLOCK (another agent of
 * this user runs), or another negative errno. */
int agent_lock_take(const struct user_dirs *dirs);

/** Removes the lock file, its directory if that is ours and empty now, and closes the descriptor.
 */
void agent_lock_release(const struct user_dirs *dirs, int fd);
