/* What a person at this screen has to do: seen in the newest snapshot, the last report, and in what
 * runs; told by the notifier. */
#include "common/browser_family.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/time_text.h"
#include "useragent/agent_internal.h"
#include "useragent/browser_check.h"
#include "useragent/notifier.h"

#include <stdio.h>
#include <string.h>

#define LOOK_AGAIN_MS (60 * 1000)

/* ---- the certificate ends ---- */

static void update_expiry(struct agent *agent) {
    const struct agent_expiry *expiry = &agent->snapshot.expiry;
    char until[TIME_TEXT_SIZE], since[TIME_TEXT_SIZE], body[NOTIFIER_TEXT_SIZE];

    if (!expiry->not_after) {
        notifier_clear(agent->notifier, NOTICE_EXPIRY);
        return;
    }
    (void)snprintf(
        body, sizeof body,
        "It ends at %s. It could not be renewed, because the server has not been reached since %s. "
        "Connect this computer to the network of your organisation. If that does not help, ask "
        "your administrator.",
        time_text_utc(expiry->not_after, until), time_text_utc(expiry->unreachable_since, since));
    notifier_set(
        agent->notifier, NOTICE_EXPIRY, "The certificate of this computer ends soon", body);
}

/* ---- the home was not there ---- */

/* The report is the worker's while a job runs. */
static void update_sign_in(struct agent *agent) {
    const struct agent_report *report = &agent->work.report;

    if (agent->jobs > 0)
        return;
    if (agent->snapshot.mode == AGENT_MODE_CERTIFICATE && report->outcome == AGENT_OUTCOME_FAILED &&
        report->reason == REASON_STORE_MISSING)
        notifier_set(
            agent->notifier, NOTICE_SIGN_IN, "Please sign out and in again",
            "Your home directory was not there when a certificate was to be put into it. If it "
            "happens again, ask your administrator.");
    else
        notifier_clear(agent->notifier, NOTICE_SIGN_IN);
}

/* ---- a browser reads its policy only when it starts ---- */

static void look(uv_work_t *request) {
    struct agent *agent = request->data;
    struct browser_run runs[BROWSER_RUNS_MAX];
    int count = browser_check_list(runs);

    agent->notice_browser[0] = '\0';
    for (int i = 0; i < count && !agent->notice_browser[0]; i++)
        if (runs[i].family->kind == BROWSER_FIREFOX && runs[i].started_s > 0 &&
            runs[i].started_s <= agent->notice_since)
            (void)snprintf(
                agent->notice_browser, sizeof agent->notice_browser, "%s", runs[i].family->name);
}

static void look_again(uv_timer_t *timer) {
    agent_notices_look(timer->data);
}

static void looked(uv_work_t *request, int status) {
    struct agent *agent = request->data;
    char body[NOTIFIER_TEXT_SIZE];

    (void)status; /* never cancelled */
    agent->notice_looking = false;
    if (agent->stopping)
        return;
    if (!agent->notice_browser[0]) {
        notifier_clear(agent->notifier, NOTICE_BROWSER_RESTART);
        return;
    }
    (void)snprintf(
        body, sizeof body,
        "%s was started before its settings came: it may ask which certificate to present. Close "
        "it and start it again.",
        agent->notice_browser);
    notifier_set(agent->notifier, NOTICE_BROWSER_RESTART, "Please restart your browser", body);
    (void)uv_timer_start(&agent->notice_timer, look_again, LOOK_AGAIN_MS, 0);
}

void agent_notices_look(struct agent *agent) {
    if (!agent->notifier || agent->notice_looking || agent->notice_since == 0)
        return;
    agent->notice_looking = true;
    (void)uv_queue_work(
        agent->options.loop, &agent->notice_work, look, looked); /* fails without a callback only */
}

/* With root's opt-in, and once there is something to present. */
static void update_browser(struct agent *agent) {
    int64_t since = agent->snapshot.mode == AGENT_MODE_CERTIFICATE && agent->jobs == 0 &&
                            agent_record_has_current(&agent->work.record)
                        ? agent->snapshot.settings.firefox_policy_since
                        : 0;

    if (agent->jobs > 0 || agent->notice_looking || since == agent->notice_since)
        return;
    agent->notice_since = since;
    (void)uv_timer_stop(&agent->notice_timer);
    if (since == 0)
        notifier_clear(agent->notifier, NOTICE_BROWSER_RESTART);
    else
        agent_notices_look(agent);
}

/* ---- all ---- */

void agent_notices_update(struct agent *agent) {
    if (!agent->notifier || !agent->have_snapshot)
        return; /* without devtrustd nothing is known anew: what stands stands */
    update_expiry(agent);
    update_sign_in(agent);
    update_browser(agent);
}

int agent_notices_start(struct agent *agent) {
    const struct notifier_options options = {
        .loop = agent->options.loop,
        .random = agent->options.random,
        .bus_address = agent->options.user_bus,
        .settle_ms = agent->options.notice_settle_ms,
    };
    int r = uv_timer_init(agent->options.loop, &agent->notice_timer);

    if (r < 0)
        return r;
    agent->notice_timer.data = agent;
    agent->notice_work.data = agent;
    r = options.bus_address ? notifier_new(&options, &agent->notifier) : 0;
    if (r < 0)
        log_event(
            LOG_LEVEL_NOTICE, MSG_INTERNAL, "Nobody can be told by the desktop.", LOG_ERRNO(r));
    return 0;
}

void agent_notices_stop(struct agent *agent) {
    uv_close((uv_handle_t *)&agent->notice_timer, NULL);
    notifier_close(agent->notifier);
    agent->notifier = NULL;
}
