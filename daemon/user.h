/* One managed user of this device: its stored record, its place in the desired state, its account,
 * and the open work. Every change goes one way: events step a copy of the record (user_machine),
 * the copy is stored, and then what the new state asks for is done. */
#pragma once

#include "daemon/logins.h"
#include "daemon/server_link.h"
#include "daemon/user_lookup.h"
#include "daemon/user_record.h"
#include "daemon/user_store.h"

#include "common/clock.h"
#include "common/log_limit.h"
#include "common/random.h"

#include <openssl/x509.h>

#define USER_REPEATS_PER_HOUR 120 /* reports that end nothing: each is written to disk twice */
#define USER_SUBMIT_WAIT_S 20     /* how long an agent's Submit waits for the server's answer */

/** What the whole device is told to do now; shared by all users. */
struct user_orders {
    const struct desired_state *state; /* NULL: not known yet: nothing is touched */
    bool held;                         /* local root has removed everything */
};

/** What a user needs of the rest of the daemon, behind a table so that tests stand in. */
struct user_services {
    const struct clock_source *clock;
    const struct random_source *random;
    struct user_store *store;
    int64_t requests_per_hour;
    int64_t request_deadline_s;
    bool (*agent_attached)(int64_t uid, void *userdata);
    /** Whether this uid is signed in. */
    enum login (*login)(int64_t uid, void *userdata);
    /** The snapshot of this uid's agent may be another now. */
    void (*changed)(int64_t uid, void *userdata);
    /** Writes the policy if it does not stand; whether a certificate may be asked for. */
    bool (*policy_ready)(int64_t *ret_since, void *userdata);
    /** Since when Firefox's policy stands (root's opt-in); 0: it does not. */
    int64_t (*firefox_since)(void *userdata);
    int (*sign)(
        const uint8_t *csr, size_t size, server_link_signed done, void *done_userdata,
        void *userdata);
    void (*sign_cancel)(void *done_userdata, void *userdata);
    int (*report)(struct json_object *report, void *userdata);
    /** The pinned chain and the device; false when not enrolled. Borrowed. */
    bool (*trust)(X509 **ret_root, X509 **ret_issuer, const char **ret_device_uuid, void *userdata);
    /** Since when (seconds since 1970) the server has not been reached; 0: it is, or none is known.
     */
    int64_t (*unreachable_since)(void *userdata);
    /** Whether this machine's clock agrees with the server's. */
    bool (*clock_agrees)(void *userdata);
    /** A user's state or work has changed by itself: timers and others may follow. Set by users.c.
     */
    void (*settled)(void *settled_userdata);
    void *settled_userdata;
    void *userdata;
};

enum user_account {
    ACCOUNT_UNVERIFIED, /* not looked up yet, or the name service did not answer */
    ACCOUNT_FOUND,
    ACCOUNT_MISSING,
    ACCOUNT_REFUSED,
};

struct user_answer {
    enum {
        ANSWER_BUNDLE,
        ANSWER_RETRY,
        ANSWER_STALE,
        ANSWER_BAD_CSR,
        ANSWER_TOO_SOON,
        ANSWER_REFUSED
    } kind;
    int64_t retry_after_s;              /* RETRY, TOO_SOON */
    enum reason reason;                 /* BAD_CSR, REFUSED */
    const char *current;                /* STALE: the open request's id or NULL */
    const struct user_request *request; /* BUNDLE: borrowed */
};
typedef void (*user_submitted)(const struct user_answer *answer, void *userdata);

struct user {
    const struct user_services *services; /* borrowed */
    const struct user_orders *orders;     /* borrowed */
    struct user_record record;            /* as stored */
    enum reason problem;                  /* NEWER_STATE: the file is left alone, nothing is done */
    bool stored;                          /* a file exists */
    bool listed;                          /* in the desired state */
    char listed_name[USER_NAME_SIZE];
    char revoked[DESIRED_STATE_MAX_REVOKED][X509_SERIAL_HEX_SIZE]; /* by the desired state */
    size_t revoked_count;
    bool blocked; /* another user of the same account comes first */
    bool restarted;

    enum user_account account;
    int64_t account_uid;
    struct user_lookup *lookup;
    int64_t lookup_retry_at; /* wall clock; 0: none */
    int64_t looked_up_ms;    /* monotonic; when the last look-up was answered */
    unsigned lookup_attempt;
    bool lookup_again; /* what the one on its way was asked may be different by now */

    int64_t agent_grace_until; /* an agent that just attached gets time before a deadline counts */
    int64_t storage_retry_at;  /* 0: the state could be stored */
    struct rate_limit repeats; /* reports that end nothing; in memory only */
    struct log_limit provoked; /* what its agent can have logged as often as it likes */
    bool in_flight;
    bool sign_busy; /* the link takes no more at once */
    char posted_spki[SHA256_HEX_SIZE];
    char posted_epoch[37];
    int64_t posted_generation;
    int64_t post_not_before;
    user_submitted submitted; /* an agent waits for the bundle */
    void *submitted_userdata;
    int64_t submitted_until;
};

/** A moment of the wall clock that a wait of at most `longest_s` ends at. What lies further ahead
 * was computed before the clock was set back: nobody waits for the time by which it was. */
static inline int64_t user_effective_due(int64_t due, int64_t now, int64_t longest_s) {
    return due > now + longest_s ? now : due;
}

/** Takes a copy of `record`. Returns 0 or -ENOMEM. */
int user_new(
    const struct user_services *services, const struct user_orders *orders,
    const struct user_record *record, struct user **ret);

/** Cancels what is open; the file stays. A waiting Submit is not answered. */
struct user *user_free(struct user *user);

/** Looks at everything that may have changed (orders, clock, agent, account) and moves as far as
 * that goes. */
void user_advance(struct user *user);

/** The next wall-clock second at which user_advance() has something to do; INT64_MAX: none. */
int64_t user_next_due(const struct user *user);

/** Whether a record in memory or a file is still needed. */
bool user_is_needed(const struct user *user);

/** The account of this user: as pinned, or as found; USER_UID_NONE: not known. */
int64_t user_uid(const struct user *user);

/** Whether this uid's agent acts for this user. A removal also takes the word of whoever bears the
 * name now. */
bool user_serves(const struct user *user, int64_t uid);

/** Whether the account behind the assignment is another than the pinned one. */
bool user_account_changed(const struct user *user);

/** Whether it cannot be said yet: the desired state has not come since the start, or the account
 * has not been looked up. Nothing is refused for that. */
bool user_is_undecided(const struct user *user);

/** Whether the user is to have a certificate, account and all. */
bool user_is_wanted(const struct user *user);

/** A step by an event from outside. Returns 1, 0 (it means nothing in this state) or a negative
 * errno (not stored; state as before). */
struct user_input;
int user_event(struct user *user, int event, struct user_input *input);

/** Fills the members of `input` that every event shares. */
void user_input_init(const struct user *user, struct user_input *ret);

/** Whether something that the agent has provoked may be logged; counts it. */
bool user_may_log(struct user *user);

/** The key type to order; false: none that this version knows. */
bool user_ordered_key_type(const struct user *user, enum key_type *ret);

/** Sets or ends the local hold of this user. Returns 0 or a negative errno. */
int user_hold(struct user *user, bool hold);

/** An agent of this user has attached. */
void user_agent_attached(struct user *user);

/** Gives the waiting Submit, if there is one, this answer. */
void user_answer_submit(struct user *user, const struct user_answer *answer);
