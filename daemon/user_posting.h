/* The way of one user's signing request to the server and back: posted while the user is in state
 * signing, once at a time, the same again until it is answered. */
#pragma once

#include "daemon/user.h"

/** Posts if the user's state asks for it and nothing is on its way; cancels what its state does not
 * ask for any more. Idempotent. */
void user_posting_keep(struct user *user);

/** The wall-clock second from which on the server link may be asked again; INT64_MAX: never. */
int64_t user_posting_possible_at(const struct user *user);

/** Cancels what is on its way, without an answer. */
void user_posting_cancel(struct user *user);
