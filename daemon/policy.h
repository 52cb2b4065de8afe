/* The machine-wide browser policy: there exactly while a managed user needs it, merged with the
 * administrator's own, re-derived whenever a directory changes, removed without a trace. Works on
 * the loop's thread: two small writes a change. */
#pragma once

#include "daemon/daemon_config.h"
#include "daemon/firefox_policy.h"
#include "daemon/policy_merge.h"

#include "common/clock.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* A running browser takes a changed policy up within 5–9 s (measured). */
#define POLICY_SETTLE_S 10

struct policy;

struct policy_options {
    uv_loop_t *loop;
    const struct clock_source *clock;
    int state_dir_fd; /* borrowed */
    enum policy_owner owner;
    char *const *directories;      /* NULL: the known families */
    char *const *allowed_patterns; /* NULL: none */
    bool firefox_auto_select;
    char *const *firefox_directories; /* NULL: the known families' */
    uid_t directory_owner;            /* 0; tests run as somebody else */
    void (*changed)(void *userdata);
    void *userdata;
};

/** Reads the record; touches no directory yet. Everything pointed to outlives the policy. Returns 0
 * or a negative errno (-EPROTO: a newer version wrote the record). */
int policy_new(const struct policy_options *options, struct policy **ret);

/** Ends the watches; freed when the loop has closed them. What is installed stays. */
void policy_close(struct policy *policy);

/** Rules are needed: writes them wherever they are not yet. `home`: host of the enrolment URL,
 * decides which patterns are allowed. Returns 0 or -ENOMEM; what went wrong in a directory is in
 * the status. */
int policy_want(
    struct policy *policy, const char *issuer_cn, const char *home, char *const *patterns,
    size_t count);

/** What is recorded is still needed (at start, or while the server's state says nothing). */
int policy_keep(struct policy *policy);

/** Nobody needs rules: removes exactly what was written. */
void policy_release(struct policy *policy);

/** Firefox's part, which does nothing without root's opt-in: it must stand before a Firefox starts,
 * so it is wanted as long as the device is enrolled, whether or not a user is managed now. */
void policy_want_firefox(struct policy *policy);
void policy_release_firefox(struct policy *policy);

/** Since when Firefox's policy stands, the youngest file's; 0: it does not. A Firefox that was
 * started before asks which certificate to present. */
int64_t policy_firefox_since(const struct policy *policy);

/** Whether a certificate may be asked for: the rules stand in one Chromium directory at least, or
 * none are wanted, or another tool owns the policy. *ret_since: the youngest directory's; 0: none.
 * Firefox's file has no say: a running Firefox does not look at it. */
bool policy_ready(const struct policy *policy, int64_t *ret_since);

/** One place as it is on disk at this moment. Borrowed strings. */
struct policy_place_facts {
    const char *path;
    bool is_wanted;   /* a managed user needs the rules; else only `error` is set below */
    bool is_made;     /* made where absent; others are used only where they exist */
    bool is_external; /* another tool owns the policy */
    size_t rules;
    int64_t since;       /* the rules stand there since; 0: they do not */
    const char *refused; /* a pattern that was left out, escaped; "": none */
    int error;           /* of the directory: negative errno, -EPERM: not root's alone; else >= 0 */
    int own_error;       /* of our file: 0 or a negative errno */
    bool own_is_json, own_is_same; /* as it should be written now */
    bool own_is_readable;          /* by every user's browser */
    bool others_have_rules;
    char broken_file[128], conflict_file[128]; /* as in struct policy_merge */
};

/** Returns 0, or -ENOENT past the last place. */
int policy_examine(const struct policy *policy, size_t index, struct policy_place_facts *ret);

/** The same of Firefox's policy, and whether root has opted in to it. */
int policy_examine_firefox(
    const struct policy *policy, size_t index, struct firefox_place_facts *ret);
bool policy_has_firefox(const struct policy *policy);

/** Looks at the directories and writes what is not as it should be (as after a change that nobody
 * told of). Returns whether anything was written or removed. */
bool policy_repair(struct policy *policy);

/** The member `policies` of GetStatus. NULL when memory is out. */
struct json_object *policy_status(const struct policy *policy);
