/* Shared by http.c (listeners, dispatch), http_request.c (what came) and http_answer.c (what goes
 * back). */
#pragma once

#include "server/http.h"

#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <sys/types.h>

struct listening {
    struct http_server *http;
    enum http_listener kind;
    struct ssl_ctx_st *tls; /* NULL: plain */
    struct evhttp *evhttp;
    struct evconnlistener *listener; /* owned by evhttp */
};

#define MAX_LISTENING 8

struct http_server {
    struct http_server_options options;
    struct http_route routes[HTTP_MAX_ROUTES];
    size_t route_count;
    struct listening listening[MAX_LISTENING];
    size_t listening_count;
    bool ending; /* what the handlers stand on is being taken down */
};

struct http_request {
    struct evhttp_request *req;
    struct listening *listening;
    X509 *peer; /* owned; NULL: none */
    char device[37];
    bool logged; /* a refusal is in the log already */
    bool query_parsed, form_parsed, body_terminated;
    struct evkeyvalq query, form;
};

struct server *http_request_server(const struct http_request *request);

/** Releases what is ours; the evhttp request is not. */
void http_request_free(struct http_request *request);
