/* Whose turn it is. Users take turns, and so do the connections of one user; a turn is a few calls.
 * Between two turns the loop polls, so that who comes last waits for one turn of each user before
 * him and never for all that they have sent. A user who sends more than his rate pauses: nothing of
 * his is lost, it is only not read. */
#include "ipc/varlink_connection.h"

#define TURN_US 50

/* What may be handled as it comes before the loop polls again, while nobody waits for his turn. A
 * full chunk is more than that: libuv would go on reading from the same peer. */
#define AT_ONCE_BYTES VARLINK_READ_CHUNK
#define AT_ONCE_LEAST ((size_t)1024) /* what the shortest message counts, beside its bytes */

#define TOKEN_BYTES ((size_t)256) /* a longer message costs one more token for so many bytes */
#define PAUSE_PART 10             /* a pause is long enough for this part of a second's messages */

/* ---- the ring ---- */

static void turn_join_ring(struct varlink_server *server, struct quota_account *account) {
    if (account->in_ring || account->paused_until || TAILQ_EMPTY(&account->waiting))
        return;
    account->in_ring = true;
    TAILQ_INSERT_TAIL(&server->ring, account, ring);
}

static void turn_leave_ring(struct varlink_server *server, struct quota_account *account) {
    if (account->in_ring)
        TAILQ_REMOVE(&server->ring, account, ring);
    account->in_ring = false;
}

static void turn_end_one(struct varlink_server *server) {
    struct varlink_connection *connection = TAILQ_FIRST(&server->ending);
    if (connection)
        varlink_connection_end_broken(connection); /* it leaves the list on the way */
}

static void turn_run_one(struct varlink_server *server) {
    struct quota_account *account = TAILQ_FIRST(&server->ring);
    if (!account)
        return;
    struct varlink_connection *connection = TAILQ_FIRST(&account->waiting);
    turn_leave_ring(server, account);
    varlink_turn_leave(connection);
    turn_join_ring(server, account); /* behind the others, if it has more */
    varlink_connection_run(connection);
}

static void turn_next(uv_idle_t *idle) {
    struct varlink_server *server = idle->data;
    turn_end_one(server);
    if (!server->closing)
        turn_run_one(server);
    if (TAILQ_EMPTY(&server->ending) && TAILQ_EMPTY(&server->ring))
        uv_idle_stop(&server->turn);
}

static void turn_start(struct varlink_server *server) {
    if (!TAILQ_EMPTY(&server->ending) || !TAILQ_EMPTY(&server->ring))
        uv_idle_start(&server->turn, turn_next);
}

void varlink_turn_wait(struct varlink_connection *connection) {
    struct varlink_server *server = connection->server;
    if (connection->closing || connection->is_ending)
        return;
    if (connection->broken) {
        varlink_turn_leave(connection);
        connection->is_ending = true;
        TAILQ_INSERT_TAIL(&server->ending, connection, waiting);
    } else if (!connection->is_waiting) {
        connection->is_waiting = true;
        TAILQ_INSERT_TAIL(&connection->account->waiting, connection, waiting);
        turn_join_ring(server, connection->account);
    }
    turn_start(server);
}

void varlink_turn_leave(struct varlink_connection *connection) {
    struct varlink_server *server = connection->server;
    struct quota_account *account = connection->account;
    if (connection->is_ending)
        TAILQ_REMOVE(&server->ending, connection, waiting);
    if (connection->is_waiting)
        TAILQ_REMOVE(&account->waiting, connection, waiting);
    connection->is_waiting = connection->is_ending = false;
    if (TAILQ_EMPTY(&account->waiting))
        turn_leave_ring(server, account);
}

/* ---- without a turn ---- */

static void turn_before_poll(uv_prepare_t *before) {
    struct varlink_server *server = before->data;
    server->at_once = AT_ONCE_BYTES;
}

bool varlink_turn_is_free(struct varlink_connection *connection, size_t size) {
    struct varlink_server *server = connection->server;
    if (connection->is_waiting || !TAILQ_EMPTY(&server->ring))
        return false;
    if (server->at_once < AT_ONCE_LEAST + size)
        return false;
    server->at_once -= AT_ONCE_LEAST + size;
    return true;
}

bool varlink_turn_goes_on(const struct varlink_connection *connection, int64_t began_us) {
    return connection->server->now_us - began_us < TURN_US;
}

/* ---- messages per second ---- */

static const struct rate *turn_rate(const struct varlink_server *server) {
    return &server->options.limits.messages_per_uid;
}

bool varlink_turn_is_paused(const struct varlink_connection *connection) {
    return connection->account->paused_until != 0;
}

bool varlink_turn_has_tokens(struct varlink_connection *connection) {
    struct varlink_server *server = connection->server;
    struct quota_account *account = connection->account;
    const struct rate *rate = turn_rate(server);
    if (account->uid == 0)
        return true;
    if (account->paused_until)
        return false;
    if (rate_bucket_left(&account->messages, rate, server->now_us) > 0)
        return true;
    unsigned part = rate->per_s / PAUSE_PART;
    if (part > rate->burst)
        part = rate->burst;
    int64_t wait_us =
        rate_bucket_wait_us(&account->messages, rate, server->now_us, part ? part : 1);
    account->delayed++;
    turn_leave_ring(server, account);
    varlink_server_set_deadline(server, &account->paused_until, (uint64_t)wait_us / 1000 + 1);
    return false;
}

void varlink_turn_pay(struct varlink_connection *connection, size_t size) {
    struct varlink_server *server = connection->server;
    if (connection->uid != 0)
        rate_bucket_take(
            &connection->account->messages, turn_rate(server), server->now_us,
            1 + (unsigned)(size / TOKEN_BYTES));
}

void varlink_turn_pay_method(struct varlink_connection *connection, const struct method *method) {
    struct varlink_server *server = connection->server;
    if (connection->uid != 0 && method->messages > 1)
        rate_bucket_take(
            &connection->account->messages, turn_rate(server), server->now_us,
            method->messages - 1);
}

void varlink_turn_check_deadline(
    struct varlink_server *server, struct quota_account *account, uint64_t now) {
    if (account->paused_until == 0 || account->paused_until > now)
        return;
    varlink_server_clear_deadline(server, &account->paused_until);
    turn_join_ring(server, account);
    turn_start(server);
}

/* ---- begin and end ---- */

static void turn_closed(uv_handle_t *handle) {
    varlink_server_handle_closed(handle->data);
}

void varlink_turn_init(struct varlink_server *server) {
    TAILQ_INIT(&server->ending);
    TAILQ_INIT(&server->ring);
    uv_idle_init(server->loop, &server->turn);
    uv_prepare_init(server->loop, &server->before);
    uv_prepare_start(&server->before, turn_before_poll);
    uv_unref((uv_handle_t *)&server->before);
    server->turn.data = server->before.data = server;
    server->open_handles += 2;
    server->at_once = AT_ONCE_BYTES;
}

void varlink_turn_close(struct varlink_server *server) {
    uv_close((uv_handle_t *)&server->turn, turn_closed);
    uv_close((uv_handle_t *)&server->before, turn_closed);
}
