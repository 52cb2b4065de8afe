/* Keeps two connections to devtrustd: one carries the stream of Watch, the other the calls. */
#include "useragent/agent_link.h"

#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/version.h"
#include "ipc/varlink_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#define DAEMON_UID                                                                                 \
    0 /* who must be at the other end: nothing in the program or its options changes it */
#define INTERFACE "io.devtrust.Agent."
#define METHOD_NAME_SIZE 64

#define RECONNECT_BASE_MS 100
#define RECONNECT_CAP_MS 30000
#define NOT_MANAGED_BASE_MS 15000 /* nothing will come soon for a user who is not managed */
#define NOT_MANAGED_CAP_MS (10 * 60 * 1000)

struct open_call {
    LIST_ENTRY(open_call) others;
    agent_link_answer answer;
    void *userdata;
};

struct agent_link {
    struct agent_link_options options;
    char *socket_path;
    struct varlink_client *watch;
    struct varlink_client *calls;
    struct varlink_client *aside; /* of agent_link_tell(), while a call is open there */
    unsigned aside_calls;
    LIST_HEAD(, open_call) open_calls;
    uv_timer_t timer; /* .data: the link */
    struct backoff reconnect;
    struct backoff not_managed;
    bool attached; /* the first snapshot has come */
    bool complained;
    bool closed;
};

static void connect_now(struct agent_link *link);

static void timer_fired(uv_timer_t *timer) {
    connect_now(timer->data);
}

/* A closed client calls nobody back; whoever waits for an answer is told here, unless the agent
 * itself is ending. */
static void drop_connections(struct agent_link *link) {
    struct varlink_client *watch = TAKE_PTR(link->watch);
    struct varlink_client *calls = TAKE_PTR(link->calls);
    struct varlink_client *aside = TAKE_PTR(link->aside);
    struct open_call *call;

    varlink_client_close(watch);
    varlink_client_close(calls);
    varlink_client_close(aside);
    link->aside_calls = 0;
    while ((call = LIST_FIRST(&link->open_calls))) {
        LIST_REMOVE(call, others);
        if (!link->closed)
            call->answer(AGENT_ANSWER_DISCONNECTED, NULL, 0, call->userdata);
        free(call);
    }
}

/* Ends both connections, tells the agent, tries again after a growing, jittered while. */
static void retry(struct agent_link *link, struct backoff *backoff) {
    bool was_attached = link->attached;

    link->attached = false;
    drop_connections(link);
    if (link->closed)
        return;
    (void)uv_timer_start(
        &link->timer, timer_fired, (uint64_t)backoff_next(backoff, link->options.random, 0), 0);
    if (was_attached)
        link->options.detached(link->options.userdata);
}

static void disconnected(struct varlink_client *client, void *userdata) {
    struct agent_link *link = userdata;

    if (client == link->watch || client == link->calls)
        retry(link, &link->reconnect);
}

static void watch_failed(struct agent_link *link, const char *error) {
    if (strcmp(error, INTERFACE "Replaced") == 0) {
        link->options.replaced(link->options.userdata);
        return;
    }
    if (strcmp(error, VARLINK_ERROR_DISCONNECTED) == 0) {
        /* `disconnected` follows for this connection */
        return;
    }
    if (strcmp(error, INTERFACE "NotManaged") == 0 ||
        strcmp(error, "org.varlink.service.PermissionDenied") == 0) {
        retry(link, &link->not_managed);
        return;
    }
    log_event(
        LOG_LEVEL_WARNING, MSG_IPC,
        "devtrustd does not serve this agent; the two may be of different versions.",
        LOG_TEXT("ERROR", error));
    retry(link, &link->not_managed);
}

static void watch_reply(
    struct varlink_client *client, struct json_object *parameters, const char *error,
    bool continues, void *userdata) {
    struct agent_link *link = userdata;
    struct agent_snapshot snapshot;
    const char *field = "";
    bool attached_now = !link->attached;

    (void)client;
    if (error) {
        watch_failed(link, error);
        return;
    }
    if (!continues) {
        retry(link, &link->reconnect);
        return;
    }
    if (agent_message_read_snapshot(parameters, &snapshot, &field) < 0) {
        log_event(
            LOG_LEVEL_ERROR, MSG_IPC,
            "devtrustd's order was not understood and is not followed; update devtrust.",
            LOG_TEXT("FIELD", field));
        return;
    }
    link->attached = true;
    link->complained = false;
    backoff_reset(&link->reconnect);
    backoff_reset(&link->not_managed);
    link->options.snapshot(&snapshot, attached_now, link->options.userdata);
}

static int open_both(struct agent_link *link) {
    struct json_object *parameters;
    int r;

    r = varlink_client_connect(
        link->options.loop, link->socket_path, DAEMON_UID, disconnected, link, &link->calls);
    if (r < 0)
        return r;
    r = varlink_client_connect(
        link->options.loop, link->socket_path, DAEMON_UID, disconnected, link, &link->watch);
    if (r < 0)
        return r;
    parameters = agent_message_watch(DEVTRUST_VERSION);
    if (!parameters)
        return -ENOMEM;
    return varlink_client_call(link->watch, INTERFACE "Watch", parameters, true, watch_reply, link);
}

/* Once per outage: the reader needs to know, not to be flooded. */
static void complain(struct agent_link *link, int error) {
    enum reason reason = error == -EPERM ? REASON_DAEMON_NOT_ROOT : REASON_DAEMON_UNREACHABLE;

    if (link->complained)
        return;
    link->complained = true;
    log_event(
        error == -EPERM ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE, MSG_IPC, reason_text(reason),
        LOG_TEXT("SOCKET", link->socket_path), LOG_TEXT("REMEDY", reason_remedy(reason)),
        LOG_ERRNO(error));
}

static void connect_now(struct agent_link *link) {
    int r = open_both(link);

    if (r >= 0)
        return;
    if (r == -EAGAIN)
        backoff_reset(&link->reconnect); /* the daemon is there, and besieged: do not lose touch */
    else
        complain(link, r);
    retry(link, &link->reconnect);
}

int agent_link_new(const struct agent_link_options *options, struct agent_link **ret) {
    CLEANUP_FREE struct agent_link *link = calloc(1, sizeof *link);
    int r;

    if (!link)
        return -ENOMEM;
    link->options = *options;
    link->reconnect = (struct backoff){.base_ms = RECONNECT_BASE_MS, .cap_ms = RECONNECT_CAP_MS};
    link->not_managed =
        (struct backoff){.base_ms = NOT_MANAGED_BASE_MS, .cap_ms = NOT_MANAGED_CAP_MS};
    link->socket_path = strdup(options->socket_path);
    if (!link->socket_path)
        return -ENOMEM;
    r = uv_timer_init(options->loop, &link->timer);
    if (r < 0) {
        free(link->socket_path);
        return r;
    }
    link->timer.data = link;
    *ret = link;
    connect_now(TAKE_PTR(link));
    return 0;
}

static void freed(uv_handle_t *handle) {
    struct agent_link *link = handle->data;

    free(link->socket_path);
    free(link);
}

void agent_link_close(struct agent_link *link) {
    if (!link || link->closed)
        return;
    link->closed = true;
    link->attached = false;
    drop_connections(link);
    uv_close((uv_handle_t *)&link->timer, freed);
}

bool agent_link_is_attached(const struct agent_link *link) {
    return link->attached;
}

static enum agent_answer answer_of_error(const char *error) {
    static const struct {
        const char *error;
        enum agent_answer answer;
    } errors[] = {
        {VARLINK_ERROR_DISCONNECTED, AGENT_ANSWER_DISCONNECTED},
        {INTERFACE "NotManaged", AGENT_ANSWER_NOT_MANAGED},
        {INTERFACE "StaleRequest", AGENT_ANSWER_STALE},
        {INTERFACE "BadCsr", AGENT_ANSWER_BAD_CSR},
        {INTERFACE "TooSoon", AGENT_ANSWER_TOO_SOON},
        {INTERFACE "Refused", AGENT_ANSWER_REFUSED},
        {"org.varlink.service.PermissionDenied", AGENT_ANSWER_NOT_MANAGED},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++)
        if (strcmp(errors[i].error, error) == 0)
            return errors[i].answer;
    return AGENT_ANSWER_OTHER;
}

static int64_t retry_after(struct json_object *parameters) {
    static const struct json_field table[] = {
        {.name = "retry_after_s", .type = JSON_FIELD_INT, .required = true},
    };
    int64_t seconds = 0;

    if (!parameters || json_fields_read(parameters, table, ARRAY_LENGTH(table), &seconds, NULL) < 0)
        return 0;
    return seconds;
}

static void note_refusal(const char *error) {
    log_event(
        LOG_LEVEL_NOTICE, MSG_IPC, "devtrustd did not accept what the agent sent.",
        LOG_TEXT("ERROR", error));
}

static void call_answered(
    struct varlink_client *client, struct json_object *parameters, const char *error,
    bool continues, void *userdata) {
    struct open_call *call = userdata;
    enum agent_answer answer = error ? answer_of_error(error) : AGENT_ANSWER_OK;

    (void)client;
    (void)continues;
    LIST_REMOVE(call, others);
    if (answer != AGENT_ANSWER_OK && answer != AGENT_ANSWER_DISCONNECTED)
        note_refusal(error);
    call->answer(
        answer, parameters, answer == AGENT_ANSWER_TOO_SOON ? retry_after(parameters) : 0,
        call->userdata);
    free(call);
}

static void close_aside(struct agent_link *link) {
    varlink_client_close(TAKE_PTR(link->aside));
    link->aside_calls = 0;
}

static void aside_disconnected(struct varlink_client *client, void *userdata) {
    struct agent_link *link = userdata;

    if (client == link->aside)
        close_aside(link);
}

static void aside_answered(
    struct varlink_client *client, struct json_object *parameters, const char *error,
    bool continues, void *userdata) {
    struct agent_link *link = userdata;

    (void)parameters;
    (void)continues;
    if (error && answer_of_error(error) != AGENT_ANSWER_DISCONNECTED)
        note_refusal(error);
    if (client == link->aside && --link->aside_calls == 0)
        close_aside(link);
}

static int method_name(const char *method, char ret[METHOD_NAME_SIZE]) {
    int length = snprintf(ret, METHOD_NAME_SIZE, INTERFACE "%s", method);

    return length < 0 || length >= METHOD_NAME_SIZE ? -ENAMETOOLONG : 0;
}

int agent_link_tell(struct agent_link *link, const char *method, struct json_object *parameters) {
    CLEANUP_JSON struct json_object *owned = parameters;
    char name[METHOD_NAME_SIZE];
    int r = owned ? method_name(method, name) : -ENOMEM;

    if (r >= 0 && !link->attached)
        r = -ENOTCONN;
    if (r >= 0 && !link->aside)
        r = varlink_client_connect(
            link->options.loop, link->socket_path, DAEMON_UID, aside_disconnected, link,
            &link->aside);
    if (r < 0)
        return r;
    r = varlink_client_call(link->aside, name, TAKE_PTR(owned), false, aside_answered, link);
    if (r >= 0)
        link->aside_calls++;
    else if (link->aside_calls == 0)
        close_aside(link);
    return r;
}

int agent_link_call(
    struct agent_link *link, const char *method, struct json_object *parameters,
    agent_link_answer answer, void *userdata) {
    CLEANUP_FREE struct open_call *call = NULL;
    char name[METHOD_NAME_SIZE];
    int r;

    if (!parameters)
        return -ENOMEM;
    call = calloc(1, sizeof *call);
    if (!call || !link->attached || method_name(method, name) < 0) {
        json_object_put(parameters);
        return call ? -ENOTCONN : -ENOMEM;
    }
    *call = (struct open_call){.answer = answer, .userdata = userdata};
    r = varlink_client_call(link->calls, name, parameters, false, call_answered, call);
    if (r < 0)
        return r;
    LIST_INSERT_HEAD(&link->open_calls, call, others);
    (void)TAKE_PTR(call);
    return 0;
}
