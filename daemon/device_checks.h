/* What Diagnose finds on the machine's own disks: free space, owners and modes of what is ours. */
#pragma once

#include "daemon/checks.h"
#include "daemon/daemon_config.h"
#include "daemon/policy.h"

#include <stdbool.h>
#include <sys/types.h>

/** `owner`: who must own it all (0). `is_enrolled`: so there must be a key. */
void device_checks_permissions(
    const struct daemon_config *config, const struct policy *policy, uid_t owner, bool is_enrolled,
    struct checks *checks);

/** Each file system that we write to, once. */
void device_checks_disk(
    const struct daemon_config *config, const struct policy *policy, struct checks *checks);

/** Takes the state directory and the key away from others. Only what belongs to `owner` already.
 * Returns the number of modes that were changed. */
unsigned device_checks_close(const struct daemon_config *config, uid_t owner);
