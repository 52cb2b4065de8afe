/* What a user's agent, the user and root ask of a managed user: submit a request, report, renew. */
#pragma once

#include "daemon/user.h"

/** An agent's CSR for the open request. `done` runs once, from inside this call or later, unless
 * user_submit_forget() comes first. A Submit that waits already is answered with a retry. */
void user_submit(
    struct user *user, const char *request_id, const char *csr, user_submitted done,
    void *userdata);

/** The caller of a waiting Submit has gone. */
void user_submit_forget(struct user *user, void *userdata);

enum user_outcome { OUTCOME_INSTALLED, OUTCOME_FAILED, OUTCOME_REMOVED };

struct user_report {
    enum user_outcome outcome;
    const char *request_id; /* NULL: none */
    const char *serial;     /* NULL: none; lower-case hex */
    int64_t not_after, renew_at;
    const char *code;           /* NULL: none */
    struct json_object *stores; /* array of StoreResult; borrowed */
};

/** Takes a report and queues it for the server. Returns 1 (taken, or known already); 0 (stale:
 * about nothing that is known); -EBUSY (past USER_REPEATS_PER_HOUR of those that change nothing but
 * what is known of stores) or another negative errno (could not be stored): to be sent again. */
int user_report(struct user *user, const struct user_report *report);

/** Makes a request. Returns 1 and its id in *ret_id (borrowed; the open one's if there is one); 0
 * with *ret_answer (TOO_SOON or REFUSED); a negative errno. */
int user_renew(
    struct user *user, enum request_reason reason, const char **ret_id,
    struct user_answer *ret_answer);
