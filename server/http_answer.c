/* What goes back: bodies, problem details (RFC 9457), streams. */
#include "server/http_private.h"

#include "common/json_fields.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/random.h"
#include "server/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STREAM_WRITE_TIMEOUT_S 60 /* a peer that takes nothing for so long is gone */
#define STREAM_MAX_INPUT 1024     /* bytes that a stream's peer may send (nothing is expected) */

const char *http_status_phrase(int status) {
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {204, "No Content"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {421, "Misdirected Request"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}

void http_add_header(struct http_request *request, const char *name, const char *value) {
    /* evhttp refuses line breaks by itself */
    (void)evhttp_add_header(evhttp_request_get_output_headers(request->req), name, value);
}

static void add_length(struct http_request *request, size_t size) {
    char text[24];
    snprintf(text, sizeof(text), "%zu", size);
    http_add_header(request, "Content-Length", text);
}

void http_send(
    struct http_request *request, int status, const char *content_type, const void *data,
    size_t size) {
    struct evhttp_request *req = request->req;
    struct evbuffer *body = NULL;
    bool head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    if (content_type) {
        http_add_header(request, "Content-Type", content_type);
        add_length(request, size);
    }
    http_add_header(request, "X-Content-Type-Options", "nosniff");
    if (content_type && size > 0 && !head) {
        body = evbuffer_new();
        if (!body || evbuffer_add(body, data, size) < 0)
            status = 500;
    }
    http_request_free(request);
    evhttp_send_reply(req, status, http_status_phrase(status), body);
    if (body)
        evbuffer_free(body);
}

static void send_object(
    struct http_request *request, int status, const char *type, struct json_object *object) {
    size_t size = 0;
    const char *text =
        object ? json_object_to_json_string_length(
                     object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size)
               : NULL;
    if (!text) {
        static const char failed[] =
            "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
            "\"status\":500,\"code\":\"no-memory\"}";
        http_send(request, 500, "application/problem+json", failed, sizeof(failed) - 1);
    } else
        http_send(request, status, type, text, size);
    json_object_put(object);
}

void http_send_json(struct http_request *request, int status, struct json_object *object) {
    send_object(request, status, "application/json", object);
}

static void add_retry_after(struct http_request *request) {
    const struct server *server = http_request_server(request);
    char text[24];
    uint64_t delay =
        HTTP_RETRY_AFTER_MIN_S +
        random_below(server->random, HTTP_RETRY_AFTER_MAX_S - HTTP_RETRY_AFTER_MIN_S + 1);
    snprintf(text, sizeof(text), "%" PRIu64, delay);
    http_add_header(request, "Retry-After", text);
}

void http_request_set_logged(struct http_request *request) {
    request->logged = true;
}

static enum log_level refusal_level(const struct http_request *request, int status) {
    if (request->logged || status == 404)
        return LOG_LEVEL_DEBUG;
    return status >= 500 ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE;
}

static void log_refusal(
    const struct http_request *request, int status, enum reason reason, const char *detail) {
    char path[256], text[256];
    const char *raw = http_request_path(request);
    log_event(
        refusal_level(request, status), MSG_HTTP, "A request was refused.",
        LOG_TEXT("METHOD", http_request_method(request)),
        LOG_TEXT("PATH", log_escape(raw, strlen(raw), path, sizeof(path))),
        LOG_NUMBER("STATUS", status), LOG_TEXT("CODE", reason_code(reason)),
        LOG_TEXT("DETAIL", log_escape(detail, strlen(detail), text, sizeof(text))),
        LOG_TEXT("ADDRESS", http_request_address(request)),
        LOG_TEXT("DEVICE", http_request_device(request)));
}

void http_send_problem(
    struct http_request *request, int status, enum reason reason, const char *detail) {
    char text[512];
    if (!detail) {
        snprintf(text, sizeof(text), "%s %s", reason_text(reason), reason_remedy(reason));
        detail = text;
    }
    log_refusal(request, status, reason, detail);
    if (status == 401)
        http_add_header(request, "WWW-Authenticate", "Basic realm=\"devtrust enrolment\"");
    if (status == 429 || status == 503)
        add_retry_after(request);
    struct json_object *problem = json_object_new_object();
    if (json_fields_add_string(problem, "type", "about:blank") < 0 ||
        json_fields_add_string(problem, "title", http_status_phrase(status)) < 0 ||
        json_fields_add_int(problem, "status", status) < 0 ||
        json_fields_add_string(problem, "detail", detail) < 0 ||
        json_fields_add_string(problem, "code", reason_code(reason)) < 0) {
        json_object_put(problem);
        problem = NULL;
    }
    send_object(request, status, "application/problem+json", problem);
}

void http_send_error(struct http_request *request, int error) {
    char detail[128];
    snprintf(
        detail, sizeof(detail), "%s (%s)",
        error == -EBUSY ? "The server is busy; try again later."
                        : "The server failed; its log says more.",
        strerror(-error));
    switch (error) {
    case -EBUSY:
    case -ESHUTDOWN:
        http_send_problem(request, 503, REASON_BUSY, detail);
        break;
    case -ENOSPC:
    case -EROFS:
        http_send_problem(request, 503, REASON_STORAGE, detail);
        break;
    case -ENOMEM:
        http_send_problem(request, 503, REASON_NO_MEMORY, detail);
        break;
    default:
        http_send_problem(request, 500, REASON_INTERNAL, detail);
    }
}

/* --- streams --- */

struct http_stream {
    struct evhttp_request *req;
    struct evhttp_connection *connection;
    void (*closed)(struct http_stream *stream, void *userdata);
    void *userdata;
};

/* The connection ends under us: by the peer, a time-out, or the end of the server. Where the peer
 * is the cause, evhttp has left the request to us (its connection is NULL then); ending it frees
 * it. */
static void on_close(struct evhttp_connection *connection, void *userdata) {
    (void)connection;
    struct http_stream *stream = userdata;
    if (!evhttp_request_get_connection(stream->req))
        evhttp_send_reply_end(stream->req);
    stream->closed(stream, stream->userdata);
    free(stream);
}

struct http_stream *http_stream_start(
    struct http_request *request, const char *content_type,
    void (*closed)(struct http_stream *stream, void *userdata), void *userdata) {
    struct evhttp_request *req = request->req;
    struct evhttp_connection *connection = evhttp_request_get_connection(req);
    if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD) {
        http_send(request, 200, content_type, NULL, 0);
        return NULL;
    }
    struct http_stream *stream = calloc(1, sizeof(*stream));
    if (!stream || !connection) {
        free(stream);
        http_send_error(request, -ENOMEM);
        return NULL;
    }
    *stream = (struct http_stream){
        .req = req, .connection = connection, .closed = closed, .userdata = userdata};
    http_add_header(request, "Content-Type", content_type);
    http_add_header(request, "Cache-Control", "no-store");
    http_add_header(request, "X-Accel-Buffering", "no");
    http_request_free(request);

    static const struct timeval timeout = {.tv_sec = STREAM_WRITE_TIMEOUT_S};
    struct bufferevent *transport = evhttp_connection_get_bufferevent(connection);
    bufferevent_set_timeouts(transport, NULL, &timeout);
    bufferevent_setwatermark(transport, EV_READ, 0, STREAM_MAX_INPUT);
    evhttp_connection_set_closecb(connection, on_close, stream);
    evhttp_send_reply_start(req, 200, "OK");
    return stream;
}

int http_stream_send(struct http_stream *stream, const char *data, size_t size, size_t maximum) {
    struct bufferevent *transport = evhttp_connection_get_bufferevent(stream->connection);
    if (evbuffer_get_length(bufferevent_get_output(transport)) > maximum)
        return -ENOBUFS;
    struct evbuffer *chunk = evbuffer_new();
    if (!chunk || evbuffer_add(chunk, data, size) < 0) {
        if (chunk)
            evbuffer_free(chunk);
        return -ENOBUFS;
    }
    evhttp_send_reply_chunk(stream->req, chunk);
    evbuffer_free(chunk);
    return 0;
}

void http_stream_end(struct http_stream *stream, bool cut) {
    struct evhttp_request *req = stream->req;
    struct evhttp_connection *connection = stream->connection;
    evhttp_connection_set_closecb(connection, NULL, NULL);
    free(stream);
    if (cut)
        evhttp_connection_free(connection); /* with its request */
    else
        evhttp_send_reply_end(req);
}
