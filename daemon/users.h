/* All managed users of this device: brings the desired state and the stored records together, looks
 * accounts up, keeps one timer for everything that is due. */
#pragma once

#include "daemon/user.h"

#define USERS_MAX USER_STORE_MAX /* each may have a file */
#define USERS_SERVER_BACK_JITTER_S 3

struct users;

struct users_options {
    uv_loop_t *loop;
    struct user_services services; /* settled is filled in here */
    const struct user_database *database;
    int64_t min_uid;
    uint64_t lookup_deadline_ms;
    /** Whether any user needs the browser policy. Called after every change; idempotent. */
    void (*policy_needed)(bool needed, void *userdata);
    void *userdata;
};

/** Loads the records; looks nobody up yet. Returns 0 or a negative errno. */
int users_new(const struct users_options *options, struct users **ret);

/** Frees all users; the handles close on the loop. */
void users_close(struct users *users);

/** What the server says now (copied). NULL: nothing is known, nothing is
 * touched. */
void users_set_state(struct users *users, const struct desired_state *state);

/** Local root holds the whole device. */
void users_set_held(struct users *users, bool held);

/** An agent of this uid attached or went. */
void users_agent_attached(struct users *users, int64_t uid);
void users_agent_detached(struct users *users, int64_t uid);

/** Somebody has signed in or out (uid negative: anybody): whose account that is, and those of whom
 * nothing good is known, are looked up again. */
void users_login_changed(struct users *users, int64_t uid);

/** The machine's accounts may have changed: all are looked up again. */
void users_accounts_changed(struct users *users);

/** Looks at every user: the clock was set, the policy stands now. */
void users_advance(struct users *users);

/** The server can be reached again: what failed for want of it is tried soon, with a little jitter.
 */
void users_server_back(struct users *users);

/** Whether the server can be reached has changed: agents may have to be told. */
void users_reach_changed(struct users *users);

/** What a settled change leads to: runs by itself on the loop; tests call it. */
void users_settle(struct users *users);

/** The user for whom an agent of this uid acts; NULL: none. A removal comes before anything new. */
struct user *users_find_by_uid(struct users *users, int64_t uid);

/** By local name, among those that are listed or not yet gone; NULL: none. */
struct user *users_find_by_name(struct users *users, const char *name);

size_t users_count(const struct users *users);
struct user *users_get(const struct users *users, size_t index);

/** The wall-clock second of the next due work; INT64_MAX: none. */
int64_t users_next_due(const struct users *users);
