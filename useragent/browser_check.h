/* Whether a browser of this user is running: if so, an import waits until the browser has read its
 * policy. Looked at only when a request has arrived. */
#pragma once

#include "common/browser_family.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Looks for a Chromium-family process of this process's uid. When in doubt (no /proc): true, which
 * only costs the wait. */
bool browser_check_running(void);

/** A family of which this user runs something. */
struct browser_run {
    const struct browser_family *family;
    int64_t started_s; /* of the oldest process, seconds since 1970 by the machine's clock; 0: not
                          known */
};

#define BROWSER_RUNS_MAX 16

/** The families that run for this process's uid, of all kinds; what has ended, but has not been
 * waited for, does not run. Returns how many, or a negative errno (no /proc). */
int browser_check_list(struct browser_run ret[BROWSER_RUNS_MAX]);

/** Whether an executable (its path, or the last part of it) is one of them. */
bool browser_check_name(const char *name);
