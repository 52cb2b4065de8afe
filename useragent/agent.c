/* Drives the agent's state machine on the loop. */
#include "useragent/agent.h"

#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/wall_timer.h"
#include "useragent/agent_link.h"
#include "useragent/agent_machine.h"
#include "useragent/agent_work.h"
#include "useragent/renewal.h"

#include <errno.h>
#include <string.h>

#define POLICY_WAIT_MAX_MS (60 * 1000)
#define RESEND_BASE_MS 1000 /* Submit and Report after an error that says nothing */
#define RESEND_CAP_MS (5 * 60 * 1000)
#define REMOVE_BASE_MS (10 * 1000)
#define REMOVE_CAP_MS (60 * 60 * 1000)

#define NO_EVENT AGENT_EVENT_COUNT_

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
    bool have_snapshot;          /* of this attachment */
    bool attached_anew;          /* what is in hand has not been sent to this attachment yet */
    char ignored[USER_ID_MAX];   /* a request that is over, though snapshots still show it */
    char inspected[USER_ID_MAX]; /* the last inspection that was answered */
    bool removed;                /* this order to remove has been carried out */
    bool check_needed;
    bool checked_with_settings;
    const char *wanted; /* a reason to ask for a new certificate */
    bool renew_open;    /* asked, not answered */
    unsigned submits;   /* sent, not answered */
    struct renewal renewal;
    struct backoff resend;
    struct backoff remove;
};

static void dispatch(struct agent *agent, enum agent_event event);
static void settle(struct agent *agent);

/* ---- jobs ---- */

struct job {
    uv_work_t request;
    struct agent *agent;
    enum job_kind kind;
    enum agent_event event;
    int result;
};

static void run_job(uv_work_t *request) {
    struct job *job = request->data;
    struct agent_work *work = &job->agent->work;

    job->event = NO_EVENT;
    switch (job->kind) {
    case JOB_RECOVER:
        job->result = agent_work_recover(work, &job->event);
        break;
    case JOB_CHECK:
        job->event = agent_work_check(work);
        break;
    case JOB_PREPARE:
        job->event = agent_work_prepare(work);
        break;
    case JOB_OPEN:
        agent_work_open(work);
        break;
    case JOB_IMPORT:
        job->event = agent_work_import(work);
        break;
    case JOB_SUPERSEDE:
        job->event = agent_work_supersede(work);
        break;
    case JOB_FINISH:
        agent_work_finish(work);
        break;
    case JOB_REMOVE:
        job->event = agent_work_remove(work);
        break;
    case JOB_UNLINK:
        agent_work_unlink(work);
        break;
    case JOB_INSPECT:
        agent_work_inspect(work);
        break;
    case JOB_CLOSE:
        agent_work_close(work);
        break;
    }
}

static void ignore_answer(
    enum agent_answer answer, struct json_object *parameters, int64_t retry_after_s,
    void *userdata) {
    (void)answer;
    (void)parameters;
    (void)retry_after_s;
    (void)userdata;
}

/* What the loop takes over from a finished job before its event is looked at. */
static void take_result(struct agent *agent, const struct job *job) {
    struct agent_work *work = &agent->work;

    switch (job->kind) {
    case JOB_RECOVER:
        renewal_plan(&agent->renewal, work->record.renew_at);
        break;
    case JOB_CHECK:
        agent->check_needed = false;
        agent->checked_with_settings = work->settings.present;
        agent->wanted = work->wanted;
        renewal_plan(&agent->renewal, work->record.renew_at);
        if (work->wanted_later)
            renewal_postpone(&agent->renewal, clock_wall_s(work->clock), agent->options.random);
        break;
    case JOB_FINISH:
        agent->wanted = NULL;
        renewal_succeeded(&agent->renewal, clock_wall_s(work->clock), work->record.renew_at);
        break;
    case JOB_UNLINK:
        agent->wanted = NULL;
        renewal_init(&agent->renewal);
        break;
    case JOB_INSPECT:
        if (agent_link_is_attached(agent->link))
            (void)agent_link_call(
                agent->link, "Inspected", TAKE_PTR(work->inspected), ignore_answer, NULL);
        break;
    default:
        break;
    }
}

static void job_done(uv_work_t *request, int status) {
    struct job *job = request->data;
    struct agent *agent = job->agent;
    enum agent_event event = job->event;
    int result = job->result;

    (void)status; /* jobs are never cancelled */
    agent->jobs--;
    if (!agent->stopping && result >= 0)
        take_result(agent, job);
    free(job);
    if (agent->stopping)
        return;
    if (result < 0) {
        agent->options.ended(result, agent->options.userdata);
        return;
    }
    if (event == NO_EVENT)
        settle(agent);
    else
        dispatch(agent, event);
}

static void queue_job(struct agent *agent, enum job_kind kind) {
    struct job *job = calloc(1, sizeof *job);

    if (!job) {
        /* without 200 bytes of memory nothing else works either; the service manager starts anew,
         * and recovery takes over */
        log_event(
            LOG_LEVEL_ERROR, MSG_INTERNAL, reason_text(REASON_NO_MEMORY), LOG_NUMBER("JOB", kind));
        agent->options.ended(-ENOMEM, agent->options.userdata);
        return;
    }
    *job = (struct job){.agent = agent, .kind = kind};
    job->request.data = job;
    agent->jobs++;
    (void)uv_queue_work(
        agent->options.loop, &job->request, run_job, job_done); /* fails without a callback only */
}

/* ---- the wait of a state ---- */

static void wait_over(uv_timer_t *timer) {
    struct agent *agent = timer->data;

    dispatch(agent, agent->state == AGENT_WAITING ? AGENT_EVENT_READY : AGENT_EVENT_RETRY);
}

static void start_wait(struct agent *agent, int64_t delay_ms) {
    (void)uv_timer_start(&agent->wait, wait_over, (uint64_t)delay_ms, 0);
}

/* ---- calls ---- */

static void end_request(struct agent *agent) {
    memcpy(agent->ignored, agent->work.request.id, sizeof agent->ignored);
    dispatch(agent, AGENT_EVENT_CANCELLED);
}

static void free_certificates(STACK_OF(X509) * *certificates) {
    sk_X509_pop_free(*certificates, X509_free);
}

static void take_submit_reply(struct agent *agent, struct json_object *parameters) {
    CLEANUP(free_certificates) STACK_OF(X509) *certificates = NULL;
    int64_t retry_after_s = 0;

    if (agent_message_read_submit(parameters, &certificates, &retry_after_s) < 0) {
        log_event(
            LOG_LEVEL_ERROR, MSG_IPC, "devtrustd's answer was not understood; update devtrust.",
            LOG_TEXT("REQUEST_ID", (const char *)agent->work.request.id));
        start_wait(agent, backoff_next(&agent->resend, agent->options.random, 0));
        return;
    }
    backoff_reset(&agent->resend);
    if (!certificates) {
        start_wait(
            agent, backoff_next(&agent->resend, agent->options.random, retry_after_s * 1000));
        settle(agent);
        return;
    }
    dispatch(
        agent, agent_work_take_bundle(&agent->work, certificates) < 0 ? AGENT_EVENT_FAILED
                                                                      : AGENT_EVENT_BUNDLE);
}

static void submit_answered(
    enum agent_answer answer, struct json_object *parameters, int64_t retry_after_s,
    void *userdata) {
    struct agent *agent = userdata;

    agent->submits--;
    /* an answer to a request that is over, or that was sent again since */
    if (agent->stopping || agent->state != AGENT_SUBMITTED || agent->submits > 0)
        return;
    switch (answer) {
    case AGENT_ANSWER_OK:
        take_submit_reply(agent, parameters);
        break;
    case AGENT_ANSWER_DISCONNECTED:
        break; /* the next attachment sends it again */
    case AGENT_ANSWER_NOT_MANAGED:
    case AGENT_ANSWER_STALE:
    case AGENT_ANSWER_BAD_CSR:
    case AGENT_ANSWER_REFUSED:
        end_request(agent);
        break;
    case AGENT_ANSWER_TOO_SOON:
    case AGENT_ANSWER_OTHER:
        start_wait(
            agent, backoff_next(&agent->resend, agent->options.random, retry_after_s * 1000));
        settle(agent);
        break;
    }
}

static void send_submit(struct agent *agent) {
    const struct credential_key *key = agent->work.key;

    if (!agent_link_is_attached(agent->link))
        return;
    agent->attached_anew = false;
    if (agent_link_call(
            agent->link, "Submit",
            agent_message_submit(credential_key_request_id(key), credential_key_csr(key)),
            submit_answered, agent) >= 0)
        agent->submits++;
    else
        start_wait(agent, backoff_next(&agent->resend, agent->options.random, 0));
}

static void report_answered(
    enum agent_answer answer, struct json_object *parameters, int64_t retry_after_s,
    void *userdata) {
    struct agent *agent = userdata;

    (void)parameters;
    if (agent->stopping || (agent->state != AGENT_REPORTING && agent->state != AGENT_FAILING &&
                            agent->state != AGENT_REMOVED))
        return;
    if (answer == AGENT_ANSWER_DISCONNECTED)
        return; /* the next attachment sends it again */
    if (answer == AGENT_ANSWER_OTHER || answer == AGENT_ANSWER_TOO_SOON) {
        /* devtrustd could not write it down: to count it as told would leave both sides waiting */
        start_wait(
            agent, backoff_next(&agent->resend, agent->options.random, retry_after_s * 1000));
        return;
    }
    backoff_reset(&agent->resend);
    if (agent->state == AGENT_FAILING)
        memcpy(agent->ignored, agent->work.report.request_id, sizeof agent->ignored);
    if (agent->state == AGENT_REMOVED)
        agent->removed = true;
    dispatch(agent, AGENT_EVENT_ACKNOWLEDGED);
}

static void send_report(struct agent *agent) {
    if (agent->state == AGENT_REPORTING && agent->jobs == 0)
        agent_work_report_current(&agent->work);
    if (!agent_link_is_attached(agent->link))
        return;
    agent->attached_anew = false;
    if (agent_link_call(
            agent->link, "Report", agent_message_report(&agent->work.report), report_answered,
            agent) < 0)
        start_wait(agent, backoff_next(&agent->resend, agent->options.random, 0));
}

static void renew_answered(
    enum agent_answer answer, struct json_object *parameters, int64_t retry_after_s,
    void *userdata) {
    struct agent *agent = userdata;

    (void)parameters;
    agent->renew_open = false;
    if (agent->stopping)
        return;
    if (answer != AGENT_ANSWER_DISCONNECTED)
        renewal_asked(
            &agent->renewal, clock_wall_s(agent->options.clock), retry_after_s,
            agent->options.random);
    settle(agent);
}

static bool may_renew(const struct agent *agent) {
    return agent->wanted && agent->state == AGENT_IDLE && agent->jobs == 0 &&
           agent->have_snapshot && agent->snapshot.mode == AGENT_MODE_CERTIFICATE &&
           !agent->snapshot.request.present && !agent->renew_open;
}

static void ask_for_renewal(struct agent *agent) {
    if (!may_renew(agent) || !renewal_may_ask(&agent->renewal, clock_wall_s(agent->options.clock)))
        return;
    log_event(
        LOG_LEVEL_INFO, MSG_AGENT, "A new certificate is asked for.",
        LOG_TEXT("REASON", agent->wanted));
    if (agent_link_call(
            agent->link, "Renew", agent_message_renew(agent->wanted), renew_answered, agent) >= 0)
        agent->renew_open = true;
}

/* ---- the machine ---- */

static void wait_for_policy(struct agent *agent) {
    int64_t wait_ms =
        (agent->work.request.install_not_before - clock_wall_s(agent->options.clock)) * 1000;

    if (!agent->work.browser_runs || wait_ms <= 0) {
        dispatch(agent, AGENT_EVENT_READY);
        return;
    }
    start_wait(agent, wait_ms < POLICY_WAIT_MAX_MS ? wait_ms : POLICY_WAIT_MAX_MS);
}

static void block(struct agent *agent) {
    /* told once per try, so that status can show it; nothing depends on the answer */
    if (agent_link_is_attached(agent->link))
        (void)agent_link_call(
            agent->link, "Report", agent_message_report(&agent->work.report), ignore_answer, NULL);
    start_wait(agent, backoff_next(&agent->remove, agent->options.random, REMOVE_BASE_MS));
}

static void act(struct agent *agent, enum agent_action action) {
    switch (action) {
    case AGENT_ACTION_CHECK:
        queue_job(agent, JOB_CHECK);
        break;
    case AGENT_ACTION_PREPARE:
        agent->work.request = agent->snapshot.request;
        backoff_reset(&agent->resend);
        queue_job(agent, JOB_PREPARE);
        break;
    case AGENT_ACTION_SUBMIT:
        send_submit(agent);
        if (agent->jobs == 0 && !store_set_is_open(&agent->work.set))
            queue_job(agent, JOB_OPEN);
        break;
    case AGENT_ACTION_WIPE:
        agent_work_wipe(&agent->work);
        break;
    case AGENT_ACTION_WAIT:
        wait_for_policy(agent);
        break;
    case AGENT_ACTION_IMPORT:
        queue_job(agent, JOB_IMPORT);
        break;
    case AGENT_ACTION_SUPERSEDE:
        queue_job(agent, JOB_SUPERSEDE);
        break;
    case AGENT_ACTION_REPORT:
        send_report(agent);
        break;
    case AGENT_ACTION_FINISH:
        queue_job(agent, JOB_FINISH);
        break;
    case AGENT_ACTION_REMOVE:
        queue_job(agent, JOB_REMOVE);
        break;
    case AGENT_ACTION_BLOCK:
        block(agent);
        break;
    case AGENT_ACTION_UNLINK:
        backoff_reset(&agent->remove);
        queue_job(agent, JOB_UNLINK);
        break;
    case AGENT_ACTION_NONE:
    case AGENT_ACTION_COUNT_:
        break;
    }
}

static void dispatch(struct agent *agent, enum agent_event event) {
    const struct agent_transition *row = agent_machine_find(agent->state, event);

    if (!row || agent->stopping)
        return;
    log_event(
        LOG_LEVEL_DEBUG, MSG_AGENT, "The agent's state has changed.",
        LOG_TEXT("STATE", agent_state_name(row->next)), LOG_TEXT("EVENT", agent_event_name(event)),
        LOG_TEXT("FROM", agent_state_name(row->state)));
    (void)uv_timer_stop(&agent->wait);
    agent->state = row->next;
    act(agent, row->action);
    settle(agent);
}

static bool same_request(const struct agent *agent) {
    return agent->snapshot.mode == AGENT_MODE_CERTIFICATE && agent->snapshot.request.present &&
           strcmp(agent->snapshot.request.id, agent->work.request.id) == 0;
}

static bool must_check(const struct agent *agent) {
    return agent->check_needed ||
           (agent->have_snapshot && agent->snapshot.mode == AGENT_MODE_CERTIFICATE &&
            agent->snapshot.settings.present && !agent->checked_with_settings &&
            !agent_record_has_current(&agent->work.record));
}

static enum agent_event idle_event(const struct agent *agent) {
    const struct agent_snapshot *snapshot = &agent->snapshot;

    if (agent->have_snapshot && snapshot->mode == AGENT_MODE_REMOVE)
        return agent->removed ? NO_EVENT : AGENT_EVENT_REMOVE;
    if (must_check(agent))
        return AGENT_EVENT_CHECK;
    if (!agent->have_snapshot || snapshot->mode != AGENT_MODE_CERTIFICATE ||
        !snapshot->request.present || !snapshot->settings.present ||
        strcmp(snapshot->request.id, agent->ignored) == 0)
        return NO_EVENT;
    if (agent_record_has_current(&agent->work.record) &&
        strcmp(agent->work.record.request_id, snapshot->request.id) == 0 && !agent->wanted)
        return AGENT_EVENT_REPEAT;
    return AGENT_EVENT_REQUEST;
}

/* What the newest snapshot means for the state; level-triggered, so that none can be missed. */
static enum agent_event next_event(const struct agent *agent) {
    switch (agent->state) {
    case AGENT_IDLE:
        return idle_event(agent);
    case AGENT_SUBMITTED:
    case AGENT_WAITING:
        return agent->have_snapshot && !same_request(agent) ? AGENT_EVENT_CANCELLED : NO_EVENT;
    case AGENT_FAILING:
        if (!agent->have_snapshot)
            return NO_EVENT;
        if (agent->snapshot.mode == AGENT_MODE_REMOVE)
            return AGENT_EVENT_REMOVE;
        return same_request(agent) ? NO_EVENT : AGENT_EVENT_CANCELLED;
    case AGENT_REPORTING:
        return agent->have_snapshot && agent->snapshot.mode == AGENT_MODE_REMOVE
                   ? AGENT_EVENT_REMOVE
                   : NO_EVENT;
    default:
        return NO_EVENT;
    }
}

/* After a new attachment, what was in hand when the connection ended is sent again, unless it is no
 * longer asked for. */
static enum agent_event settled_event(struct agent *agent) {
    enum agent_event event = next_event(agent);
    bool attached_anew = agent->attached_anew;

    agent->attached_anew = false;
    if (event == NO_EVENT && attached_anew && agent_machine_find(agent->state, AGENT_EVENT_RETRY))
        return AGENT_EVENT_RETRY;
    return event;
}

/* Whether the stores need not be open: nothing follows soon. */
static bool is_resting(const struct agent *agent) {
    switch (agent->state) {
    case AGENT_IDLE:
    case AGENT_REPORTING:
    case AGENT_FAILING:
    case AGENT_BLOCKED:
    case AGENT_REMOVED:
        return true;
    case AGENT_SUBMITTED:
        return uv_is_active((const uv_handle_t *)&agent->wait) != 0;
    default:
        return false;
    }
}

static void arm_wall_timer(struct agent *agent) {
    int64_t wake = 0;

    if (agent->state == AGENT_IDLE && agent->jobs == 0 && (!agent->wanted || may_renew(agent)))
        wake = renewal_wake_at(&agent->renewal, agent->wanted != NULL);
    if (wake == agent->wall_armed)
        return;
    if (wall_timer_set(agent->wall_timer, wake) >= 0)
        agent->wall_armed = wake;
}

/* After every change: takes up what the newest snapshot asks for, else comes to rest. */
static void settle(struct agent *agent) {
    enum agent_event event;

    if (agent->stopping || agent->jobs > 0)
        return;
    if (agent->have_snapshot && agent->snapshot.settings.present)
        agent->work.settings = agent->snapshot.settings;
    if (agent->have_snapshot && agent->snapshot.mode != AGENT_MODE_REMOVE)
        agent->removed = false;
    event = settled_event(agent);
    if (event != NO_EVENT) {
        dispatch(agent, event);
        return;
    }
    if (agent->have_snapshot && agent->snapshot.inspection[0] != '\0' &&
        strcmp(agent->snapshot.inspection, agent->inspected) != 0 &&
        agent->state != AGENT_STARTING) {
        memcpy(agent->inspected, agent->snapshot.inspection, sizeof agent->inspected);
        memcpy(agent->work.inspection, agent->inspected, sizeof agent->work.inspection);
        queue_job(agent, JOB_INSPECT);
        return;
    }
    if (is_resting(agent) && store_set_is_open(&agent->work.set)) {
        queue_job(agent, JOB_CLOSE);
        return;
    }
    ask_for_renewal(agent);
    arm_wall_timer(agent);
}

/* ---- from outside ---- */

static void on_snapshot(const struct agent_snapshot *snapshot, bool attached_now, void *userdata) {
    struct agent *agent = userdata;

    agent->snapshot = *snapshot;
    agent->have_snapshot = true;
    if (attached_now) {
        agent->removed = false;
        agent->attached_anew = true;
    }
    settle(agent);
}

static void on_detached(void *userdata) {
    struct agent *agent = userdata;

    agent->have_snapshot = false;
    agent->inspected[0] = '\0';
    agent->renew_open = false;
}

static void on_replaced(void *userdata) {
    struct agent *agent = userdata;

    log_event(
        LOG_LEVEL_NOTICE, MSG_STOP, "A newer agent of this user has taken over; this one ends.",
        LOG_NUMBER("UID", getuid()));
    agent->options.ended(0, agent->options.userdata);
}

static void on_wall_timer(uv_poll_t *poll, int status, int events) {
    struct agent *agent = poll->data;

    (void)status;
    (void)events;
    switch (wall_timer_read(agent->wall_timer)) {
    case WALL_TIMER_NOTHING:
        return;
    case WALL_TIMER_DUE:
        if (!agent->wanted)
            agent->check_needed = true;
        break;
    case WALL_TIMER_CLOCK_SET:
        agent->check_needed = true;
        break;
    }
    agent->wall_armed = -1;
    settle(agent);
}

static int init_handles(struct agent *agent) {
    int r;

    r = wall_timer_new(&agent->wall_timer);
    if (r < 0)
        return r;
    r = uv_timer_init(agent->options.loop, &agent->wait);
    if (r < 0)
        return r;
    agent->wait.data = agent;
    r = uv_poll_init(agent->options.loop, &agent->wall_poll, wall_timer_fd(agent->wall_timer));
    if (r < 0)
        return r;
    agent->wall_poll.data = agent;
    return uv_poll_start(&agent->wall_poll, UV_READABLE, on_wall_timer);
}

int agent_new(const struct agent_options *options, struct agent **ret) {
    struct agent *agent = calloc(1, sizeof *agent);
    int r;

    if (!agent)
        return -ENOMEM;
    agent->options = *options;
    agent_work_init(&agent->work);
    agent->work.dirs = options->dirs;
    agent->work.clock = options->clock;
    agent->work.random = options->random;
    agent->state = AGENT_STARTING;
    agent->check_needed = true;
    agent->wall_armed = -1;
    agent->resend = (struct backoff){.base_ms = RESEND_BASE_MS, .cap_ms = RESEND_CAP_MS};
    agent->remove = (struct backoff){.base_ms = REMOVE_BASE_MS, .cap_ms = REMOVE_CAP_MS};
    renewal_init(&agent->renewal);
    r = init_handles(agent);
    if (r >= 0)
        r = agent_link_new(
            &(struct agent_link_options){
                .loop = options->loop,
                .socket_path = options->socket_path,
                .random = options->random,
                .snapshot = on_snapshot,
                .detached = on_detached,
                .replaced = on_replaced,
                .userdata = agent,
            },
            &agent->link);
    if (r < 0)
        return r; /* the process ends; the loop's handles end with it */
    queue_job(agent, JOB_RECOVER);
    *ret = agent;
    return 0;
}

void agent_stop(struct agent *agent) {
    if (agent->stopping)
        return;
    agent->stopping = true;
    agent_link_close(agent->link);
    agent->link = NULL;
    uv_close((uv_handle_t *)&agent->wait, NULL);
    uv_close((uv_handle_t *)&agent->wall_poll, NULL);
}

struct agent *agent_free(struct agent *agent) {
    if (!agent)
        return NULL;
    agent_work_deinit(&agent->work);
    wall_timer_free(agent->wall_timer);
    free(agent);
    return NULL;
}
