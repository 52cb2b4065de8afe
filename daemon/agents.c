/* Keeps one Watch per uid and shows each agent the whole truth. */
#include "daemon/agents.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_limit.h"
#include "common/log_messages.h"
#include "ipc/varlink_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct agent {
    struct agents *agents;
    struct agent *next;
    int64_t uid;
    struct varlink_call *call;
    int64_t revision;
    char *shown; /* the snapshot that was sent last, as text; NULL: none yet */
    char version[AGENT_VERSION_SIZE];
    char inspection[37]; /* empty: none open */
    unsigned inspection_want;
};

struct agents {
    struct agents_options options;
    struct agent *first;
    struct log_limit replaced; /* anybody can have his agents replace each other */
};

int agents_new(const struct agents_options *options, struct agents **ret) {
    struct agents *agents = calloc(1, sizeof(*agents));
    if (!agents)
        return -ENOMEM;
    agents->options = *options;
    *ret = agents;
    return 0;
}

static void agent_free(struct agent *agent) {
    free(agent->shown);
    free(agent);
}

struct agents *agents_free(struct agents *agents) {
    while (agents && agents->first) {
        struct agent *agent = agents->first;
        agents->first = agent->next;
        agent_free(agent);
    }
    free(agents);
    return NULL;
}

static struct agent *find(const struct agents *agents, int64_t uid) {
    for (struct agent *agent = agents->first; agent; agent = agent->next)
        if (agent->uid == uid)
            return agent;
    return NULL;
}

bool agents_is_attached(const struct agents *agents, int64_t uid) {
    return find(agents, uid) != NULL;
}

const char *agents_version(const struct agents *agents, int64_t uid) {
    const struct agent *agent = find(agents, uid);
    return agent ? agent->version : NULL;
}

static void unlink_agent(struct agent *agent) {
    for (struct agent **link = &agent->agents->first; *link; link = &(*link)->next)
        if (*link == agent) {
            *link = agent->next;
            return;
        }
}

static void call_ended(struct varlink_call *call __attribute__((unused)), void *userdata) {
    struct agent *agent = userdata;
    struct agents *agents = agent->agents;
    int64_t uid = agent->uid;
    unlink_agent(agent);
    agent_free(agent);
    agents->options.detached(uid, agents->options.userdata);
}

static int add_inspection(const struct agent *agent, struct json_object *snapshot) {
    struct json_object *inspection CLEANUP_JSON = NULL;
    if (!agent->inspection[0])
        return 0;
    inspection = json_object_new_object();
    if (!inspection || json_fields_add_string(inspection, "id", agent->inspection) < 0 ||
        ((agent->inspection_want & AGENT_INSPECT_FULL) &&
         json_fields_add_bool(inspection, "full", true) < 0) ||
        ((agent->inspection_want & AGENT_INSPECT_REPAIR) &&
         json_fields_add_bool(inspection, "repair", true) < 0))
        return -ENOMEM;
    return json_fields_add(snapshot, "inspection", TAKE_PTR(inspection));
}

static void show(struct agent *agent) {
    struct agents *agents = agent->agents;
    struct json_object *snapshot CLEANUP_JSON =
        agents->options.snapshot(agent->uid, agents->options.userdata);
    if (!snapshot || add_inspection(agent, snapshot) < 0)
        return; /* memory is out: the next change shows it */
    const char *text = json_object_to_json_string_ext(snapshot, JSON_C_TO_STRING_PLAIN);
    if (!text || (agent->shown && strcmp(agent->shown, text) == 0))
        return;
    char *copy = strdup(text);
    if (!copy || json_fields_add_int(snapshot, "revision", agent->revision + 1) < 0) {
        free(copy);
        return;
    }
    free(agent->shown);
    agent->shown = copy;
    agent->revision++;
    varlink_call_notify(agent->call, TAKE_PTR(snapshot));
}

void agents_changed(struct agents *agents, int64_t uid) {
    struct agent *agent = find(agents, uid);
    if (agent)
        show(agent);
}

void agents_watch(
    struct agents *agents, int64_t uid, const char *version, struct varlink_call *call) {
    struct agent *older = find(agents, uid);
    struct agent *agent = calloc(1, sizeof(*agent));

    if (older && agent) { /* what was asked of the older one is asked of the newer */
        memcpy(agent->inspection, older->inspection, sizeof(agent->inspection));
        agent->inspection_want = older->inspection_want;
    }
    if (older) {
        unlink_agent(older);
        varlink_call_error(older->call, "io.devtrust.Agent.Replaced", NULL);
        agent_free(older);
        if (log_limit_take(&agents->replaced, clock_monotonic_ms(agents->options.clock), NULL))
            log_event(
                LOG_LEVEL_NOTICE, MSG_IPC, "A newer agent of this user replaces an older one",
                LOG_NUMBER("PEER_UID", uid));
    }
    if (!agent) {
        varlink_call_error(call, "io.devtrust.Agent.NotManaged", NULL);
        return;
    }
    agent->agents = agents;
    agent->uid = uid;
    agent->call = call;
    snprintf(agent->version, sizeof(agent->version), "%s", version);
    agent->next = agents->first;
    agents->first = agent;
    varlink_call_on_cancel(call, call_ended, agent);
    agents->options.attached(uid, agents->options.userdata);
    /* attaching may have moved the user, and so have shown it already */
    agents_changed(agents, uid);
}

int agents_inspect(struct agents *agents, int64_t uid, unsigned want, const char **ret_id) {
    struct agent *agent = find(agents, uid);
    char id[sizeof(agent->inspection)];
    if (!agent)
        return -ENOTCONN;
    bool open = agent->inspection[0];
    if (!open || (want & ~agent->inspection_want) != 0) {
        if (random_uuid(agents->options.random, id) < 0)
            return -EIO;
        memcpy(agent->inspection, id, sizeof(id));
        agent->inspection_want = open ? agent->inspection_want | want : want;
    }
    *ret_id = agent->inspection;
    show(agent);
    return 0;
}

bool agents_inspected(struct agents *agents, int64_t uid, const char *id) {
    struct agent *agent = find(agents, uid);
    if (!agent || !agent->inspection[0] || strcmp(agent->inspection, id) != 0)
        return false;
    agent->inspection[0] = '\0';
    return true;
}
