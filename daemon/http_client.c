/* Why libcurl and not own code: TLS, names, proxies and kept-alive connections are its purpose.
 * This file binds it to libuv, and decides what is trusted; http_transfer.c is one request. */
#include "daemon/http_client.h"

#include "daemon/http_transfer.h"
#include "daemon/tls_pin.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_CONNECTION_S                                                                          \
    3600L /* the server closes idle ones as it likes; libcurl notices before it reuses one */

#define FRESH_S 3 /* after the network has changed */

/* One socket of libcurl's that the loop watches. */
struct http_socket {
    uv_poll_t poll;
    curl_socket_t fd;
    struct http_client *client;
};

static void on_socket_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void http_client_drain(struct http_client *client);

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct http_socket *socket = poll->data;
    struct http_client *client = socket->client;
    int flags = 0;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    int running;
    curl_multi_socket_action(client->multi, socket->fd, flags, &running);
    http_client_drain(client); /* the socket may be gone by now */
}

static struct http_socket *open_socket(struct http_client *client, curl_socket_t fd) {
    struct http_socket *socket = calloc(1, sizeof(*socket));
    if (!socket)
        return NULL;
    socket->fd = fd;
    socket->client = client;
    socket->poll.data = socket;
    if (uv_poll_init_socket(client->loop, &socket->poll, fd) < 0) {
        free(socket);
        return NULL;
    }
    curl_multi_assign(client->multi, fd, socket);
    return socket;
}

/* CURLMOPT_SOCKETFUNCTION. -1 makes the multi handle unusable; better one lost socket, which its
 * deadline ends. */
static int on_socket(
    CURL *easy, curl_socket_t fd, int action, void *userdata, void *socket_userdata) {
    (void)easy;
    struct http_client *client = userdata;
    struct http_socket *socket = socket_userdata;
    if (action == CURL_POLL_REMOVE) {
        if (socket) {
            curl_multi_assign(client->multi, fd, NULL);
            uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
        }
        return 0;
    }
    if (!socket)
        socket = open_socket(client, fd);
    if (!socket)
        return 0;
    int events = 0;
    if (action & CURL_POLL_IN)
        events |= UV_READABLE;
    if (action & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    uv_poll_start(&socket->poll, events, on_poll);
    return 0;
}

static void on_timeout(uv_timer_t *timer) {
    struct http_client *client = timer->data;
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    http_client_drain(client);
}

static int on_timer(CURLM *multi, long timeout_ms, void *userdata) {
    (void)multi;
    struct http_client *client = userdata;
    if (timeout_ms < 0)
        uv_timer_stop(&client->timer);
    else
        uv_timer_start(&client->timer, on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

static struct http_transfer *next_stirred(struct http_client *client) {
    for (struct http_transfer *t = client->transfers; t; t = t->next)
        if (t->stirred)
            return t;
    return NULL;
}

/* What happened inside libcurl is told outside of it: there callbacks may start, cancel and close.
 */
static void http_client_drain(struct http_client *client) {
    struct http_transfer *stirred;
    while (!client->closing && (stirred = next_stirred(client))) {
        http_transfer_progress(stirred);
    }
    int left;
    CURLMsg *message;
    while (!client->closing && (message = curl_multi_info_read(client->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct http_transfer *transfer = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        http_transfer_complete(transfer, message->data.result);
    }
}

/* CURLOPT_SSL_CTX_FUNCTION: once per connection. */
static CURLcode on_tls_context(CURL *easy, void *tls_context, void *userdata) {
    (void)easy;
    struct http_client *client = userdata;
    SSL_CTX *context = tls_context;
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS); /* 34 kB less per idle stream */
    if (client->has_pin)
        tls_pin_install(context, client->ca_pin);
    if (!client->certificate)
        return CURLE_OK;
    if (SSL_CTX_use_certificate(context, client->certificate) != 1 ||
        (client->issuer && SSL_CTX_add1_chain_cert(context, client->issuer) != 1) ||
        SSL_CTX_use_PrivateKey(context, client->key) != 1)
        return CURLE_SSL_CERTPROBLEM;
    return CURLE_OK;
}

static int64_t now_ms(void) {
    return (int64_t)(uv_hrtime() / 1000000);
}

static int64_t network_age_s(const struct http_client *client) {
    return client->network_since_ms ? (now_ms() - client->network_since_ms) / 1000 : INT64_MAX;
}

/* An idle connection that was last used on the network before this one would swallow a request
 * until its deadline. libcurl cuts the time to whole seconds, and keeps what has been idle for just
 * as many as the limit: so one less. Until there are some, it opens a fresh one. */
static long idle_limit_s(const struct http_client *client) {
    int64_t limit_s = network_age_s(client) - 1;
    if (limit_s < 1)
        return 1;
    return limit_s < IDLE_CONNECTION_S ? (long)limit_s : IDLE_CONNECTION_S;
}

int http_client_prepare(struct http_client *client, CURL *easy) {
    CURLcode c = CURLE_OK;
#define SET(option, value) c = c ? c : curl_easy_setopt(easy, (option), (value))
    SET(CURLOPT_SHARE, client->share);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
    SET(CURLOPT_SSL_CTX_DATA, client);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_CAINFO, NULL);
    /* A hashed directory is read certificate by certificate as needed; the bundle file costs
     * megabytes. */
    SET(CURLOPT_CAPATH, client->has_pin ? NULL : client->ca_dir);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* not from the environment either */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver thread */
    SET(CURLOPT_MAXAGE_CONN, idle_limit_s(client));
    SET(CURLOPT_FRESH_CONNECT, network_age_s(client) < FRESH_S ? 1L : 0L);
#undef SET
    return c == CURLE_OK ? 0 : -EIO;
}

void http_client_network_changed(struct http_client *client) {
    client->network_since_ms = now_ms();
}

static void release(struct http_client *client) {
    if (client->multi)
        curl_multi_cleanup(client->multi);
    if (client->share)
        curl_share_cleanup(client->share);
    X509_free(client->certificate);
    X509_free(client->issuer);
    EVP_PKEY_free(client->key);
    free(client->ca_dir);
    free(client);
}

static int set_up(struct http_client *client) {
    client->multi = curl_multi_init();
    client->share = curl_share_init();
    if (!client->multi || !client->share)
        return -ENOMEM;
    /* One thread, so no locks. Without sharing each transfer would have its own session cache. */
    if (curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) !=
            CURLSHE_OK ||
        curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
        curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) != CURLM_OK ||
        curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
        curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client) != CURLM_OK ||
        curl_multi_setopt(
            client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HTTP_MAX_CONNECTIONS) != CURLM_OK ||
        curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_MAX_CONNECTIONS) !=
            CURLM_OK)
        return -EIO;
    return 0;
}

static int take_trust(struct http_client *client, const struct http_client_options *options) {
    if (options->ca_pin) {
        client->has_pin = true;
        memcpy(client->ca_pin, options->ca_pin, SHA256_SIZE);
    }
    client->ca_dir = strdup(options->ca_dir ? options->ca_dir : X509_get_default_cert_dir());
    if (!client->ca_dir)
        return -ENOMEM;
    if (!options->certificate)
        return 0;
    X509_up_ref(options->certificate);
    client->certificate = options->certificate;
    EVP_PKEY_up_ref(options->key);
    client->key = options->key;
    if (options->issuer)
        X509_up_ref(options->issuer);
    client->issuer = options->issuer;
    return 0;
}

int http_client_new(const struct http_client_options *options, struct http_client **ret) {
    static bool initialised; /* the daemon's one thread; libcurl counts nothing for us */
    if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -EIO;
    initialised = true;

    struct http_client *client = calloc(1, sizeof(*client));
    if (!client)
        return -ENOMEM;
    client->loop = options->loop;
    client->date_seen = options->date_seen;
    client->userdata = options->userdata;
    int r = take_trust(client, options);
    if (r == 0)
        r = set_up(client);
    if (r == 0)
        r = uv_timer_init(client->loop, &client->timer);
    if (r < 0) {
        release(client);
        return r;
    }
    client->timer.data = client;
    *ret = client;
    return 0;
}

/* The sockets' own close callbacks run in the same turn of the loop and need nothing of the client.
 */
static void on_timer_closed(uv_handle_t *handle) {
    struct http_client *client = handle->data;
    void (*closed)(void *) = client->closed;
    void *userdata = client->closed_userdata;
    release(client);
    if (closed)
        closed(userdata);
}

static void begin_close(struct http_client *client) {
    client->closing = true;
    while (client->transfers)
        http_transfer_cancel(client->transfers);
    /* Its sockets go now, while the loop's handles still stand. */
    curl_multi_cleanup(client->multi);
    client->multi = NULL;
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}

void http_client_close(struct http_client *client, void (*closed)(void *), void *userdata) {
    if (!client) {
        if (closed)
            closed(userdata);
        return;
    }
    client->closed = closed;
    client->closed_userdata = userdata;
    if (!client->closing)
        begin_close(client);
}

void http_client_retire(struct http_client *client, void (*closed)(void *), void *userdata) {
    if (!client || !client->transfers) {
        http_client_close(client, closed, userdata);
        return;
    }
    client->closed = closed;
    client->closed_userdata = userdata;
    client->retired = true;
}

void http_client_transfer_gone(struct http_client *client) {
    if (client->retired && !client->closing && !client->transfers)
        begin_close(client);
}
