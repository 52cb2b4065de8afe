/* One peer: its bytes in, its bytes out, one call at a time. A peer that is slow, greedy or wrong
 * is cut off here. */
#include "ipc/varlink_connection.h"

#include "ipc/transport.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    int error;
    const char *text;
} refusal_texts[] = {
    {-EDQUOT, "A local user has too many connections open; a new one was refused."},
    {-EUSERS, "Too many local connections are open; a new one was refused."},
    {-EBUSY, "A local user connects too often; a connection was refused."},
};

static const struct {
    int error;
    const char *text;
} cut_off_texts[] = {
    {-EBADMSG, "A local peer was cut off: what it sent is no JSON object."},
    {-EMSGSIZE, "A local peer was cut off: its message is too large."},
    {-ETIMEDOUT, "A local peer was cut off: it did not send or finish a message in time."},
    {-ENOBUFS, "A local peer was cut off: it does not read its answers."},
    {-EDQUOT, "A local peer was cut off: too many calls wait behind its stream."},
    {-E2BIG, "A local peer was cut off: its user has too many bytes in flight."},
    {-EOVERFLOW, "A local peer was cut off: the answer to it would be too large."},
    {-ENOTSUP, "A local peer was cut off: it sent a file descriptor, and none is ever taken."},
    {-ENOMEM, "A local peer was cut off: memory is out."},
};

static const char *cut_off_text(int error) {
    for (size_t i = 0; i < ARRAY_LENGTH(cut_off_texts); i++)
        if (cut_off_texts[i].error == error)
            return cut_off_texts[i].text;
    return "A local peer was cut off.";
}

static const char *refusal_text(int error) {
    for (size_t i = 0; i < ARRAY_LENGTH(refusal_texts); i++)
        if (refusal_texts[i].error == error)
            return refusal_texts[i].text;
    return "A local connection was refused.";
}

/* ---- begin and end ---- */

static void connection_closed(uv_handle_t *handle) {
    struct varlink_connection *connection = handle->data;
    struct varlink_server *server = connection->server;
    TAILQ_REMOVE(&server->connections, connection, all);
    free(connection);
    varlink_server_handle_closed(server);
}

/* Nobody else will have the account's deadline looked after. */
static void connection_leave_account(struct varlink_connection *connection) {
    struct varlink_server *server = connection->server;
    struct quota_account *account = connection->account;
    varlink_usage_count(connection);
    if (account->connections == 1)
        varlink_server_clear_deadline(server, &account->paused_until);
    quota_release(&server->quota, account);
}

void varlink_connection_end(struct varlink_connection *connection) {
    if (connection->closing)
        return;
    struct varlink_server *server = connection->server;
    varlink_connection_send_held(connection);
    varlink_server_clear_deadline(server, &connection->message_deadline);
    varlink_server_clear_deadline(server, &connection->call_deadline);
    varlink_server_clear_deadline(server, &connection->idle_deadline);
    varlink_turn_leave(connection);
    varlink_reader_deinit(&connection->reader);
    connection->closing = true;
    uv_close((uv_handle_t *)&connection->pipe, connection_closed);
    if (connection->call)
        varlink_call_cancel(connection->call);
    connection_leave_account(connection);
    if (server->observe)
        varlink_statistics_show_connection(
            server, VARLINK_EVENT_CLOSED, connection->id, connection->uid, connection->pid,
            connection->broken);
}

void varlink_connection_break(struct varlink_connection *connection, int error) {
    if (connection->broken)
        return;
    connection->broken = error;
    varlink_usage_count(connection);
    varlink_turn_wait(connection);
}

static bool error_is_an_offence(int error) {
    return error != -EPIPE && error != -ECONNRESET && error != UV_EOF && error != -ETIME;
}

void varlink_connection_end_broken(struct varlink_connection *connection) {
    if (error_is_an_offence(connection->broken)) {
        connection->account->refused++;
        varlink_server_log_refusal(
            connection->server, cut_off_text(connection->broken), connection->uid, connection->pid,
            connection->broken);
    }
    varlink_connection_end(connection);
}

static void connection_end_with(struct varlink_connection *connection, int error) {
    if (!connection->broken)
        connection->broken = error;
    varlink_connection_end_broken(connection);
}

/* ---- in ---- */

static void connection_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret) {
    struct varlink_connection *connection = handle->data;
    (void)suggested;
    *ret = uv_buf_init(connection->server->chunk, sizeof connection->server->chunk);
}

static void connection_readable(uv_stream_t *stream, ssize_t size, const uv_buf_t *chunk);

/* Reading goes on while a call is open, since that is how a peer that leaves is noticed; it stops
 * at the limits, and while calls wait for tokens. */
static bool connection_may_read(const struct varlink_connection *connection) {
    if (varlink_usage_is_full(connection))
        return false;
    return connection->call || connection->reader.complete == 0 ||
           !varlink_turn_is_paused(connection);
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
    return connection->call && connection->call->streaming && connection->reader.complete > 0 &&
           varlink_usage_is_full(connection);
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

/* Until one waits for its answer, the turn is over, or the user's rate is used up. */
static int connection_take_calls(struct varlink_connection *connection) {
    int64_t began_us = varlink_server_tick(connection->server);
    do {
        const char *text;
        size_t size;
        if (connection->call || connection->closing || connection->broken)
            return 0;
        if (connection->reader.complete > 0 && !varlink_turn_has_tokens(connection))
            return 0;
        int r = varlink_reader_next(&connection->reader, &text, &size);
        if (r <= 0)
            return r;
        connection->calls++;
        varlink_turn_pay(connection, size);
        varlink_usage_is_active(connection);
        r = varlink_call_dispatch(connection, text, size);
        if (r < 0)
            return r;
    } while (varlink_turn_goes_on(connection, began_us));
    return 0;
}

/* Keeps what was not taken, decides whether to read on, and waits for the next turn where there is
 * more to do. `r`: what came of it so far. */
static void connection_keep(struct varlink_connection *connection, int r, bool fresh) {
    if (r == 0)
        r = varlink_reader_settle(&connection->reader);
    varlink_usage_count(connection);
    if (r == 0 && connection_is_stuck(connection))
        r = -EDQUOT;
    bool may_read = connection_may_read(connection);
    if (connection->reading && !may_read && varlink_usage_uid_is_full(connection))
        connection->account->delayed++;
    if (r == 0)
        r = connection_set_reading(connection, may_read);
    if (r < 0 || connection->broken) {
        connection_end_with(connection, r);
        return;
    }
    connection_watch_partial(connection, fresh);
    if (connection->reader.complete > 0 && !connection->call)
        varlink_turn_wait(connection);
}

static void connection_advance(struct varlink_connection *connection, bool fresh) {
    connection->taking = true;
    int r = connection_take_calls(connection);
    varlink_connection_send_held(connection);
    connection->taking = false;
    if (!connection->closing) /* else a handler closed the server */
        connection_keep(connection, r, fresh);
}

static int connection_take_bytes(
    struct varlink_connection *connection, const char *data, size_t size) {
    connection->bytes_in += size;
    if (uv_pipe_pending_count(&connection->pipe) > 0)
        return -ENOTSUP; /* closing the pipe closes what it has received */
    size_t before = connection->reader.complete;
    int r = varlink_reader_feed(&connection->reader, data, size);
    if (r < 0)
        return r;
    bool fresh = connection->reader.complete > before;
    if (varlink_turn_is_free(connection, size))
        connection_advance(connection, fresh);
    else
        connection_keep(connection, 0, fresh);
    return 0;
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
    if (r < 0)
        connection_end_with(connection, r);
}

void varlink_connection_run(struct varlink_connection *connection) {
    connection_advance(connection, false);
}

void varlink_connection_check_deadlines(struct varlink_connection *connection, uint64_t now) {
    if (connection->closing)
        return;
    int r = connection->message_deadline && connection->message_deadline <= now ? -ETIMEDOUT : 0;
    if (r == 0)
        r = varlink_usage_check_idle(connection, now);
    if (r < 0)
        connection_end_with(connection, r);
    else if (connection->call_deadline && connection->call_deadline <= now)
        varlink_call_time_out(connection->call);
}

/* ---- new ---- */

static int connection_admit(
    struct varlink_server *server, struct quota_account *account, int64_t now_us) {
    const struct rate *rate = &server->options.limits.connects_per_uid;
    if (account->uid != 0) {
        if (rate_bucket_left(&account->connects, rate, now_us) == 0)
            return -EBUSY;
        rate_bucket_take(&account->connects, rate, now_us, 1);
    }
    const struct varlink_server_options *options = &server->options;
    bool stranger = options->is_managed && !options->is_managed(account->uid, options->userdata);
    return quota_take(&server->quota, account, stranger);
}

static int connection_start(struct varlink_connection *connection, int fd) {
    struct varlink_server *server = connection->server;
    varlink_reader_init(
        &connection->reader, server->options.limits.message_bytes, VARLINK_READ_CHUNK);
    uv_pipe_init(server->loop, &connection->pipe, transport_pipe_ipc);
    connection->pipe.data = connection;
    server->open_handles++;
    TAILQ_INSERT_TAIL(&server->connections, connection, all);
    int r = uv_pipe_open(&connection->pipe, fd);
    if (r < 0)
        close(fd);
    else
        r = connection_set_reading(connection, true);
    if (r < 0)
        connection_end_with(connection, r);
    else
        varlink_usage_watch_idle(connection);
    return r;
}

/* Before it is one: who is refused costs no more than this. */
static int connection_refuse(
    struct varlink_server *server, struct quota_account *account, uint64_t id, pid_t pid, int r) {
    account->refused++;
    varlink_server_log_refusal(server, refusal_text(r), account->uid, pid, r);
    if (server->observe)
        varlink_statistics_show_connection(server, VARLINK_EVENT_REFUSED, id, account->uid, pid, r);
    return r;
}

int varlink_connection_open(struct varlink_server *server, int fd) {
    int CLEANUP_CLOSE owned = fd;
    uid_t uid;
    pid_t pid;
    int r = transport_peer(fd, &uid, &pid);
    if (r < 0)
        return r;
    struct quota_account *account = quota_account(&server->quota, uid);
    if (!account)
        return -ENOMEM;
    uint64_t id = ++server->next_id;
    r = connection_admit(server, account, varlink_server_tick(server));
    if (r < 0)
        return connection_refuse(server, account, id, pid, r);
    struct varlink_connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        quota_release(&server->quota, account);
        return -ENOMEM;
    }
    connection->server = server;
    connection->id = id;
    connection->uid = uid;
    connection->pid = pid;
    connection->account = account;
    connection->opened = uv_now(server->loop);
    if (server->observe)
        varlink_statistics_show_connection(server, VARLINK_EVENT_OPENED, id, uid, pid, 0);
    return connection_start(connection, TAKE_FD(owned));
}

int varlink_server_add_connection_fd(struct varlink_server *server, int fd) {
    int CLEANUP_CLOSE owned = fd;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return varlink_connection_open(server, TAKE_FD(owned));
}
