/* Puts the running server together, and takes it apart in the order that leaves nobody without an
 * answer. */
#include "server/serve.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/version.h"
#include "server/auth_handlers.h"
#include "server/ca.h"
#include "server/certificate.h"
#include "server/cli.h"
#include "server/commands.h"
#include "server/crl_handlers.h"
#include "server/est_handlers.h"
#include "server/event_hub.h"
#include "server/fleet.h"
#include "server/identity.h"
#include "server/installation.h"
#include "server/listener.h"
#include "server/maintenance.h"
#include "server/portal.h"
#include "server/server.h"
#include "server/state_handlers.h"
#include "server/tls.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#define DEVICE_SESSION_S                                                                           \
    300 /* of TLS resumption; what a certificate is worth is asked per request anyway */

#define FLUSH_ROUNDS 10

struct serving {
    struct server server;
    struct maintenance *maintenance;
    SSL_CTX *devices_tls, *portal_tls;
    struct event *terminate, *interrupt;
    int lock_fd;
};

static int fail(const char *what, const char *text, int error) {
    log_event(
        LOG_LEVEL_ERROR, MSG_START_FAILED, text, LOG_TEXT("WHAT", what), LOG_ERRNO(error),
        LOG_TEXT("ERROR", strerror(error < 0 ? -error : error)));
    return error < 0 ? error : -error;
}

/* --- state --- */

static int open_database(struct serving *serving) {
    struct server *server = &serving->server;
    CLEANUP_FREE char *path = installation_path(&server->config, INSTALLATION_DATABASE);
    CLEANUP_DB struct db *writing = NULL;
    if (!path)
        return -ENOMEM;
    int r = db_open(path, DB_WRITE, &writing);
    if (r == -ENOENT)
        return fail(path, "There is no installation; make one: devtrust-server init.", r);
    if (r == -EPROTO)
        return fail(path, "The database is of a newer version; install that version again.", r);
    if (r < 0)
        return fail(path, "The database cannot be opened; check the file and its owner.", r);
    r = settings_identity_load(writing, &server->identity);
    if (r == -ENOENT)
        return fail(
            path, "The installation was not finished; remove its directory and run init again.", r);
    if (r >= 0)
        r = fleet_note_settings(writing, &server->config);
    if (r >= 0)
        r = db_open(path, DB_READ, &server->db);
    if (r >= 0)
        r = db_writer_new(server->base, writing, &server->writer);
    if (r < 0)
        return fail(path, "The database cannot be used.", r);
    (void)TAKE_PTR(writing);
    return 0;
}

static int open_state(struct serving *serving) {
    struct server *server = &serving->server;
    char error[CA_ERROR_SIZE] = "";
    serving->lock_fd = installation_lock(&server->config);
    if (serving->lock_fd == -EBUSY)
        return fail(server->config.state_dir, "Another server runs on this directory.", -EBUSY);
    if (serving->lock_fd < 0)
        return fail(
            server->config.state_dir,
            "The state directory cannot be used; run devtrust-server init, or check its owner.",
            serving->lock_fd);
    int r = open_database(serving);
    if (r < 0)
        return r;
    r = installation_open_ca(
        &server->config, server->identity.portal_url, server->started_s, &server->ca, error,
        sizeof(error));
    return r < 0 ? fail(error, "The issuing CAs cannot be used.", r) : 0;
}

/* --- listeners --- */

static int make_tls(
    struct serving *serving, enum ca_kind client_ca, const char *name, long session_s,
    SSL_CTX **ret) {
    const struct server_config *config = &serving->server.config;
    CLEANUP_FREE char *chain = installation_path(config, CA_FILE_TLS_CHAIN);
    CLEANUP_FREE char *key = installation_path(config, CA_FILE_TLS_KEY);
    char error[256] = "";
    X509 *issuer = ca_issuer(serving->server.ca, client_ca);
    if (!chain || !key)
        return -ENOMEM;
    const struct tls_options options = {
        .certificate_path = config->tls_certificate ? config->tls_certificate : chain,
        .key_path = config->tls_key ? config->tls_key : key,
        .client_cas = &issuer,
        .client_ca_count = 1,
        .session_context = name,
        .session_s = session_s,
    };
    int r = tls_context_new(&options, ret, error, sizeof(error));
    return r < 0 ? fail(error, "The listeners' certificate cannot be used.", r) : 0;
}

static int listen_tcp(
    struct serving *serving, enum http_listener listener, const char *address, SSL_CTX *tls) {
    char name[96];
    const char *bound = name;
    int fd = listener_open_tcp(address);
    if (fd == -EINVAL)
        return fail(address, "A listener's address is ADDRESS:PORT; mend [listen].", fd);
    if (fd < 0)
        return fail(address, "The address cannot be listened on; mend [listen].", fd);
    int r = listener_name(fd, name, sizeof(name));
    if (r < 0) {
        close(fd);
        return r;
    }
    r = http_server_listen(serving->server.http, listener, fd, tls);
    if (r < 0)
        return fail(address, "The listener could not be started.", r);
    static const char *const names[] = {
        [HTTP_LISTENER_DEVICES] = "devices",
        [HTTP_LISTENER_PORTAL] = "portal",
        [HTTP_LISTENER_ADMIN] = "admin",
    };
    log_event(
        LOG_LEVEL_INFO, MSG_START, "Listening.", LOG_TEXT("LISTENER", names[listener]),
        LOG_TEXT("ADDRESS", bound));
    return 0;
}

static int listen_command(struct serving *serving) {
    const char *path = serving->server.config.socket;
    int fd = listener_open_unix(path);
    if (fd < 0)
        return fail(
            path, "The command socket cannot be made; check its directory and [paths] socket.", fd);
    int r = http_server_listen(serving->server.http, HTTP_LISTENER_COMMAND, fd, NULL);
    return r < 0 ? fail(path, "The listener could not be started.", r) : 0;
}

static int add_routes(struct http_server *http) {
    static const struct http_route *const tables[] = {
        est_routes,     event_routes,  state_routes, report_routes,
        command_routes, portal_routes, auth_routes,  crl_routes,
    };
    for (size_t i = 0; i < ARRAY_LENGTH(tables); i++) {
        int r = http_server_add_routes(http, tables[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int start_listeners(struct serving *serving) {
    const struct server_config *config = &serving->server.config;
    const struct http_server_options options = {
        .server = &serving->server,
        .base = serving->server.base,
        .authorise = identity_authorise,
    };
    int r = http_server_new(&options, &serving->server.http);
    if (r >= 0)
        r = add_routes(serving->server.http);
    if (r >= 0)
        r = make_tls(serving, CA_DEVICE, "devices", DEVICE_SESSION_S, &serving->devices_tls);
    if (r >= 0)
        /* no resumption: a browser's new certificate is to be seen at the next connection */
        r = make_tls(serving, CA_TRUST, "portal", 0, &serving->portal_tls);
    if (r >= 0)
        r = listen_command(serving);
    if (r >= 0)
        r = listen_tcp(
            serving, HTTP_LISTENER_DEVICES, config->listen_devices, serving->devices_tls);
    if (r >= 0)
        r = listen_tcp(serving, HTTP_LISTENER_PORTAL, config->listen_portal, serving->portal_tls);
    return r < 0 ? r : listen_tcp(serving, HTTP_LISTENER_ADMIN, config->listen_admin, NULL);
}

/* --- the loop --- */

static void on_signal(evutil_socket_t number, short what, void *userdata) {
    (void)what;
    struct serving *serving = userdata;
    log_event(LOG_LEVEL_INFO, MSG_STOP, "Stopping on request.", LOG_NUMBER("SIGNAL", number));
    event_base_loopbreak(serving->server.base);
}

static int catch_signals(struct serving *serving) {
    struct event_base *base = serving->server.base;
    signal(SIGPIPE, SIG_IGN);
    serving->terminate = evsignal_new(base, SIGTERM, on_signal, serving);
    serving->interrupt = evsignal_new(base, SIGINT, on_signal, serving);
    if (!serving->terminate || !serving->interrupt || event_add(serving->terminate, NULL) < 0 ||
        event_add(serving->interrupt, NULL) < 0)
        return -ENOMEM;
    return 0;
}

/* Every connected device holds a descriptor: what the administrator allows (LimitNOFILE=) is used.
 */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void on_libevent_log(int severity, const char *text) {
    static const enum log_level levels[] = {
        [EVENT_LOG_DEBUG] = LOG_LEVEL_DEBUG,
        [EVENT_LOG_MSG] = LOG_LEVEL_DEBUG,
        [EVENT_LOG_WARN] = LOG_LEVEL_INFO,
        [EVENT_LOG_ERR] = LOG_LEVEL_ERROR,
    };
    enum log_level level = severity >= 0 && severity < (int)ARRAY_LENGTH(levels)
                               ? levels[severity]
                               : LOG_LEVEL_WARNING;
    log_event(level, MSG_HTTP, "libevent has something to say.", LOG_TEXT("EVENT", text));
}

static int start(struct serving *serving) {
    struct server *server = &serving->server;
    server->base = event_base_new();
    if (!server->base)
        return -ENOMEM;
    int r = open_state(serving);
    if (r >= 0)
        r = event_hub_new(server, &server->hub);
    if (r >= 0)
        r = portal_new(server, &server->portal);
    if (r >= 0)
        r = crl_cache_new(&server->crl_cache);
    if (r >= 0)
        r = start_listeners(serving);
    return r < 0 ? r
                 : maintenance_new(
                       server, serving->devices_tls, serving->portal_tls, &serving->maintenance);
}

int serving_new(const struct serve_options *options, struct serving **ret) {
    struct serving *serving = calloc(1, sizeof(*serving));
    if (!serving)
        return -ENOMEM;
    serving->server.clock = options->clock;
    serving->server.random = options->random;
    serving->server.config = *options->config;
    serving->server.started_s = clock_wall_s(options->clock);
    serving->lock_fd = -1;
    int r = start(serving);
    if (r < 0) {
        serving_free(serving);
        return r;
    }
    *ret = serving;
    return 0;
}

struct server *serving_server(struct serving *serving) {
    return &serving->server;
}

struct serving *serving_free(struct serving *serving) {
    if (!serving)
        return NULL;
    struct server *server = &serving->server;
    if (server->http)
        http_server_end_requests(server->http);
    maintenance_free(serving->maintenance);
    server->writer = db_writer_free(server->writer);
    server->hub = event_hub_free(server->hub);
    /* the last answers go out; a peer that does not take them now has had its chance */
    for (int i = 0; server->base && i < FLUSH_ROUNDS; i++)
        event_base_loop(server->base, EVLOOP_NONBLOCK);
    server->http = http_server_free(server->http);
    SSL_CTX_free(serving->devices_tls);
    SSL_CTX_free(serving->portal_tls);
    portal_free(server->portal);
    crl_cache_free(server->crl_cache);
    ca_free(server->ca);
    db_close(server->db);
    if (serving->terminate)
        event_free(serving->terminate);
    if (serving->interrupt)
        event_free(serving->interrupt);
    if (server->base)
        event_base_free(server->base);
    settings_identity_deinit(&server->identity);
    if (serving->lock_fd >= 0)
        close(serving->lock_fd);
    free(serving);
    return NULL;
}

int serve_run(const struct server_config *config) {
    const struct serve_options options = {
        .config = config, .clock = &clock_system, .random = &random_system};
    struct serving *serving = NULL;
    event_set_log_callback(on_libevent_log);
    raise_descriptor_limit();
    int r = serving_new(&options, &serving);
    if (r >= 0)
        r = catch_signals(serving);
    if (r >= 0) {
        log_event(
            LOG_LEVEL_NOTICE, MSG_START, "The server has started.",
            LOG_TEXT("VERSION", DEVTRUST_VERSION), LOG_TEXT("URL", serving->server.identity.url));
        sd_notify(0, "READY=1");
        event_base_dispatch(serving->server.base);
        sd_notify(0, "STOPPING=1");
        (void)unlink(config->socket);
    }
    serving_free(serving);
    return r < 0 ? CLI_NO : CLI_OK;
}
