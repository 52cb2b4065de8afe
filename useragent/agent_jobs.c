/* The agent's jobs on the worker thread: queued, run, and their results taken over by the loop. */
#include "common/log.h"
#include "common/log_messages.h"
#include "useragent/agent_internal.h"

#include <errno.h>

#define NO_EVENT AGENT_EVENT_COUNT_

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
        agent_work_inspect(work, job->agent->inspection);
        break;
    case JOB_CLOSE:
        agent_work_close(work);
        break;
    case JOB_WATCH:
        agent_watch_scan(job->agent);
        break;
    }
}

/* What the loop takes over from a finished job before its event is looked at. */
static void take_result(struct agent *agent, const struct job *job) {
    struct agent_work *work = &agent->work;

    switch (job->kind) {
    case JOB_RECOVER:
        renewal_plan(&agent->renewal, work->record.renew_at);
        break;
    case JOB_CHECK:
        agent->checked_with_settings = work->settings.present;
        agent->wanted = work->wanted;
        renewal_plan(&agent->renewal, work->record.renew_at);
        if (work->wanted_later && !work->repairing)
            renewal_postpone(&agent->renewal, clock_wall_s(work->clock), agent->options.random);
        break;
    case JOB_IMPORT:
        /* not once all is finished: so ends, too, what a check has found to be deleted, and what it
         * has found missing beside that is still to be asked for */
        if (job->event != AGENT_EVENT_VERIFIED)
            break;
        agent->wanted = NULL;
        renewal_succeeded(&agent->renewal, clock_wall_s(work->clock), work->record.renew_at);
        break;
    case JOB_UNLINK:
        agent->wanted = NULL;
        renewal_init(&agent->renewal);
        break;
    case JOB_INSPECT:
        agent_inspect_done(agent);
        break;
    case JOB_WATCH:
        agent_watch_scanned(agent);
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
        agent_settle(agent);
    else
        agent_dispatch(agent, event);
}

void agent_jobs_queue(struct agent *agent, enum job_kind kind) {
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
