/* `ipc replay`: shows a recording as `ipc monitor` has shown it. Needs no daemon. */
#include "ipc/ctl/event_line.h"
#include "ipc/ctl/recording.h"
#include "ipc/ctl/text.h"

#include "common/cleanup.h"

#include <poll.h>
#include <string.h>

#define LONGEST_WAIT_MS 3600000

DEFINE_CLEANUP(struct recording_reader *, recording_reader_free);

static void print_header(const struct event_style *style, const struct recording_header *header) {
    char when[TEXT_TIME_SIZE], host[TEXT_SAFE_SIZE], filter[TEXT_SAFE_SIZE];
    FILE *out = style->ctl->out;
    fputs("Recorded", out);
    if (header->host && *header->host)
        fprintf(out, " on %s", text_safe(header->host, host));
    if (header->time_us >= 0)
        fprintf(out, ", %s", text_time(header->time_us / 1000000, when));
    if (header->user)
        fprintf(out, "; only user %s", text_safe(header->user, filter));
    if (header->method)
        fprintf(out, "; only method %s", text_safe(header->method, filter));
    fputs(".\n", out);
    event_line_print_header(style, out);
}

/* What lay between two events. */
static void wait_between(int64_t before_us, int64_t now_us) {
    int64_t wait_ms = before_us < 0 || now_us < before_us ? 0 : (now_us - before_us) / 1000;
    (void)poll(NULL, 0, (int)(wait_ms < LONGEST_WAIT_MS ? wait_ms : LONGEST_WAIT_MS));
}

static int show_all(
    struct event_style *style, struct recording_reader *reader, const struct event_filter *filter,
    bool paced) {
    const struct ctl *ctl = style->ctl;
    int64_t before_us = -1;
    for (;;) {
        struct event event;
        const char *line;
        int status = CTL_GOOD;
        int r = recording_reader_next(reader, &event, &line, &status);
        if (r <= 0)
            return status;
        if (!event_filter_takes(filter, &event))
            continue;
        if (paced && event.time_us >= 0) {
            fflush(ctl->out);
            wait_between(before_us, event.time_us);
            before_us = event.time_us;
        }
        if (ctl->json)
            text_json(ctl->out, line);
        else
            event_line_print(style, ctl->out, &event);
        if (ferror(ctl->out))
            return CTL_GOOD; /* nobody reads any more: main() says so */
    }
}

int ctl_ipc_replay(struct ctl *ctl, const struct ctl_arguments *arguments) {
    struct event_style style = {
        .ctl = ctl, .verbose = arguments->options[CTL_OPTION_VERBOSE] != NULL};
    struct recording_reader CLEANUP(recording_reader_free_ptr) *reader = NULL;
    const struct recording_header *header = NULL;
    struct event_filter filter;
    unsigned rows;
    int status = event_filter_parse(ctl, arguments, &filter);
    if (status == CTL_GOOD)
        status = recording_reader_new(ctl, arguments->operands[0], &reader, &header);
    if (status != CTL_GOOD)
        return status;
    if (ctl->screen && ctl->screen(&style.columns, &rows) == 0 && !ctl->json)
        print_header(&style, header);
    return show_all(&style, reader, &filter, arguments->options[CTL_OPTION_PACED] != NULL);
}
