/* EST: CA certificates, and enrolments as jobs of the writer. What is accepted is what two
 * independent servers and three clients were seen to send: with and without label, wrapped and
 * unwrapped base64, any media type. */
#include "server/est_handlers.h"

#include "common/est_message.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/x509_csr.h"
#include "server/ca.h"
#include "server/event_hub.h"
#include "server/issuance.h"
#include "server/server.h"
#include "server/user.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#define EST "/.well-known/est"
#define MAX_CREDENTIALS 256 /* bytes of a decoded Authorization header */

/* --- answers --- */

static void send_certificates(struct http_request *request, STACK_OF(X509) * certificates) {
    CLEANUP_BUFFER struct buffer body = BUFFER_INIT(EST_MAX_BODY);
    int r = est_certs_encode(certificates, &body);
    if (r < 0) {
        http_send_error(request, r);
        return;
    }
    http_add_header(request, "Content-Transfer-Encoding", "base64");
    http_send(request, 200, "application/pkcs7-mime; smime-type=certs-only", body.data, body.size);
}

static void handle_trust_cacerts(struct http_request *request, struct server *server) {
    send_certificates(request, ca_trust_chain(server->ca));
}

static void handle_device_cacerts(struct http_request *request, struct server *server) {
    send_certificates(request, ca_device_chain(server->ca));
}

/* Nothing is asked for beyond what docs/SERVER-API.md says (RFC 7030 4.5.2: 204). */
static void handle_csrattrs(struct http_request *request, struct server *server) {
    (void)server;
    http_send(request, 204, NULL, NULL, 0);
}

/* --- enrolments --- */

struct enrolment {
    struct http_request *request;
    struct issuance issuance;
};

static void enrolment_free(struct enrolment *enrolment) {
    issuance_deinit(&enrolment->issuance);
    free(enrolment);
}

static void log_outcome(const struct enrolment *enrolment) {
    const struct issuance *issuance = &enrolment->issuance;
    char hex[X509_SERIAL_HEX_SIZE] = "";
    const char *serial = hex;
    if (issuance->refusal != REASON_NONE) {
        log_event(
            LOG_LEVEL_NOTICE, MSG_ISSUE_REFUSED, reason_text(issuance->refusal),
            LOG_TEXT("CODE", reason_code(issuance->refusal)), LOG_TEXT("DEVICE", issuance->device),
            LOG_TEXT("USER", issuance->user_id), LOG_TEXT("TOKEN", issuance->token_id),
            LOG_TEXT("ADDRESS", http_request_address(enrolment->request)));
        http_request_set_logged(enrolment->request);
        return;
    }
    (void)x509_serial_hex(issuance->certificate, hex);
    log_event(
        LOG_LEVEL_INFO, MSG_ISSUED,
        issuance->repeated ? "A certificate was sent again." : "A certificate was issued.",
        LOG_TEXT("KIND", issuance->kind == ISSUANCE_USER ? "user" : "device"),
        LOG_TEXT("DEVICE", issuance->device), LOG_TEXT("USER", issuance->user_id),
        LOG_TEXT("SERIAL", serial));
}

static void send_bundle(const struct enrolment *enrolment) {
    const struct issuance *issuance = &enrolment->issuance;
    enum ca_kind kind = issuance->kind == ISSUANCE_USER ? CA_TRUST : CA_DEVICE;
    STACK_OF(X509) *chain = ca_chain(issuance->server->ca, kind);
    STACK_OF(X509) *bundle = sk_X509_dup(chain);
    if (bundle && sk_X509_unshift(bundle, issuance->certificate) > 0)
        send_certificates(enrolment->request, bundle);
    else
        http_send_error(enrolment->request, -ENOMEM);
    sk_X509_free(bundle);
}

/* A device that enrols by token again has given up the certificate that its open stream belongs to.
 */
static void end_former_stream(const struct issuance *issuance) {
    if (issuance->kind == ISSUANCE_ENROL && !issuance->repeated)
        event_hub_drop(issuance->server->hub, issuance->device);
}

static void on_issued(int result, void *data) {
    struct enrolment *enrolment = data;
    if (result < 0)
        http_send_error(enrolment->request, result);
    else {
        log_outcome(enrolment);
        if (enrolment->issuance.refusal == REASON_NONE) {
            send_bundle(enrolment);
            end_former_stream(&enrolment->issuance);
        } else
            http_send_problem(
                enrolment->request, enrolment->issuance.status, enrolment->issuance.refusal, NULL);
    }
    enrolment_free(enrolment);
}

static int run_enrolment(struct db *db, void *data) {
    struct enrolment *enrolment = data;
    return issuance_run(db, &enrolment->issuance);
}

/* Owns the enrolment. */
static void submit(struct enrolment *enrolment, struct server *server) {
    const struct db_job job = {.run = run_enrolment, .done = on_issued, .data = enrolment};
    int r = db_writer_submit(server->writer, &job);
    if (r < 0) {
        http_send_error(enrolment->request, r);
        enrolment_free(enrolment);
    }
}

/* --- requests --- */

/* SHA-256 over the SubjectPublicKeyInfo as it came: decoding it and encoding it anew costs as much
 * as a signature. */
static int hash_key(X509_REQ *request, uint8_t ret[SHA256_SIZE]) {
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(request), &der);
    if (size < 0)
        return -EIO;
    int good = EVP_Digest(der, (size_t)size, ret, NULL, EVP_sha256(), NULL);
    OPENSSL_free(der);
    return good == 1 ? 0 : -EIO;
}

/* The PKCS#10 in the body, checked; its hashes and key. Answers a bad one itself. */
static int read_request(
    struct enrolment *enrolment, const struct x509_csr_expectation *expectation) {
    struct issuance *issuance = &enrolment->issuance;
    CLEANUP_FREE uint8_t *der = NULL;
    size_t body_size, size;
    enum reason reason = REASON_CSR_INVALID;
    const char *body = http_request_body(enrolment->request, &body_size);
    int r = est_base64_decode(body, body_size, X509_CSR_MAX_SIZE, &der, &size);
    if (r == -EMSGSIZE)
        reason = REASON_CSR_TOO_LARGE;
    if (r >= 0)
        r = x509_csr_check(der, size, expectation, &issuance->request, &reason);
    if (r >= 0 && EVP_Digest(der, size, issuance->csr_sha256, NULL, EVP_sha256(), NULL) != 1)
        r = -EIO;
    if (r >= 0)
        r = hash_key(issuance->request, issuance->spki_sha256);
    if (r == -ENOMEM || r == -EIO)
        http_send_error(enrolment->request, r);
    else if (r < 0)
        http_send_problem(enrolment->request, 400, reason, NULL);
    return r;
}

static int copy(char *ret, size_t size, const char *text) {
    size_t length = strlen(text);
    if (length >= size)
        return -EINVAL;
    memcpy(ret, text, length + 1);
    return 0;
}

/* A device names itself: serialNumber=<UUID>, and no user. */
static int take_device_subject(struct issuance *issuance) {
    CLEANUP_FREE char *uid = NULL;
    CLEANUP_FREE char *serial = NULL;
    int r = x509_csr_get_subject(issuance->request, &uid, &serial);
    if (r < 0)
        return r;
    if (uid || !serial || !random_uuid_is_valid(serial))
        return -EINVAL;
    return copy(issuance->device, sizeof(issuance->device), serial);
}

static int take_user_subject(struct issuance *issuance) {
    CLEANUP_FREE char *uid = NULL;
    CLEANUP_FREE char *serial = NULL;
    int r = x509_csr_get_subject(issuance->request, &uid, &serial);
    if (r < 0)
        return r;
    if (!uid || !serial || !user_id_is_valid(uid) || !random_uuid_is_valid(serial))
        return -EINVAL;
    r = copy(issuance->user_id, sizeof(issuance->user_id), uid);
    return r < 0 ? r : copy(issuance->request_id, sizeof(issuance->request_id), serial);
}

/* "Basic base64(id:secret)" (RFC 7617). */
static int take_credentials(struct http_request *request, struct issuance *issuance) {
    static const char scheme[] = "Basic ";
    const char *value = http_request_header(request, "Authorization");
    if (!value || strncasecmp(value, scheme, sizeof(scheme) - 1) != 0)
        return -EACCES;
    uint8_t *decoded = NULL;
    size_t size;
    value += sizeof(scheme) - 1;
    if (est_base64_decode(value, strlen(value), MAX_CREDENTIALS, &decoded, &size) < 0)
        return -EACCES;
    char text[MAX_CREDENTIALS + 1] = {0};
    memcpy(text, decoded, size);
    OPENSSL_cleanse(decoded, size);
    free(decoded);
    int r = -EACCES;
    char *colon = strchr(text, ':');
    if (colon && strlen(text) == size) {
        *colon = '\0';
        r = copy(issuance->token_id, sizeof(issuance->token_id), text);
        if (r >= 0)
            r = copy(issuance->token_secret, sizeof(issuance->token_secret), colon + 1);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return r < 0 ? -EACCES : 0;
}

static struct enrolment *enrolment_new(
    struct http_request *request, struct server *server, enum issuance_kind kind) {
    struct enrolment *enrolment = calloc(1, sizeof(*enrolment));
    if (!enrolment) {
        http_send_error(request, -ENOMEM);
        return NULL;
    }
    enrolment->request = request;
    enrolment->issuance.server = server;
    enrolment->issuance.kind = kind;
    enrolment->issuance.now_s = clock_wall_s(server->clock);
    return enrolment;
}

static void refuse(struct enrolment *enrolment, int status, enum reason reason) {
    http_send_problem(enrolment->request, status, reason, NULL);
    enrolment_free(enrolment);
}

/* Nothing but the attributes of our own forms; their values are judged afterwards. */
static const struct x509_csr_subject any_subject = {0};

static void handle_device_simpleenroll(struct http_request *request, struct server *server) {
    static const struct x509_csr_expectation expectation = {
        .subject = &any_subject,
        .any_key_type = true,
    };
    struct enrolment *enrolment = enrolment_new(request, server, ISSUANCE_ENROL);
    if (!enrolment)
        return;
    /* who has no token learns nothing about requests */
    if (take_credentials(request, &enrolment->issuance) < 0)
        refuse(enrolment, 401, REASON_TOKEN_REFUSED);
    else if (read_request(enrolment, &expectation) < 0)
        enrolment_free(enrolment);
    else if (take_device_subject(&enrolment->issuance) < 0)
        refuse(enrolment, 400, REASON_CSR_SUBJECT);
    else
        submit(enrolment, server);
}

static void handle_simplereenroll(struct http_request *request, struct server *server) {
    const struct x509_csr_expectation expectation = {
        .subject = &(struct x509_csr_subject){.serial_number = http_request_device(request)},
        .any_key_type = true,
    };
    struct certificate_status presented;
    struct enrolment *enrolment = enrolment_new(request, server, ISSUANCE_RENEW);
    if (!enrolment)
        return;
    struct issuance *issuance = &enrolment->issuance;
    int r = certificate_status_of(
        server->db, http_request_peer(request), issuance->now_s, server->config.superseded_grace_s,
        &presented);
    if (r < 0) {
        http_send_error(request, r);
        enrolment_free(enrolment);
        return;
    }
    issuance->presented_id = presented.id;
    if (read_request(enrolment, &expectation) < 0)
        enrolment_free(enrolment);
    else if (
        take_device_subject(issuance) < 0 ||
        strcmp(issuance->device, http_request_device(request)) != 0)
        refuse(enrolment, 400, REASON_CSR_SUBJECT);
    else
        submit(enrolment, server);
}

static void handle_user_simpleenroll(struct http_request *request, struct server *server) {
    const struct x509_csr_expectation expectation = {
        .subject = &any_subject,
        .key_type = (enum key_type)server->config.key_type,
    };
    struct enrolment *enrolment = enrolment_new(request, server, ISSUANCE_USER);
    if (!enrolment)
        return;
    if (copy(enrolment->issuance.device, SERVER_UUID_SIZE, http_request_device(request)) < 0)
        refuse(enrolment, 403, REASON_SERVER_REFUSED);
    else if (read_request(enrolment, &expectation) < 0)
        enrolment_free(enrolment);
    else if (take_user_subject(&enrolment->issuance) < 0)
        refuse(enrolment, 400, REASON_CSR_SUBJECT);
    else
        submit(enrolment, server);
}

#define DEVICES HTTP_LISTENER_DEVICES
const struct http_route est_routes[] = {
    {"GET", EST "/cacerts", DEVICES, HTTP_IDENTITY_NONE, handle_trust_cacerts},
    {"GET", EST "/user/cacerts", DEVICES, HTTP_IDENTITY_NONE, handle_trust_cacerts},
    {"GET", EST "/device/cacerts", DEVICES, HTTP_IDENTITY_NONE, handle_device_cacerts},
    {"GET", EST "/csrattrs", DEVICES, HTTP_IDENTITY_NONE, handle_csrattrs},
    {"GET", EST "/user/csrattrs", DEVICES, HTTP_IDENTITY_NONE, handle_csrattrs},
    {"GET", EST "/device/csrattrs", DEVICES, HTTP_IDENTITY_NONE, handle_csrattrs},
    {"POST", EST "/simpleenroll", DEVICES, HTTP_IDENTITY_NONE, handle_device_simpleenroll},
    {"POST", EST "/device/simpleenroll", DEVICES, HTTP_IDENTITY_NONE, handle_device_simpleenroll},
    {"POST", EST "/user/simpleenroll", DEVICES, HTTP_IDENTITY_DEVICE, handle_user_simpleenroll},
    {"POST", EST "/simplereenroll", DEVICES, HTTP_IDENTITY_DEVICE_EXPIRED, handle_simplereenroll},
    {"POST", EST "/device/simplereenroll", DEVICES, HTTP_IDENTITY_DEVICE_EXPIRED,
     handle_simplereenroll},
    {.method = NULL},
};
