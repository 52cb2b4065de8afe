/* One peer: its bytes in, its bytes out, one call at a time. A peer that is slow, greedy or wrong
 * is cut off here. */
#include "ipc/varlink_connection.h"

#include "ipc/transport.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json_object.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char text_too_many[] =
    "A local user has too many connections open; a new one was refused.";

static const struct {
    int error;
    const char *text;
} cut_off_texts[] = {
    {-EBADMSG, "A local peer was cut off: what it sent is no JSON object."},
    {-EMSGSIZE, "A local peer was cut off: its message is too large."},
    {-ETIMEDOUT, "A local peer was cut off: it did not finish a message in time."},
    {-ENOBUFS, "A local peer was cut off: it does not read its answers."},
    {-EDQUOT, "A local peer was cut off: too many calls wait behind its stream."},
    {-ENOMEM, "A local peer was cut off: memory is out."},
};

static const char *cut_off_text(int error) {
    for (size_t i = 0; i < ARRAY_LENGTH(cut_off_texts); i++)
        if (cut_off_texts[i].error == error)
            return cut_off_texts[i].text;
    return "A local peer was cut off.";
}

/* ---- begin and end ---- */

static void connection_closed(uv_handle_t *handle) {
    struct varlink_connection *connection = handle->data;
    struct varlink_server *server = connection->server;
    TAILQ_REMOVE(&server->connections, connection, all);
    free(connection);
    varlink_server_handle_closed(server);
}

static void connection_close_pipe(struct varlink_connection *connection) {
    connection->closing = true;
    uv_close((uv_handle_t *)&connection->pipe, connection_closed);
}

void varlink_connection_end(struct varlink_connection *connection) {
    if (connection->closing)
        return;
    struct varlink_server *server = connection->server;
    varlink_server_clear_deadline(server, &connection->message_deadline);
    varlink_server_clear_deadline(server, &connection->call_deadline);
    varlink_server_remove_ready(server, connection);
    varlink_reader_deinit(&connection->reader);
    connection_close_pipe(connection);
    if (connection->call)
        varlink_call_cancel(connection->call);
    varlink_connection_count(connection);
    quota_release(&server->quota, connection->account);
    if (server->observe)
        varlink_statistics_show_connection(connection, VARLINK_EVENT_CLOSED, connection->broken);
}

/* Cuts the peer off, says why, once no handler is on the stack. */
static void connection_break(struct varlink_connection *connection, int error) {
    if (connection->broken)
        return;
    connection->broken = error;
    varlink_server_make_ready(connection->server, connection);
}

static bool error_is_worth_logging(int error) {
    return error != -EPIPE && error != -ECONNRESET && error != UV_EOF;
}

static void connection_end_broken(struct varlink_connection *connection) {
    if (error_is_worth_logging(connection->broken))
        varlink_server_log_refusal(
            connection->server, cut_off_text(connection->broken), connection->uid, connection->pid,
            connection->broken);
    varlink_connection_end(connection);
}

/* ---- in ---- */

unsigned varlink_connection_outstanding(const struct varlink_connection *connection) {
    return (unsigned)connection->reader.complete + (connection->call ? 1 : 0);
}

void varlink_connection_count(struct varlink_connection *connection) {
    struct quota_account *account = connection->account;
    unsigned outstanding = 0;
    size_t bytes = 0;
    if (!connection->closing) {
        outstanding = varlink_connection_outstanding(connection);
        bytes = varlink_reader_kept(&connection->reader) +
                uv_stream_get_write_queue_size((const uv_stream_t *)&connection->pipe);
    }
    account->outstanding += outstanding - connection->outstanding_counted;
    account->bytes += bytes - connection->bytes_counted;
    connection->outstanding_counted = outstanding;
    connection->bytes_counted = bytes;
}

static void connection_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret) {
    struct varlink_connection *connection = handle->data;
    (void)suggested;
    *ret = uv_buf_init(connection->server->chunk, sizeof connection->server->chunk);
}

static void connection_readable(uv_stream_t *stream, ssize_t size, const uv_buf_t *chunk);

/* Reading goes on while a call is open, since that is how a peer that leaves is noticed; it stops
 * at the limits. */
static bool connection_is_full(const struct varlink_connection *connection) {
    const struct varlink_limits *limits = &connection->server->options.limits;
    return varlink_connection_outstanding(connection) >= limits->outstanding_per_connection ||
           (connection->reader.complete > 0 &&
            varlink_reader_kept(&connection->reader) > limits->message_bytes);
}

static int connection_set_reading(struct varlink_connection *connection, bool reading) {
    if (reading == connection->reading)
        return 0;
    connection->reading = reading;
    if (reading)
        return uv_read_start(
            (uv_stream_t *)&connection->pipe, connection_allocate, connection_readable);
    uv_read_stop((uv_stream_t *)&connection->pipe);
    return 0;
}

/* Nobody reads behind a stream that is full of calls, so nobody would see the peer leave. */
static bool connection_is_stuck(const struct varlink_connection *connection) {
    return connection->call && connection->call->method->stream && connection_is_full(connection);
}

/* A message that has begun must be whole within its time; only while we read. */
static void connection_watch_partial(struct varlink_connection *connection, bool fresh) {
    struct varlink_server *server = connection->server;
    bool partial = connection->reading && varlink_reader_is_partial(&connection->reader);
    if (!partial || fresh)
        varlink_server_clear_deadline(server, &connection->message_deadline);
    if (partial && connection->message_deadline == 0)
        varlink_server_set_deadline(
            server, &connection->message_deadline, server->options.limits.partial_message_ms);
}

static int connection_take_calls(struct varlink_connection *connection) {
    while (!connection->call && !connection->closing && !connection->broken) {
        const char *text;
        size_t size;
        int r = varlink_reader_next(&connection->reader, &text, &size);
        if (r <= 0)
            return r;
        connection->calls++;
        r = varlink_call_dispatch(connection, text, size);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Everything after new bytes or an answer: take calls, keep the rest, decide whether to read on. */
static void connection_advance(struct varlink_connection *connection, bool fresh) {
    connection->taking = true;
    varlink_server_tick(connection->server);
    int r = connection_take_calls(connection);
    connection->taking = false;
    if (connection->closing)
        return; /* a handler closed the server */
    if (r == 0)
        r = varlink_reader_settle(&connection->reader);
    varlink_connection_count(connection);
    if (r == 0 && connection_is_stuck(connection))
        r = -EDQUOT;
    if (r == 0)
        r = connection_set_reading(connection, !connection_is_full(connection));
    if (r < 0 && !connection->broken)
        connection->broken = r;
    if (connection->broken)
        connection_end_broken(connection);
    else
        connection_watch_partial(connection, fresh);
}

/* Feeds and advances. Returns 0, or why the connection must end. */
static int connection_take_bytes(
    struct varlink_connection *connection, const char *data, size_t size) {
    connection->bytes_in += size;
    size_t before = connection->reader.complete;
    int r = varlink_reader_feed(&connection->reader, data, size);
    if (r == 0)
        connection_advance(connection, connection->reader.complete > before);
    return r;
}

static void connection_readable(uv_stream_t *stream, ssize_t size, const uv_buf_t *chunk) {
    struct varlink_connection *connection = stream->data;
    if (size == 0 || connection->closing)
        return;
    int r = (int)size;
    if (size > 0) {
        r = connection_take_bytes(connection, chunk->base, (size_t)size);
        explicit_bzero(chunk->base, (size_t)size); /* it may have been a token */
    }
    if (r == 0)
        return;
    if (!connection->broken)
        connection->broken = r;
    connection_end_broken(connection);
}

void varlink_connection_run(struct varlink_connection *connection) {
    if (connection->broken)
        connection_end_broken(connection);
    else
        connection_advance(connection, false);
}

void varlink_connection_check_deadlines(struct varlink_connection *connection, uint64_t now) {
    if (connection->closing)
        return;
    if (connection->message_deadline && connection->message_deadline <= now) {
        connection->broken = -ETIMEDOUT;
        connection_end_broken(connection);
        return;
    }
    if (connection->call_deadline && connection->call_deadline <= now)
        varlink_call_time_out(connection->call);
}

/* ---- out ---- */

struct pending_write {
    uv_write_t request;
    struct json_object *message; /* its text is what is written */
};

bool varlink_connection_is_congested(const struct varlink_connection *connection) {
    return uv_stream_get_write_queue_size((const uv_stream_t *)&connection->pipe) > 0;
}

static void connection_written(uv_write_t *request, int status) {
    struct pending_write *pending = request->data;
    struct varlink_connection *connection = request->handle->data;
    json_object_put(pending->message);
    free(pending);
    if (connection->closing)
        return;
    varlink_connection_count(connection);
    if (status < 0)
        connection_break(connection, status);
    else if (connection->call && !varlink_connection_is_congested(connection))
        varlink_call_drain(connection->call);
}

/* Owns `message`. */
static int connection_queue(
    struct varlink_connection *connection, struct json_object *message, uv_buf_t rest) {
    uv_stream_t *stream = (uv_stream_t *)&connection->pipe;
    size_t limit = connection->server->options.limits.write_queue_bytes;
    struct pending_write *pending = NULL;
    int r = uv_stream_get_write_queue_size(stream) + rest.len > limit ? -ENOBUFS : 0;
    if (r == 0) {
        pending = calloc(1, sizeof *pending);
        r = pending ? 0 : -ENOMEM;
    }
    if (r == 0) {
        pending->request.data = pending;
        pending->message = message;
        r = uv_write(&pending->request, stream, &rest, 1, connection_written);
        varlink_connection_count(connection);
    }
    if (r < 0) {
        free(pending);
        json_object_put(message);
    }
    return r;
}

size_t varlink_connection_send(struct varlink_connection *connection, struct json_object *message) {
    size_t size = 0;
    const char *text = message ? varlink_message_text(message, &size) : NULL;
    if (!text || connection->broken || connection->closing) {
        json_object_put(message);
        if (!text)
            connection_break(connection, -ENOMEM);
        return 0;
    }
    connection->bytes_out += size;
    uv_buf_t rest = uv_buf_init((char *)text, (unsigned)size);
    int r = uv_try_write((uv_stream_t *)&connection->pipe, &rest, 1); /* EAGAIN behind a queue */
    if (r < 0 && r != UV_EAGAIN) {
        json_object_put(message);
        connection_break(connection, r);
        return 0;
    }
    size_t written = r > 0 ? (size_t)r : 0;
    if (written == size) {
        json_object_put(message);
        return size;
    }
    rest = uv_buf_init((char *)text + written, (unsigned)(size - written));
    r = connection_queue(connection, message, rest);
    if (r < 0)
        connection_break(connection, r);
    return size;
}

/* ---- new ---- */

static struct varlink_connection *connection_new(struct varlink_server *server) {
    struct varlink_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->server = server;
    connection->id = ++server->next_id;
    connection->opened = uv_now(server->loop);
    varlink_reader_init(
        &connection->reader, server->options.limits.message_bytes, VARLINK_READ_CHUNK);
    uv_pipe_init(server->loop, &connection->pipe, 0);
    connection->pipe.data = connection;
    server->open_handles++;
    TAILQ_INSERT_TAIL(&server->connections, connection, all);
    return connection;
}

/* Takes a place for it, if its uid may have one more. */
static int connection_admit(struct varlink_connection *connection) {
    struct varlink_server *server = connection->server;
    struct quota_account *account = quota_account(&server->quota, connection->uid);
    int r = account ? quota_take(&server->quota, account) : -ENOMEM;
    if (r == 0)
        connection->account = account;
    else if (r != -ENOMEM)
        varlink_server_log_refusal(server, text_too_many, connection->uid, connection->pid, r);
    if (server->observe)
        varlink_statistics_show_connection(
            connection, r == 0 ? VARLINK_EVENT_OPENED : VARLINK_EVENT_REFUSED, r);
    return r;
}

/* The descriptor is the pipe's by now. Closes on any error. */
static int connection_start(struct varlink_connection *connection) {
    uv_os_fd_t fd;
    int r = uv_fileno((const uv_handle_t *)&connection->pipe, &fd);
    if (r == 0)
        r = transport_peer(fd, &connection->uid, &connection->pid);
    if (r == 0)
        r = connection_admit(connection);
    if (r < 0) {
        connection_close_pipe(connection);
        return r;
    }
    r = connection_set_reading(connection, true);
    if (r < 0)
        varlink_connection_end(connection);
    return r;
}

int varlink_connection_accept(struct varlink_server *server, uv_stream_t *listener) {
    struct varlink_connection *connection = connection_new(server);
    if (!connection)
        return -ENOMEM;
    int r = uv_accept(listener, (uv_stream_t *)&connection->pipe);
    if (r < 0) {
        connection_close_pipe(connection);
        return r;
    }
    return connection_start(connection);
}

int varlink_server_add_connection_fd(struct varlink_server *server, int fd) {
    int CLEANUP_CLOSE owned = fd;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    struct varlink_connection *connection = connection_new(server);
    if (!connection)
        return -ENOMEM;
    int r = uv_pipe_open(&connection->pipe, fd);
    if (r < 0) {
        connection_close_pipe(connection);
        return r;
    }
    (void)TAKE_FD(owned);
    return connection_start(connection);
}
