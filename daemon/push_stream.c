/* Keeps the push channel open. The bytes are the parser's, the socket is libcurl's; this is the
 * life cycle. */
#include "daemon/push_stream.h"

#include "daemon/http_client.h"
#include "daemon/http_problem.h"
#include "daemon/server_address.h"
#include "daemon/sse_parser.h"

#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PATH "/v1/events"
#define MEDIA_TYPE "text/event-stream"
#define DEFAULT_PING_S 30
#define MAX_PING_S 3600
#define DEAD_PINGS_TENTHS 25 /* 2.5 ping intervals */
#define HANDLES 2

struct hint {
    const char *epoch;
    int64_t generation, splay_s, ping_s;
};

static const struct json_field hint_fields[] = {
    JSON_FIELD(struct hint, epoch, "epoch", JSON_FIELD_STRING, true, 36, 36),
    JSON_FIELD(struct hint, generation, "generation", JSON_FIELD_INT, true, 0, INT64_MAX),
    JSON_FIELD(struct hint, splay_s, "splay_s", JSON_FIELD_INT, false, 0, INT64_MAX),
    JSON_FIELD(struct hint, ping_s, "ping_s", JSON_FIELD_INT, false, 1, INT64_MAX),
};

struct push_stream {
    struct push_stream_options options;
    uv_timer_t retry, watchdog;
    unsigned open;
    void (*closed)(void *userdata);
    void *closed_userdata;

    struct http_client *client;
    const char *url;
    struct http_transfer *transfer;
    struct sse_parser parser;
    struct backoff backoff;
    int64_t base_ms; /* of the back-off, where the server names no splay */
    enum reason reason;
    bool connected;
    uint64_t lines; /* the parser's count when the watchdog was set */
    int64_t connected_ms;
    int64_t last_line_s, last_event_s; /* wall clock */
    int64_t last_line_ms;              /* monotonic */
    int64_t ping_s;

    /* the newest event that has not been told yet; older ones say nothing more */
    bool has_event;
    char epoch[37];
    int64_t generation;
};

static void connect_now(struct push_stream *stream);

static void on_retry(uv_timer_t *timer) {
    connect_now(timer->data);
}

static void log_change(const struct push_stream *stream, enum reason reason, const char *detail) {
    char escaped[512];
    const char *shown = log_escape(detail, strlen(detail), escaped, sizeof(escaped));
    log_event(
        LOG_LEVEL_INFO, MSG_DISCONNECTED, "The push stream is closed; it is opened again.",
        LOG_TEXT("URL", stream->url), LOG_TEXT("CODE", reason_code(reason)),
        LOG_TEXT("REMEDY", reason_remedy(reason)), LOG_TEXT("DETAIL", shown));
}

static void wait_and_retry(
    struct push_stream *stream, enum reason reason, int64_t floor_ms, const char *detail) {
    bool changed = stream->connected || reason != stream->reason;
    int64_t now_ms = clock_monotonic_ms(stream->options.clock);
    if (stream->connected && now_ms - stream->connected_ms >= PUSH_STREAM_SETTLED_MS)
        backoff_reset(&stream->backoff);
    stream->transfer = NULL;
    stream->connected = false;
    stream->reason = reason;
    stream->has_event = false;
    sse_parser_deinit(&stream->parser);
    uv_timer_stop(&stream->watchdog);
    int64_t delay = backoff_next(&stream->backoff, stream->options.random, floor_ms);
    uv_timer_start(&stream->retry, on_retry, (uint64_t)delay, 0);
    if (!changed)
        return;
    log_change(stream, reason, detail);
    stream->options.changed(stream->options.userdata);
}

static void on_dead(uv_timer_t *timer) {
    struct push_stream *stream = timer->data;
    http_transfer_cancel(stream->transfer);
    wait_and_retry(stream, REASON_SERVER_UNREACHABLE, 0, "no line within 2.5 ping intervals");
}

/* Moving a timer of the loop costs no system call and no wake-up; a server that pings never lets it
 * run out. */
static void set_watchdog(struct push_stream *stream) {
    uint64_t limit_ms = (uint64_t)stream->ping_s * 1000 * DEAD_PINGS_TENTHS / 10;
    uv_timer_start(&stream->watchdog, on_dead, limit_ms, 0);
    stream->lines = stream->parser.lines;
    stream->last_line_s = clock_wall_s(stream->options.clock);
    stream->last_line_ms = clock_monotonic_ms(stream->options.clock);
}

/* An event that another hub wrote in its own words is still a hint. */
static void on_event(const struct sse_event *event, void *userdata) {
    struct push_stream *stream = userdata;
    CLEANUP_JSON struct json_object *object = NULL;
    struct hint hint = {0};
    stream->has_event = true;
    stream->epoch[0] = '\0';
    stream->last_event_s = clock_wall_s(stream->options.clock);
    if (json_gate_parse(event->data, event->size, &object) < 0 ||
        !json_object_is_type(object, json_type_object) ||
        json_fields_read(object, hint_fields, ARRAY_LENGTH(hint_fields), &hint, NULL) < 0)
        return;
    memcpy(stream->epoch, hint.epoch, sizeof(stream->epoch));
    stream->generation = hint.generation;
    stream->backoff.base_ms =
        push_stream_first_wait_ms(hint.splay_s, stream->base_ms, stream->backoff.cap_ms);
    if (hint.ping_s > 0)
        stream->ping_s = hint.ping_s > MAX_PING_S ? MAX_PING_S : hint.ping_s;
}

static int on_data(const char *data, size_t size, void *userdata) {
    struct push_stream *stream = userdata;
    return sse_parser_feed(&stream->parser, data, size);
}

static bool is_event_stream(const char *content_type) {
    size_t size = sizeof(MEDIA_TYPE) - 1;
    return content_type && strncasecmp(content_type, MEDIA_TYPE, size) == 0 &&
           (content_type[size] == '\0' || content_type[size] == ';' || content_type[size] == ' ');
}

static void on_open(struct push_stream *stream) {
    stream->connected = true;
    stream->connected_ms = clock_monotonic_ms(stream->options.clock);
    stream->reason = REASON_NONE;
    log_event(
        LOG_LEVEL_INFO, MSG_CONNECTED, "The push stream is open.", LOG_TEXT("URL", stream->url));
    stream->options.changed(stream->options.userdata);
}

/* The answer to connecting is a hint of its own: what was missed while away is in the state. An
 * event in the same piece says more. */
static void on_progress(struct http_transfer *transfer, void *userdata) {
    struct push_stream *stream = userdata;
    bool opened = false;
    if (!stream->connected) {
        if (http_transfer_status(transfer) != 200)
            return; /* `done` follows */
        if (!is_event_stream(http_transfer_content_type(transfer))) {
            http_transfer_cancel(transfer);
            wait_and_retry(stream, REASON_SERVER_ANSWER, 0, "not an event stream");
            return;
        }
        on_open(stream);
        opened = true;
        set_watchdog(stream);
    }
    if (stream->parser.lines != stream->lines)
        set_watchdog(stream);
    if (!opened && !stream->has_event)
        return;
    bool named = stream->has_event && stream->epoch[0] != '\0';
    stream->has_event = false;
    stream->options.hint(
        named ? stream->epoch : NULL, stream->generation, stream->options.userdata);
}

/* A server that is killed ends the stream without an error: every end is a disconnect. */
static void on_done(const struct http_answer *answer, void *userdata) {
    struct push_stream *stream = userdata;
    enum reason reason = http_problem_reason(answer);
    if (reason == REASON_NONE)
        reason = answer->status == 200 ? REASON_SERVER_UNREACHABLE : REASON_SERVER_ANSWER;
    wait_and_retry(
        stream, reason, http_problem_retry_after_ms(answer, stream->options.clock), answer->detail);
}

static void connect_now(struct push_stream *stream) {
    char url[SERVER_ADDRESS_MAX_URL + sizeof(PATH)];
    snprintf(url, sizeof(url), "%s%s", stream->url, PATH);
    const struct http_request request = {
        .method = HTTP_GET,
        .url = url,
        .accept = MEDIA_TYPE,
        .data = on_data,
        .progress = on_progress,
        .done = on_done,
        .userdata = stream,
    };
    stream->ping_s =
        stream->options.default_ping_s ? stream->options.default_ping_s : DEFAULT_PING_S;
    int r = http_client_send(stream->client, &request, &stream->transfer);
    if (r < 0)
        wait_and_retry(stream, REASON_NO_MEMORY, 0, strerror(-r));
    else
        set_watchdog(stream);
}

static void stop(struct push_stream *stream) {
    http_transfer_cancel(TAKE_PTR(stream->transfer));
    uv_timer_stop(&stream->retry);
    uv_timer_stop(&stream->watchdog);
    sse_parser_deinit(&stream->parser);
    stream->connected = false;
    stream->has_event = false;
}

void push_stream_use(struct push_stream *stream, struct http_client *client, const char *url) {
    stop(stream);
    backoff_reset(&stream->backoff);
    stream->client = client;
    stream->url = url;
    stream->reason = REASON_NONE;
    if (client)
        uv_timer_start(&stream->retry, on_retry, 0, 0);
}

void push_stream_refresh(struct push_stream *stream) {
    if (!stream->client)
        return;
    int64_t silent_s = clock_wall_s(stream->options.clock) - stream->last_line_s;
    if (stream->transfer && silent_s * 10 < stream->ping_s * DEAD_PINGS_TENTHS)
        return;
    if (stream->transfer) {
        http_transfer_cancel(stream->transfer);
        wait_and_retry(stream, REASON_SERVER_UNREACHABLE, 0, "silent while the machine slept");
    }
    backoff_reset(&stream->backoff);
    uv_timer_start(&stream->retry, on_retry, 0, 0);
}

void push_stream_reopen(struct push_stream *stream) {
    int64_t age_ms = clock_monotonic_ms(stream->options.clock) - stream->connected_ms;
    if (stream->connected && age_ms >= PUSH_STREAM_SETTLED_MS) {
        http_transfer_cancel(stream->transfer);
        wait_and_retry(stream, REASON_SERVER_UNREACHABLE, 0, "opened anew: the network changed");
    }
    push_stream_refresh(stream);
}

bool push_stream_is_used(const struct push_stream *stream) {
    return stream->client != NULL;
}

bool push_stream_is_connected(const struct push_stream *stream) {
    return stream->connected;
}

int64_t push_stream_last_event_s(const struct push_stream *stream) {
    return stream->last_event_s;
}

int64_t push_stream_silent_ms(const struct push_stream *stream) {
    return stream->connected ? clock_monotonic_ms(stream->options.clock) - stream->last_line_ms
                             : -1;
}

int64_t push_stream_ping_s(const struct push_stream *stream) {
    return stream->ping_s;
}

enum reason push_stream_reason(const struct push_stream *stream) {
    return stream->reason;
}

int push_stream_new(const struct push_stream_options *options, struct push_stream **ret) {
    struct push_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return -ENOMEM;
    stream->options = *options;
    stream->backoff = (struct backoff){
        .base_ms = options->retry_base_ms ? options->retry_base_ms : PUSH_STREAM_RETRY_BASE_MS,
        .cap_ms = options->retry_cap_ms ? options->retry_cap_ms : PUSH_STREAM_RETRY_CAP_MS,
    };
    stream->base_ms = stream->backoff.base_ms;
    sse_parser_init(&stream->parser, on_event, stream);
    uv_timer_init(options->loop, &stream->retry);
    uv_timer_init(options->loop, &stream->watchdog);
    stream->retry.data = stream;
    stream->watchdog.data = stream;
    stream->open = HANDLES;
    *ret = stream;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle) {
    struct push_stream *stream = handle->data;
    if (--stream->open > 0)
        return;
    stream->closed(stream->closed_userdata);
    free(stream);
}

void push_stream_close(struct push_stream *stream, void (*closed)(void *), void *userdata) {
    if (!stream) {
        closed(userdata);
        return;
    }
    stop(stream);
    stream->client = NULL;
    stream->closed = closed;
    stream->closed_userdata = userdata;
    uv_close((uv_handle_t *)&stream->retry, on_handle_closed);
    uv_close((uv_handle_t *)&stream->watchdog, on_handle_closed);
}
