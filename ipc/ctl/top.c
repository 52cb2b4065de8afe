/* `ipc top`: looks at the daemon's counters again and again. */
#include "ipc/ctl/call.h"
#include "ipc/ctl/live.h"
#include "ipc/ctl/terminal.h"
#include "ipc/ctl/text.h"
#include "ipc/ctl/top_view.h"

#include "common/json_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INTERVAL_S 3600
#define MAX_COUNT 1000000

struct top {
    struct ctl *ctl;
    struct live *live;
    struct top_screen screen;
    int64_t interval_s, count; /* count 0: no end */
    int64_t shown;
    struct json_object *statistics, *connections; /* the answers so far */
    struct top_sample *sample;                    /* the last one */
    bool asking;
    int64_t asked_s; /* for how long */
};

/* ---- one look ---- */

static void show(struct top *top) {
    struct ctl *ctl = top->ctl;
    if (ctl->json) {
        struct json_object CLEANUP_JSON *object = top_view_to_json(top->sample);
        if (object)
            ctl_print_json(ctl, object);
        fflush(ctl->out);
    } else {
        if (top->screen.in_place)
            (void)ctl->screen(&top->screen.columns, &top->screen.rows);
        else if (top->shown > 0)
            fputc('\n', ctl->out);
        top_view_print(&top->screen, ctl->out, top->sample);
    }
    top->shown++;
    if ((top->count > 0 && top->shown >= top->count) || ferror(ctl->out))
        live_stop(top->live, CTL_GOOD);
}

/* Without one before it there are no rates: that is worth a look only where it is soon replaced. */
static void take_sample(struct top *top) {
    struct top_sample *sample = NULL;
    bool first = !top->sample;
    int r = top_sample_new(
        top->ctl, top->statistics, top->connections, top->ctl->now_us(), top->sample, &sample);
    json_object_put(top->statistics);
    json_object_put(top->connections);
    top->statistics = top->connections = NULL;
    if (r < 0) {
        terminal_leave();
        live_stop(top->live, ctl_fail(top->ctl, r == -ENOMEM ? REASON_NO_MEMORY : REASON_OTHER));
        return;
    }
    top_sample_free(top->sample);
    top->sample = sample;
    if (!first || top->screen.in_place)
        show(top);
}

static bool take(
    struct top *top, struct json_object *parameters, const char *error, struct json_object **ret) {
    if (error) {
        terminal_leave(); /* what is said shall stay */
        live_stop(top->live, ctl_explain_error(top->ctl, error, parameters));
        return false;
    }
    *ret = json_object_get(parameters);
    return true;
}

static void took_statistics(
    struct json_object *parameters, const char *error, bool continues, void *userdata) {
    struct top *top = userdata;
    (void)continues;
    (void)take(top, parameters, error, &top->statistics);
}

/* The second of the two answers. */
static void took_connections(
    struct json_object *parameters, const char *error, bool continues, void *userdata) {
    struct top *top = userdata;
    (void)continues;
    top->asking = false;
    if (take(top, parameters, error, &top->connections) && top->statistics)
        take_sample(top);
}

static int ask(struct top *top) {
    top->asking = true;
    top->asked_s = 0;
    int status =
        live_call(top->live, "io.devtrust.Debug.GetStatistics", NULL, false, took_statistics, top);
    if (status == CTL_GOOD)
        status = live_call(
            top->live, "io.devtrust.Debug.ListConnections", NULL, false, took_connections, top);
    return status;
}

static void tick(void *userdata) {
    struct top *top = userdata;
    if (!top->asking) {
        int status = ask(top);
        if (status != CTL_GOOD)
            live_stop(top->live, status);
        return;
    }
    top->asked_s += top->interval_s;
    if (top->ctl->timeout_ms < 0 || top->asked_s * 1000 < top->ctl->timeout_ms)
        return;
    terminal_leave();
    live_stop(top->live, ctl_explain_loss(top->ctl, -ETIMEDOUT));
}

/* ---- the command ---- */

static int parse_number(
    struct ctl *ctl, const char *text, const char *wrong, int64_t maximum, int64_t *ret) {
    char *end = NULL;
    if (!text)
        return CTL_GOOD;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number < 1 || number > maximum)
        return ctl_usage(ctl, wrong, text);
    *ret = number;
    return CTL_GOOD;
}

static int parse(struct top *top, const struct ctl_arguments *arguments) {
    const char *count = arguments->options[CTL_OPTION_SAMPLES];
    top->interval_s = 1;
    int status = parse_number(
        top->ctl, arguments->options[CTL_OPTION_INTERVAL],
        "--interval takes whole seconds, 1 to 3600; not", MAX_INTERVAL_S, &top->interval_s);
    if (status == CTL_GOOD)
        status = parse_number(
            top->ctl, count, "--count takes a number, 1 to 1000000; not", MAX_COUNT, &top->count);
    if (!count && !top->screen.in_place)
        top->count = 1;
    return status;
}

static int begin(struct top *top) {
    int status = ask(top);
    if (status != CTL_GOOD)
        return status;
    if (live_every(top->live, (uint64_t)top->interval_s * 1000, tick, top) < 0)
        return ctl_fail(top->ctl, REASON_INTERNAL);
    if (top->screen.in_place && (live_take_keys(top->live) < 0 || terminal_enter() < 0))
        return ctl_fail(top->ctl, REASON_INTERNAL);
    return CTL_GOOD;
}

int ctl_ipc_top(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct top top = {.ctl = ctl, .screen = {.ctl = ctl, .columns = CTL_WIDTH}};
    top.screen.in_place =
        !ctl->json && ctl->screen && ctl->screen(&top.screen.columns, &top.screen.rows) == 0;
    int status = parse(&top, arguments);
    if (status == CTL_GOOD)
        status = live_new(ctl, &top.live);
    if (status != CTL_GOOD)
        return status;
    status = begin(&top);
    status = live_run(top.live, status);
    if (top.screen.in_place)
        terminal_leave();
    /* who has said how often wants to see what there was: the last look stays */
    if (top.screen.in_place && top.count > 0 && status == CTL_GOOD && top.sample)
        top_view_print(
            &(struct top_screen){.ctl = ctl, .columns = top.screen.columns}, ctl->out, top.sample);
    top_sample_free(top.sample);
    json_object_put(top.statistics);
    json_object_put(top.connections);
    return status;
}
