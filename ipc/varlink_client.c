/* The client on a loop: calls go out at once, answers come back in their order, and the end comes
 * last. */
#include "ipc/varlink_client.h"

#include "ipc/transport.h"
#include "ipc/varlink_message.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define READ_CHUNK ((size_t)8 * 1024)

struct open_call {
    STAILQ_ENTRY(open_call) next;
    bool more;
    varlink_reply reply;
    void *userdata;
};

struct varlink_client {
    uv_pipe_t pipe; /* .data: the client */
    struct varlink_reader reader;
    STAILQ_HEAD(, open_call) calls;
    unsigned call_count;
    void (*disconnected)(struct varlink_client *, void *);
    void *userdata;
    struct buffer message; /* that is being sent; its memory is used again */
    bool ended;  /* nothing comes or goes any more; `disconnected` was called or is about to be */
    bool closed; /* by its owner: no callbacks */
    char chunk[READ_CHUNK];
};

static void client_drop_calls(struct varlink_client *client) {
    struct open_call *call;
    while ((call = STAILQ_FIRST(&client->calls))) {
        STAILQ_REMOVE_HEAD(&client->calls, next);
        free(call);
    }
    client->call_count = 0;
}

static void client_end(struct varlink_client *client) {
    if (client->ended || client->closed)
        return;
    client->ended = true;
    uv_read_stop((uv_stream_t *)&client->pipe);
    varlink_reader_deinit(&client->reader);
    struct open_call *call;
    while ((call = STAILQ_FIRST(&client->calls))) { /* none once the client is closed */
        STAILQ_REMOVE_HEAD(&client->calls, next);
        client->call_count--;
        call->reply(client, NULL, VARLINK_ERROR_DISCONNECTED, false, call->userdata);
        free(call);
    }
    if (!client->closed && client->disconnected)
        client->disconnected(client, client->userdata);
}

/* ---- in ---- */

static int client_take_reply(struct varlink_client *client, const char *text, size_t size) {
    struct varlink_reply_parts CLEANUP_VARLINK_REPLY reply;
    int r = varlink_reply_read(text, size, true, &reply);
    if (r < 0)
        return r;
    struct open_call *call = STAILQ_FIRST(&client->calls);
    if (!call || (reply.continues && !call->more))
        return -EBADMSG;
    if (!reply.parameters && !(reply.parameters = json_object_new_object()))
        return -ENOMEM;
    varlink_reply callback = call->reply;
    void *userdata = call->userdata;
    if (!reply.continues) {
        STAILQ_REMOVE_HEAD(&client->calls, next);
        client->call_count--;
        free(call);
    }
    callback(client, reply.parameters, reply.error, reply.continues, userdata);
    return 0;
}

static int client_take_replies(struct varlink_client *client) {
    while (!client->closed) {
        const char *text;
        size_t size;
        int r = varlink_reader_next(&client->reader, &text, &size);
        if (r <= 0)
            return r;
        r = client_take_reply(client, text, size);
        if (r < 0)
            return r;
    }
    return 0;
}

static void client_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret) {
    struct varlink_client *client = handle->data;
    (void)suggested;
    *ret = uv_buf_init(client->chunk, sizeof client->chunk);
}

static void client_readable(uv_stream_t *stream, ssize_t size, const uv_buf_t *chunk) {
    struct varlink_client *client = stream->data;
    if (size == 0 || client->closed || client->ended)
        return;
    int r = (int)size;
    if (size > 0)
        r = varlink_reader_feed(&client->reader, chunk->base, (size_t)size);
    if (r == 0)
        r = client_take_replies(client);
    if (r == 0 && !client->closed)
        r = varlink_reader_settle(&client->reader);
    if (r < 0)
        client_end(client);
}

/* ---- out ---- */

struct pending_write {
    uv_write_t request;
    char bytes[]; /* what could not be written at once */
};

static void client_written(uv_write_t *request, int status) {
    struct varlink_client *client = request->handle->data;
    free(request->data);
    if (status < 0)
        client_end(client);
}

static int client_queue(struct varlink_client *client, const char *bytes, size_t size) {
    struct pending_write *pending = malloc(sizeof *pending + size);
    if (!pending)
        return -ENOMEM;
    memcpy(pending->bytes, bytes, size);
    pending->request.data = pending;
    uv_buf_t rest = uv_buf_init(pending->bytes, (unsigned)size);
    int r = uv_write(&pending->request, (uv_stream_t *)&client->pipe, &rest, 1, client_written);
    if (r < 0)
        free(pending);
    return r;
}

static int client_send_bytes(struct varlink_client *client, const char *bytes, size_t size) {
    uv_buf_t whole = uv_buf_init((char *)bytes, (unsigned)size);
    int r = uv_try_write((uv_stream_t *)&client->pipe, &whole, 1); /* EAGAIN behind a queue */
    if (r < 0 && r != UV_EAGAIN)
        return -ENOTCONN; /* the loop will see the end by reading */
    size_t written = r > 0 ? (size_t)r : 0;
    if (written == size)
        return 0;
    r = client_queue(client, bytes + written, size - written);
    return r == 0 || r == -ENOMEM ? r : -ENOTCONN;
}

static int client_send(
    struct varlink_client *client, const char *method, struct json_object *parameters, bool more) {
    struct buffer *message = &client->message;
    message->size = 0;
    int r = varlink_call_write(
        message, method, &(struct varlink_parameters){.object = parameters}, more, false);
    if (r == 0)
        r = client_send_bytes(client, (const char *)message->data, message->size + 1);
    if (message->capacity > READ_CHUNK) /* rare: not worth keeping */
        buffer_deinit(message);
    return r;
}

int varlink_client_call(
    struct varlink_client *client, const char *method, struct json_object *parameters, bool more,
    varlink_reply reply, void *userdata) {
    struct json_object CLEANUP_JSON *owned = parameters;
    if (client->ended || client->closed)
        return -ENOTCONN;
    if (client->call_count >= VARLINK_CLIENT_MAX_CALLS)
        return -EBUSY;
    struct open_call CLEANUP_FREE *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    int r = client_send(client, method, owned, more);
    if (r < 0)
        return r;
    call->more = more;
    call->reply = reply;
    call->userdata = userdata;
    STAILQ_INSERT_TAIL(&client->calls, call, next);
    (void)TAKE_PTR(call);
    client->call_count++;
    return 0;
}

/* ---- begin and end ---- */

static void client_closed(uv_handle_t *handle) {
    struct varlink_client *client = handle->data;
    buffer_deinit(&client->message);
    free(client);
}

void varlink_client_close(struct varlink_client *client) {
    if (!client || client->closed)
        return;
    client->closed = true;
    varlink_reader_deinit(&client->reader);
    client_drop_calls(client);
    uv_close((uv_handle_t *)&client->pipe, client_closed);
}

/* Who listens decides who we speak to: the path alone proves nothing. */
static int client_connect_checked(const char *path, uid_t peer_uid, int *ret_fd) {
    int CLEANUP_CLOSE fd = transport_connect(path);
    if (fd < 0)
        return fd;
    uid_t uid;
    pid_t pid;
    int r = transport_peer(fd, &uid, &pid);
    if (r < 0)
        return r;
    if (uid != peer_uid)
        return -EPERM;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* libuv writes without MSG_NOSIGNAL: a server that leaves would end this process */
static void ignore_sigpipe(void) {
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

int varlink_client_open_fd(
    uv_loop_t *loop, int fd, void (*disconnected)(struct varlink_client *, void *), void *userdata,
    struct varlink_client **ret) {
    int CLEANUP_CLOSE owned = fd;
    struct varlink_client *client = calloc(1, sizeof *client);
    if (!client)
        return -ENOMEM;
    ignore_sigpipe();
    STAILQ_INIT(&client->calls);
    varlink_reader_init(&client->reader, VARLINK_REPLY_MAX, READ_CHUNK);
    client->message = (struct buffer)BUFFER_INIT(VARLINK_CALL_MAX);
    client->disconnected = disconnected;
    client->userdata = userdata;
    uv_pipe_init(loop, &client->pipe, 0);
    client->pipe.data = client;
    int r = uv_pipe_open(&client->pipe, fd);
    if (r == 0) {
        (void)TAKE_FD(owned);
        r = uv_read_start((uv_stream_t *)&client->pipe, client_allocate, client_readable);
    }
    if (r < 0) {
        varlink_client_close(client);
        return r;
    }
    *ret = client;
    return 0;
}

int varlink_client_connect(
    uv_loop_t *loop, const char *path, uid_t peer_uid,
    void (*disconnected)(struct varlink_client *, void *), void *userdata,
    struct varlink_client **ret) {
    int fd = -1;
    int r = client_connect_checked(path, peer_uid, &fd);
    return r < 0 ? r : varlink_client_open_fd(loop, fd, disconnected, userdata, ret);
}
