/* The insides of the HTTP client: one request, and what it shares with its client. For
 * http_client.c and http_transfer.c only. */
#pragma once

#include "daemon/http_client.h"

#include "common/buffer.h"

#include <curl/curl.h>

struct http_client {
    uv_loop_t *loop;
    CURLM *multi;
    CURLSH *share; /* TLS sessions, so that a new connection resumes */
    uv_timer_t timer;
    struct http_transfer *transfers;
    bool closing, retired;
    int64_t network_since_ms; /* by uv_hrtime(3); 0: it is the one that there was at first */

    bool has_pin;
    uint8_t ca_pin[SHA256_SIZE];
    char *ca_dir;
    X509 *certificate, *issuer;
    EVP_PKEY *key;

    void (*date_seen)(int64_t server_s, void *userdata);
    void *userdata;
    void (*closed)(void *userdata);
    void *closed_userdata;
};

struct http_transfer {
    struct http_client *client;
    struct http_transfer *next, *previous;
    CURL *easy;
    struct curl_slist *headers;
    struct buffer body;
    bool stirred;   /* progress is due */
    bool date_told; /* the client has seen this answer's Date */
    int (*data)(const char *data, size_t size, void *userdata);
    void (*progress)(struct http_transfer *transfer, void *userdata);
    void (*done)(const struct http_answer *answer, void *userdata);
    void *userdata;
    char error[CURL_ERROR_SIZE];
};

/** http_client.c: sets what all requests of the client share. Returns 0 or -EIO. */
int http_client_prepare(struct http_client *client, CURL *easy);

/** http_client.c: a transfer has left the client's list. */
void http_client_transfer_gone(struct http_client *client);

/** Tells of headers and data that have come. The transfer may be gone afterwards. */
void http_transfer_progress(struct http_transfer *transfer);

/** Tells the answer and frees the transfer. */
void http_transfer_complete(struct http_transfer *transfer, CURLcode result);
