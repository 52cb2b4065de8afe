/* The agent's record as the fields of a JSON object, without the frame of the file. */
#pragma once

#include "useragent/agent_record.h"

#include <json-c/json_object.h>

/** Fills an empty record. Returns 0 or a negative errno; what was filled by then is the caller's to
 * release. */
int agent_record_from_json(struct json_object *object, struct agent_record *record);

/** Adds the record's fields to `object`. Returns 0 or -ENOMEM. */
int agent_record_to_json(const struct agent_record *record, struct json_object *object);
