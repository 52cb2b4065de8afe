/* What goes out: at once where the peer reads, and else in a queue that has an end. */
#include "ipc/varlink_connection.h"

#include <errno.h>
#include <json-c/json_object.h>
#include <stdlib.h>

struct pending_write {
    uv_write_t request;
    struct json_object *message; /* its text is what is written */
};

bool varlink_connection_is_congested(const struct varlink_connection *connection) {
    return uv_stream_get_write_queue_size((const uv_stream_t *)&connection->pipe) > 0;
}

static void writer_written(uv_write_t *request, int status) {
    struct pending_write *pending = request->data;
    struct varlink_connection *connection = request->handle->data;
    json_object_put(pending->message);
    free(pending);
    if (connection->closing)
        return;
    varlink_usage_count(connection);
    if (status < 0)
        varlink_connection_break(connection, status);
    else if (connection->call && !varlink_connection_is_congested(connection))
        varlink_call_drain(connection->call);
}

/* Owns `message`. */
static int writer_queue(
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
        r = uv_write(&pending->request, stream, &rest, 1, writer_written);
    }
    if (r < 0) {
        free(pending);
        json_object_put(message);
    } else {
        varlink_usage_count(connection);
    }
    return r;
}

size_t varlink_connection_send(struct varlink_connection *connection, struct json_object *message) {
    size_t size = 0;
    const char *text = message ? varlink_message_text(message, &size) : NULL;
    if (!text || connection->broken || connection->closing) {
        json_object_put(message);
        if (!text)
            varlink_connection_break(connection, -ENOMEM);
        return 0;
    }
    connection->bytes_out += size;
    uv_buf_t rest = uv_buf_init((char *)text, (unsigned)size);
    int r = uv_try_write((uv_stream_t *)&connection->pipe, &rest, 1); /* EAGAIN behind a queue */
    if (r < 0 && r != UV_EAGAIN) {
        json_object_put(message);
        varlink_connection_break(connection, r);
        return 0;
    }
    size_t written = r > 0 ? (size_t)r : 0;
    if (written == size) {
        json_object_put(message);
        return size;
    }
    rest = uv_buf_init((char *)text + written, (unsigned)(size - written));
    r = writer_queue(connection, message, rest);
    if (r < 0)
        varlink_connection_break(connection, r);
    return size;
}
