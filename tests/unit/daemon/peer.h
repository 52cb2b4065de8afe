/* A labelled test peer: a small HTTPS server in threads of the test's own process, whose every
 * answer is the test's. It is here to say what a good server never says. */
#pragma once

#include "tests/unit/daemon/pki.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define PEER_MAX_CONNECTIONS 64
#define PEER_DEADLINE_S 60 /* no test waits longer for anything */
#define PEER_TICK_MS 5

struct peer_connection {
    struct peer *peer;
    int fd;
    int number; /* 1, 2, … in order of arrival */
    SSL *tls;
    pthread_t thread;
};

struct peer_request {
    char method[8], path[256], head[8192];
    char *body;
    size_t body_size;
    X509 *client; /* certificate that was presented; NULL: none */
};

/* Runs in a connection's thread. Returns false to end the connection. */
typedef bool (*peer_handler)(
    struct peer_connection *connection, const struct peer_request *request, void *userdata);

struct peer {
    int fd, port;
    SSL_CTX *context;
    peer_handler handler;
    void *userdata;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t lock;
    struct peer_connection connections[PEER_MAX_CONNECTIONS];
    int count;
};

static bool peer_write(struct peer_connection *connection, const void *data, size_t size) {
    return size == 0 || SSL_write(connection->tls, data, (int)size) == (int)size;
}

__attribute__((unused)) static bool peer_say(struct peer_connection *connection, const char *text) {
    return peer_write(connection, text, strlen(text));
}

/* `headers`: extra lines, each with CRLF; may be empty. */
__attribute__((unused)) static bool peer_answer(
    struct peer_connection *connection, int status, const char *headers, const void *body,
    size_t size) {
    char head[2048];
    snprintf(
        head, sizeof(head), "HTTP/1.1 %d Test\r\nContent-Length: %zu\r\n%s\r\n", status, size,
        headers);
    return peer_say(connection, head) && peer_write(connection, body, size);
}

/* Waits until the other side closes; what it still sends is thrown away. */
__attribute__((unused)) static void peer_wait_end(struct peer_connection *connection) {
    char rest[256];
    while (SSL_read(connection->tls, rest, sizeof(rest)) > 0)
        ;
}

static bool peer_read_head(struct peer_connection *connection, char *head, size_t size) {
    size_t used = 0;
    while (used + 1 < size && SSL_read(connection->tls, head + used, 1) == 1) {
        head[++used] = '\0';
        if (used >= 4 && memcmp(head + used - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

__attribute__((unused)) static const char *peer_header(
    const struct peer_request *request, const char *name) {
    static _Thread_local char value[1024];
    const char *at = strcasestr(request->head, name);
    if (!at || sscanf(at + strlen(name), ": %1023[^\r]", value) != 1)
        return NULL;
    return value;
}

static bool peer_read_request(struct peer_connection *connection, struct peer_request *request) {
    if (!peer_read_head(connection, request->head, sizeof(request->head)) ||
        sscanf(request->head, "%7s %255s", request->method, request->path) != 2)
        return false;
    const char *length = peer_header(request, "Content-Length");
    request->body_size = length ? strtoul(length, NULL, 10) : 0;
    request->body = calloc(1, request->body_size + 1);
    for (size_t at = 0; at < request->body_size;) {
        int n = SSL_read(connection->tls, request->body + at, (int)(request->body_size - at));
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static void *peer_serve_connection(void *userdata) {
    struct peer_connection *connection = userdata;
    SSL_set_fd(connection->tls, connection->fd);
    bool more = SSL_accept(connection->tls) == 1;
    while (more) {
        struct peer_request request = {.client = SSL_get0_peer_certificate(connection->tls)};
        more = peer_read_request(connection, &request) &&
               connection->peer->handler(connection, &request, connection->peer->userdata);
        free(request.body);
    }
    SSL_shutdown(connection->tls);
    shutdown(connection->fd, SHUT_RDWR);
    return NULL;
}

static void *peer_accept(void *userdata) {
    struct peer *peer = userdata;
    while (!peer->stopping) {
        int fd = accept(peer->fd, NULL, NULL);
        if (fd < 0)
            break;
        pthread_mutex_lock(&peer->lock);
        assert(peer->count < PEER_MAX_CONNECTIONS);
        struct peer_connection *connection = &peer->connections[peer->count++];
        connection->peer = peer;
        connection->fd = fd;
        connection->number = peer->count;
        connection->tls = SSL_new(peer->context);
        pthread_create(&connection->thread, NULL, peer_serve_connection, connection);
        pthread_mutex_unlock(&peer->lock);
    }
    return NULL;
}

/* A server verifies nothing here: what is presented is the handler's to look at. */
static int peer_accept_any(X509_STORE_CTX *context, void *userdata) {
    (void)context;
    (void)userdata;
    return 1;
}

/* `chain`: sent after the server's own certificate; NULL: nothing. */
__attribute__((unused)) static struct peer *peer_start(
    const struct pki_entity *server, X509 *chain, peer_handler handler, void *userdata) {
    struct peer *peer = calloc(1, sizeof(*peer));
    signal(SIGPIPE, SIG_IGN);
    peer->handler = handler;
    peer->userdata = userdata;
    peer->context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(peer->context, server->certificate);
    SSL_CTX_use_PrivateKey(peer->context, server->key);
    if (chain)
        SSL_CTX_add1_chain_cert(peer->context, chain);
    SSL_CTX_set_verify(peer->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(peer->context, peer_accept_any, NULL);
    SSL_CTX_set_session_id_context(peer->context, (const unsigned char *)"test", 4);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(bind(peer->fd, (struct sockaddr *)&address, size) == 0 && listen(peer->fd, 16) == 0);
    getsockname(peer->fd, (struct sockaddr *)&address, &size);
    peer->port = ntohs(address.sin_port);
    pthread_mutex_init(&peer->lock, NULL);
    pthread_create(&peer->thread, NULL, peer_accept, peer);
    return peer;
}

__attribute__((unused)) static void peer_stop(struct peer *peer) {
    peer->stopping = true;
    shutdown(peer->fd, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    for (int i = 0; i < peer->count; i++) {
        shutdown(peer->connections[i].fd, SHUT_RDWR);
        pthread_join(peer->connections[i].thread, NULL);
        SSL_free(peer->connections[i].tls);
        close(peer->connections[i].fd);
    }
    close(peer->fd);
    SSL_CTX_free(peer->context);
    free(peer);
}

__attribute__((unused)) static const char *peer_url(const struct peer *peer) {
    static char url[64];
    snprintf(url, sizeof(url), "https://127.0.0.1:%d", peer->port);
    return url;
}

/* --- the loop of a test --- */

static void peer_tick(uv_timer_t *timer) {
    unsigned *left = timer->data;
    if (--*left > 0)
        return;
    fprintf(stderr, "the test waited for something that did not happen\n");
    abort();
}

static void peer_free_tick(uv_handle_t *handle) {
    free(handle->data);
    free(handle);
}

/* The peer's threads do not wake the loop, and a timer's callback does not end its turn: a tick
 * makes the loop look again. A test that hangs ends itself. */
__attribute__((unused)) static uv_timer_t *peer_tick_start(uv_loop_t *loop) {
    uv_timer_t *timer = malloc(sizeof(*timer));
    unsigned *left = malloc(sizeof(*left));
    *left = PEER_DEADLINE_S * 1000 / PEER_TICK_MS;
    uv_timer_init(loop, timer);
    timer->data = left;
    uv_timer_start(timer, peer_tick, PEER_TICK_MS, PEER_TICK_MS);
    return timer;
}

__attribute__((unused)) static void peer_tick_end(uv_timer_t *timer) {
    uv_close((uv_handle_t *)timer, peer_free_tick);
}

/* Runs the loop until the condition holds. */
#define PEER_RUN_UNTIL(loop, condition)                                                            \
    do {                                                                                           \
        uv_timer_t *tick_ = peer_tick_start(loop);                                                 \
        while (!(condition))                                                                       \
            uv_run((loop), UV_RUN_ONCE);                                                           \
        peer_tick_end(tick_);                                                                      \
    } while (0)

__attribute__((unused)) static void peer_run_until(uv_loop_t *loop, const bool *done) {
    PEER_RUN_UNTIL(loop, *done);
}

__attribute__((unused)) static void peer_set_true(void *userdata) {
    *(bool *)userdata = true;
}

/* Ends a test's loop: everything must have been closed. */
__attribute__((unused)) static void peer_loop_end(uv_loop_t *loop) {
    uv_run(loop, UV_RUN_DEFAULT);
    assert(uv_loop_close(loop) == 0);
}
