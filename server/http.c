/* Listeners and dispatch: finds the route, judges the peer, calls the handler. */
#include "server/http_private.h"

#include "common/log.h"
#include "common/log_messages.h"
#include "server/listener.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#define IDLE_TIMEOUT_S 75   /* of a connection without a request, or in the middle of one */
#define ACCEPT_PAUSE_MS 250 /* when descriptors have run out */
/* evhttp's own limit cuts the connection with a bare 413; a body that is a little too large gets
 * problem details first. */
#define HARD_MAX_BODY (4L * HTTP_MAX_BODY)

int http_server_new(const struct http_server_options *options, struct http_server **ret) {
    struct http_server *http = calloc(1, sizeof(*http));
    if (!http)
        return -ENOMEM;
    http->options = *options;
    *ret = http;
    return 0;
}

struct http_server *http_server_free(struct http_server *http) {
    if (!http)
        return NULL;
    for (size_t i = 0; i < http->listening_count; i++)
        evhttp_free(http->listening[i].evhttp);
    free(http);
    return NULL;
}

int http_server_add_routes(struct http_server *http, const struct http_route *routes) {
    for (; routes->method; routes++) {
        if (http->route_count == HTTP_MAX_ROUTES)
            return -ENOSPC;
        http->routes[http->route_count++] = *routes;
    }
    return 0;
}

/* --- dispatch --- */

static bool path_matches(const char *pattern, const char *path) {
    size_t length = strlen(pattern);
    if (length > 0 && pattern[length - 1] == '*')
        return strncmp(pattern, path, length - 1) == 0;
    return strcmp(pattern, path) == 0;
}

static bool method_matches(const char *allowed, const char *method) {
    return strcmp(allowed, method) == 0 ||
           (strcmp(allowed, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* NULL with *ret_allow: the path is there, for another method. */
static const struct http_route *find_route(
    const struct http_server *http, const struct http_request *request, const char **ret_allow) {
    const char *path = http_request_path(request);
    const char *method = http_request_method(request);
    *ret_allow = NULL;
    for (size_t i = 0; i < http->route_count; i++) {
        const struct http_route *route = &http->routes[i];
        if (!(route->listeners & request->listening->kind) || !path_matches(route->path, path))
            continue;
        if (method_matches(route->method, method))
            return route;
        *ret_allow = route->method;
    }
    return NULL;
}

static void dispatch(struct http_request *request) {
    struct http_server *http = request->listening->http;
    const char *allow;
    const struct http_route *route = find_route(http, request, &allow);
    if (http->ending) {
        http_add_header(request, "Connection", "close");
        http_send_problem(request, 503, REASON_BUSY, "The server stops; ask again in a moment.");
        return;
    }
    if (!route && allow) {
        http_add_header(request, "Allow", allow);
        http_send_problem(request, 405, REASON_OTHER, "This path does not know that method.");
        return;
    }
    if (!route) {
        http_send_problem(request, 404, REASON_OTHER, "There is nothing at this path.");
        return;
    }
    if (evbuffer_get_length(evhttp_request_get_input_buffer(request->req)) > HTTP_MAX_BODY) {
        http_send_problem(request, 413, REASON_OTHER, "The body is larger than 64 KiB.");
        return;
    }
    if (route->identity != HTTP_IDENTITY_NONE &&
        http->options.authorise(request, route->identity, http->options.server) < 0)
        return;
    route->handler(request, http->options.server);
}

static SSL *tls_of(struct evhttp_request *req) {
    struct evhttp_connection *connection = evhttp_request_get_connection(req);
    struct bufferevent *transport =
        connection ? evhttp_connection_get_bufferevent(connection) : NULL;
    return transport ? bufferevent_openssl_get_ssl(transport) : NULL;
}

static void on_request(struct evhttp_request *req, void *userdata) {
    struct listening *listening = userdata;
    SSL *tls = listening->tls ? tls_of(req) : NULL;
    struct http_request *request = calloc(1, sizeof(*request));
    /* Out of memory, evhttp falls back to a plain connection where new_transport() gave it none:
     * nothing is served on that. */
    if (!request || (listening->tls && !tls)) {
        free(request);
        evhttp_send_error(req, 503, NULL);
        return;
    }
    request->req = req;
    request->listening = listening;
    request->peer = tls ? SSL_get1_peer_certificate(tls) : NULL;
    dispatch(request);
}

/* --- listeners --- */

static struct bufferevent *new_transport(struct event_base *base, void *userdata) {
    const struct listening *listening = userdata;
    SSL *tls = SSL_new(listening->tls);
    if (!tls)
        return NULL;
    struct bufferevent *transport = bufferevent_openssl_socket_new(
        base, -1, tls, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!transport) {
        SSL_free(tls);
        return NULL;
    }
    /* HTTP has its own lengths; a peer that leaves without close_notify is no fault */
    bufferevent_openssl_set_allow_dirty_shutdown(transport, 1);
    return transport;
}

static void on_resume(evutil_socket_t fd, short what, void *userdata) {
    (void)fd;
    (void)what;
    evconnlistener_enable(userdata);
}

/* Out of descriptors or memory: an accept that fails again at once would spin, so it pauses. */
static void on_accept_error(struct evconnlistener *listener, void *userdata) {
    (void)userdata;
    static const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
    int error = errno;
    log_event(
        LOG_LEVEL_WARNING, MSG_HTTP,
        "A connection could not be accepted; raise the limit of open files (LimitNOFILE=).",
        LOG_ERRNO(error));
    if (event_base_once(
            evconnlistener_get_base(listener), -1, EV_TIMEOUT, on_resume, listener, &pause) == 0)
        evconnlistener_disable(listener);
}

static int configure(struct listening *listening) {
    struct evhttp *evhttp = evhttp_new(listening->http->options.base);
    if (!evhttp)
        return -ENOMEM;
    listening->evhttp = evhttp;
    evhttp_set_max_headers_size(evhttp, HTTP_MAX_HEADERS);
    evhttp_set_max_body_size(evhttp, HARD_MAX_BODY);
    evhttp_set_timeout(evhttp, IDLE_TIMEOUT_S);
    evhttp_set_allowed_methods(
        evhttp,
        EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_OPTIONS);
    evhttp_set_gencb(evhttp, on_request, listening);
    if (listening->tls)
        evhttp_set_bevcb(evhttp, new_transport, listening);
    return 0;
}

static int attach(struct listening *listening, int fd) {
    listening->listener = evconnlistener_new(
        listening->http->options.base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0,
        fd);
    if (!listening->listener)
        return -ENOMEM;
    evconnlistener_set_error_cb(listening->listener, on_accept_error);
    return evhttp_bind_listener(listening->evhttp, listening->listener) ? 0 : -ENOMEM;
}

int http_server_listen(
    struct http_server *http, enum http_listener listener, int fd, struct ssl_ctx_st *tls) {
    if (http->listening_count == MAX_LISTENING) {
        close(fd);
        return -ENOSPC;
    }
    struct listening *listening = &http->listening[http->listening_count];
    *listening = (struct listening){.http = http, .kind = listener, .tls = tls};
    int r = configure(listening);
    if (r >= 0)
        r = attach(listening, fd);
    if (r < 0) {
        if (listening->evhttp)
            evhttp_free(listening->evhttp);
        if (!listening->listener)
            close(fd);
        return r;
    }
    http->listening_count++;
    return 0;
}

int http_server_address(
    const struct http_server *http, enum http_listener listener, char *ret, size_t size) {
    for (size_t i = 0; i < http->listening_count; i++)
        if (http->listening[i].kind == listener)
            return listener_name(evconnlistener_get_fd(http->listening[i].listener), ret, size);
    return -ENOENT;
}

void http_server_end_requests(struct http_server *http) {
    http->ending = true;
    for (size_t i = 0; i < http->listening_count; i++)
        evconnlistener_disable(http->listening[i].listener);
}
