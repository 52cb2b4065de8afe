/* The state machine of one managed user, as a pure function: record and event in, record out. No
 * input or output happens here; what follows from a state is user.c's, after the record was stored.
 * The table is that of the document of state machines. */
#pragma once

#include "daemon/user_record.h"

#include "common/clock.h"
#include "common/random.h"

enum user_event {
    USER_EVENT_MANAGED,    /* assigned, distribution on, account verified */
    USER_EVENT_UNMANAGED,  /* off, unassigned, device not enrolled, held */
    USER_EVENT_DUE,        /* the wait is over and an agent is attached; the policy stands */
    USER_EVENT_SUBMIT,     /* a signing request in order, with a new key */
    USER_EVENT_DEADLINE,   /* the agent did not answer in time */
    USER_EVENT_RESTART,    /* the daemon has started */
    USER_EVENT_ISSUED,     /* a good answer: a checked bundle */
    USER_EVENT_RETRY,      /* 202, 429, 5xx, network */
    USER_EVENT_BAD_ANSWER, /* another error, or a bundle that does not check */
    USER_EVENT_FORBIDDEN,  /* 401 or 403 */
    USER_EVENT_REPORT_INSTALLED,
    USER_EVENT_REPORT_FAILED,
    USER_EVENT_REPORT_REMOVED,
    USER_EVENT_RENEW,      /* asked for by agent, user or root */
    USER_EVENT_CHANGED,    /* another key type is ordered */
    USER_EVENT_GENERATION, /* a new desired state since the refusal */
    USER_EVENT_COUNT_
};

/** What an event carries and what decides; members that an event does not need stay zero. */
struct user_input {
    const struct clock_source *clock;
    const struct random_source *random;
    int64_t requests_per_hour;
    int64_t request_deadline_s;
    int64_t splay_s;                    /* of the desired state */
    enum key_type key_type;             /* DUE, RENEW: to order */
    enum request_reason request_reason; /* RENEW */
    const char *uid_name;               /* MANAGED: name and uid to pin */
    int64_t uid;
    const char *issuer_spki, *root_spki, *device_uuid; /* SUBMIT: what is ours from here on */
    const char *csr;                                   /* SUBMIT: base64 */
    const uint8_t *spki;                               /* SUBMIT: SHA256_SIZE bytes */
    const char *root, *intermediate, *leaf;            /* ISSUED: base64 */
    const char *serial;                                /* ISSUED, REPORT_INSTALLED */
    int64_t not_after;                                 /* ISSUED, REPORT_INSTALLED (0: as issued) */
    int64_t renew_at;                                  /* REPORT_INSTALLED */
    const char *request_id;                            /* reports */
    struct json_object *stores;                        /* reports; borrowed */
    int64_t retry_after_s;                             /* RETRY: floor, 0 none */
    enum reason reason;                                /* failures */
    const char *epoch; /* FORBIDDEN: the state under which it was posted */
    int64_t generation;
};

/** Takes the first row for the record's state and the event whose guard holds. On success the
 * record is changed. Returns 1 (moved, or stayed by a row), 0 (no row: the event means nothing
 * here), -ENOMEM or -EIO (the record may be half changed: work on a copy). */
int user_machine_step(
    struct user_record *record, enum user_event event, const struct user_input *input);

const char *user_event_name(enum user_event event);

/** Rows, for tests and documents: whether a row for (state, event) exists, whatever its guard. */
bool user_machine_has_row(enum user_state state, enum user_event event);
