/* Turns what a user's agent says of stores and browsers into checks: the agent names what it looked
 * at and a code, the words are the daemon's. What it says is a user's word: bounded, escaped, and
 * no reason to believe anything of another. */
#pragma once

#include "daemon/checks.h"

/** `answer`: array of io.devtrust.Agent's AgentCheck. Returns 0, or -EINVAL where an element is not
 * of that shape. */
int agent_answers_validate(struct json_object *answer);

/** Whether the agent could look into every store that there is: a locked one may well hold what
 * seems to be missing. NULL (an agent that does not say): false. */
bool agent_answers_knows_stores(struct json_object *answer);

/** Adds them as checks of `user`. */
void agent_answers_add(struct json_object *answer, const char *user, struct checks *checks);
