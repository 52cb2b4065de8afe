/* What a connection uses of what its user may use, and how long it may use nothing. */
#include "ipc/varlink_connection.h"

#include <errno.h>

/* ---- calls and bytes ---- */

unsigned varlink_connection_outstanding(const struct varlink_connection *connection) {
    return (unsigned)connection->reader.complete + (connection->call ? 1 : 0);
}

/* A user who has too many bytes in flight loses the connection that has most of them. */
static void usage_break_greediest(struct varlink_server *server, struct quota_account *account) {
    struct varlink_connection *connection, *greediest = NULL;
    TAILQ_FOREACH(connection, &server->connections, all)
    if (connection->account == account && !connection->closing &&
        (!greediest || connection->bytes_counted > greediest->bytes_counted))
        greediest = connection;
    if (greediest)
        varlink_connection_break(greediest, -E2BIG);
}

void varlink_usage_count(struct varlink_connection *connection) {
    struct quota_account *account = connection->account;
    unsigned outstanding = 0;
    size_t bytes = 0;
    if (!connection->closing && !connection->broken) {
        outstanding = varlink_connection_outstanding(connection);
        bytes = varlink_reader_kept(&connection->reader) +
                uv_stream_get_write_queue_size((const uv_stream_t *)&connection->pipe);
    }
    account->outstanding += outstanding - connection->outstanding_counted;
    account->bytes += bytes - connection->bytes_counted;
    connection->outstanding_counted = outstanding;
    connection->bytes_counted = bytes;
    if (account->bytes > connection->server->options.limits.bytes_per_uid)
        usage_break_greediest(connection->server, account);
}

/* Each connection may have one call, or a user whose others are full could wait for ever; a stream
 * is read in any case, or nobody would see its peer leave. */
bool varlink_usage_uid_is_full(const struct varlink_connection *connection) {
    const struct varlink_limits *limits = &connection->server->options.limits;
    bool streaming = connection->call && connection->call->streaming;
    return connection->account->outstanding >= limits->outstanding_per_uid &&
           varlink_connection_outstanding(connection) > (streaming ? 1 : 0);
}

bool varlink_usage_is_full(const struct varlink_connection *connection) {
    const struct varlink_limits *limits = &connection->server->options.limits;
    return varlink_connection_outstanding(connection) >= limits->outstanding_per_connection ||
           (connection->reader.complete > 0 &&
            varlink_reader_kept(&connection->reader) > limits->message_bytes) ||
           varlink_usage_uid_is_full(connection);
}

/* ---- idleness ---- */

void varlink_usage_is_active(struct varlink_connection *connection) {
    connection->active = uv_now(connection->server->loop);
}

static uint64_t usage_patience_ms(const struct varlink_connection *connection) {
    const struct varlink_limits *limits = &connection->server->options.limits;
    return connection->calls == 0 ? limits->first_message_ms : limits->idle_ms;
}

void varlink_usage_watch_idle(struct varlink_connection *connection) {
    struct varlink_server *server = connection->server;
    if (connection->account->streams > 0) {
        varlink_server_clear_deadline(server, &connection->idle_deadline);
    } else if (connection->idle_deadline == 0) {
        varlink_usage_is_active(connection);
        varlink_server_set_deadline(
            server, &connection->idle_deadline, usage_patience_ms(connection));
    }
}

/* An agent watches on one connection, and keeps the other for what it may have to say. */
void varlink_usage_count_stream(struct varlink_connection *connection, int change) {
    struct varlink_server *server = connection->server;
    struct quota_account *account = connection->account;
    unsigned before = account->streams;
    account->streams += (unsigned)change;
    if ((before == 0) == (account->streams == 0))
        return;
    TAILQ_FOREACH(connection, &server->connections, all)
    if (connection->account == account && !connection->closing)
        varlink_usage_watch_idle(connection);
}

/* The deadline is not moved at each call: when it is due, it is seen when the last call was. */
int varlink_usage_check_idle(struct varlink_connection *connection, uint64_t now) {
    uint64_t patience = usage_patience_ms(connection);
    if (connection->idle_deadline == 0 || connection->idle_deadline > now)
        return 0;
    if (varlink_connection_outstanding(connection) > 0 ||
        varlink_reader_is_partial(&connection->reader))
        connection->active = now; /* another deadline, or another peer, decides */
    uint64_t idle = now - connection->active;
    if (idle >= patience)
        return connection->calls == 0 ? -ETIMEDOUT : -ETIME;
    varlink_server_set_deadline(connection->server, &connection->idle_deadline, patience - idle);
    return 0;
}
