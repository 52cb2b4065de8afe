/* See diagnosis.h. */
#include "daemon/diagnosis.h"

#include "daemon/agent_answers.h"
#include "daemon/browser_checks.h"
#include "daemon/device_checks.h"
#include "daemon/server_checks.h"
#include "daemon/user_checks.h"
#include "daemon/user_view.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct diagnosis {
    struct daemon *daemon;
    diagnosis_done done;
    void *userdata;
    int64_t own_uid;
    bool is_stranger;
    bool probe_open;
    struct probe_facts probe;
    struct inspection *inspection;
};

_Static_assert(
    SERVER_PROBE_REST_MS + SERVER_PROBE_DEADLINE_MS < DIAGNOSIS_DEADLINE_MS &&
        INSPECTION_DEADLINE_MS < DIAGNOSIS_DEADLINE_MS,
    "what is asked answers before the call must");

static void diagnosis_free(struct diagnosis *diagnosis) {
    inspection_end(diagnosis->inspection);
    free(diagnosis);
}

void diagnosis_cancel(struct diagnosis *diagnosis) {
    if (diagnosis->daemon->link)
        server_link_probe_cancel(diagnosis->daemon->link, diagnosis);
    diagnosis_free(diagnosis);
}

/* ---- users ---- */

static void add_user(
    const struct diagnosis *diagnosis, const struct inspected_user *inspected,
    struct checks *checks) {
    const struct daemon *daemon = diagnosis->daemon;
    const struct user *user = users_find_by_name(daemon->users, inspected->owner.name);
    if (!user) { /* unassigned while the agent was asked */
        user_checks_stranger(inspected->owner.name, REASON_NONE, checks);
        return;
    }
    const struct user_record *record = &user->record;
    const struct user_facts facts = {
        .name = inspected->owner.name,
        .is_own = user_uid(user) == diagnosis->own_uid,
        .state = record->state,
        .reason = user_view_reason(user),
        .is_held = record->held,
        .serial = record->installed.serial,
        .now = clock_wall_s(user->services->clock),
        .not_after = record->installed.not_after,
        .renew_at = record->installed.renew_at,
        .due = record->due,
        .login = machine_events_login(daemon->events, user_uid(user)),
        .outcome = inspected->outcome,
        .agent_version = agents_version(daemon->agents, inspected->uid),
        .has_checks = inspected->checks != NULL,
    };
    user_checks_user(&facts, checks);
    user_checks_agent(&facts, checks);
    if (inspected->checks)
        agent_answers_add(inspected->checks, facts.name, checks);
}

/* Why nobody is managed on this device; NONE: others may be. */
static enum reason device_reason(const struct daemon *daemon) {
    const struct desired_state *state = server_link_state(daemon->link);
    if (!state)
        return REASON_NOT_ENROLLED;
    if (!state->enrolled)
        return REASON_DEVICE_REMOVED;
    if (state->distribution == DISTRIBUTION_OFF)
        return REASON_DISTRIBUTION_OFF;
    return REASON_NONE;
}

static void add_users(const struct diagnosis *diagnosis, struct checks *checks) {
    if (diagnosis->is_stranger)
        user_checks_stranger(NULL, device_reason(diagnosis->daemon), checks);
    for (size_t i = 0; i < inspection_count(diagnosis->inspection); i++)
        add_user(diagnosis, inspection_get(diagnosis->inspection, i), checks);
}

/* ---- all ---- */

static struct json_object *look(const struct diagnosis *diagnosis) {
    const struct daemon *daemon = diagnosis->daemon;
    struct checks checks CLEANUP_CHECKS = {0};
    struct server_facts facts;

    server_status_facts(daemon->link, &facts);
    server_checks_certificate(&facts, &checks);
    device_checks_permissions(
        daemon->config, daemon->policy, geteuid(), facts.device_uuid != NULL, &checks);
    device_checks_disk(daemon->config, daemon->policy, &checks);
    server_checks_server(&facts, &diagnosis->probe, &checks);
    server_checks_clock(&diagnosis->probe, &checks);
    server_checks_push(&facts, &diagnosis->probe, &checks);
    server_checks_state(&facts, &diagnosis->probe, &checks);
    browser_checks_look(daemon->policy, &checks);
    add_users(diagnosis, &checks);
    return checks_take(&checks);
}

void diagnosis_settle(struct diagnosis *diagnosis) {
    if (diagnosis->probe_open || inspection_is_open(diagnosis->inspection))
        return;
    struct json_object *checks = look(diagnosis);
    diagnosis_done done = diagnosis->done;
    void *userdata = diagnosis->userdata;
    diagnosis_free(diagnosis);
    done(checks, userdata);
}

static void on_probe(const struct server_probe_answer *answer, void *userdata) {
    struct diagnosis *diagnosis = userdata;
    diagnosis->probe_open = false;
    probe_facts_take(&diagnosis->probe, answer, server_link_state(diagnosis->daemon->link));
    diagnosis_settle(diagnosis);
}

static void on_inspection(struct inspection *inspection __attribute__((unused)), void *userdata) {
    diagnosis_settle(userdata);
}

/* That the server could not even be asked is an answer, too. */
static void begin_probe(struct diagnosis *diagnosis) {
    int r = server_link_probe(diagnosis->daemon->link, on_probe, diagnosis);
    const struct server_probe_answer none = {
        .reason = r == -EBUSY ? REASON_BUSY : REASON_NO_MEMORY,
    };
    diagnosis->probe_open = r == 0;
    if (r < 0 && r != -ENOTCONN)
        probe_facts_take(&diagnosis->probe, &none, NULL);
}

int diagnosis_begin(
    struct daemon *daemon, const struct diagnosis_whom *whom, diagnosis_done done, void *userdata,
    struct diagnosis **ret) {
    struct diagnosis *diagnosis = calloc(1, sizeof(*diagnosis));
    if (!diagnosis)
        return -ENOMEM;
    *diagnosis = (struct diagnosis){
        .daemon = daemon,
        .done = done,
        .userdata = userdata,
        .own_uid = whom->own_uid,
        .is_stranger = whom->is_stranger,
    };
    int r = inspections_begin(
        daemon->inspections, whom->users, whom->count, AGENT_INSPECT_FULL, on_inspection, diagnosis,
        &diagnosis->inspection);
    if (r < 0) {
        free(diagnosis);
        return r;
    }
    begin_probe(diagnosis);
    *ret = diagnosis;
    return 0;
}
