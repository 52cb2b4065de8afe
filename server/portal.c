/* The portal's handlers: page, check host, session. */
#include "server/portal.h"

#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "server/portal_denials.h"
#include "server/portal_page.h"
#include "server/portal_token.h"
#include "server/portal_view.h"
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COOKIE "__Host-devtrust-session"
#define HOST_LABEL_SIZE 16 /* random octets of a check host's name */
#define ORIGIN_SIZE 300
#define URL_SIZE 768
#define MAX_TIME_S 253402300799 /* the end of the year 9999 */

struct portal {
    struct portal_tokens *tokens;
    struct portal_denials *denials;
    const char *check_domain; /* borrowed from the server's identity; NULL: none */
    char origin[ORIGIN_SIZE]; /* as browsers write it: scheme, host, port unless 443 */
    char port[8];             /* ":9443", or "" */
    char csp[2 * ORIGIN_SIZE + 256];
};

/* --- set-up --- */

/* "https://host[:port][/]" → origin and port; what a browser sends as Origin has no default port
 * and no slash. */
static int parse_origin(struct portal *portal, const char *url) {
    static const char scheme[] = "https://";
    size_t length = strlen(url);
    const char *port;

    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return -EINVAL;
    if (length > 0 && url[length - 1] == '/')
        length--;
    if (length >= sizeof(portal->origin) || length <= sizeof(scheme) - 1 ||
        memchr(url + sizeof(scheme) - 1, '/', length - (sizeof(scheme) - 1)))
        return -EINVAL;
    memcpy(portal->origin, url, length);
    portal->origin[length] = '\0';
    port = strrchr(portal->origin + sizeof(scheme) - 1, ':');
    if (!port || strchr(port, ']')) /* none, or inside an IPv6 address */
        return 0;
    if (strcmp(port, ":443") == 0) {
        portal->origin[port - portal->origin] = '\0';
        return 0;
    }
    return snprintf(portal->port, sizeof(portal->port), "%s", port) < (int)sizeof(portal->port)
               ? 0
               : -EINVAL;
}

static void make_csp(struct portal *portal) {
    char check[ORIGIN_SIZE] = "";

    if (portal->check_domain)
        snprintf(check, sizeof(check), " https://*.%s%s", portal->check_domain, portal->port);
    snprintf(
        portal->csp, sizeof(portal->csp),
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        "connect-src 'self'%s; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        check);
}

int portal_new(struct server *server, struct portal **ret) {
    struct portal *portal = calloc(1, sizeof(*portal));
    int r;

    if (!portal)
        return -ENOMEM;
    portal->check_domain = server->identity.check_domain;
    r = parse_origin(portal, server->identity.portal_url);
    if (r == 0)
        r = portal_tokens_new(
            server->random, server->clock, server->config.nonce_s, server->config.session_s,
            &portal->tokens);
    if (r == 0)
        r = portal_denials_new(server->random, server->clock, &portal->denials);
    if (r < 0) {
        portal_free(portal);
        return r;
    }
    make_csp(portal);
    *ret = portal;
    return 0;
}

struct portal *portal_free(struct portal *portal) {
    if (!portal)
        return NULL;
    portal_tokens_free(portal->tokens);
    portal_denials_free(portal->denials);
    free(portal);
    return NULL;
}

const struct portal_denials *portal_denials_of(const struct portal *portal) {
    return portal->denials;
}

/* --- shared by the handlers --- */

static void add_common_headers(struct http_request *request, const struct portal *portal) {
    http_add_header(request, "Cache-Control", "no-store");
    http_add_header(request, "Content-Security-Policy", portal->csp);
    http_add_header(request, "Referrer-Policy", "no-referrer");
    http_add_header(request, "Cross-Origin-Opener-Policy", "same-origin");
    http_add_header(request, "Vary", "Accept, Cookie");
}

static bool wants_json(const struct http_request *request) {
    const char *accept = http_request_header(request, "Accept");

    return accept && strstr(accept, "application/json") && !strstr(accept, "text/html");
}

/* "<label>.<check domain>[:port]" */
static bool is_check_host(const struct portal *portal, const char *host) {
    size_t length, domain_length;

    if (!portal->check_domain || !host)
        return false;
    length = strcspn(host, ":");
    domain_length = strlen(portal->check_domain);
    return length > domain_length + 1 && host[length - domain_length - 1] == '.' &&
           strncasecmp(host + length - domain_length, portal->check_domain, domain_length) == 0;
}

/* The session that came with the request, or a new one with its cookie. */
static int take_session(
    struct http_request *request, struct portal *portal, bool make, char ret[PORTAL_SESSION_SIZE]) {
    char cookie[PORTAL_SESSION_SIZE + 160];
    int r = http_request_cookie(request, COOKIE, ret, PORTAL_SESSION_SIZE);

    if (r == 0)
        r = portal_session_check(portal->tokens, ret, make);
    if (r == 0 || !make)
        return r;
    r = portal_session_make(portal->tokens, ret);
    if (r < 0)
        return r;
    snprintf(cookie, sizeof(cookie), COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Lax", ret);
    http_add_header(request, "Set-Cookie", cookie);
    return 0;
}

/* A URL on a host name that no browser has seen, with a nonce for this session; "" without a check
 * domain. */
static int make_check_url(struct server *server, const char *session, char *ret, size_t size) {
    struct portal *portal = server->portal;
    uint8_t label[HOST_LABEL_SIZE];
    char text[2 * HOST_LABEL_SIZE + 1], nonce[PORTAL_NONCE_SIZE];
    int r;

    ret[0] = '\0';
    if (!portal->check_domain)
        return 0;
    r = server->random->bytes(label, sizeof(label), server->random->userdata);
    if (r == 0)
        r = portal_nonce_make(portal->tokens, session, nonce);
    if (r < 0)
        return r;
    return snprintf(
               ret, size, "https://%s.%s%s/check?n=%s", hex_encode(label, sizeof(label), text),
               portal->check_domain, portal->port, nonce) < (int)size
               ? 0
               : -EMSGSIZE;
}

/* Words for this browser; and a reference if the visitor is denied. `session` NULL: none. */
static int finish_view(
    struct http_request *request, struct server *server, const char *session,
    struct portal_view *view) {
    struct portal_denial denial = {.reason = view->reason, .presented = view->presented};

    view->browser = portal_browser_of(http_request_header(request, "User-Agent"));
    if (view->verdict != PORTAL_UNMANAGED)
        return 0;
    denial.browser = view->browser;
    memcpy(denial.fingerprint, view->fingerprint, SHA256_SIZE);
    snprintf(denial.serial, sizeof(denial.serial), "%s", view->status.serial);
    snprintf(denial.device, sizeof(denial.device), "%s", view->status.device);
    snprintf(denial.user_id, sizeof(denial.user_id), "%s", view->status.user_id);
    return portal_denials_note(server->portal->denials, session, &denial, view->reference);
}

/* --- GET / --- */

static void send_page(
    struct http_request *request, struct server *server, struct portal_view *view) {
    CLEANUP_BUFFER struct buffer body = BUFFER_INIT(PORTAL_PAGE_MAX);
    char session[PORTAL_SESSION_SIZE], check_url[URL_SIZE], return_url[URL_SIZE + 16] = "";
    int r = take_session(request, server->portal, true, session);

    if (r == 0)
        r = finish_view(request, server, session, view);
    if (r == 0)
        r = make_check_url(server, session, check_url, sizeof(check_url));
    if (r == 0) {
        const struct portal_page page = {
            .view = view,
            .organisation = server->identity.organisation,
            .check_url = check_url,
            .return_url = return_url,
        };

        if (check_url[0] != '\0')
            snprintf(return_url, sizeof(return_url), "%s&return=1", check_url);
        r = portal_page_render(&page, &body);
    }
    if (r < 0) {
        http_send_error(request, r);
        return;
    }
    http_send(request, 200, "text/html; charset=utf-8", body.data, body.size);
}

/* A browser without scripts comes back with its answer in the address. An answer that is stale or
 * used (a reload) counts as none: the check begins anew. One without its session (no cookies) would
 * begin for ever, so it ends here. */
static int view_of_return(
    struct http_request *request, struct server *server, const char *answer,
    struct portal_view *ret) {
    X509 *peer = http_request_peer(request);
    char session[PORTAL_SESSION_SIZE];
    struct portal_proof proof;
    int r = take_session(request, server->portal, false, session);

    if (r < 0)
        return portal_view_final(server, peer, NULL, ret);
    r = portal_answer_take(server->portal->tokens, session, answer, &proof);
    if (r == -EBADMSG || r == -ETIME || r == -EALREADY)
        return portal_view_first(server, peer, true, ret);
    return r < 0 ? r : portal_view_final(server, peer, &proof, ret);
}

static void handle_page(struct http_request *request, struct server *server) {
    struct portal *portal = server->portal;
    const char *answer = http_request_query(request, "answer");
    struct portal_view view;
    int r;

    if (is_check_host(portal, http_request_header(request, "Host"))) {
        http_add_header(request, "Location", portal->origin);
        http_send(request, 302, NULL, NULL, 0);
        return;
    }
    if (answer && portal->check_domain)
        r = view_of_return(request, server, answer, &view);
    else
        r = portal_view_first(
            server, http_request_peer(request), portal->check_domain && !wants_json(request),
            &view);
    if (r < 0) {
        http_send_error(request, r);
        return;
    }
    add_common_headers(request, portal);
    if (!wants_json(request))
        send_page(request, server, &view);
    else if ((r = finish_view(request, server, NULL, &view)) < 0)
        http_send_error(request, r);
    else
        http_send_json(request, 200, portal_view_json(&view));
}

/* --- GET /check --- */

/* Only the portal's own page may read an answer. Returns false after it has refused. */
static bool allow_origin(struct http_request *request, const struct portal *portal) {
    const char *origin = http_request_header(request, "Origin");

    http_add_header(request, "Vary", "Origin");
    if (!origin)
        return true;
    if (strcmp(origin, portal->origin) != 0) {
        http_send_problem(
            request, 403, REASON_CHECK_FAILED, "Only the portal's own page may ask here.");
        return false;
    }
    http_add_header(request, "Access-Control-Allow-Origin", portal->origin);
    http_add_header(request, "Access-Control-Allow-Credentials", "true");
    return true;
}

static void send_answer(
    struct http_request *request, const struct portal *portal, const char *answer) {
    const char *back = http_request_query(request, "return");
    char location[ORIGIN_SIZE + PORTAL_ANSWER_SIZE + 16];
    struct json_object *object;

    http_add_header(request, "Cache-Control", "no-store");
    http_add_header(request, "Referrer-Policy", "no-referrer");
    http_add_header(request, "Connection", "close"); /* nobody comes to this host name again */
    if (back && strcmp(back, "1") == 0) {
        snprintf(location, sizeof(location), "%s/?answer=%s", portal->origin, answer);
        http_add_header(request, "Location", location);
        http_send(request, 303, NULL, NULL, 0);
        return;
    }
    object = json_object_new_object();
    if (json_fields_add_string(object, "answer", answer) < 0) {
        json_object_put(object);
        object = NULL;
    }
    http_send_json(request, 200, object);
}

static void handle_check(struct http_request *request, struct server *server) {
    struct portal *portal = server->portal;
    const char *nonce = http_request_query(request, "n");
    X509 *peer = http_request_peer(request);
    uint8_t fingerprint[SHA256_SIZE];
    char answer[PORTAL_ANSWER_SIZE];
    int r;

    if (!is_check_host(portal, http_request_header(request, "Host"))) {
        http_send_problem(
            request, 421, REASON_CHECK_FAILED, "This path is served on the check host names only.");
        return;
    }
    if (!allow_origin(request, portal))
        return;
    r = peer ? x509_cert_sha256(peer, fingerprint) : 0;
    if (r == 0)
        r = nonce ? portal_answer_make(portal->tokens, nonce, peer ? fingerprint : NULL, answer)
                  : -EBADMSG;
    if (r == -EBADMSG || r == -ETIME)
        http_send_problem(
            request, 400, REASON_CHECK_FAILED,
            "This check is over or was never begun; reload the portal's page.");
    else if (r < 0)
        http_send_error(request, r);
    else
        send_answer(request, portal, answer);
}

/* A preflight (for private networks) carries no certificate and decides nothing. */
static void handle_preflight(struct http_request *request, struct server *server) {
    if (!allow_origin(request, server->portal))
        return;
    http_add_header(request, "Access-Control-Allow-Methods", "GET");
    http_add_header(request, "Access-Control-Allow-Private-Network", "true");
    http_add_header(request, "Access-Control-Max-Age", "600");
    http_send(request, 204, NULL, NULL, 0);
}

/* --- POST /session --- */

static bool is_json(const char *content_type) {
    static const char json[] = "application/json";

    return content_type && strncasecmp(content_type, json, sizeof(json) - 1) == 0 &&
           strchr(";  \t", content_type[sizeof(json) - 1]) != NULL;
}

struct answer_body {
    const char *answer; /* NULL: none */
    int64_t now_s;      /* the visitor's clock; 0: it does not say */
};

/* {"answer": "<text>" or null, "now": seconds}. The text points into *ret_object. */
static int read_answer(
    struct http_request *request, struct json_object **ret_object, struct answer_body *ret) {
    struct answer_body body = {NULL, 0};
    static const struct json_field fields[] = {
        JSON_FIELD(
            struct answer_body, answer, "answer", JSON_FIELD_STRING, false, 1, PORTAL_ANSWER_SIZE),
        JSON_FIELD(struct answer_body, now_s, "now", JSON_FIELD_INT, false, 0, MAX_TIME_S),
    };
    size_t size;
    const char *text = http_request_body(request, &size);
    int r = json_gate_parse(text, size, ret_object);

    if (r == 0)
        r = json_fields_read(*ret_object, fields, ARRAY_LENGTH(fields), &body, NULL);
    if (r == 0)
        *ret = body;
    return r;
}

static void send_view(
    struct http_request *request, struct server *server, int status, const struct portal_view *view,
    const char *session) {
    char next[URL_SIZE];
    struct json_object *object = portal_view_json(view);
    int r = make_check_url(server, session, next, sizeof(next));

    if (r == 0 && object && next[0] != '\0')
        r = json_fields_add_string(object, "next", next);
    if (r < 0) {
        json_object_put(object);
        http_send_error(request, r);
        return;
    }
    add_common_headers(request, server->portal);
    http_send_json(request, status, object);
}

static void judge_answer(
    struct http_request *request, struct server *server, const struct answer_body *body) {
    struct portal *portal = server->portal;
    struct portal_proof proof;
    const struct portal_proof *proved = NULL;
    struct portal_view view;
    char session[PORTAL_SESSION_SIZE];
    int status = 200, r = take_session(request, portal, false, session);

    if (r == 0 && body->answer) {
        r = portal_answer_take(portal->tokens, session, body->answer, &proof);
        if (r == -EBUSY) {
            http_send_error(request, r);
            return;
        }
        proved = r == 0 ? &proof : NULL;
    }
    /* whatever was wrong with session or answer, the visitor gets the verdict that is left, and a
     * session and nonce to try again with */
    if (r < 0)
        status = 403;
    r = take_session(request, portal, true, session);
    if (r == 0)
        r = portal_view_final(server, http_request_peer(request), proved, &view);
    if (r == 0) {
        if (body->now_s > 0)
            portal_view_clock(&view, body->now_s, clock_wall_s(server->clock));
        r = finish_view(request, server, session, &view);
    }
    if (r < 0)
        http_send_error(request, r);
    else
        send_view(request, server, status, &view, session);
}

static void handle_session(struct http_request *request, struct server *server) {
    CLEANUP_JSON struct json_object *object = NULL;
    const char *origin = http_request_header(request, "Origin");
    struct answer_body body = {NULL, 0};

    if (origin && strcmp(origin, server->portal->origin) != 0)
        http_send_problem(
            request, 403, REASON_CHECK_FAILED, "Only the portal's own page may ask here.");
    else if (!is_json(http_request_header(request, "Content-Type")))
        http_send_problem(request, 415, REASON_CHECK_FAILED, "The body must be application/json.");
    else if (read_answer(request, &object, &body) < 0)
        http_send_problem(
            request, 400, REASON_CHECK_FAILED, "The body must be {\"answer\": TEXT or null}.");
    else
        judge_answer(request, server, &body);
}

/* --- what never changes --- */

static void send_asset(struct http_request *request, const char *type, const char *text) {
    http_add_header(request, "Cache-Control", "no-cache");
    http_send(request, 200, type, text, strlen(text));
}

static void handle_script(struct http_request *request, struct server *server) {
    (void)server;
    send_asset(request, "text/javascript; charset=utf-8", asset_portal_script);
}

static void handle_style(struct http_request *request, struct server *server) {
    (void)server;
    send_asset(request, "text/css; charset=utf-8", asset_portal_style);
}

const struct http_route portal_routes[] = {
    {"GET", "/", HTTP_LISTENER_PORTAL, HTTP_IDENTITY_NONE, handle_page},
    {"GET", "/portal.js", HTTP_LISTENER_PORTAL, HTTP_IDENTITY_NONE, handle_script},
    {"GET", "/portal.css", HTTP_LISTENER_PORTAL, HTTP_IDENTITY_NONE, handle_style},
    {"GET", "/check", HTTP_LISTENER_PORTAL, HTTP_IDENTITY_NONE, handle_check},
    {"OPTIONS", "/check", HTTP_LISTENER_PORTAL, HTTP_IDENTITY_NONE, handle_preflight},
    {"POST", "/session", HTTP_LISTENER_PORTAL, HTTP_IDENTITY_NONE, handle_session},
    {NULL, NULL, 0, HTTP_IDENTITY_NONE, NULL},
};
