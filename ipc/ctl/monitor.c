/* `ipc monitor`: shows what the daemon says happens, until Ctrl-C. */
#include "ipc/ctl/call.h"
#include "ipc/ctl/event_line.h"
#include "ipc/ctl/live.h"
#include "ipc/ctl/recording.h"
#include "ipc/ctl/text.h"

#include "common/json_fields.h"
#include "common/json_gate.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#define METHOD "io.devtrust.Debug.Monitor"

struct monitor {
    struct ctl *ctl;
    struct live *live;
    struct event_filter filter;
    struct event_style style;
    struct recording *recording;
    const char *record_path;
    bool wants_header; /* it is not printed yet */
    uint64_t shown, lost;
};

struct batch {
    struct json_object *events;
    int64_t lost;
};

static const struct json_field batch_table[] = {
    JSON_FIELD(struct batch, events, "events", JSON_FIELD_ARRAY, true, 0, 8192),
    JSON_FIELD(struct batch, lost, "lost", JSON_FIELD_INT, true, 0, INT64_MAX - 1),
};

/* ---- events ---- */

static void show(struct monitor *monitor, struct json_object *object) {
    struct event event;
    const char *line = json_object_to_json_string_ext(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    if (monitor->recording && line)
        recording_add(monitor->recording, line);
    if (!line || event_read(object, &event, NULL) < 0)
        return; /* of a newer daemon */
    if (monitor->ctl->json)
        text_json(monitor->ctl->out, line);
    else
        event_line_print(&monitor->style, monitor->ctl->out, &event);
}

static void show_batch(struct monitor *monitor, const struct batch *batch) {
    size_t count = json_object_array_length(batch->events);
    if (monitor->ctl->screen)
        (void)monitor->ctl->screen(&monitor->style.columns, &(unsigned){0});
    for (size_t i = 0; i < count; i++) {
        struct json_object *object = json_object_array_get_idx(batch->events, i);
        if (event_add_user(monitor->ctl, object) == 0)
            show(monitor, object);
    }
    struct json_object CLEANUP_JSON *lost = batch->lost > 0 ? event_lost(batch->lost) : NULL;
    if (lost)
        show(monitor, lost);
    monitor->shown += count;
    monitor->lost += (uint64_t)batch->lost;
}

static int explain_disk(struct ctl *ctl, int r) {
    return ctl_fail_with(
        ctl, CTL_NO, "storage", "The recording cannot be written:", strerror(-r),
        "What was written before is whole; make room and record again.");
}

static int explain_error(
    struct monitor *monitor, const char *error, struct json_object *parameters) {
    struct ctl *ctl = monitor->ctl;
    if (strcmp(error, "io.devtrust.Debug.TooManyMonitors") == 0)
        return ctl_fail_with(
            ctl, CTL_NO, "other", "As many monitors as devtrustd allows are open already.", NULL,
            "End one of them; devtrustctl ipc call io.devtrust.Debug.ListConnections shows their "
            "pids.");
    if (strcmp(error, "org.varlink.service.InvalidParameter") == 0 && monitor->filter.user)
        return ctl_usage(ctl, "There is no such user on this machine:", monitor->filter.user);
    return ctl_explain_error(ctl, error, parameters);
}

/* With the first reply, which comes at once: who is refused is not told what he would see. */
static void print_header(struct monitor *monitor) {
    const struct event_filter *filter = &monitor->filter;
    if (!monitor->wants_header)
        return;
    monitor->wants_header = false;
    fputs("What devtrustd hears and says, as it happens; Ctrl-C ends.\n", monitor->ctl->out);
    if (filter->user || filter->method)
        fprintf(
            monitor->ctl->out, "Only: %s%s%s%s%s\n", filter->user ? "user " : "",
            filter->user ? filter->user : "", filter->user && filter->method ? ", " : "",
            filter->method ? "method " : "", filter->method ? filter->method : "");
    event_line_print_header(&monitor->style, monitor->ctl->out);
    fflush(monitor->ctl->out);
}

static void replied(
    struct json_object *parameters, const char *error, bool continues, void *userdata) {
    struct monitor *monitor = userdata;
    struct batch batch = {NULL, 0};
    if (error) {
        live_stop(monitor->live, explain_error(monitor, error, parameters));
        return;
    }
    print_header(monitor);
    if (json_fields_read(parameters, batch_table, ARRAY_LENGTH(batch_table), &batch, NULL) == 0)
        show_batch(monitor, &batch);
    int r = monitor->recording ? recording_flush(monitor->recording) : 0;
    if (r < 0)
        live_stop(monitor->live, explain_disk(monitor->ctl, r));
    else if (fflush(monitor->ctl->out) != 0 || !continues)
        live_stop(monitor->live, CTL_GOOD); /* nobody reads any more: main() says so */
}

/* ---- begin and end ---- */

/* A terminal still shows the ^C: below it, what there was. */
static void print_summary(const struct monitor *monitor, bool on_screen) {
    FILE *err = monitor->ctl->err;
    if (monitor->ctl->json || (!on_screen && !monitor->record_path))
        return;
    fprintf(
        err, "%s%" PRIu64 " event%s", on_screen ? "\n" : "", monitor->shown,
        monitor->shown == 1 ? "" : "s");
    if (monitor->lost > 0)
        fprintf(err, ", %" PRIu64 " more lost", monitor->lost);
    if (monitor->record_path)
        fprintf(err, "; recorded in %s", monitor->record_path);
    fputs(".\n", err);
}

static int begin(struct monitor *monitor) {
    struct json_object CLEANUP_JSON *parameters = json_object_new_object();
    if (!parameters || json_fields_add_string(parameters, "user", monitor->filter.user) < 0 ||
        json_fields_add_string(parameters, "method", monitor->filter.method) < 0)
        return ctl_fail(monitor->ctl, REASON_NO_MEMORY);
    int status = CTL_GOOD;
    if (monitor->record_path)
        status = recording_new(
            monitor->ctl, monitor->record_path, &monitor->filter, &monitor->recording);
    if (status == CTL_GOOD)
        status = live_call(monitor->live, METHOD, TAKE_PTR(parameters), true, replied, monitor);
    return status;
}

int ctl_ipc_monitor(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct monitor monitor = {
        .ctl = ctl,
        .style = {.ctl = ctl, .verbose = arguments->options[CTL_OPTION_VERBOSE] != NULL},
        .record_path = arguments->options[CTL_OPTION_RECORD],
    };
    unsigned rows;
    bool on_screen = ctl->screen && ctl->screen(&monitor.style.columns, &rows) == 0;
    int status = event_filter_parse(ctl, arguments, &monitor.filter);
    if (status == CTL_GOOD)
        status = live_new(ctl, &monitor.live);
    if (status != CTL_GOOD)
        return status;
    monitor.wants_header = on_screen && !ctl->json;
    status = begin(&monitor);
    status = live_run(monitor.live, status);
    /* a daemon that refused at once leaves nothing worth keeping */
    bool keep = status == CTL_GOOD || status == CTL_UNREACHABLE || monitor.shown > 0;
    int r = recording_close(monitor.recording, keep);
    if (r < 0 && status == CTL_GOOD)
        status = explain_disk(ctl, r);
    if (keep)
        print_summary(&monitor, on_screen);
    return status;
}
