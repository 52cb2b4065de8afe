/* One timer for all that must be over at some time. It is not armed at rest, and who has a deadline
 * is found by looking at all of them: they are few, and it happens seldom. */
#include "ipc/varlink_connection.h"

static void deadline_arm(struct varlink_server *server, varlink_deadline due) {
    uint64_t now = uv_now(server->loop);
    server->timer_due = due;
    uv_timer_start(&server->timer, varlink_server_check_deadlines, due > now ? due - now : 0, 0);
}

void varlink_server_set_deadline(
    struct varlink_server *server, varlink_deadline *deadline, uint64_t after_ms) {
    if (*deadline == 0)
        server->deadline_count++;
    *deadline = uv_now(server->loop) + after_ms;
    if (*deadline == 0)
        *deadline = 1;
    if (server->deadline_count == 1 || *deadline < server->timer_due)
        deadline_arm(server, *deadline);
}

void varlink_server_clear_deadline(struct varlink_server *server, varlink_deadline *deadline) {
    if (*deadline == 0)
        return;
    *deadline = 0;
    if (--server->deadline_count == 0)
        uv_timer_stop(&server->timer);
}

static varlink_deadline earlier(varlink_deadline a, varlink_deadline b) {
    if (a == 0 || b == 0)
        return a ? a : b;
    return a < b ? a : b;
}

static varlink_deadline deadline_next(const struct varlink_server *server) {
    const struct varlink_connection *connection;
    const struct quota_account *account;
    const struct varlink_listener *listener;
    varlink_deadline next = 0;
    TAILQ_FOREACH(connection, &server->connections, all) {
        next = earlier(next, earlier(connection->message_deadline, connection->call_deadline));
        next = earlier(next, connection->idle_deadline);
    }
    TAILQ_FOREACH(account, &server->quota.accounts, all)
    next = earlier(next, account->paused_until);
    TAILQ_FOREACH(listener, &server->listeners, all)
    next = earlier(next, listener->resume_deadline);
    return next;
}

void varlink_server_check_deadlines(uv_timer_t *timer) {
    struct varlink_server *server = timer->data;
    uint64_t now = uv_now(server->loop);
    /* a handler that is cancelled here may close the server, but frees no connection before the
     * loop runs again */
    struct varlink_connection *connection = TAILQ_FIRST(&server->connections);
    while (connection && !server->closing) {
        varlink_connection_check_deadlines(connection, now);
        connection = TAILQ_NEXT(connection, all);
    }
    if (server->closing)
        return;
    struct quota_account *account;
    TAILQ_FOREACH(account, &server->quota.accounts, all)
    varlink_turn_check_deadline(server, account, now);
    struct varlink_listener *listener;
    TAILQ_FOREACH(listener, &server->listeners, all)
    varlink_listener_check_deadline(listener, now);
    varlink_deadline next = deadline_next(server);
    if (next)
        deadline_arm(server, next);
}
