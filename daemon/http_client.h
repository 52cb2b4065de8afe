/* HTTPS requests on the libuv loop: libcurl's multi interface with the TLS identity and trust of
 * one server. HTTP/1.1, TLS ≥ 1.2, no redirects, no proxy from the environment, bounded answers,
 * deadlines. Kept-alive connections are reused. A client's TLS settings never change: another
 * identity is another client. */
#pragma once

#include "common/reason.h"
#include "common/secret.h"
#include "common/x509_key.h"

#include <stdbool.h>
#include <uv.h>

#define HTTP_MAX_CONNECTIONS 6 /* at once, the push stream included; further requests wait */
#define HTTP_MAX_HEADER 256    /* bytes of a header's value that is kept */

struct http_client;
struct http_transfer;

struct http_client_options {
    uv_loop_t *loop;
    const uint8_t *ca_pin; /* SHA256_SIZE bytes, copied; NULL: the system's trust */
    const char *ca_dir;    /* the system's trust: a hashed directory; NULL: OpenSSL's own */
    X509 *certificate;     /* the client's; referenced; NULL: none is presented */
    X509 *issuer;          /* sent with it; referenced; may be NULL */
    EVP_PKEY *key;         /* referenced */
    /** Each Date that a verified server sends, once per answer; may be NULL. May do anything but
     * close its transfer. */
    void (*date_seen)(int64_t server_s, void *userdata);
    void *userdata;
};

/** Returns 0, -ENOMEM, -EIO (libcurl). curl_global_init() is done by the first one. */
int http_client_new(const struct http_client_options *options, struct http_client **ret);

/** Cancels every transfer without its callback; frees the client when the loop holds nothing of it,
 * then calls `closed` (may be NULL). Not from within `data`. NULL is fine and calls `closed` at
 * once. */
void http_client_close(struct http_client *client, void (*closed)(void *), void *userdata);

/** The network may be another one from now on: connections that idle since before are used no more.
 * Transfers that run go on. */
void http_client_network_changed(struct http_client *client);

/** Like close, but lets the transfers that run end first. */
void http_client_retire(struct http_client *client, void (*closed)(void *), void *userdata);

struct http_answer {
    enum reason
        reason; /* NONE: there is an HTTP answer, whatever its status (but no 3xx: REDIRECT) */
    const char *detail; /* libcurl's words, not escaped; empty if there are none */
    int status;         /* 0: no answer */
    int64_t date_s;     /* the verified server's Date, seconds since 1970; 0: none */
    char content_type[HTTP_MAX_HEADER], etag[HTTP_MAX_HEADER], retry_after[HTTP_MAX_HEADER];
    const char *body; /* NUL-terminated; borrowed */
    size_t size;
};

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT };

struct http_request {
    enum http_method method;
    const char *url;
    const char *accept, *content_type, *if_none_match; /* NULL: not sent */
    struct secret *basic; /* "user:password" for HTTP Basic (RFC 7617); borrowed during the call */
    const void *body;     /* copied */
    size_t body_size;
    size_t
        maximum; /* bytes of the answer; a larger one is cut off: SERVER_ANSWER. Not with `data` */
    int64_t deadline_ms; /* for the whole transfer, waiting included; 0: none */
    /** Streams: each piece of a 2xx answer's body. Called inside libcurl: must not start, cancel or
     * close anything. Non-zero ends the transfer with SERVER_ANSWER. */
    int (*data)(const char *data, size_t size, void *userdata);
    /** Streams: after the headers and after pieces of the body; may do anything. */
    void (*progress)(struct http_transfer *transfer, void *userdata);
    /** Exactly once unless cancelled; the transfer is gone when it runs. May do anything. */
    void (*done)(const struct http_answer *answer, void *userdata);
    void *userdata;
};

/** Starts; `done` never runs before this returns. Returns 0, -ENOMEM, -EIO. `ret` may be NULL. */
int http_client_send(
    struct http_client *client, const struct http_request *request, struct http_transfer **ret);

/** Ends a transfer without its callback; NULL is fine. Not from within `data`. */
void http_transfer_cancel(struct http_transfer *transfer);

/** Streams: status once the headers have come, else 0; and their Content-Type (may be NULL;
 * borrowed). */
int http_transfer_status(struct http_transfer *transfer);
const char *http_transfer_content_type(struct http_transfer *transfer);
