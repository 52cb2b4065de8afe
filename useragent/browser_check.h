/* Whether a browser of this user is running: if so, an import waits until the browser has read its
 * policy. Looked at only when a request has arrived. */
#pragma once

#include <stdbool.h>

/** Looks for a Chromium-family process of this process's uid. When in doubt (no /proc): true, which
 * only costs the wait. */
bool browser_check_running(void);

/** Whether an executable (its path, or the last part of it) is one of them. */
bool browser_check_name(const char *name);
