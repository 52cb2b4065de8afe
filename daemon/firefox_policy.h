/* Firefox's automatic choice of a certificate, on disk: one preference in the machine's one
 * policies.json, merged into what an administrator has there. Firefox chooses for every site, not
 * for the portal's alone, so nothing is done without root's opt-in; and it reads the file only when
 * it starts (tried: firefox-esr 153). Works on the loop's thread. */
#pragma once

#include "daemon/daemon_config.h"
#include "daemon/firefox_policy_text.h"

#include "common/clock.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

struct firefox_policy;

struct firefox_policy_options {
    uv_loop_t *loop;
    const struct clock_source *clock;
    int state_dir_fd; /* borrowed */
    bool enabled;     /* root's opt-in */
    enum policy_owner owner;
    char *const *directories; /* NULL: the known families' */
    uid_t directory_owner;    /* 0; tests run as somebody else */
};

/** Reads the record; without the opt-in, removes what was put there under an earlier one.
 * Everything pointed to outlives it. Returns 0 or a negative errno (-EPROTO: a newer version wrote
 * the record). */
int firefox_policy_new(const struct firefox_policy_options *options, struct firefox_policy **ret);

/** Ends the watches; freed when the loop has closed them. What is installed stays. */
void firefox_policy_close(struct firefox_policy *policy);

/** Puts the preference wherever it is not yet, and keeps it there; where a file of an
 * administrator's would be put out of effect, it gives way. What went wrong is in the status. */
void firefox_policy_want(struct firefox_policy *policy);

/** Takes out exactly what was put in. */
void firefox_policy_release(struct firefox_policy *policy);

/** Since when it stands, the youngest file's; 0: it does not. */
int64_t firefox_policy_since(const struct firefox_policy *policy);

/** One place as it is on disk at this moment. */
struct firefox_place_facts {
    const char *directory; /* borrowed */
    bool is_wanted;        /* else only `error` is set below */
    bool is_made;          /* made where absent; others are used only where they exist */
    bool is_external;      /* another tool owns the policy */
    int error; /* of directory or file: 0 or a negative errno; -EPERM: not root's alone */
    enum firefox_policy_finding finding;
    bool is_readable;   /* by every user's Firefox */
    char shadowed[160]; /* a file that ours puts, or would put, out of effect; empty: none */
};

/** Returns 0, or -ENOENT past the last place. */
int firefox_policy_examine(
    const struct firefox_policy *policy, size_t index, struct firefox_place_facts *ret);

/** Whether root has opted in. */
bool firefox_policy_is_enabled(const struct firefox_policy *policy);

/** Looks again and puts in what is not there (as after a change that nobody told of). Returns
 * whether anything was written. */
bool firefox_policy_repair(struct firefox_policy *policy);

/** Adds one object for each file to `array`, as in GetStatus. Returns 0 or -ENOMEM. */
int firefox_policy_add_status(const struct firefox_policy *policy, struct json_object *array);
