/* What goes out: at once where the peer reads, and else in a queue that has an end. */
#include "ipc/varlink_connection.h"

#include <errno.h>
#include <json-c/json_object.h>
#include <stdlib.h>
#include <string.h>

struct pending_write {
    uv_write_t request;
    char bytes[]; /* what could not be written at once */
};

bool varlink_connection_is_congested(const struct varlink_connection *connection) {
    return uv_stream_get_write_queue_size((const uv_stream_t *)&connection->pipe) > 0;
}

static void writer_written(uv_write_t *request, int status) {
    struct pending_write *pending = request->data;
    struct varlink_connection *connection = request->handle->data;
    free(pending);
    if (connection->closing)
        return;
    varlink_usage_count(connection);
    if (status < 0)
        varlink_connection_break(connection, status);
    else if (connection->call && !varlink_connection_is_congested(connection))
        varlink_call_drain(connection->call);
}

static int writer_queue(struct varlink_connection *connection, const char *bytes, size_t size) {
    uv_stream_t *stream = (uv_stream_t *)&connection->pipe;
    size_t limit = connection->server->options.limits.write_queue_bytes;
    if (uv_stream_get_write_queue_size(stream) + size > limit)
        return -ENOBUFS;
    struct pending_write *pending = malloc(sizeof *pending + size);
    if (!pending)
        return -ENOMEM;
    memcpy(pending->bytes, bytes, size);
    pending->request.data = pending;
    uv_buf_t rest = uv_buf_init(pending->bytes, (unsigned)size);
    int r = uv_write(&pending->request, stream, &rest, 1, writer_written);
    if (r < 0)
        free(pending);
    else
        varlink_usage_count(connection);
    return r;
}

static int writer_write(struct varlink_connection *connection, const char *bytes, size_t size) {
    uv_buf_t whole = uv_buf_init((char *)bytes, (unsigned)size);
    connection->bytes_out += size;
    int r = uv_try_write((uv_stream_t *)&connection->pipe, &whole, 1); /* EAGAIN behind a queue */
    if (r < 0 && r != UV_EAGAIN)
        return r;
    size_t written = r > 0 ? (size_t)r : 0;
    return written == size ? 0 : writer_queue(connection, bytes + written, size - written);
}

/* Holds an answer where the next call is there already, as far as there is room; else it goes out,
 * and what was held before it. */
static int writer_pass(struct varlink_connection *connection, const char *bytes, size_t size) {
    struct buffer *held = &connection->server->held;
    if (!connection->taking || size > VARLINK_READ_CHUNK - held->size) {
        varlink_connection_send_held(connection);
        return connection->broken ? connection->broken : writer_write(connection, bytes, size);
    }
    if (held->size == 0 && connection->reader.complete == 0)
        return writer_write(connection, bytes, size);
    return buffer_append(held, bytes, size);
}

void varlink_connection_send_held(struct varlink_connection *connection) {
    struct buffer *held = &connection->server->held;
    if (!connection->taking || held->size == 0)
        return;
    int r = writer_write(connection, (const char *)held->data, held->size);
    held->size = 0;
    if (r < 0)
        varlink_connection_break(connection, r);
}

size_t varlink_connection_send(
    struct varlink_connection *connection, const char *error,
    const struct varlink_parameters *parameters, bool continues) {
    struct buffer *message = &connection->server->message;
    if (connection->broken || connection->closing)
        return 0;
    message->size = 0;
    int r = varlink_reply_write(message, error, parameters, continues);
    size_t size = message->size + 1;
    if (r == 0)
        r = writer_pass(connection, (const char *)message->data, size);
    else if (r == -EMSGSIZE)
        r = -EOVERFLOW;                         /* nothing that the peer has done */
    if (message->capacity > VARLINK_READ_CHUNK) /* rare: not worth keeping */
        buffer_deinit(message);
    if (r < 0)
        varlink_connection_break(connection, r);
    return r < 0 ? 0 : size;
}
