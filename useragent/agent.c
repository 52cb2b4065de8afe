/* Drives the agent's state machine on the loop. */
#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "useragent/agent_internal.h"

#include <errno.h>
#include <string.h>

#define POLICY_WAIT_MAX_MS (60 * 1000)
#define RESEND_BASE_MS 1000 /* Submit and Report after an error that says nothing */
#define RESEND_CAP_MS (5 * 60 * 1000)
#define REMOVE_BASE_MS (10 * 1000)
#define REMOVE_CAP_MS (60 * 60 * 1000)

#define NO_EVENT AGENT_EVENT_COUNT_

static void wait_over(uv_timer_t *timer) {
    struct agent *agent = timer->data;

    agent_dispatch(agent, agent->state == AGENT_WAITING ? AGENT_EVENT_READY : AGENT_EVENT_RETRY);
}

void agent_start_wait(struct agent *agent, int64_t delay_ms) {
    (void)uv_timer_start(&agent->wait, wait_over, (uint64_t)delay_ms, 0);
}

void agent_take_certificates(struct agent *agent, STACK_OF(X509) * certificates) {
    sk_X509_pop_free(agent->certificates, X509_free);
    agent->certificates = certificates;
}

/* ---- the machine ---- */

static void wait_for_policy(struct agent *agent) {
    int64_t wait_ms =
        (agent->work.request.install_not_before - clock_wall_s(agent->options.clock)) * 1000;

    if (!agent->work.browser_runs || wait_ms <= 0) {
        agent_dispatch(agent, AGENT_EVENT_READY);
        return;
    }
    agent_start_wait(agent, wait_ms < POLICY_WAIT_MAX_MS ? wait_ms : POLICY_WAIT_MAX_MS);
}

static void block(struct agent *agent) {
    /* told once per try, so that status can show it; nothing depends on the answer */
    if (agent_link_is_attached(agent->link))
        (void)agent_link_call(
            agent->link, "Report", agent_message_report(&agent->work.report), agent_calls_ignore,
            NULL);
    agent_start_wait(agent, backoff_next(&agent->remove, agent->options.random, REMOVE_BASE_MS));
}

static void act(struct agent *agent, enum agent_action action) {
    switch (action) {
    case AGENT_ACTION_CHECK:
        agent->check_needed = false; /* what happens from now on is for the next one */
        agent_jobs_queue(agent, JOB_CHECK);
        break;
    case AGENT_ACTION_PREPARE:
        agent->work.request = agent->snapshot.request;
        backoff_reset(&agent->resend);
        agent_jobs_queue(agent, JOB_PREPARE);
        break;
    case AGENT_ACTION_SUBMIT:
        agent_calls_submit(agent);
        if (agent->jobs == 0 && !store_set_is_open(&agent->work.set))
            agent_jobs_queue(agent, JOB_OPEN);
        break;
    case AGENT_ACTION_WIPE:
        agent_take_certificates(agent, NULL);
        agent_work_wipe(&agent->work);
        break;
    case AGENT_ACTION_WAIT:
        wait_for_policy(agent);
        break;
    case AGENT_ACTION_IMPORT:
        agent_jobs_queue(agent, JOB_IMPORT);
        break;
    case AGENT_ACTION_SUPERSEDE:
        agent_jobs_queue(agent, JOB_SUPERSEDE);
        break;
    case AGENT_ACTION_REPORT:
        agent_calls_report(agent);
        break;
    case AGENT_ACTION_FINISH:
        agent_jobs_queue(agent, JOB_FINISH);
        break;
    case AGENT_ACTION_REMOVE:
        agent_jobs_queue(agent, JOB_REMOVE);
        break;
    case AGENT_ACTION_BLOCK:
        block(agent);
        break;
    case AGENT_ACTION_UNLINK:
        backoff_reset(&agent->remove);
        agent_jobs_queue(agent, JOB_UNLINK);
        break;
    case AGENT_ACTION_NONE:
    case AGENT_ACTION_COUNT_:
        break;
    }
}

void agent_dispatch(struct agent *agent, enum agent_event event) {
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
    agent_settle(agent);
}

static bool same_request(const struct agent *agent) {
    return agent->snapshot.mode == AGENT_MODE_CERTIFICATE && agent->snapshot.request.present &&
           strcmp(agent->snapshot.request.id, agent->work.request.id) == 0;
}

/* Another is asked for, or devtrustd has refused this one. */
static bool is_over(const struct agent *agent) {
    return (agent->have_snapshot && !same_request(agent)) ||
           strcmp(agent->work.request.id, agent->ignored) == 0;
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
        return is_over(agent) ? AGENT_EVENT_CANCELLED : NO_EVENT;
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

/* A bundle that has come is judged while no job touches the key; after a new attachment, what was
 * in hand when the connection ended is sent again, unless it is no longer asked for. */
static enum agent_event settled_event(struct agent *agent) {
    enum agent_event event = next_event(agent);
    bool attached_anew = agent->attached_anew;

    agent->attached_anew = false;
    if (event == NO_EVENT && agent->certificates) {
        event = agent_work_take_bundle(&agent->work, agent->certificates) < 0 ? AGENT_EVENT_FAILED
                                                                              : AGENT_EVENT_BUNDLE;
        agent_take_certificates(agent, NULL);
        return event;
    }
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

    if (agent->state == AGENT_IDLE && agent->jobs == 0 &&
        (!agent->wanted || agent_calls_may_renew(agent)))
        wake = renewal_wake_at(
            &agent->renewal, clock_wall_s(agent->options.clock), agent->wanted != NULL);
    if (wake == agent->wall_armed)
        return;
    if (wall_timer_set(agent->wall_timer, wake) >= 0)
        agent->wall_armed = wake;
}

/* After every change: takes up what the newest snapshot asks for, else comes to rest. */
void agent_settle(struct agent *agent) {
    enum agent_event event;

    if (agent->stopping || agent->jobs > 0)
        return;
    if (agent->have_snapshot && agent->snapshot.settings.present)
        agent->work.settings = agent->snapshot.settings;
    if (agent->have_snapshot && agent->snapshot.mode != AGENT_MODE_REMOVE)
        agent->removed = false;
    agent_notices_update(agent);
    event = settled_event(agent);
    if (event != NO_EVENT) {
        agent_dispatch(agent, event);
        return;
    }
    if (agent_inspect_take_up(agent))
        return;
    if (is_resting(agent) && store_set_is_open(&agent->work.set)) {
        agent_jobs_queue(agent, JOB_CLOSE);
        return;
    }
    agent_calls_renew(agent);
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
    agent_inspect_note(agent);
    agent_settle(agent);
}

static void on_detached(void *userdata) {
    struct agent *agent = userdata;

    agent->have_snapshot = false;
    agent_inspect_forget(agent);
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
    agent_settle(agent);
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
    r = uv_timer_init(agent->options.loop, &agent->inspect_deadline);
    if (r < 0)
        return r;
    agent->inspect_deadline.data = agent;
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
    agent_jobs_queue(agent, JOB_RECOVER);
    r = agent_watch_start(agent);
    if (r >= 0)
        r = agent_notices_start(agent);
    if (r < 0)
        return r;
    agent_resume_start(agent);
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
    uv_close((uv_handle_t *)&agent->inspect_deadline, NULL);
    agent_watch_stop(agent);
    agent_notices_stop(agent);
    agent_resume_stop(agent);
    uv_close((uv_handle_t *)&agent->wall_poll, NULL);
}

struct agent *agent_free(struct agent *agent) {
    if (!agent)
        return NULL;
    agent_take_certificates(agent, NULL);
    agent_work_deinit(&agent->work);
    inspection_free(agent->inspection);
    agent_watch_free(agent);
    wall_timer_free(agent->wall_timer);
    free(agent);
    return NULL;
}
