/* The agent's state, and what its three parts call of each other: agent.c (machine, snapshots,
 * clock), agent_calls.c (what is sent to devtrustd), agent_jobs.c (what runs on the worker). */
#pragma once

#include "common/backoff.h"
#include "common/wall_timer.h"
#include "useragent/agent.h"
#include "useragent/agent_link.h"
#include "useragent/agent_machine.h"
#include "useragent/agent_work.h"
#include "useragent/renewal.h"
#include "useragent/store_watch.h"

#include <stdbool.h>

enum job_kind {
    JOB_RECOVER,
    JOB_CHECK,
    JOB_PREPARE,
    JOB_OPEN,
    JOB_IMPORT,
    JOB_SUPERSEDE,
    JOB_FINISH,
    JOB_REMOVE,
    JOB_UNLINK,
    JOB_INSPECT,
    JOB_CLOSE,
    JOB_WATCH,
};

struct agent {
    struct agent_options options;
    struct agent_work work;
    struct agent_link *link;
    enum agent_state state;
    unsigned jobs; /* queued or running; the work struct is the worker's while there is one */
    bool stopping;

    uv_timer_t wait; /* what the state waits for: resend, policy, next try of a removal */
    struct wall_timer *wall_timer;
    uv_poll_t wall_poll;
    int64_t wall_armed; /* -1: not armed yet */

    struct agent_snapshot snapshot;
    bool have_snapshot;            /* of this attachment */
    bool attached_anew;            /* what is in hand has not been sent to this attachment yet */
    char ignored[USER_ID_MAX];     /* a request that is over, though snapshots still show it */
    char inspected[USER_ID_MAX];   /* the last inspection that was answered, or is being */
    char repaired[USER_ID_MAX];    /* the last one whose repair was begun */
    char awaited[USER_ID_MAX];     /* the one that the deadline is for */
    struct inspection *inspection; /* queued or running */
    uv_timer_t inspect_deadline;   /* then what is known is told */

    struct store_watch *watch; /* NULL: this system gives none */
    uv_poll_t watch_poll;
    uv_timer_t watch_timer; /* something has changed; it is let settle */
    bool scanning;
    int scan_result; /* the worker's, as the next two are, while there is a scan */
    struct store_watch_table *scan_table;
    uint64_t scan_mark;
    struct bus *bus;           /* the machine's; NULL: none */
    struct notifier *notifier; /* NULL: no bus of this user */
    uv_work_t notice_work;     /* looks at running browsers */
    uv_timer_t notice_timer;   /* looks again while one is to be restarted */
    bool notice_looking;
    int64_t notice_since;    /* the policy that was looked at; 0: none yet */
    char notice_browser[64]; /* the worker's answer: to be restarted; empty: none */
    bool removed;            /* this order to remove has been carried out */
    bool check_needed;
    bool checked_with_settings;
    const char *wanted;            /* a reason to ask for a new certificate */
    bool renew_open;               /* asked, not answered */
    unsigned submits;              /* sent, not answered */
    STACK_OF(X509) * certificates; /* of the last answer, to be looked at when no job runs */
    struct renewal renewal;
    struct backoff resend;
    struct backoff remove;
};

/* ---- agent.c ---- */

/** Takes the machine's row for the event, if there is one, and settles. */
void agent_dispatch(struct agent *agent, enum agent_event event);

/** After every change: takes up what the newest snapshot asks for, else comes to rest. */
void agent_settle(struct agent *agent);

/** The state waits: RETRY (or READY, for a policy) follows, unless the state changes before. */
void agent_start_wait(struct agent *agent, int64_t delay_ms);

/** Owns `certificates` (NULL: drops what there is); they are judged when no job runs. */
void agent_take_certificates(struct agent *agent, STACK_OF(X509) * certificates);

/* ---- agent_calls.c: each sends now, or leaves it to the next attachment ---- */

void agent_calls_submit(struct agent *agent);
void agent_calls_report(struct agent *agent);

/** Asks for a new certificate, if one is wanted and it is time. */
void agent_calls_renew(struct agent *agent);

/** Whether nothing but time stands against asking. */
bool agent_calls_may_renew(const struct agent *agent);

/** For calls whose answer changes nothing. */
void agent_calls_ignore(
    enum agent_answer answer, struct json_object *parameters, int64_t retry_after_s,
    void *userdata);

/* ---- agent_inspect.c ---- */

/** A snapshot has come: devtrustd does not wait for ever for an answer to its inspection. */
void agent_inspect_note(struct agent *agent);

/** No job runs and nothing else is to be done: takes up a new inspection. Returns whether a job was
 * queued or the machine has moved. */
bool agent_inspect_take_up(struct agent *agent);

/** The job is done. */
void agent_inspect_done(struct agent *agent);

/** The connection has ended, and with it the question. */
void agent_inspect_forget(struct agent *agent);

/* ---- agent_watch.c ---- */

/** Begins to follow the stores. Returns 0 or a negative errno; without the means it goes on. */
int agent_watch_start(struct agent *agent);

/** On the worker; then on the loop. */
void agent_watch_scan(struct agent *agent);
void agent_watch_scanned(struct agent *agent);

void agent_watch_stop(struct agent *agent);
void agent_watch_free(struct agent *agent); /* after the loop has ended */

/* ---- agent_resume.c ---- */

/** Begins to listen for the machine's waking. Without a bus it goes on without. */
void agent_resume_start(struct agent *agent);
void agent_resume_stop(struct agent *agent);

/* ---- agent_notices.c ---- */

/** Begins to tell the person what only he can do. Without a bus of his it goes on without. Returns
 * 0 or a negative errno. */
int agent_notices_start(struct agent *agent);

/** After every change: tells what has become of causes. */
void agent_notices_update(struct agent *agent);

/** The machine has woken; whatever was restarted is seen at once. */
void agent_notices_look(struct agent *agent);
void agent_notices_stop(struct agent *agent);

/* ---- agent_jobs.c ---- */

/** Jobs run one after the other in the order of this call; each ends with an event for the machine,
 * or agent_settle(). */
void agent_jobs_queue(struct agent *agent, enum job_kind kind);
