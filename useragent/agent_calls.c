/* What the agent says to devtrustd, and what it makes of the answers. */
#include "common/log.h"
#include "common/log_messages.h"
#include "useragent/agent_internal.h"

#include <string.h>

void agent_calls_ignore(
    enum agent_answer answer, struct json_object *parameters, int64_t retry_after_s,
    void *userdata) {
    (void)answer;
    (void)parameters;
    (void)retry_after_s;
    (void)userdata;
}

/* ---- Submit ---- */

/* The key goes when no job runs: an inspection may just be looking at it. */
static void end_request(struct agent *agent) {
    memcpy(agent->ignored, agent->work.request.id, sizeof agent->ignored);
    agent_settle(agent);
}

static void take_submit_reply(struct agent *agent, struct json_object *parameters) {
    STACK_OF(X509) *certificates = NULL;
    int64_t retry_after_s = 0;

    if (agent_message_read_submit(parameters, &certificates, &retry_after_s) < 0)
        log_event(
            LOG_LEVEL_ERROR, MSG_IPC, "devtrustd's answer was not understood; update devtrust.",
            LOG_TEXT("REQUEST_ID", (const char *)agent->work.request.id));
    else
        backoff_reset(&agent->resend);
    if (certificates)
        agent_take_certificates(agent, certificates);
    else
        agent_start_wait(
            agent, backoff_next(&agent->resend, agent->options.random, retry_after_s * 1000));
    agent_settle(agent);
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
        agent_start_wait(
            agent, backoff_next(&agent->resend, agent->options.random, retry_after_s * 1000));
        agent_settle(agent);
        break;
    }
}

void agent_calls_submit(struct agent *agent) {
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
        agent_start_wait(agent, backoff_next(&agent->resend, agent->options.random, 0));
}

/* ---- Report ---- */

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
        agent_start_wait(
            agent, backoff_next(&agent->resend, agent->options.random, retry_after_s * 1000));
        return;
    }
    backoff_reset(&agent->resend);
    if (agent->state == AGENT_FAILING)
        memcpy(agent->ignored, agent->work.report.request_id, sizeof agent->ignored);
    if (agent->state == AGENT_REMOVED)
        agent->removed = true;
    agent_dispatch(agent, AGENT_EVENT_ACKNOWLEDGED);
}

void agent_calls_report(struct agent *agent) {
    if (agent->state == AGENT_REPORTING && agent->jobs == 0)
        agent_work_report_current(&agent->work);
    if (!agent_link_is_attached(agent->link))
        return;
    agent->attached_anew = false;
    if (agent_link_call(
            agent->link, "Report", agent_message_report(&agent->work.report), report_answered,
            agent) < 0)
        agent_start_wait(agent, backoff_next(&agent->resend, agent->options.random, 0));
}

/* ---- Renew ---- */

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
    agent_settle(agent);
}

bool agent_calls_may_renew(const struct agent *agent) {
    return agent->wanted && agent->state == AGENT_IDLE && agent->jobs == 0 &&
           agent->have_snapshot && agent->snapshot.mode == AGENT_MODE_CERTIFICATE &&
           !agent->snapshot.request.present && !agent->renew_open;
}

void agent_calls_renew(struct agent *agent) {
    if (!agent_calls_may_renew(agent) ||
        !renewal_may_ask(&agent->renewal, clock_wall_s(agent->options.clock)))
        return;
    log_event(
        LOG_LEVEL_INFO, MSG_AGENT, "A new certificate is asked for.",
        LOG_TEXT("REASON", agent->wanted));
    if (agent_link_call(
            agent->link, "Renew", agent_message_renew(agent->wanted), renew_answered, agent) >= 0)
        agent->renew_open = true;
}
