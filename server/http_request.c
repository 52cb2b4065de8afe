/* What came with a request. */
#include "server/http_private.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct server *http_request_server(const struct http_request *request) {
    return request->listening->http->options.server;
}

void http_request_free(struct http_request *request) {
    if (request->query_parsed)
        evhttp_clear_headers(&request->query);
    if (request->form_parsed)
        evhttp_clear_headers(&request->form);
    X509_free(request->peer);
    free(request);
}

enum http_listener http_request_listener(const struct http_request *request) {
    return request->listening->kind;
}

const char *http_request_method(const struct http_request *request) {
    switch (evhttp_request_get_command(request->req)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    default:
        return "";
    }
}

const char *http_request_path(const struct http_request *request) {
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request->req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    return path && *path ? path : "/";
}

const char *http_request_query(struct http_request *request, const char *name) {
    if (!request->query_parsed) {
        const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request->req);
        const char *text = uri ? evhttp_uri_get_query(uri) : NULL;
        /* initialises the list also when it fails half-way */
        (void)evhttp_parse_query_str(text ? text : "", &request->query);
        request->query_parsed = true;
    }
    return evhttp_find_header(&request->query, name);
}

static bool is_form(const struct http_request *request) {
    static const char type[] = "application/x-www-form-urlencoded";
    const char *value = http_request_header(request, "Content-Type");
    if (!value || strncasecmp(value, type, sizeof(type) - 1) != 0)
        return false;
    char next = value[sizeof(type) - 1];
    return next == '\0' || next == ';' || next == ' ';
}

const char *http_request_form(struct http_request *request, const char *name) {
    if (!request->form_parsed) {
        size_t size;
        const char *body = is_form(request) ? http_request_body(request, &size) : "";
        (void)evhttp_parse_query_str(body, &request->form);
        request->form_parsed = true;
    }
    return evhttp_find_header(&request->form, name);
}

const char *http_request_header(const struct http_request *request, const char *name) {
    return evhttp_find_header(evhttp_request_get_input_headers(request->req), name);
}

size_t http_request_header_count(const struct http_request *request, const char *name) {
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(request->req);
    size_t count = 0;
    for (const struct evkeyval *header = headers->tqh_first; header; header = header->next.tqe_next)
        if (strcasecmp(header->key, name) == 0)
            count++;
    return count;
}

/* RFC 6265 4.2.1: pairs separated by "; ". */
int http_request_cookie(
    const struct http_request *request, const char *name, char *ret, size_t size) {
    const char *text = http_request_header(request, "Cookie");
    size_t name_length = strlen(name);
    while (text && *text) {
        text += strspn(text, "; ");
        size_t length = strcspn(text, ";");
        if (length > name_length && strncmp(text, name, name_length) == 0 &&
            text[name_length] == '=') {
            size_t value_length = length - name_length - 1;
            if (value_length >= size)
                return -EMSGSIZE;
            memcpy(ret, text + name_length + 1, value_length);
            ret[value_length] = '\0';
            return 0;
        }
        text += length;
    }
    return -ENOENT;
}

const char *http_request_body(struct http_request *request, size_t *ret_size) {
    struct evbuffer *body = evhttp_request_get_input_buffer(request->req);
    if (!request->body_terminated) {
        if (evbuffer_add(body, "", 1) < 0) {
            *ret_size = 0;
            return "";
        }
        request->body_terminated = true;
    }
    const char *text = (const char *)evbuffer_pullup(body, -1);
    *ret_size = text ? evbuffer_get_length(body) - 1 : 0;
    return text ? text : "";
}

X509 *http_request_peer(const struct http_request *request) {
    return request->peer;
}

const char *http_request_address(const struct http_request *request) {
    char *address = NULL;
    ev_uint16_t port;
    if (request->listening->kind == HTTP_LISTENER_COMMAND)
        return "local";
    struct evhttp_connection *connection = evhttp_request_get_connection(request->req);
    if (connection)
        evhttp_connection_get_peer(connection, &address, &port);
    return address ? address : "gone";
}

int64_t http_request_uid(const struct http_request *request) {
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    struct evhttp_connection *connection = evhttp_request_get_connection(request->req);
    if (request->listening->kind != HTTP_LISTENER_COMMAND || !connection)
        return -1;
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return -1;
    return credentials.uid;
}

const char *http_request_device(const struct http_request *request) {
    return request->device[0] ? request->device : NULL;
}

void http_request_set_device(struct http_request *request, const char *uuid) {
    size_t length = strlen(uuid);
    if (length < sizeof(request->device))
        memcpy(request->device, uuid, length + 1);
}
