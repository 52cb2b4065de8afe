/* One request over a fresh connection: a kept-alive one would say nothing of the server's
 * certificate today. */
#include "daemon/server_probe.h"

#include "daemon/http_problem.h"
#include "daemon/server_address.h"

#include "common/cleanup.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "/v1/state"

struct waiting {
    struct waiting *next;
    server_probe_done done; /* NULL: cancelled */
    void *userdata;
};

struct server_probe {
    uv_loop_t *loop;
    const struct clock_source *clock;
    uint64_t deadline_ms;
    uv_timer_t timer; /* the rest before a probe, then its deadline */
    unsigned open;    /* what the loop holds: timer and turn, clients that close */
    void (*closed)(void *userdata);
    void *closed_userdata;

    struct http_client *client; /* NULL: no probe runs */
    X509 *certificate;          /* of the client; tells one identity from another */
    struct http_transfer *transfer;
    char url[SERVER_ADDRESS_MAX_URL + sizeof(PATH)], device[37];
    int64_t begun_ms; /* monotonic; of the last probe */
    bool has_begun;

    struct waiting *waiting; /* those who ask */
    unsigned waiting_count;

    struct waiting *answered; /* those who are being told: one in each turn of the loop, since what
                                 they then do takes longer than other callers are to wait */
    uv_idle_t turn;           /* active only while there are some */
    struct server_probe_answer answer;
    struct desired_state *state; /* of the answer */
};

static void one_closed(struct server_probe *probe) {
    if (--probe->open > 0)
        return;
    probe->closed(probe->closed_userdata);
    free(probe);
}

static void on_client_closed(void *userdata) {
    one_closed(userdata);
}

static void stop(struct server_probe *probe) {
    uv_timer_stop(&probe->timer);
    if (!probe->client)
        return;
    http_transfer_cancel(TAKE_PTR(probe->transfer));
    X509_free(TAKE_PTR(probe->certificate));
    http_client_close(TAKE_PTR(probe->client), on_client_closed, probe);
}

/* Whoever is told may ask again, or cancel another who has not been told yet. */
static void tell_one(struct server_probe *probe) {
    struct waiting *one = probe->answered;
    probe->answered = one->next;
    if (one->done)
        one->done(&probe->answer, one->userdata);
    free(one);
}

static void tell_next(uv_idle_t *turn) {
    struct server_probe *probe = turn->data;
    if (probe->answered)
        tell_one(probe);
    if (probe->answered)
        return;
    uv_idle_stop(turn);
    desired_state_free(TAKE_PTR(probe->state));
}

/* Owns `state`. */
static void tell(
    struct server_probe *probe, const struct server_probe_answer *answer,
    struct desired_state *state) {
    stop(probe);
    while (probe->answered) /* those of the probe before */
        tell_one(probe);
    desired_state_free(probe->state);
    probe->answer = *answer;
    probe->state = state;
    probe->answered = TAKE_PTR(probe->waiting);
    probe->waiting_count = 0;
    uv_idle_start(&probe->turn, tell_next);
}

static struct server_probe_answer begin_answer(const struct server_probe *probe) {
    return (struct server_probe_answer){
        .wall_s = clock_wall_s(probe->clock),
        .latency_ms = clock_monotonic_ms(probe->clock) - probe->begun_ms,
    };
}

static void on_done(const struct http_answer *http, void *userdata) {
    struct server_probe *probe = userdata;
    struct server_probe_answer answer = begin_answer(probe);
    struct desired_state *state = NULL;
    const char *detail = http->detail, *field = "not valid JSON";

    probe->transfer = NULL;
    answer.status = http->status;
    answer.date_s = http->date_s;
    answer.reason = http_problem_reason(http);
    if (answer.reason == REASON_NONE && http->status != 200)
        answer.reason = REASON_SERVER_ANSWER;
    if (answer.reason == REASON_NONE) {
        int r = desired_state_parse(http->body, http->size, &state, &field);
        if (r == 0 && state->enrolled && strcmp(state->device, probe->device) != 0) {
            field = "device";
            r = -EINVAL;
        }
        if (r < 0) {
            answer.reason = r == -ENOMEM ? REASON_NO_MEMORY : REASON_STATE_INVALID;
            detail = field;
        }
    }
    answer.state = answer.reason == REASON_NONE ? state : NULL;
    log_escape(detail, strlen(detail), answer.detail, sizeof(answer.detail));
    tell(probe, &answer, state);
}

static void on_deadline(uv_timer_t *timer) {
    struct server_probe *probe = timer->data;
    struct server_probe_answer answer = begin_answer(probe);
    answer.reason = REASON_SERVER_TIMEOUT;
    tell(probe, &answer, NULL);
}

static void on_begin(uv_timer_t *timer) {
    struct server_probe *probe = timer->data;
    const struct http_request request = {
        .method = HTTP_GET,
        .url = probe->url,
        .accept = "application/json",
        .maximum = DESIRED_STATE_MAX_SIZE,
        .done = on_done,
        .userdata = probe,
    };
    probe->begun_ms = clock_monotonic_ms(probe->clock);
    probe->has_begun = true;
    int r = http_client_send(probe->client, &request, &probe->transfer);
    if (r < 0) {
        struct server_probe_answer answer = begin_answer(probe);
        answer.reason = REASON_NO_MEMORY;
        tell(probe, &answer, NULL);
        return;
    }
    uv_timer_start(&probe->timer, on_deadline, probe->deadline_ms, 0);
}

/* What runs under another certificate goes on until the new client stands. */
static int begin(
    struct server_probe *probe, const struct http_client_options *options, const char *url,
    const char *device) {
    struct http_client *client = NULL;
    const struct http_client_options own = {
        .loop = probe->loop,
        .ca_pin = options->ca_pin,
        .ca_dir = options->ca_dir,
        .certificate = options->certificate,
        .issuer = options->issuer,
        .key = options->key,
    };
    int r = http_client_new(&own, &client);
    if (r < 0)
        return r;
    stop(probe);
    probe->open++;
    probe->client = client;
    X509_up_ref(options->certificate);
    probe->certificate = options->certificate;
    snprintf(probe->url, sizeof(probe->url), "%s%s", url, PATH);
    snprintf(probe->device, sizeof(probe->device), "%s", device);
    int64_t rested = clock_monotonic_ms(probe->clock) - probe->begun_ms;
    int64_t rest =
        probe->has_begun && rested < SERVER_PROBE_REST_MS ? SERVER_PROBE_REST_MS - rested : 0;
    uv_timer_start(&probe->timer, on_begin, (uint64_t)rest, 0);
    return 0;
}

int server_probe_ask(
    struct server_probe *probe, const struct http_client_options *options, const char *url,
    const char *device, server_probe_done done, void *userdata) {
    if (probe->waiting_count >= SERVER_PROBE_MAX_WAITING)
        return -EBUSY;
    struct waiting *one = calloc(1, sizeof(*one));
    if (!one)
        return -ENOMEM;
    bool same = probe->client && probe->certificate == options->certificate;
    int r = same ? 0 : begin(probe, options, url, device);
    if (r < 0) {
        free(one);
        return r;
    }
    *one = (struct waiting){.next = probe->waiting, .done = done, .userdata = userdata};
    probe->waiting = one;
    probe->waiting_count++;
    return 0;
}

/* Without memory for another client the old one's answer has to do. */
void server_probe_identity_changed(
    struct server_probe *probe, const struct http_client_options *options, const char *url,
    const char *device) {
    if (probe->client && probe->certificate != options->certificate)
        (void)begin(probe, options, url, device);
}

/* The request goes on: its end is near, and another may ask. */
void server_probe_cancel(struct server_probe *probe, const void *userdata) {
    struct waiting **link = &probe->waiting;
    while (*link) {
        struct waiting *one = *link;
        if (one->userdata != userdata) {
            link = &one->next;
            continue;
        }
        *link = one->next;
        free(one);
        probe->waiting_count--;
    }
    for (struct waiting *one = probe->answered; one; one = one->next)
        if (one->userdata == userdata)
            one->done = NULL;
}

int server_probe_new(
    uv_loop_t *loop, const struct clock_source *clock, uint64_t deadline_ms,
    struct server_probe **ret) {
    struct server_probe *probe = calloc(1, sizeof(*probe));
    if (!probe)
        return -ENOMEM;
    probe->loop = loop;
    probe->clock = clock;
    probe->deadline_ms = deadline_ms > 0 ? deadline_ms : SERVER_PROBE_DEADLINE_MS;
    uv_timer_init(loop, &probe->timer);
    uv_idle_init(loop, &probe->turn);
    probe->timer.data = probe->turn.data = probe;
    probe->open = 2;
    *ret = probe;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle) {
    one_closed(handle->data);
}

static struct waiting *waiting_free(struct waiting *list) {
    while (list) {
        struct waiting *next = list->next;
        free(list);
        list = next;
    }
    return NULL;
}

void server_probe_close(struct server_probe *probe, void (*closed)(void *), void *userdata) {
    if (!probe) {
        closed(userdata);
        return;
    }
    stop(probe);
    probe->waiting = waiting_free(probe->waiting);
    probe->answered = waiting_free(probe->answered);
    desired_state_free(TAKE_PTR(probe->state));
    probe->closed = closed;
    probe->closed_userdata = userdata;
    uv_close((uv_handle_t *)&probe->timer, on_handle_closed);
    uv_close((uv_handle_t *)&probe->turn, on_handle_closed);
}
