/* devtrustd's inspections: taken up when the machine rests, answered by the worker's findings, or
 * at a deadline by as much as is known then. A store that hangs holds up the worker, never the
 * answer. */
#include "useragent/agent_internal.h"

#include <string.h>

/* devtrustd waits 10 s (daemon/inspections.h). */
#define ANSWER_WITHIN_MS 7000

/* Owns `parameters`. A failure is a connection that is ending: the question ends with it. */
static void answer(struct agent *agent, struct json_object *parameters) {
    if (parameters)
        (void)agent_link_tell(agent->link, "Inspected", parameters);
}

/* The worker is held up by something else, a store in all likelihood: that is the finding. */
static struct json_object *tell_busy(struct agent *agent) {
    struct inspection *inspection = NULL;
    struct json_object *parameters;

    if (inspection_new(&agent->snapshot.inspection, agent->snapshot.mode, &inspection) < 0)
        return NULL;
    if (agent->snapshot.inspection.full)
        inspection_add(
            inspection, AGENT_CHECK_STORE, "", AGENT_RESULT_FAILURE, REASON_STORE_BUSY, "%s",
            agent_state_name(agent->state));
    if (agent->snapshot.inspection.repair)
        inspection_add_action(inspection, "busy");
    parameters = inspection_close(inspection, true);
    inspection_free(inspection);
    return parameters;
}

static bool is_new(const struct agent *agent) {
    return agent->have_snapshot && agent->snapshot.inspection.id[0] != '\0' &&
           strcmp(agent->snapshot.inspection.id, agent->inspected) != 0;
}

static void deadline_passed(uv_timer_t *timer) {
    struct agent *agent = timer->data;

    if (agent->inspection && strcmp(inspection_order(agent->inspection)->id, agent->awaited) == 0) {
        answer(agent, inspection_close(agent->inspection, true));
        return;
    }
    if (!is_new(agent))
        return;
    memcpy(agent->inspected, agent->awaited, sizeof agent->inspected);
    answer(agent, tell_busy(agent));
}

void agent_inspect_note(struct agent *agent) {
    if (!is_new(agent) || strcmp(agent->snapshot.inspection.id, agent->awaited) == 0)
        return;
    memcpy(agent->awaited, agent->snapshot.inspection.id, sizeof agent->awaited);
    (void)uv_timer_start(
        &agent->inspect_deadline, deadline_passed,
        agent->options.answer_within_ms > 0 ? agent->options.answer_within_ms : ANSWER_WITHIN_MS,
        0);
}

/* The repair is the machine's own check, asked for anew without waiting for its time. Returns
 * whether it was begun. */
static bool begin_repair(struct agent *agent) {
    memcpy(agent->repaired, agent->snapshot.inspection.id, sizeof agent->repaired);
    agent_work_begin_repair(&agent->work, true);
    if (agent->state != AGENT_IDLE || agent->snapshot.mode != AGENT_MODE_CERTIFICATE ||
        !agent->snapshot.settings.present) {
        /* a certificate is on its way, or on its way out; idle: change nothing */
        if (agent->snapshot.mode != AGENT_MODE_IDLE)
            agent_work_note_action(&agent->work, "busy");
        return false;
    }
    renewal_hurry(&agent->renewal);
    agent_dispatch(agent, AGENT_EVENT_CHECK);
    return true;
}

bool agent_inspect_take_up(struct agent *agent) {
    const struct agent_inspection *order = &agent->snapshot.inspection;

    if (!is_new(agent) || agent->state == AGENT_STARTING || agent->inspection)
        return false;
    if (order->repair && strcmp(order->id, agent->repaired) != 0 && begin_repair(agent))
        return true;
    if (inspection_new(order, agent->snapshot.mode, &agent->inspection) < 0)
        return false; /* devtrustd says that no answer came */
    memcpy(agent->inspected, order->id, sizeof agent->inspected);
    agent_jobs_queue(agent, JOB_INSPECT);
    return true;
}

void agent_inspect_done(struct agent *agent) {
    struct json_object *parameters = inspection_close(agent->inspection, false);

    /* NULL: the deadline was faster */
    if (parameters)
        (void)uv_timer_stop(&agent->inspect_deadline);
    answer(agent, parameters);
    agent->inspection = inspection_free(agent->inspection);
}

void agent_inspect_forget(struct agent *agent) {
    agent->inspected[0] = '\0';
    agent->repaired[0] = '\0';
    agent->awaited[0] = '\0';
    (void)uv_timer_stop(&agent->inspect_deadline);
}
