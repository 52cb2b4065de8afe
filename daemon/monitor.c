/* See monitor.h. A stream's events wait as text in one buffer; a timer that runs only while
 * something waits sends them in one reply, and a peer that is slow gets the next when it has read
 * the one before. */
#include "daemon/monitor.h"

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct stream {
    struct monitor *monitor;
    struct varlink_call *call; /* NULL: this place is free */
    char user[MONITOR_USER_NAME_MAX + 1];
    int64_t uid;
    char method[MONITOR_METHOD_NAME_MAX + 1];
    size_t method_prefix;  /* bytes that must be the same; 0: all of it */
    struct buffer waiting; /* "[{…},{…}" */
    unsigned events, keys;
    uint64_t lost; /* since `waiting` was full */
    bool full;
};

struct monitor {
    struct monitor_options options;
    uv_timer_t burst; /* .data: the monitor */
    struct stream streams[MONITOR_STREAMS_MAX];
    unsigned count;
};

/* What filters look at. */
struct subject {
    int64_t uid;
    const char *user, *method;
};

int64_t monitor_system_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- what goes out ---- */

static void stream_clear(struct stream *stream) {
    buffer_deinit(&stream->waiting);
    stream->events = stream->keys = 0;
    stream->lost = 0;
    stream->full = false;
}

static struct json_object *stream_take(struct stream *stream) {
    struct json_object *reply CLEANUP_JSON = json_object_new_object();
    if (buffer_append_string(&stream->waiting, stream->events > 0 ? "]" : "[]") < 0)
        return NULL;
    char *text = buffer_steal(&stream->waiting, NULL);
    if (json_fields_add(reply, "events", json_text_to_value(text)) < 0 ||
        json_fields_add_int(reply, "lost", (int64_t)stream->lost) < 0)
        return NULL;
    return TAKE_PTR(reply);
}

static void stream_flush(struct stream *stream);

static void stream_drained(struct varlink_call *call __attribute__((unused)), void *userdata) {
    stream_flush(userdata);
}

/* Never more than one reply waits for a peer: what it does not read in time is lost, and counted,
 * here. */
static void stream_flush(struct stream *stream) {
    if (!stream->call || (stream->events == 0 && stream->lost == 0))
        return;
    if (varlink_call_is_congested(stream->call)) {
        varlink_call_on_drained(stream->call, stream_drained, stream);
        return;
    }
    uint64_t lost = stream->lost + stream->events;
    struct json_object *reply = stream_take(stream);
    stream_clear(stream);
    if (reply)
        varlink_call_notify(stream->call, reply);
    else
        stream->lost = lost; /* memory is out: said with the next ones */
}

static void burst_is_over(uv_timer_t *timer) {
    struct monitor *monitor = timer->data;
    for (size_t i = 0; i < MONITOR_STREAMS_MAX; i++)
        stream_flush(&monitor->streams[i]);
}

/* ---- what comes in ---- */

static bool method_matches(const struct stream *stream, const char *method) {
    if (!stream->method[0])
        return true;
    if (!method)
        return false;
    return stream->method_prefix > 0 ? strncmp(method, stream->method, stream->method_prefix) == 0
                                     : strcmp(method, stream->method) == 0;
}

static bool user_matches(const struct stream *stream, const struct subject *subject) {
    if (!stream->user[0])
        return true;
    if (subject->uid != MONITOR_UID_NONE && subject->uid == stream->uid)
        return true;
    return subject->user && strcmp(subject->user, stream->user) == 0;
}

static bool stream_wants(const struct stream *stream, const struct subject *subject) {
    return stream->call && method_matches(stream, subject->method) && user_matches(stream, subject);
}

/* The streams that want it and have room, as bits; the others count it. */
static unsigned receivers(struct monitor *monitor, const struct subject *subject) {
    unsigned set = 0;
    for (unsigned i = 0; i < MONITOR_STREAMS_MAX; i++) {
        struct stream *stream = &monitor->streams[i];
        if (!stream_wants(stream, subject))
            continue;
        if (stream->full)
            stream->lost++;
        else
            set |= 1u << i;
    }
    return set;
}

static bool stream_has_room(const struct stream *stream, const struct json_text *text) {
    return stream->events < MONITOR_EVENTS_MAX && stream->keys + text->keys <= MONITOR_KEYS_MAX &&
           stream->waiting.size + text->size + 2 <= MONITOR_BYTES_MAX;
}

static int stream_append_text(struct stream *stream, const struct json_text *text) {
    size_t before = stream->waiting.size;
    int r = buffer_append_string(&stream->waiting, stream->events > 0 ? "," : "[");
    if (r == 0)
        r = buffer_append(&stream->waiting, text->data, text->size);
    if (r < 0)
        stream->waiting.size = before;
    return r;
}

static void stream_append(struct stream *stream, const struct json_text *text) {
    if (!text->full && stream_has_room(stream, text) && stream_append_text(stream, text) == 0) {
        stream->events++;
        stream->keys += text->keys;
    } else {
        stream->full = true; /* so that nothing more is built for it */
        stream->lost++;
    }
}

static void deliver(struct monitor *monitor, unsigned set, const struct json_text *text) {
    for (unsigned i = 0; i < MONITOR_STREAMS_MAX; i++)
        if (set & (1u << i))
            stream_append(&monitor->streams[i], text);
    if (!uv_is_active((const uv_handle_t *)&monitor->burst))
        uv_timer_start(&monitor->burst, burst_is_over, MONITOR_BURST_MS, 0);
}

/* A monitor that showed what monitors say would never be silent again. */
static bool is_own(const struct varlink_event *event) {
    return event->kind == VARLINK_EVENT_REPLY && event->continues && event->method &&
           strcmp(event->method, MONITOR_METHOD) == 0;
}

void monitor_observe(const struct varlink_event *event, void *userdata) {
    struct monitor *monitor = userdata;
    const struct subject subject = {(int64_t)event->uid, NULL, event->method};
    if (monitor->count == 0 || is_own(event))
        return;
    unsigned set = receivers(monitor, &subject);
    if (set == 0)
        return;
    char data[EVENT_TEXT_MAX];
    struct json_text text = JSON_TEXT_INIT(data, sizeof(data));
    event_text_write(&text, event, monitor->options.now_us());
    deliver(monitor, set, &text);
}

void monitor_log(struct monitor *monitor, const struct event_log *log) {
    struct subject subject = {MONITOR_UID_NONE, event_log_text(log, "USER_NAME"), NULL};
    if (monitor->count == 0)
        return;
    (void)event_log_number(log, "PEER_UID", &subject.uid);
    unsigned set = receivers(monitor, &subject);
    if (set == 0)
        return;
    char data[EVENT_TEXT_MAX];
    struct json_text text = JSON_TEXT_INIT(data, sizeof(data));
    event_text_write_log(&text, log, monitor->options.now_us());
    deliver(monitor, set, &text);
}

/* ---- streams ---- */

static void stream_cancelled(struct varlink_call *call __attribute__((unused)), void *userdata) {
    struct stream *stream = userdata;
    struct monitor *monitor = stream->monitor;
    stream_clear(stream);
    stream->call = NULL;
    if (--monitor->count > 0)
        return;
    uv_timer_stop(&monitor->burst);
    monitor->options.watching(false, monitor->options.userdata);
}

static struct stream *free_stream(struct monitor *monitor) {
    for (size_t i = 0; i < MONITOR_STREAMS_MAX; i++)
        if (!monitor->streams[i].call)
            return &monitor->streams[i];
    return NULL;
}

int monitor_add(
    struct monitor *monitor, struct varlink_call *call, const struct monitor_filter *filter) {
    struct stream *stream = free_stream(monitor);
    if (!stream)
        return -EMFILE;
    *stream = (struct stream){
        .monitor = monitor,
        .call = call,
        .uid = filter->uid,
        .waiting = BUFFER_INIT(MONITOR_BYTES_MAX),
    };
    if (filter->user)
        (void)snprintf(stream->user, sizeof(stream->user), "%s", filter->user);
    if (filter->method) {
        size_t length = strlen(filter->method);
        (void)snprintf(stream->method, sizeof(stream->method), "%s", filter->method);
        stream->method_prefix = length > 0 && filter->method[length - 1] == '.' ? length : 0;
    }
    varlink_call_on_cancel(call, stream_cancelled, stream);
    if (monitor->count++ == 0)
        monitor->options.watching(true, monitor->options.userdata);
    return 0;
}

/* ---- life ---- */

int monitor_new(const struct monitor_options *options, struct monitor **ret) {
    struct monitor *monitor = calloc(1, sizeof(*monitor));
    if (!monitor)
        return -ENOMEM;
    monitor->options = *options;
    int r = uv_timer_init(options->loop, &monitor->burst);
    if (r < 0) {
        free(monitor);
        return r;
    }
    monitor->burst.data = monitor;
    *ret = monitor;
    return 0;
}

static void closed(uv_handle_t *handle) {
    free(handle->data);
}

void monitor_close(struct monitor *monitor) {
    if (!monitor)
        return;
    for (size_t i = 0; i < MONITOR_STREAMS_MAX; i++)
        stream_clear(&monitor->streams[i]);
    uv_close((uv_handle_t *)&monitor->burst, closed);
}
