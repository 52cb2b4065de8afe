/* See repair.h. */
#include "daemon/repair.h"

#include "daemon/agent_answers.h"
#include "daemon/device_checks.h"
#include "daemon/server_status.h"
#include "daemon/user_calls.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_TEXT 256
#define MAX_ACTION 64 /* bytes that are shown of one that is not known */

struct repair {
    struct daemon *daemon;
    repair_done done;
    void *userdata;
    bool is_stranger, failed;
    int64_t own_uid;
    bool was_connected;
    bool renews; /* the device certificate */
    bool probe_open, was_asked;
    enum reason server_reason; /* NONE: the server answers */
    int server_status;         /* HTTP's; 0: no answer */
    char epoch[37];            /* of the state at the beginning; empty: none */
    int64_t generation;
    struct inspection *inspection;
    struct json_object *actions;
};

static void repair_free(struct repair *repair) {
    inspection_end(repair->inspection);
    json_object_put(repair->actions);
    free(repair);
}

void repair_cancel(struct repair *repair) {
    if (repair->daemon->link)
        server_link_probe_cancel(repair->daemon->link, repair);
    repair_free(repair);
}

/* ---- actions ---- */

/* `reason` other than NONE: what could not be done, and why. */
static void add(
    struct repair *repair, const char *id, const char *user, enum reason reason, const char *text) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    const char *code = reason != REASON_NONE ? reason_code(reason) : NULL;

    if (!object || json_fields_add_string(object, "id", id) < 0 ||
        json_fields_add_string(object, "user", user) < 0 ||
        json_fields_add_string(object, "code", code) < 0 ||
        json_fields_add_string(object, "text", text ? text : reason_text(reason)) < 0 ||
        json_object_array_add(repair->actions, object) < 0) {
        repair->failed = true;
        return;
    }
    object = NULL;
}

/* ---- the machine's files ---- */

static void repair_files(struct repair *repair) {
    struct daemon *daemon = repair->daemon;
    if (device_checks_close(daemon->config, geteuid()) > 0) {
        log_event(
            LOG_LEVEL_WARNING, MSG_STORAGE,
            "State directory and device key were open to others; they are closed again. If the key "
            "may have been read, remove the device on the server and enrol it anew",
            LOG_TEXT("PATH", daemon->config->state_dir));
        add(repair, "permissions", NULL, REASON_NONE,
            "The state directory and the key are closed to others again. If the key may have been "
            "read, remove the device on the server and enrol it anew.");
    }
    if (policy_repair(daemon->policy))
        add(repair, "policy", NULL, REASON_NONE, "The browser policy was written again.");
}

/* ---- the server ---- */

static void note_state(struct repair *repair) {
    const struct desired_state *state = server_link_state(repair->daemon->link);
    if (!state)
        return;
    memcpy(repair->epoch, state->epoch, sizeof(repair->epoch));
    repair->generation = state->generation;
}

static void add_state(struct repair *repair) {
    char text[MAX_TEXT];
    const struct desired_state *state = server_link_state(repair->daemon->link);
    if (!state ||
        (strcmp(state->epoch, repair->epoch) == 0 && state->generation == repair->generation))
        return;
    snprintf(
        text, sizeof(text), "A newer desired state was fetched: generation %" PRId64 ".",
        state->generation);
    add(repair, "state", NULL, REASON_NONE, text);
}

static void add_push(struct repair *repair, const struct server_facts *facts) {
    if (!facts->push_used || repair->was_connected)
        return;
    if (facts->push_connected)
        add(repair, "push", NULL, REASON_NONE, "The push channel is open again.");
    else if (repair->server_reason == REASON_NONE)
        add(repair, "push", NULL, REASON_NONE, "The push channel is being opened.");
}

static void add_server(struct repair *repair) {
    struct server_facts facts;
    if (!repair->was_asked) {
        add(repair, "server", NULL, REASON_NOT_ENROLLED, NULL);
        return;
    }
    server_status_facts(repair->daemon->link, &facts);
    if (repair->server_reason != REASON_NONE)
        add(repair, "server", NULL, repair->server_reason, NULL);
    if (repair->renews && repair->server_status != 0)
        add(repair, "device-certificate", NULL, REASON_NONE,
            "A new device certificate is asked for.");
    add_state(repair);
    add_push(repair, &facts);
}

/* ---- users ---- */

#define RENEWAL "renewal-"

/* What the agent names that it has done (ipc/io.devtrust.Agent.varlink). */
static const struct {
    const char *name, *text;
    enum reason reason; /* why nothing was done; NONE: something was */
} agent_actions[] = {
    {"swept", "Keys and certificates of ours that were too many were removed.", REASON_NONE},
    {"record-written", "The agent's record was written again.", REASON_NONE},
    {"record-rebuilt", "The agent's record was made anew from the stores.", REASON_NONE},
    {"state-permissions", "The agent's own directory was closed to others.", REASON_NONE},
    {"renewal-lost", "A certificate was missing; a new one is asked for.", REASON_NONE},
    {"renewal-store_added", "A store has no certificate yet; a new one is asked for.", REASON_NONE},
    {"renewal-due", "The renewal was due; a new certificate is asked for.", REASON_NONE},
    {"busy", "The agent is at work already: a certificate is on its way in or out.", REASON_BUSY},
};

/* Returns whether it is a renewal. */
static bool add_agent_action(struct repair *repair, const char *user, const char *name) {
    char text[MAX_TEXT], safe[MAX_ACTION + 1];
    for (size_t i = 0; i < ARRAY_LENGTH(agent_actions); i++)
        if (strcmp(agent_actions[i].name, name) == 0) {
            add(repair, "store", user, agent_actions[i].reason, agent_actions[i].text);
            return strncmp(name, RENEWAL, strlen(RENEWAL)) == 0;
        }
    snprintf(
        text, sizeof(text), "The agent says: %s",
        log_escape(name, strlen(name), safe, sizeof(safe)));
    add(repair, "store", user, REASON_NONE, text);
    return false;
}

static enum reason renewal_reason(const struct user_answer *answer) {
    if (answer->kind == ANSWER_TOO_SOON)
        return REASON_RATE_LIMITED;
    return answer->reason != REASON_NONE ? answer->reason : REASON_BUSY;
}

/* Whether no certificate is good: what is well is not renewed, nor what may be well. */
static bool needs_renewal(const struct user *user, const struct inspected_user *inspected) {
    const struct user_installed *installed = &user->record.installed;
    if (!user_is_wanted(user) || user->record.state == USER_REMOVING)
        return false;
    if (!installed->serial[0] || installed->not_after <= clock_wall_s(user->services->clock))
        return true;
    return inspected->counts.usable == 0 && agent_answers_knows_stores(inspected->checks);
}

/* `was_said`: the agent asks, too. */
static void renew(
    struct repair *repair, struct user *user, const struct inspected_user *inspected,
    bool was_said) {
    struct user_answer answer = {.reason = REASON_NONE};
    const char *id = NULL, *name = inspected->owner.name;

    if (!needs_renewal(user, inspected))
        return;
    int r = user_renew(user, REQUEST_LOST, &id, &answer);
    if (r > 0 && !was_said)
        add(repair, "user", name, REASON_NONE, "A new certificate is asked for.");
    else if (r <= 0)
        add(repair, "user", name, r < 0 ? REASON_STORAGE : renewal_reason(&answer), NULL);
}

static void add_user(struct repair *repair, const struct inspected_user *inspected) {
    struct user *user = users_find_by_name(repair->daemon->users, inspected->owner.name);
    struct json_object *actions = inspected->actions;
    const char *name = inspected->owner.name;
    bool renews = false;

    if (!user) /* unassigned meanwhile */
        return;
    if (inspected->outcome == INSPECTION_TIMEOUT)
        add(repair, "agent", name, REASON_AGENT_TIMEOUT, NULL);
    else if (inspected->outcome != INSPECTION_ANSWERED && user_is_wanted(user))
        add(repair, "agent", name, REASON_NO_AGENT, NULL);
    for (size_t i = 0; actions && i < json_object_array_length(actions); i++) {
        struct json_object *action = json_object_array_get_idx(actions, i);
        renews = add_agent_action(repair, name, json_object_get_string(action)) || renews;
    }
    if (inspected->outcome == INSPECTION_ANSWERED)
        renew(repair, user, inspected, renews);
}

/* ---- all ---- */

void repair_settle(struct repair *repair) {
    if (repair->probe_open || inspection_is_open(repair->inspection))
        return;
    struct daemon *daemon = repair->daemon;
    add_server(repair);
    if (repair->was_asked && repair->server_reason == REASON_NONE)
        users_server_back(daemon->users);
    for (size_t i = 0; i < inspection_count(repair->inspection); i++)
        add_user(repair, inspection_get(repair->inspection, i));
    /* the state that was fetched may have made him a managed user */
    if (repair->is_stranger && !users_find_by_uid(daemon->users, repair->own_uid))
        add(repair, "user", NULL, REASON_NOT_MANAGED, NULL);
    struct json_object *actions = repair->failed ? NULL : TAKE_PTR(repair->actions);
    repair_done done = repair->done;
    void *userdata = repair->userdata;
    repair_free(repair);
    done(actions, userdata);
}

static void on_probe(const struct server_probe_answer *answer, void *userdata) {
    struct repair *repair = userdata;
    repair->probe_open = false;
    repair->server_reason = answer->reason;
    repair->server_status = answer->status;
    repair_settle(repair);
}

static void on_inspection(struct inspection *inspection __attribute__((unused)), void *userdata) {
    repair_settle(userdata);
}

static void begin_server(struct repair *repair) {
    struct server_facts facts;
    server_status_facts(repair->daemon->link, &facts);
    repair->was_connected = facts.push_connected;
    note_state(repair);
    repair->renews = server_link_repair(repair->daemon->link);
    int r = server_link_probe(repair->daemon->link, on_probe, repair);
    repair->probe_open = r == 0;
    repair->was_asked = r != -ENOTCONN;
    if (r < 0)
        repair->server_reason = r == -EBUSY ? REASON_BUSY : REASON_NO_MEMORY;
}

int repair_begin(
    struct daemon *daemon, const struct repair_whom *whom, repair_done done, void *userdata,
    struct repair **ret) {
    struct repair *repair = calloc(1, sizeof(*repair));
    if (!repair)
        return -ENOMEM;
    *repair = (struct repair){
        .daemon = daemon,
        .done = done,
        .userdata = userdata,
        .is_stranger = whom->is_stranger,
        .own_uid = whom->own_uid,
        .actions = json_object_new_array(),
    };
    int r = repair->actions ? 0 : -ENOMEM;
    if (r == 0)
        r = inspections_begin(
            daemon->inspections, whom->users, whom->count,
            AGENT_INSPECT_FULL | AGENT_INSPECT_REPAIR, on_inspection, repair, &repair->inspection);
    if (r < 0) {
        json_object_put(repair->actions);
        free(repair);
        return r;
    }
    if (whom->is_root)
        repair_files(repair);
    begin_server(repair);
    *ret = repair;
    return 0;
}
