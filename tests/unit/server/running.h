/* A whole server in this process, on loopback ports that the kernel chooses, with a clock that the
 * test moves; and a client that speaks TLS to it as devices do. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "common/est_message.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/x509_csr.h"
#include "server/ca.h"
#include "server/certificate.h"
#include "server/cli.h"
#include "server/http.h"
#include "server/serve.h"
#include "server/server.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORTAL_URL "https://localhost:9443"

static atomic_llong running_clock_shift_s;

struct running {
    char dir[64];
    struct server_config config;
    struct serving *serving;
    struct event *called;
    int call_pipe[2], done_pipe[2]; /* what the test wants done on the loop's thread */
    pthread_t thread;
    char urls[HTTP_LISTENER_COMMAND + 1][64]; /* "https://localhost:PORT" by listener */
    struct db *db;                            /* the test's own, reading */
};

/* --- clock --- */

static inline int64_t running_wall(void *userdata) {
    (void)userdata;
    return clock_wall_s(&clock_system) + atomic_load(&running_clock_shift_s);
}

static inline int64_t running_monotonic(void *userdata) {
    (void)userdata;
    return clock_monotonic_ms(&clock_system);
}

static const struct clock_source running_clock = {
    .wall_s = running_wall, .monotonic_ms = running_monotonic};

/* --- server --- */

static inline int running_remove_entry(
    const char *path, const struct stat *st, int type, struct FTW *walk) {
    (void)st, (void)type, (void)walk;
    return remove(path);
}

/** init by its own command line; its output goes nowhere. */
static inline int running_init(struct running *running) {
    char roots[96], passphrase[96];
    snprintf(roots, sizeof(roots), "%s/roots", running->dir);
    snprintf(passphrase, sizeof(passphrase), "%s/passphrase", running->dir);
    FILE *file = fopen(passphrase, "we");
    fputs("correct horse battery\n", file);
    fclose(file);
    const char *const argv[] = {"devtrust-server",
                                "init",
                                "--organisation",
                                "Example",
                                "--url",
                                "https://localhost:8443",
                                "--portal-url",
                                PORTAL_URL,
                                "--check-domain",
                                "check.localhost",
                                "--root-keys-dir",
                                roots,
                                "--passphrase-file",
                                passphrase,
                                NULL};
    struct cli_request request;
    int saved = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, STDOUT_FILENO);
    int r = cli_parse(14, (char **)argv, &init_command, 1, &request);
    if (r >= 0)
        r = init_run(&running->config, &request);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(null);
    cli_request_deinit(&request);
    return r;
}

struct running_job {
    void (*run)(struct server *server, void *data);
    void *data;
};

static inline void running_on_call(evutil_socket_t fd, short what, void *userdata) {
    struct running *running = userdata;
    struct running_job job;
    (void)what;
    if (read(fd, &job, sizeof(job)) != sizeof(job))
        return;
    job.run(serving_server(running->serving), job.data);
    if (write(running->done_pipe[1], "x", 1) != 1)
        abort();
}

/** Runs a function on the loop's thread and waits for it. */
static inline void running_call(
    struct running *running, void (*run)(struct server *server, void *data), void *data) {
    const struct running_job job = {.run = run, .data = data};
    char done;
    assert_int_equal(write(running->call_pipe[1], &job, sizeof(job)), sizeof(job));
    assert_int_equal(read(running->done_pipe[0], &done, 1), 1);
}

static inline void running_break(struct server *server, void *data) {
    (void)data;
    event_base_loopbreak(server->base);
}

static inline void *running_main(void *userdata) {
    event_base_dispatch(userdata);
    return NULL;
}

/** Opens the installation in running->dir and serves on a thread. */
static inline int running_start(struct running *running) {
    static const enum http_listener listeners[] = {
        HTTP_LISTENER_DEVICES, HTTP_LISTENER_PORTAL, HTTP_LISTENER_ADMIN};
    const struct serve_options options = {
        .config = &running->config, .clock = &running_clock, .random = &random_system};
    int r = serving_new(&options, &running->serving);
    if (r < 0)
        return r;
    struct server *server = serving_server(running->serving);
    for (size_t i = 0; i < 3; i++) {
        char address[64];
        if (http_server_address(server->http, listeners[i], address, sizeof(address)) < 0)
            return -1;
        snprintf(
            running->urls[listeners[i]], sizeof(running->urls[0]), "%s://localhost%s",
            listeners[i] == HTTP_LISTENER_ADMIN ? "http" : "https", strrchr(address, ':'));
    }
    if (pipe2(running->call_pipe, O_CLOEXEC) < 0 || pipe2(running->done_pipe, O_CLOEXEC) < 0)
        return -1;
    running->called = event_new(
        server->base, running->call_pipe[0], EV_READ | EV_PERSIST, running_on_call, running);
    event_add(running->called, NULL);
    return -pthread_create(&running->thread, NULL, running_main, server->base);
}

static inline void running_stop(struct running *running) {
    running_call(running, running_break, NULL);
    pthread_join(running->thread, NULL);
    event_free(running->called);
    for (size_t i = 0; i < 2; i++) {
        close(running->call_pipe[i]);
        close(running->done_pipe[i]);
    }
    running->serving = serving_free(running->serving);
}

/** Group set-up; `adjust` (may be NULL) changes the configuration before the start. */
static inline int running_setup(void **state, void (*adjust)(struct server_config *config)) {
    struct running *running = calloc(1, sizeof(*running));
    char path[96];
    log_init("test", LOG_LEVEL_ERROR);
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    strcpy(running->dir, "/tmp/devtrust-running-XXXXXX");
    if (!mkdtemp(running->dir) || server_config_init(&running->config) < 0)
        return -1;
    char **addresses[] = {
        &running->config.listen_devices, &running->config.listen_portal,
        &running->config.listen_admin};
    for (size_t i = 0; i < 3; i++) {
        free(*addresses[i]);
        *addresses[i] = strdup("127.0.0.1:0");
    }
    free(running->config.state_dir);
    free(running->config.socket);
    if (asprintf(&running->config.state_dir, "%s/state", running->dir) < 0 ||
        asprintf(&running->config.socket, "%s/admin.sock", running->dir) < 0)
        return -1;
    if (adjust)
        adjust(&running->config);
    if (running_init(running) != 0 || running_start(running) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/state/server.db", running->dir);
    if (db_open(path, DB_READ, &running->db) < 0)
        return -1;
    *state = running;
    return 0;
}

static inline int running_teardown(void **state) {
    struct running *running = *state;
    db_close(running->db);
    running_stop(running);
    server_config_deinit(&running->config);
    nftw(running->dir, running_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(running);
    curl_global_cleanup();
    return 0;
}

/* --- client --- */

struct client_identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static inline void client_identity_deinit(struct client_identity *identity) {
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
    *identity = (struct client_identity){0};
}

struct answer {
    long status;
    struct buffer body, headers;
};

static inline void answer_deinit(struct answer *answer) {
    buffer_deinit(&answer->body);
    buffer_deinit(&answer->headers);
}
#define CLEANUP_ANSWER CLEANUP(answer_deinit)

struct call {
    enum http_listener listener; /* COMMAND: over the Unix socket */
    const char *method, *path;
    const char *body;
    size_t size;             /* 0: strlen(body) */
    const char *headers[4];  /* "Name: value" */
    const char *credentials; /* "id:secret" */
    const struct client_identity *identity;
};

static inline size_t client_take(char *data, size_t size, size_t count, void *userdata) {
    return buffer_append(userdata, data, size * count) < 0 ? 0 : size * count;
}

static inline void client_set_blob(CURL *curl, CURLoption option, BIO *bio) {
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    struct curl_blob blob = {.data = data, .len = (size_t)size, .flags = CURL_BLOB_COPY};
    assert_int_equal(curl_easy_setopt(curl, option, &blob), CURLE_OK);
    BIO_free(bio);
}

static inline void client_set_identity(CURL *curl, const struct client_identity *identity) {
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, identity->certificate);
    client_set_blob(curl, CURLOPT_SSLCERT_BLOB, bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, identity->key, NULL, NULL, 0, NULL, NULL);
    client_set_blob(curl, CURLOPT_SSLKEY_BLOB, bio);
}

/** One request on a connection of its own. Returns curl's code; the answer is filled as far as it
 * came. */
static inline CURLcode client_try(
    const struct running *running, const struct call *call, struct answer *ret) {
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    char url[512], ca[96];
    *ret = (struct answer){.body = BUFFER_INIT(8 * 1024 * 1024), .headers = BUFFER_INIT(64 * 1024)};
    snprintf(
        url, sizeof(url), "%s%s",
        call->listener == HTTP_LISTENER_COMMAND ? "http://localhost"
                                                : running->urls[call->listener],
        call->path);
    snprintf(ca, sizeof(ca), "%s/state/tls-ca.pem", running->dir);
    if (call->listener == HTTP_LISTENER_COMMAND)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, running->config.socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method ? call->method : "GET");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, client_take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &ret->body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, client_take);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &ret->headers);
    if (call->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body);
        curl_easy_setopt(
            curl, CURLOPT_POSTFIELDSIZE, (long)(call->size ? call->size : strlen(call->body)));
    }
    if (call->credentials)
        curl_easy_setopt(curl, CURLOPT_USERPWD, call->credentials);
    if (call->identity)
        client_set_identity(curl, call->identity);
    for (size_t i = 0; i < 4 && call->headers[i]; i++)
        headers = curl_slist_append(headers, call->headers[i]);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return code;
}

static inline void client_call(
    const struct running *running, const struct call *call, struct answer *ret) {
    CURLcode code = client_try(running, call, ret);
    if (code != CURLE_OK)
        fail_msg("%s: %s", call->path, curl_easy_strerror(code));
}

static inline struct json_object *answer_json(const struct answer *answer) {
    struct json_object *object = NULL;
    assert_int_equal(
        json_gate_parse((const char *)answer->body.data, answer->body.size, &object), 0);
    return object;
}

/** Checks status and the problem's code. */
static inline void expect_problem(const struct answer *answer, long status, const char *code) {
    CLEANUP_JSON struct json_object *problem = answer_json(answer);
    struct json_object *value = NULL;
    assert_non_null(strcasestr((char *)answer->headers.data, "application/problem+json"));
    assert_true(json_object_object_get_ex(problem, "code", &value));
    assert_string_equal(json_object_get_string(value), code);
    assert_true(json_object_object_get_ex(problem, "status", &value));
    assert_int_equal(json_object_get_int64(value), status);
    assert_true(json_object_object_get_ex(problem, "title", &value));
    assert_true(json_object_object_get_ex(problem, "detail", &value));
    assert_int_equal(answer->status, status);
}

/* --- what tests do over and over --- */

/** A command of the command line; returns its answer (json_object_put) and checks the status. */
static inline struct json_object *command(
    const struct running *running, const char *name, const char *arguments, long status) {
    char path[64];
    CLEANUP_ANSWER struct answer answer;
    snprintf(path, sizeof(path), "/v1/command/%s", name);
    const struct call call = {
        .listener = HTTP_LISTENER_COMMAND, .method = "POST", .path = path, .body = arguments};
    client_call(running, &call, &answer);
    assert_int_equal(answer.status, status);
    return answer_json(&answer);
}

__attribute__((format(printf, 3, 4))) static inline void must(
    const struct running *running, const char *name, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    json_object_put(command(running, name, text, 200));
}

/** "id:secret" for HTTP Basic. */
static inline void make_token(const struct running *running, const char *arguments, char ret[64]) {
    CLEANUP_JSON struct json_object *answer = command(running, "token-create", arguments, 200);
    struct json_object *token;
    assert_true(json_object_object_get_ex(answer, "token", &token));
    snprintf(ret, 64, "%s", json_object_get_string(token));
    *strchr(ret, '.') = ':';
}

/** A request body: base64 of a PKCS#10. */
static inline struct buffer make_request(EVP_PKEY *key, const char *uid, const char *serial) {
    const struct x509_csr_subject subject = {.uid = uid, .serial_number = serial};
    struct buffer body = BUFFER_INIT(EST_MAX_BODY);
    uint8_t *der;
    size_t size;
    assert_int_equal(x509_csr_create(key, &subject, &der, &size), 0);
    assert_int_equal(est_base64_encode(der, size, &body), 0);
    free(der);
    return body;
}

static inline EVP_PKEY *make_key(void) {
    EVP_PKEY *key;
    assert_int_equal(x509_key_generate(KEY_TYPE_P256, &key), 0);
    return key;
}

/** The leaf of a certs-only answer (the one that is no CA). */
static inline X509 *answer_leaf(const struct answer *answer) {
    STACK_OF(X509) *certificates = NULL;
    assert_int_equal(answer->status, 200);
    assert_int_equal(
        est_certs_decode((const char *)answer->body.data, answer->body.size, &certificates), 0);
    assert_int_equal(sk_X509_num(certificates), 3);
    X509 *leaf = NULL;
    for (int i = 0; i < 3; i++)
        if (!X509_check_ca(sk_X509_value(certificates, i)))
            leaf = sk_X509_value(certificates, i);
    assert_non_null(leaf);
    X509_up_ref(leaf);
    sk_X509_pop_free(certificates, X509_free);
    return leaf;
}

/** Enrols a new device by a fresh token. */
static inline struct client_identity enrol_device(const struct running *running, char uuid[37]) {
    char token[64];
    struct client_identity identity = {.key = make_key()};
    CLEANUP_ANSWER struct answer answer;
    assert_int_equal(random_uuid(&random_system, uuid), 0);
    make_token(running, "{}", token);
    CLEANUP_BUFFER struct buffer body = make_request(identity.key, NULL, uuid);
    const struct call call = {
        .listener = HTTP_LISTENER_DEVICES,
        .method = "POST",
        .path = "/.well-known/est/device/simpleenroll",
        .body = (const char *)body.data,
        .credentials = token,
    };
    client_call(running, &call, &answer);
    identity.certificate = answer_leaf(&answer);
    return identity;
}

/** Posts a user's request under a device's certificate. */
static inline void post_user_request(
    const struct running *running, const struct client_identity *device, EVP_PKEY *key,
    const char *user, const char *request_id, struct answer *ret) {
    CLEANUP_BUFFER struct buffer body = make_request(key, user, request_id);
    const struct call call = {
        .listener = HTTP_LISTENER_DEVICES,
        .method = "POST",
        .path = "/.well-known/est/user/simpleenroll",
        .body = (const char *)body.data,
        .identity = device,
    };
    client_call(running, &call, ret);
}

/** A device with one user, assigned, the switch on, and the user's first certificate. */
struct managed {
    char device[37], user[32], request_id[37];
    struct client_identity device_identity, user_identity;
};

static inline void managed_setup(
    const struct running *running, const char *user, struct managed *ret) {
    CLEANUP_ANSWER struct answer answer;
    ret->device_identity = enrol_device(running, ret->device);
    snprintf(ret->user, sizeof(ret->user), "%s", user);
    must(running, "user-add", "{\"id\":\"%s\",\"name\":\"Person %s\"}", user, user);
    must(
        running, "assign", "{\"user\":\"%s\",\"device\":\"%s\",\"local_name\":\"%s\"}", user,
        ret->device, user);
    must(running, "distribution", "{\"value\":\"on\"}");
    ret->user_identity.key = make_key();
    assert_int_equal(random_uuid(&random_system, ret->request_id), 0);
    post_user_request(
        running, &ret->device_identity, ret->user_identity.key, user, ret->request_id, &answer);
    ret->user_identity.certificate = answer_leaf(&answer);
}

static inline void managed_teardown(struct managed *managed) {
    client_identity_deinit(&managed->device_identity);
    client_identity_deinit(&managed->user_identity);
}

static inline void get_as(
    const struct running *running, const struct client_identity *identity, const char *path,
    struct answer *ret) {
    const struct call call = {
        .listener = HTTP_LISTENER_DEVICES, .method = "GET", .path = path, .identity = identity};
    client_call(running, &call, ret);
}

static inline struct certificate_status status_of(const struct running *running, X509 *leaf) {
    struct certificate_status status;
    assert_int_equal(
        certificate_status_of(
            running->db, leaf, running_wall(NULL), running->config.superseded_grace_s, &status),
        0);
    return status;
}

/* --- event streams --- */

/** A stream as a device holds it, read from raw TLS: curl would buffer what the test wants to see
 * at once. */
struct event_stream {
    SSL_CTX *context;
    SSL *tls;
    int fd;
    char text[16384];
    size_t size;
};

static inline int client_connect(const struct running *running, enum http_listener listener) {
    const char *port = strrchr(running->urls[listener], ':') + 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtol(port, NULL, 10)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const struct timeval patience = {.tv_sec = 30};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static inline void event_stream_open(
    const struct running *running, const struct client_identity *identity,
    struct event_stream *ret) {
    static const char get[] = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n"
                              "Accept: text/event-stream\r\n\r\n";
    *ret = (struct event_stream){.fd = client_connect(running, HTTP_LISTENER_DEVICES)};
    ret->context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate(ret->context, identity->certificate);
    SSL_CTX_use_PrivateKey(ret->context, identity->key);
    ret->tls = SSL_new(ret->context);
    SSL_set_fd(ret->tls, ret->fd);
    assert_int_equal(SSL_connect(ret->tls), 1);
    assert_int_equal(SSL_write(ret->tls, get, sizeof(get) - 1), sizeof(get) - 1);
}

/** Reads until `text` has come (what came before it is dropped) or the stream ends. Returns whether
 * it came. */
static inline bool event_stream_wait(struct event_stream *stream, const char *text) {
    for (;;) {
        stream->text[stream->size] = '\0';
        char *found = strstr(stream->text, text);
        if (found) {
            size_t used = (size_t)(found - stream->text) + strlen(text);
            memmove(stream->text, stream->text + used, stream->size - used);
            stream->size -= used;
            return true;
        }
        int count = SSL_read(
            stream->tls, stream->text + stream->size,
            (int)(sizeof(stream->text) - 1 - stream->size));
        if (count <= 0)
            return false;
        stream->size += (size_t)count;
    }
}

static inline void event_stream_close(struct event_stream *stream) {
    SSL_free(stream->tls);
    SSL_CTX_free(stream->context);
    close(stream->fd);
}
