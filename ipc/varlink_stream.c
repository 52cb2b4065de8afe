/* The blocking client, for a command line that waits for one answer: no loop, a deadline on every
 * wait. */
#include "ipc/transport.h"
#include "ipc/varlink_client.h"
#include "ipc/varlink_message.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define READ_CHUNK ((size_t)16 * 1024)
#define CONNECT_RETRY_MS 10 /* while the server's backlog is full */

struct varlink_stream {
    int fd;
    int timeout_ms;
    struct varlink_reader reader;
    struct buffer message;            /* that is being sent; its memory is used again */
    struct varlink_reply_parts reply; /* what was received last, by a table */
    char *room;                       /* of its strings */
    size_t room_size;
    char chunk[READ_CHUNK];
};

static int64_t stream_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* -1: no end */
static int64_t stream_deadline(int timeout_ms) {
    return timeout_ms < 0 ? -1 : stream_now_ms() + timeout_ms;
}

/* Milliseconds left for poll(2), or -ETIMEDOUT. */
static int stream_time_left(int64_t deadline, int *ret_ms) {
    if (deadline < 0) {
        *ret_ms = -1;
        return 0;
    }
    int64_t left = deadline - stream_now_ms();
    if (left <= 0)
        return -ETIMEDOUT;
    *ret_ms = left > INT32_MAX ? INT32_MAX : (int)left;
    return 0;
}

static int stream_wait(const struct varlink_stream *stream, short events, int64_t deadline) {
    for (;;) {
        int left;
        int r = stream_time_left(deadline, &left);
        if (r < 0)
            return r;
        struct pollfd descriptor = {.fd = stream->fd, .events = events};
        r = poll(&descriptor, 1, left);
        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return -errno;
    }
}

static int stream_connect(const char *path, int timeout_ms) {
    int64_t deadline = stream_deadline(timeout_ms);
    for (;;) {
        int fd = transport_connect(path);
        if (fd != -EAGAIN)
            return fd;
        int left;
        int r = stream_time_left(deadline, &left);
        if (r < 0)
            return r;
        (void)poll(NULL, 0, left < 0 || left > CONNECT_RETRY_MS ? CONNECT_RETRY_MS : left);
    }
}

int varlink_stream_open(
    const char *path, uid_t peer_uid, int timeout_ms, struct varlink_stream **ret) {
    int CLEANUP_CLOSE fd = stream_connect(path, timeout_ms);
    if (fd < 0)
        return fd;
    uid_t uid;
    pid_t pid;
    int r = transport_peer(fd, &uid, &pid);
    if (r < 0)
        return r;
    return uid == peer_uid ? varlink_stream_open_fd(TAKE_FD(fd), timeout_ms, ret) : -EPERM;
}

/* One call of the kernel waits and reads: poll() before recv() would wake up later, by a quarter of
 * a round trip. */
static int stream_let_block(int fd, int timeout_ms) {
    struct timeval timeout = {0}; /* for ever */
    if (timeout_ms > 0) {
        timeout.tv_sec = timeout_ms / 1000;
        timeout.tv_usec = timeout_ms % 1000 * 1000;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0)
        return -errno;
    return 0;
}

int varlink_stream_open_fd(int fd, int timeout_ms, struct varlink_stream **ret) {
    int CLEANUP_CLOSE owned = fd;
    int r = stream_let_block(fd, timeout_ms);
    if (r < 0)
        return r;
    struct varlink_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    stream->fd = TAKE_FD(owned);
    stream->timeout_ms = timeout_ms;
    varlink_reader_init(&stream->reader, VARLINK_REPLY_MAX, READ_CHUNK);
    stream->message = (struct buffer)BUFFER_INIT(VARLINK_CALL_MAX);
    *ret = stream;
    return 0;
}

struct varlink_stream *varlink_stream_free(struct varlink_stream *stream) {
    if (!stream)
        return NULL;
    close(stream->fd);
    varlink_reply_parts_deinit(&stream->reply);
    if (stream->room)
        explicit_bzero(stream->room, stream->room_size);
    free(stream->room);
    varlink_reader_deinit(&stream->reader);
    buffer_deinit(&stream->message);
    explicit_bzero(stream->chunk, sizeof stream->chunk);
    free(stream);
    return NULL;
}

int varlink_stream_fd(const struct varlink_stream *stream) {
    return stream->fd;
}

static int stream_write(struct varlink_stream *stream, const char *text, size_t size) {
    int64_t deadline = 0; /* most is gone before there is a need to look at the clock */
    while (size > 0) {
        ssize_t written = send(stream->fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (written >= 0) {
            text += written;
            size -= (size_t)written;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return errno == EPIPE ? -ECONNRESET : -errno;
        if (deadline == 0)
            deadline = stream_deadline(stream->timeout_ms);
        int r = stream_wait(stream, POLLOUT, deadline);
        if (r < 0)
            return r;
    }
    return 0;
}

static int stream_send(
    struct varlink_stream *stream, const char *method, const struct varlink_parameters *parameters,
    bool more, bool oneway) {
    struct buffer *message = &stream->message;
    message->size = 0;
    int r = varlink_call_write(message, method, parameters, more, oneway);
    return r < 0 ? r : stream_write(stream, (const char *)message->data, message->size + 1);
}

int varlink_stream_send(
    struct varlink_stream *stream, const char *method, struct json_object *parameters, bool more,
    bool oneway) {
    struct json_object CLEANUP_JSON *owned = parameters;
    return stream_send(stream, method, &(struct varlink_parameters){.object = owned}, more, oneway);
}

int varlink_stream_send_fields(
    struct varlink_stream *stream, const char *method, const struct json_field *table, size_t count,
    const void *fields) {
    const struct varlink_parameters parameters = {.table = table, .count = count, .fields = fields};
    return stream_send(stream, method, &parameters, false, false);
}

int varlink_stream_send_secret(struct varlink_stream *stream, const struct secret *message) {
    size_t size = secret_size(message);
    if (size > VARLINK_CALL_MAX)
        return -EMSGSIZE;
    int r = stream_write(stream, (const char *)secret_data((struct secret *)message), size);
    return r < 0 ? r : stream_write(stream, "", 1);
}

static int stream_take_reply(
    const char *text, size_t size, struct json_object **ret_parameters, char **ret_error,
    bool *ret_continues) {
    struct varlink_reply_parts CLEANUP_VARLINK_REPLY reply;
    int r = varlink_reply_read(text, size, true, &reply);
    if (r < 0)
        return r;
    if (!reply.parameters && !(reply.parameters = json_object_new_object()))
        return -ENOMEM;
    char *error = NULL;
    if (reply.error && !(error = strdup(reply.error)))
        return -ENOMEM;
    *ret_parameters = TAKE_PTR(reply.parameters);
    *ret_error = error;
    *ret_continues = reply.continues;
    return 0;
}

/* Waits for bytes and feeds them. The first wait for a message is in recv(), whose time is known;
 * the others have less. */
static int stream_read(struct varlink_stream *stream, bool is_first, int64_t deadline) {
    bool blocks = is_first && stream->timeout_ms != 0;
    int r = blocks ? 0 : stream_wait(stream, POLLIN, deadline);
    if (r < 0)
        return r;
    ssize_t size = recv(stream->fd, stream->chunk, sizeof stream->chunk, blocks ? 0 : MSG_DONTWAIT);
    if (size == 0)
        return -ECONNRESET;
    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return varlink_reader_feed(&stream->reader, stream->chunk, (size_t)size);
}

/* Reads until a message is complete. Returns 1 with it, or a negative errno. */
static int stream_next(struct varlink_stream *stream, const char **ret, size_t *ret_size) {
    int64_t deadline = stream_deadline(stream->timeout_ms);
    for (bool is_first = true;; is_first = false) {
        int r = varlink_reader_next(&stream->reader, ret, ret_size);
        if (r != 0)
            return r;
        r = varlink_reader_settle(&stream->reader);
        if (r == 0)
            r = stream_read(stream, is_first, deadline);
        if (r < 0)
            return r;
    }
}

int varlink_stream_receive(
    struct varlink_stream *stream, struct json_object **ret_parameters, char **ret_error,
    bool *ret_continues) {
    const char *text;
    size_t size;
    int r = stream_next(stream, &text, &size);
    if (r < 0)
        return r;
    return stream_take_reply(text, size, ret_parameters, ret_error, ret_continues);
}

static int stream_make_room(struct varlink_stream *stream, size_t size) {
    if (size <= stream->room_size)
        return 0;
    char *room = malloc(size);
    if (!room)
        return -ENOMEM;
    if (stream->room)
        explicit_bzero(stream->room, stream->room_size);
    free(stream->room);
    stream->room = room;
    stream->room_size = size;
    return 0;
}

static int stream_read_fields(
    struct varlink_stream *stream, const struct json_field *table, size_t count, void *ret_struct) {
    const struct varlink_reply_parts *reply = &stream->reply;
    const char *text = reply->text ? reply->text : "{}";
    size_t size = reply->text ? reply->text_size : 2;
    int r = stream_make_room(stream, size);
    if (r == 0)
        r = json_fields_read_text(text, size, table, count, stream->room, ret_struct, NULL);
    return r == -EINVAL ? -EBADMSG : r;
}

int varlink_stream_receive_fields(
    struct varlink_stream *stream, const struct json_field *table, size_t count, void *ret_struct,
    const char **ret_error) {
    const char *text;
    size_t size;
    int r = stream_next(stream, &text, &size);
    if (r < 0)
        return r;
    varlink_reply_parts_deinit(&stream->reply);
    r = varlink_reply_read(text, size, false, &stream->reply);
    if (r == 0 && stream->reply.continues)
        r = -EBADMSG;
    if (r == 0 && !stream->reply.error)
        r = stream_read_fields(stream, table, count, ret_struct);
    if (r == 0)
        *ret_error = stream->reply.error;
    return r;
}
