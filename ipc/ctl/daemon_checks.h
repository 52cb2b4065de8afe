/* What can be said of devtrustd from outside: what is on its socket, and where nobody answers, why.
 */
#pragma once

#include "ipc/ctl/findings.h"

/* The socket and what is around it, as it is found. */
struct socket_facts {
    const char *path, *directory;
    int directory_error; /* 0 or a negative errno, as all errors here */
    bool directory_is_link;
    mode_t directory_mode;
    uid_t directory_owner;
    int socket_error;
    mode_t socket_mode;
    int error; /* of the attempt to speak with it; 0: it answers */
    bool has_peer;
    uid_t peer;  /* who listens */
    int process; /* pid of a devtrustd of root's; 0: none is seen */
};

/** What the facts mean. `daemon_uid`: who must listen. Returns NONE where all is well. */
enum reason daemon_checks_judge(
    const struct socket_facts *facts, uid_t daemon_uid, char *ret_text, size_t size);

/** Adds the check `daemon` for an attempt that ended with `error`; sets the exit status. Returns 0
 * or -ENOMEM. */
int daemon_checks_failed(struct ctl *ctl, int error, struct findings *findings);

/** Adds the checks `daemon` and `versions` of a daemon that answers as `version`. Returns 0 or
 * -ENOMEM. */
int daemon_checks_answered(struct ctl *ctl, const char *version, struct findings *findings);
