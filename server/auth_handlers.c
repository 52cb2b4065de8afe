/* The status endpoint for proxies: asked on every request, so that a revocation shows on open
 * connections and resumed sessions. The proxy has proved that its client holds the key; here only
 * the records are asked. */
#include "server/auth_handlers.h"

#include "common/base64.h"
#include "common/clock.h"
#include "common/json_fields.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "server/certificate.h"
#include "server/server.h"

#include <openssl/bio.h>
#include <openssl/pem.h>

#include <errno.h>
#include <string.h>

/* RFC 9440 section 2.1: a byte sequence of structured fields, ":" base64 of the DER ":" */
static int from_client_cert(const char *value, uint8_t ret[SHA256_SIZE]) {
    CLEANUP_FREE uint8_t *der = NULL;
    CLEANUP_X509 X509 *certificate = NULL;
    const unsigned char *p;
    size_t length = strlen(value), size;

    if (length < 3 || value[0] != ':' || value[length - 1] != ':' ||
        length > BASE64_TEXT_SIZE(X509_MAX_DER_SIZE))
        return -EBADMSG;
    der = malloc(length);
    if (!der)
        return -ENOMEM;
    if (base64_decode(value + 1, length - 2, false, der, &size) < 0)
        return -EBADMSG;
    p = der;
    certificate = d2i_X509(NULL, &p, (long)size);
    if (!certificate || p != der + size)
        return -EBADMSG;
    return x509_cert_sha256(certificate, ret);
}

static int from_sha256(const char *value, uint8_t ret[SHA256_SIZE]) {
    return hex_decode(value, ret, SHA256_SIZE) < 0 ? -EBADMSG : 0;
}

static int hex_digit(char c) {
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) % 16 : -1;
}

/* nginx's $ssl_client_escaped_cert: percent-encoded PEM. Decodes in place. */
static int percent_decode(char *text) {
    char *out = text;

    for (; *text != '\0'; text++) {
        if (*text == '%') {
            int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);

            if (low < 0)
                return -EBADMSG;
            *out++ = (char)(high << 4 | low);
            text += 2;
        } else
            *out++ = *text;
    }
    *out = '\0';
    return 0;
}

static int from_pem(const char *value, uint8_t ret[SHA256_SIZE]) {
    CLEANUP_FREE char *pem = strdup(value);
    CLEANUP_X509 X509 *certificate = NULL;
    BIO *bio;

    if (!pem)
        return -ENOMEM;
    if (percent_decode(pem) < 0)
        return -EBADMSG;
    bio = BIO_new_mem_buf(pem, -1);
    if (!bio)
        return -ENOMEM;
    certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return certificate ? x509_cert_sha256(certificate, ret) : -EBADMSG;
}

static const struct {
    const char *header;
    int (*fingerprint)(const char *value, uint8_t ret[SHA256_SIZE]);
} forms[] = {
    {"Client-Cert", from_client_cert},
    {"X-Client-Cert-Sha256", from_sha256},
    {"X-Client-Cert-Pem", from_pem},
};

/* -ENOENT: the proxy names no certificate (nginx sends the header empty then). More than one is
 * -EBADMSG: a client's own header beside the proxy's could otherwise stand for it. */
static int named_certificate(struct http_request *request, uint8_t ret[SHA256_SIZE]) {
    int r = -ENOENT;

    for (size_t i = 0; i < ARRAY_LENGTH(forms); i++) {
        size_t count = http_request_header_count(request, forms[i].header);
        const char *value = http_request_header(request, forms[i].header);

        if (count == 0 || (count == 1 && value[0] == '\0'))
            continue;
        if (count > 1 || r != -ENOENT)
            return -EBADMSG;
        r = forms[i].fingerprint(value, ret);
        if (r < 0)
            return r;
    }
    return r;
}

static void refuse(struct http_request *request, int status, enum reason reason) {
    struct json_object *problem = json_object_new_object();

    log_event(
        LOG_LEVEL_DEBUG, MSG_HTTP, "A proxy was told no.", LOG_NUMBER("STATUS", status),
        LOG_TEXT("CODE", reason_code(reason)), LOG_TEXT("ADDRESS", http_request_address(request)));
    /* a scheme that no browser knows: proxies hand the header on, and nobody should be asked for a
     * password */
    if (status == 401)
        http_add_header(request, "WWW-Authenticate", "ClientCertificate realm=\"devtrust\"");
    http_add_header(request, "X-Devtrust-Reason", reason_code(reason));
    if (json_fields_add_string(problem, "type", "about:blank") < 0 ||
        json_fields_add_string(problem, "title", http_status_phrase(status)) < 0 ||
        json_fields_add_int(problem, "status", status) < 0 ||
        json_fields_add_string(problem, "detail", reason_text(reason)) < 0 ||
        json_fields_add_string(problem, "code", reason_code(reason)) < 0) {
        json_object_put(problem);
        http_send(request, status, NULL, NULL, 0);
        return;
    }
    http_send_json(request, status, problem);
}

static void handle_auth(struct http_request *request, struct server *server) {
    uint8_t fingerprint[SHA256_SIZE];
    struct certificate_status status = {0};
    int r = named_certificate(request, fingerprint);

    http_add_header(request, "Cache-Control", "no-store");
    if (r == -ENOENT) {
        refuse(request, 401, REASON_NO_CERTIFICATE);
        return;
    }
    if (r == 0)
        r = certificate_status_by_fingerprint(
            server->db, fingerprint, clock_wall_s(server->clock), server->config.superseded_grace_s,
            &status);
    if (r < 0 && r != -EBADMSG) {
        /* closed when in doubt, and never 5xx: a proxy would make an error page of it */
        log_event(
            LOG_LEVEL_ERROR, MSG_DATABASE,
            "A certificate's status could not be read, access was refused; check the state "
            "directory.",
            LOG_ERRNO(r));
        refuse(request, 403, REASON_INTERNAL);
    } else if (r < 0 || !status.known || status.kind != CERTIFICATE_USER)
        refuse(request, 403, REASON_WRONG_CERTIFICATE);
    else if (!status.managed)
        refuse(request, 403, status.reason);
    else {
        http_add_header(request, "X-Devtrust-User", status.user_id);
        http_add_header(request, "X-Devtrust-Device", status.device);
        http_send(request, 204, NULL, NULL, 0);
    }
}

const struct http_route auth_routes[] = {
    {"GET", "/v1/auth", HTTP_LISTENER_PORTAL | HTTP_LISTENER_ADMIN, HTTP_IDENTITY_NONE,
     handle_auth},
    {NULL, NULL, 0, HTTP_IDENTITY_NONE, NULL},
};
