/* The test peer in the role of a devtrust server, with a knob for each way to misbehave. A peer of
 * the tests, not the product's server: it checks nothing. */
#pragma once

#include "tests/unit/daemon/peer.h"

#include "common/base64.h"
#include "common/buffer.h"
#include "common/est_message.h"
#include "common/x509_csr.h"

#define SERVER_PEER_MAX_CSRS 16
#define SERVER_PEER_EPOCH "0c6d2f6e-51a4-4d4b-9a3f-0d2f1c9b7a11"

enum est_fault {
    FAULT_NONE,
    FAULT_LOST, /* issues, and closes the connection in place of an answer */
    FAULT_401,
    FAULT_403,     /* with the code device-suspended */
    FAULT_EXPIRED, /* 403: the device's certificate has */
    FAULT_400,
    FAULT_503, /* with Retry-After: 1, or fault_headers */
    FAULT_202, /* likewise */
    FAULT_HTML,
    FAULT_TRUNCATED,
    FAULT_OTHER_KEY,
    FAULT_OTHER_DEVICE,
    FAULT_CA,
    FAULT_TRUST_LEAF, /* the right key, from the wrong CA */
    FAULT_HUGE,
    FAULT_SILENT, /* no answer, until the other side gives up */
    FAULT_HALF,   /* the beginning of one */
};

struct server_peer {
    struct peer *peer;
    struct pki_entity tls_ca, tls, device_root, device_issuer, trust_root, trust_issuer;
    char pin[SHA256_HEX_SIZE];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;

    enum est_fault fault;
    int fault_times; /* answers with the fault; then good ones */
    char fault_headers[160];
    int state_status, report_status, events_status;
    const char *state_code; /* of a problem in place of the state; NULL: a status without a word */
    int64_t leaf_begin_s, leaf_end_s;
    char state[4096], etag[32];
    char headers[128]; /* extra lines of each answer of /v1/state */

    char csrs[SERVER_PEER_MAX_CSRS]
             [8192]; /* bodies of simpleenroll and simplereenroll, label device */
    int csr_count, renewals, cacerts, state_requests, not_modified, signs;
    char authorization[1024];
    char report[4096];
    int reports;
    long last_state_client; /* serial number of the certificate presented for /v1/state */
    char push[512];         /* sent to the open stream */
    int pushes, streams;
};

static bool server_peer_certs(struct peer_connection *connection, X509 *a, X509 *b, X509 *c) {
    STACK_OF(X509) *list = sk_X509_new_null();
    struct buffer body = BUFFER_INIT(EST_MAX_BODY);
    X509 *all[] = {a, b, c};
    for (size_t i = 0; i < 3; i++)
        if (all[i])
            sk_X509_push(list, all[i]);
    assert(est_certs_encode(list, &body) == 0);
    bool more = peer_answer(
        connection, 200,
        "Content-Type: application/pkcs7-mime; smime-type=certs-only\r\n"
        "Content-Transfer-Encoding: base64\r\n",
        body.data, body.size);
    buffer_deinit(&body);
    sk_X509_free(list);
    return more;
}

static bool server_peer_problem(
    struct peer_connection *connection, int status, const char *headers, const char *code) {
    char body[128], head[256];
    snprintf(body, sizeof(body), "{\"status\":%d,\"code\":\"%s\"}", status, code);
    snprintf(head, sizeof(head), "Content-Type: application/problem+json\r\n%s", headers);
    return peer_answer(connection, status, head, body, strlen(body));
}

/* Answers that need no certificate. Returns false if the fault is not one of them. */
static bool server_peer_plain_fault(
    const struct server_peer *server, struct peer_connection *connection, enum est_fault fault,
    bool *ret_more) {
    const char *headers = server->fault_headers[0] ? server->fault_headers : "Retry-After: 1\r\n";
    static const char html[] = "<html>Sign in to the guest network</html>";
    static const char cut[] = "MIIBogYJKoZIhvcNAQcCoIIBkzCCAY8CAQEx";
    switch (fault) {
    case FAULT_LOST:
        *ret_more = false;
        return true;
    case FAULT_401:
        *ret_more = server_peer_problem(connection, 401, "", "token-refused");
        return true;
    case FAULT_403:
        *ret_more = server_peer_problem(connection, 403, "", "device-suspended");
        return true;
    case FAULT_EXPIRED:
        *ret_more = server_peer_problem(connection, 403, "", "expired");
        return true;
    case FAULT_400:
        *ret_more = server_peer_problem(connection, 400, "", "csr-key");
        return true;
    case FAULT_503:
        *ret_more = server_peer_problem(connection, 503, headers, "server-error");
        return true;
    case FAULT_202:
        *ret_more = peer_answer(connection, 202, headers, "", 0);
        return true;
    case FAULT_HTML:
        *ret_more =
            peer_answer(connection, 200, "Content-Type: text/html\r\n", html, sizeof(html) - 1);
        return true;
    case FAULT_TRUNCATED:
        *ret_more = peer_answer(
            connection, 200, "Content-Type: application/pkcs7-mime\r\n", cut, sizeof(cut) - 1);
        return true;
    case FAULT_HUGE:
        peer_say(
            connection, "HTTP/1.1 200 OK\r\nContent-Type: application/pkcs7-mime\r\n"
                        "Content-Length: 31457280\r\n\r\n");
        peer_wait_end(connection);
        *ret_more = false;
        return true;
    case FAULT_SILENT:
        peer_wait_end(connection);
        *ret_more = false;
        return true;
    case FAULT_HALF:
        peer_say(
            connection, "HTTP/1.1 200 OK\r\nContent-Type: application/pkcs7-mime\r\n"
                        "Content-Length: 4096\r\n\r\n");
        peer_say(connection, cut);
        *ret_more = false;
        return true;
    default:
        return false;
    }
}

static X509_REQ *server_peer_read_csr(const struct peer_request *request) {
    uint8_t *der = NULL;
    size_t size = 0;
    assert(est_base64_decode(request->body, request->body_size, 8192, &der, &size) == 0);
    const unsigned char *at = der;
    X509_REQ *csr = d2i_X509_REQ(NULL, &at, (long)size);
    assert(csr);
    free(der);
    return csr;
}

static bool server_peer_issue(
    struct server_peer *server, struct peer_connection *connection,
    const struct peer_request *request, enum est_fault fault) {
    X509_REQ *csr = server_peer_read_csr(request);
    char *uid = NULL, *uuid = NULL;
    assert(x509_csr_get_subject(csr, &uid, &uuid) == 0);
    const char *device =
        fault == FAULT_OTHER_DEVICE ? "99999999-2222-4333-8444-555555555555" : uuid;
    const struct pki_entity *issuer =
        fault == FAULT_TRUST_LEAF ? &server->trust_issuer : &server->device_issuer;
    const struct pki_entity *root =
        fault == FAULT_TRUST_LEAF ? &server->trust_root : &server->device_root;
    struct pki_entity leaf = pki_device(
        issuer, device, fault == FAULT_OTHER_KEY ? NULL : X509_REQ_get0_pubkey(csr),
        server->leaf_begin_s, server->leaf_end_s);
    bool more = server_peer_certs(
        connection, fault == FAULT_CA ? server->device_issuer.certificate : leaf.certificate,
        issuer->certificate, root->certificate);
    pki_free(&leaf);
    X509_REQ_free(csr);
    free(uid);
    free(uuid);
    return more;
}

static bool server_peer_enroll(
    struct server_peer *server, struct peer_connection *connection,
    const struct peer_request *request) {
    const char *authorization = peer_header(request, "Authorization");
    pthread_mutex_lock(&server->lock);
    snprintf(
        server->authorization, sizeof(server->authorization), "%s",
        authorization ? authorization : "");
    assert(server->csr_count < SERVER_PEER_MAX_CSRS);
    snprintf(server->csrs[server->csr_count++], sizeof(server->csrs[0]), "%s", request->body);
    enum est_fault fault = server->fault_times > 0 ? server->fault : FAULT_NONE;
    if (server->fault_times > 0)
        server->fault_times--;
    pthread_mutex_unlock(&server->lock);
    bool more;
    if (server_peer_plain_fault(server, connection, fault, &more))
        return more;
    return server_peer_issue(server, connection, request, fault);
}

static bool server_peer_state(
    struct server_peer *server, struct peer_connection *connection,
    const struct peer_request *request) {
    char headers[256], state[4096];
    const char *match = peer_header(request, "If-None-Match");
    pthread_mutex_lock(&server->lock);
    server->state_requests++;
    server->last_state_client =
        request->client ? ASN1_INTEGER_get(X509_get0_serialNumber(request->client)) : 0;
    int status = server->state_status;
    if (status == 200 && match && strcmp(match, server->etag) == 0) {
        server->not_modified++;
        status = 304;
    }
    snprintf(headers, sizeof(headers), "ETag: %s\r\n%s", server->etag, server->headers);
    snprintf(state, sizeof(state), "%s", status == 200 ? server->state : "");
    const char *code = server->state_code;
    pthread_mutex_unlock(&server->lock);
    if (code)
        return server_peer_problem(connection, status, "", code);
    return peer_answer(connection, status, headers, state, strlen(state));
}

static bool server_peer_events(struct server_peer *server, struct peer_connection *connection) {
    if (server->events_status != 200)
        return peer_answer(connection, server->events_status, "", "", 0);
    bool more = peer_say(
        connection, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                    "event: state\ndata: hello\n\n");
    pthread_mutex_lock(&server->lock);
    server->streams++;
    int seen = server->pushes;
    while (more && !server->stopping) {
        while (seen == server->pushes && !server->stopping)
            pthread_cond_wait(&server->changed, &server->lock);
        seen = server->pushes;
        more = peer_say(connection, server->push);
    }
    pthread_mutex_unlock(&server->lock);
    return false;
}

static bool server_peer_report(
    struct server_peer *server, struct peer_connection *connection,
    const struct peer_request *request) {
    pthread_mutex_lock(&server->lock);
    server->reports++;
    snprintf(server->report, sizeof(server->report), "%s", request->body);
    int status = server->report_status;
    pthread_mutex_unlock(&server->lock);
    return peer_answer(connection, status, "", "", 0);
}

static bool server_peer_handle(
    struct peer_connection *connection, const struct peer_request *request, void *userdata) {
    struct server_peer *server = userdata;
    const char *path = request->path;
    if (strcmp(path, "/.well-known/est/device/cacerts") == 0) {
        server->cacerts++;
        return server_peer_certs(
            connection, server->device_issuer.certificate, server->device_root.certificate, NULL);
    }
    if (strcmp(path, "/.well-known/est/user/cacerts") == 0)
        return server_peer_certs(
            connection, server->trust_issuer.certificate, server->trust_root.certificate, NULL);
    if (strcmp(path, "/.well-known/est/device/simpleenroll") == 0)
        return server_peer_enroll(server, connection, request);
    if (strcmp(path, "/.well-known/est/device/simplereenroll") == 0) {
        server->renewals++;
        return server_peer_enroll(server, connection, request);
    }
    if (strcmp(path, "/.well-known/est/user/simpleenroll") == 0) {
        server->signs++;
        return server_peer_enroll(server, connection, request);
    }
    if (strcmp(path, "/v1/state") == 0)
        return server_peer_state(server, connection, request);
    if (strcmp(path, "/v1/events") == 0)
        return server_peer_events(server, connection);
    if (strcmp(path, "/v1/report") == 0)
        return server_peer_report(server, connection, request);
    return peer_answer(connection, 404, "", "", 0);
}

__attribute__((unused)) static void server_peer_set_state(
    struct server_peer *server, const char *state) {
    static int version;
    pthread_mutex_lock(&server->lock);
    snprintf(server->state, sizeof(server->state), "%s", state);
    snprintf(server->etag, sizeof(server->etag), "\"v%d\"", ++version);
    pthread_mutex_unlock(&server->lock);
}

__attribute__((unused)) static void server_peer_push(struct server_peer *server, const char *text) {
    pthread_mutex_lock(&server->lock);
    snprintf(server->push, sizeof(server->push), "%s", text);
    server->pushes++;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

__attribute__((unused)) static void server_peer_set_fault(
    struct server_peer *server, enum est_fault fault, int times) {
    pthread_mutex_lock(&server->lock);
    server->fault = fault;
    server->fault_times = times;
    pthread_mutex_unlock(&server->lock);
}

__attribute__((unused)) static struct server_peer *server_peer_start(void) {
    struct server_peer *server = calloc(1, sizeof(*server));
    uint8_t hash[SHA256_SIZE];
    server->tls_ca = pki_ca("TLS CA", NULL);
    server->tls = pki_server(&server->tls_ca, "IP:127.0.0.1");
    server->device_root = pki_ca("device root", NULL);
    server->device_issuer = pki_ca("device issuer", &server->device_root);
    server->trust_root = pki_ca("trust root", NULL);
    server->trust_issuer = pki_ca("trust issuer", &server->trust_root);
    x509_cert_spki_sha256(server->tls_ca.certificate, hash);
    hex_encode(hash, SHA256_SIZE, server->pin);
    server->state_status = 200;
    server->report_status = 204;
    server->events_status = 200;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    server_peer_set_state(
        server, "{\"epoch\":\"" SERVER_PEER_EPOCH "\",\"generation\":0,\"enrolled\":false}");
    server->peer = peer_start(&server->tls, server->tls_ca.certificate, server_peer_handle, server);
    return server;
}

__attribute__((unused)) static void server_peer_stop(struct server_peer *server) {
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    peer_stop(server->peer);
    pki_free(&server->tls_ca);
    pki_free(&server->tls);
    pki_free(&server->device_root);
    pki_free(&server->device_issuer);
    pki_free(&server->trust_root);
    pki_free(&server->trust_issuer);
    free(server);
}
