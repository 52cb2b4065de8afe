/* Once a minute; writes only when there is something to write. */
#include "server/maintenance.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "server/ca.h"
#include "server/certificate.h"
#include "server/installation.h"
#include "server/retention.h"
#include "server/server.h"
#include "server/tls.h"

#include <errno.h>

#define INTERVAL_S 60
#define TLS_INTERVAL_S 3600
#define FORGETTING_INTERVAL_S 600

struct maintenance {
    struct server *server;
    SSL_CTX *devices_tls, *portal_tls;
    struct event *timer;
    int64_t tls_due_s, forgetting_due_s;
};

/* --- superseded certificates whose grace is over: the status counts them as revoked already, the
 * records follow --- */

struct sweep {
    int64_t now_s, grace_s;
    int revoked;
};

static int run_sweep(struct db *db, void *data) {
    struct sweep *sweep = data;
    sweep->revoked = certificate_end_grace(db, sweep->now_s, sweep->grace_s);
    return sweep->revoked < 0 ? sweep->revoked : 0;
}

static void sweep_done(int result, void *data) {
    struct sweep *sweep = data;
    if (result >= 0 && sweep->revoked > 0)
        log_event(
            LOG_LEVEL_INFO, MSG_REVOKED, "Superseded certificates were revoked after their grace.",
            LOG_NUMBER("COUNT", sweep->revoked));
    free(sweep);
}

static void sweep_superseded(struct server *server, int64_t now_s) {
    int64_t grace_s = server->config.superseded_grace_s, waiting;
    int r = db_query_int(
        server->db,
        "SELECT count(*) FROM certificates WHERE kind = 2 AND state = 3 AND superseded_at <= ?",
        DB_VALUES(DB_INT(now_s - grace_s)), &waiting);
    struct sweep *sweep = r >= 0 && waiting > 0 ? malloc(sizeof(*sweep)) : NULL;
    if (!sweep)
        return;
    *sweep = (struct sweep){.now_s = now_s, .grace_s = grace_s};
    const struct db_job job = {.run = run_sweep, .done = sweep_done, .data = sweep};
    if (db_writer_submit(server->writer, &job) < 0)
        free(sweep);
}

/* --- records of what is over --- */

struct forgetting {
    int64_t now_s, keep_s;
    int gone;
};

static int run_forgetting(struct db *db, void *data) {
    struct forgetting *forgetting = data;
    forgetting->gone = retention_forget(db, forgetting->now_s, forgetting->keep_s);
    return forgetting->gone < 0 ? forgetting->gone : 0;
}

static void forgetting_done(int result, void *data) {
    struct forgetting *forgetting = data;
    if (result >= 0 && forgetting->gone > 0)
        log_event(
            LOG_LEVEL_INFO, MSG_RETENTION,
            "Records of expired certificates and tokens were deleted; [issue] keep_expired says "
            "when.",
            LOG_NUMBER("COUNT", forgetting->gone));
    free(forgetting);
}

/* In small portions, so that the writer's other work need not wait. */
static void forget_expired(struct maintenance *maintenance, int64_t now_s) {
    if (now_s < maintenance->forgetting_due_s)
        return;
    struct forgetting *forgetting = malloc(sizeof(*forgetting));
    if (!forgetting)
        return;
    *forgetting =
        (struct forgetting){.now_s = now_s, .keep_s = maintenance->server->config.keep_expired_s};
    const struct db_job job = {.run = run_forgetting, .done = forgetting_done, .data = forgetting};
    if (db_writer_submit(maintenance->server->writer, &job) < 0)
        free(forgetting);
    else
        maintenance->forgetting_due_s = now_s + FORGETTING_INTERVAL_S;
}

/* --- the listeners' certificate --- */

static void renew_tls(struct maintenance *maintenance, int64_t now_s) {
    const struct server_config *config = &maintenance->server->config;
    if (config->tls_certificate || now_s < maintenance->tls_due_s)
        return;
    maintenance->tls_due_s = now_s + TLS_INTERVAL_S;
    int r = ca_tls_renew(config->state_dir, now_s);
    if (r == 0)
        return;
    CLEANUP_FREE char *chain = installation_path(config, CA_FILE_TLS_CHAIN);
    CLEANUP_FREE char *key = installation_path(config, CA_FILE_TLS_KEY);
    if (r > 0 && chain && key)
        r = tls_context_reload(maintenance->devices_tls, chain, key);
    if (r >= 0 && chain && key)
        r = tls_context_reload(maintenance->portal_tls, chain, key);
    if (r < 0)
        log_event(
            LOG_LEVEL_ERROR, MSG_STORAGE,
            "The listeners' certificate could not be renewed; check the state directory.",
            LOG_ERRNO(r));
    else
        log_event(
            LOG_LEVEL_NOTICE, MSG_LISTENER_RENEWED, "The listeners' certificate was renewed.",
            LOG_TEXT("PATH", chain));
}

static void on_timer(evutil_socket_t fd, short what, void *userdata) {
    (void)fd;
    (void)what;
    struct maintenance *maintenance = userdata;
    int64_t now_s = clock_wall_s(maintenance->server->clock);
    sweep_superseded(maintenance->server, now_s);
    forget_expired(maintenance, now_s);
    renew_tls(maintenance, now_s);
}

int maintenance_new(
    struct server *server, SSL_CTX *devices_tls, SSL_CTX *portal_tls, struct maintenance **ret) {
    static const struct timeval interval = {.tv_sec = INTERVAL_S};
    struct maintenance *maintenance = calloc(1, sizeof(*maintenance));
    if (!maintenance)
        return -ENOMEM;
    *maintenance = (struct maintenance){
        .server = server, .devices_tls = devices_tls, .portal_tls = portal_tls};
    maintenance->timer = event_new(server->base, -1, EV_PERSIST, on_timer, maintenance);
    if (!maintenance->timer || event_add(maintenance->timer, &interval) < 0) {
        maintenance_free(maintenance);
        return -ENOMEM;
    }
    on_timer(-1, 0, maintenance);
    *ret = maintenance;
    return 0;
}

struct maintenance *maintenance_free(struct maintenance *maintenance) {
    if (!maintenance)
        return NULL;
    if (maintenance->timer)
        event_free(maintenance->timer);
    free(maintenance);
    return NULL;
}
