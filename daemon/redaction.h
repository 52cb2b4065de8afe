/* Parameters of a message as they may be shown: no secrets, nothing long, bounded in every
 * direction. The names and the shape stay, since they are what one debugs. */
#pragma once

#include "daemon/json_text.h"

#define REDACTION_STRING_MAX 64   /* bytes; of a longer one the first 32, and how long it is */
#define REDACTION_ELEMENTS_MAX 16 /* of an array */
#define REDACTION_MEMBERS_MAX 32  /* of an object */
#define REDACTION_DEPTH_MAX 4     /* the parameters themselves are 1 */
#define REDACTION_SIZE_MAX 4096   /* bytes; what comes behind is only counted */
#define REDACTED "[redacted]"

/** Writes `value` as a JSON value: strings past the limit as their beginning and "… (N bytes)";
 * members named by `secrets` (ends with NULL; NULL: none) at any depth as "[redacted]"; what is
 * left out at an object's or array's end as "… (N more)"; what is too deep as "{…}" or "[…]".
 * Takes at most REDACTION_SIZE_MAX + 1 KiB of room. */
void redaction_write(struct json_text *text, struct json_object *value, const char *const *secrets);

/** One string by the same rule; also for names that a peer has chosen. */
void redaction_write_string(struct json_text *text, const char *value, size_t length);
