/* How long the records remember what is over: certificates that have expired, and tokens. The audit
 * log and the tombstones of devices stay. */
#pragma once

#include "server/db.h"

#include <stdint.h>

#define RETENTION_BATCH 1000 /* rows of a table that one pass takes */

/** Forgets users' certificates that expired `keep_s` ago or longer, revoked ones too: no relying
 * party and no CRL asks for them any more. Of a device the newest certificate stays, and the one
 * that it has used last (the newest may have got lost on its way): with them an expired device
 * renews itself, and a removed one learns that it is. Its older ones go in the same way. Tokens go
 * `keep_s` after they expired. Writer's side. Returns how many rows went, RETENTION_BATCH of a
 * table at most, or a negative errno. */
int retention_forget(struct db *db, int64_t now_s, int64_t keep_s);
