/* Judges a managed user for Diagnose: user (state and reason) and agent (attached, of the same
 * version, answering). Facts in, checks out. */
#pragma once

#include "daemon/checks.h"
#include "daemon/inspections.h"
#include "daemon/logins.h"

/* A renewal is overdue when it has been due for this part of the time that is left for it. */
#define USER_CHECKS_OVERDUE_PART 10

struct user_facts {
    const char *name;
    bool is_own; /* the user himself asks, so he is here and his agent should be */
    enum user_state state;
    enum reason reason;                    /* as in the status */
    bool is_held;                          /* this user, by local root */
    const char *serial;                    /* of what is installed; "": nothing */
    int64_t now, not_after, renew_at, due; /* seconds since 1970; 0: none */
    enum login login;                      /* whether he is signed in */
    enum inspection_outcome outcome;
    const char *agent_version; /* NULL: no agent is attached */
    bool has_checks;           /* the agent knows them */
};

void user_checks_user(const struct user_facts *facts, struct checks *checks);
void user_checks_agent(const struct user_facts *facts, struct checks *checks);

/** Somebody who is not managed here. `device_reason`: why nobody is; NONE: others are. */
void user_checks_stranger(const char *name, enum reason device_reason, struct checks *checks);
