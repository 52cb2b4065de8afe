/* The HTTP face of the server: one route table for all listeners over libevent's evhttp, so that
 * what a path demands (listener, method, identity) stands in one line and is enforced in one place.
 * Everything here runs on the event loop's thread. */
#pragma once

#include "common/cleanup.h"
#include "common/reason.h"

#include <json-c/json_object.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_MAX_BODY (64 * 1024)    /* bytes; more is answered 413 */
#define HTTP_MAX_HEADERS (16 * 1024) /* bytes; more is answered 400 */
#define HTTP_MAX_ROUTES 64
#define HTTP_RETRY_AFTER_MIN_S 2 /* of 429 and 503, randomised up to the maximum */
#define HTTP_RETRY_AFTER_MAX_S 30

struct server;
struct http_request;
struct http_server;
struct evhttp_request;

/** Listeners as bits, for a route that stands on several. */
enum http_listener {
    HTTP_LISTENER_DEVICES = 1, /* TLS, client certificate asked for */
    HTTP_LISTENER_PORTAL = 2,  /* TLS, client certificate asked for, CA list = trust issuing CA */
    HTTP_LISTENER_ADMIN = 4,   /* plain HTTP, loopback by default */
    HTTP_LISTENER_COMMAND = 8, /* plain HTTP on the command line's Unix socket, mode 0600 */
};

/** What a path demands of the peer. Everything but NONE is a device certificate of ours, judged
 * before the handler runs (see identity.h); a refusal is answered there. */
enum http_identity {
    HTTP_IDENTITY_NONE,           /* the handler looks at the peer itself, if at all */
    HTTP_IDENTITY_DEVICE,         /* good now */
    HTTP_IDENTITY_DEVICE_EXPIRED, /* good, or expired within the grace */
    HTTP_IDENTITY_DEVICE_REMOVED, /* good, or of a device that was removed less than 180 days ago */
};

/** Answers the request with exactly one http_send…() call, at once or later from the same thread.
 * The request is valid until then, even if the peer has gone. */
typedef void (*http_handler)(struct http_request *request, struct server *server);

struct http_route {
    const char *method; /* "GET" serves HEAD too; NULL ends a table */
    const char *path;   /* exact; or a prefix when it ends in '*' */
    unsigned listeners; /* enum http_listener bits */
    enum http_identity identity;
    http_handler handler;
};

/* --- what came --- */

enum http_listener http_request_listener(const struct http_request *request);
const char *http_request_method(const struct http_request *request);

/** The path as sent, without query, not percent-decoded. */
const char *http_request_path(const struct http_request *request);

/** A query parameter, percent-decoded; NULL if absent. Valid as long as the request. */
const char *http_request_query(struct http_request *request, const char *name);

/** A field of an application/x-www-form-urlencoded body, decoded; NULL if absent or the body is of
 * another type. Valid as long as the request. */
const char *http_request_form(struct http_request *request, const char *name);

/** A header, names case-insensitive; NULL if absent. */
const char *http_request_header(const struct http_request *request, const char *name);

/** How often a header was sent: what a proxy adds must not stand beside what its client sent. */
size_t http_request_header_count(const struct http_request *request, const char *name);

/** The value of a cookie, copied to `ret`. Returns 0, -ENOENT, or -EMSGSIZE. */
int http_request_cookie(
    const struct http_request *request, const char *name, char *ret, size_t size);

/** The body, NUL-terminated for the convenience of text users; at most HTTP_MAX_BODY bytes. Valid
 * as long as the request. */
const char *http_request_body(struct http_request *request, size_t *ret_size);

/** The peer's TLS certificate, its possession proved by the handshake, but otherwise unjudged;
 * NULL: none was sent. Borrowed. */
X509 *http_request_peer(const struct http_request *request);

/** Peer address for logs ("192.0.2.1", "local"). */
const char *http_request_address(const struct http_request *request);

/** uid of the process behind a Unix socket (SO_PEERCRED); -1 on other listeners. */
int64_t http_request_uid(const struct http_request *request);

/** Set by the identity check on routes that demand a device: its UUID. NULL otherwise. */
const char *http_request_device(const struct http_request *request);

/* --- what goes back (each http_send…() ends the request; `request` is gone afterwards) --- */

/** Adds a header to the answer. A value with a line break is left out. */
void http_add_header(struct http_request *request, const char *name, const char *value);

/** `data` is copied; `content_type` NULL for an answer without a body (204, 304). */
void http_send(
    struct http_request *request, int status, const char *content_type, const void *data,
    size_t size);

/** Owns `object`; NULL (memory was out while it was built) is answered 500. */
void http_send_json(struct http_request *request, int status, struct json_object *object);

/** RFC 9457 problem details, with `code` from the table of reasons; detail is its text and remedy,
 * or `detail` if not NULL. 401 gets a WWW-Authenticate, 429 and 503 a randomised Retry-After.
 * Logged once. */
void http_send_problem(
    struct http_request *request, int status, enum reason reason, const char *detail);

/** The handler has logged what it refuses, with more than a request has: http_send_problem() says
 * it at debug level only. */
void http_request_set_logged(struct http_request *request);

/** For an error of our own: 503 for -EBUSY (queue full), -ENOSPC; 500 otherwise. Logged with the
 * errno. */
void http_send_error(struct http_request *request, int error);

/** Standard phrase of a status code. */
const char *http_status_phrase(int status);

/* --- streams (Server-Sent Events) --- */

struct http_stream;

/** Answers 200 with `content_type` and keeps the answer open; the request becomes the stream.
 * `closed` runs once when the peer has gone (not after http_stream_end()). NULL when memory is out
 * (the request has then been answered). */
struct http_stream *http_stream_start(
    struct http_request *request, const char *content_type,
    void (*closed)(struct http_stream *stream, void *userdata), void *userdata);

/** Queues bytes. Returns 0, or -ENOBUFS when the peer has not read `maximum` bytes that are queued
 * already (nothing is queued then). */
int http_stream_send(struct http_stream *stream, const char *data, size_t size, size_t maximum);

/** Ends the answer in good order, or cuts the connection when `cut` (a peer that does not read).
 * The stream is gone afterwards. */
void http_stream_end(struct http_stream *stream, bool cut);

/* --- the server side --- */

struct http_server_options {
    struct server *server; /* handed to the handlers */
    struct event_base *base;
    /** Judges the peer for a route's identity. Returns 0 after http_request_set_device(), or
     * -EACCES after it has answered. */
    int (*authorise)(
        struct http_request *request, enum http_identity identity, struct server *server);
};

/** Returns 0 or -ENOMEM. */
int http_server_new(const struct http_server_options *options, struct http_server **ret);

/** Closes all listeners and connections; streams' `closed` callbacks run. Takes NULL, returns NULL.
 */
struct http_server *http_server_free(struct http_server *http);

/** Adds a table that ends with a NULL method; it must outlive the server. First match wins. Returns
 * 0 or -ENOSPC (HTTP_MAX_ROUTES). */
int http_server_add_routes(struct http_server *http, const struct http_route *routes);

/** Starts to accept on `fd` (bound and listening; owned from the call on, also on error). `tls`:
 * NULL for plain HTTP; borrowed, must outlive the server. Returns 0 or a negative errno. */
struct ssl_ctx_st;
int http_server_listen(
    struct http_server *http, enum http_listener listener, int fd, struct ssl_ctx_st *tls);

/** Where a TCP listener listens ("127.0.0.1:8443"), for the log and for port 0. Returns 0, -ENOENT.
 */
int http_server_address(
    const struct http_server *http, enum http_listener listener, char *ret, size_t size);

/** Before the end: no new connection, and every further request on those that are open is answered
 * 503, since its handler may find nothing to stand on. Answers under way still go out. */
void http_server_end_requests(struct http_server *http);

void http_request_set_device(struct http_request *request, const char *uuid);
