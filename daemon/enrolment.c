/* Enrolment as a chain of steps, each one EST request; any failure waits and begins the chain
 * again, with the same CSR. */
#include "daemon/enrolment.h"

#include "daemon/est_client.h"
#include "daemon/trust_chain.h"

#include "common/backoff.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/x509_profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS (5 * 60 * 1000)
#define PATIENCE_MS 30000
#define MAX_LIFETIME_S ((int64_t)10 * 366 * 24 * 3600)
#define HANDLES 2 /* the timers */

struct enrolment {
    struct enrolment_options options;
    uv_timer_t retry, patience;
    unsigned open; /* handles and clients that the loop still holds */
    void (*closed)(void *userdata);
    void *closed_userdata;
    bool closing;

    struct pending_request *pending;
    struct http_client *client;
    struct est_request *request;
    const struct step *step;
    bool sent; /* the CSR may have reached the server */
    X509 *device_root, *device_issuer, *trust_root, *trust_issuer;
    struct backoff backoff;
    enum reason reason;

    enrolment_done done;
    void *done_userdata;
};

/* One request: how it is sent, and what its certificates are taken for. */
struct step {
    int (*send)(struct enrolment *enrolment, const struct est_target *target);
    enum reason (*take)(struct enrolment *enrolment, STACK_OF(X509) * certificates);
    const char *label;
    bool decides; /* a refusal here is the server's word on the enrolment */
};

static void on_answer(const struct est_answer *answer, void *userdata);
static void on_retry(uv_timer_t *timer);

static int send_cacerts(struct enrolment *enrolment, const struct est_target *target) {
    return est_client_cacerts(target, on_answer, enrolment, &enrolment->request);
}

static int send_enroll(struct enrolment *enrolment, const struct est_target *target) {
    struct secret *basic = NULL;
    int r = pending_request_basic(enrolment->pending->token, &basic);
    if (r < 0)
        return r;
    const struct est_enrolment request = {
        .csr = enrolment->pending->csr,
        .size = enrolment->pending->csr_size,
        .basic = basic,
    };
    enrolment->sent = true;
    r = est_client_enroll(target, &request, on_answer, enrolment, &enrolment->request);
    secret_free(basic);
    return r;
}

static enum reason take_pair(STACK_OF(X509) * certificates, X509 **root, X509 **issuer) {
    X509 *new_root, *new_issuer;
    if (trust_chain_pick(certificates, &new_root, &new_issuer) < 0)
        return REASON_SERVER_ANSWER;
    X509_free(*root);
    X509_free(*issuer);
    *root = new_root;
    *issuer = new_issuer;
    return REASON_NONE;
}

static enum reason take_device_cas(struct enrolment *enrolment, STACK_OF(X509) * certificates) {
    return take_pair(certificates, &enrolment->device_root, &enrolment->device_issuer);
}

static enum reason take_trust_cas(struct enrolment *enrolment, STACK_OF(X509) * certificates) {
    return take_pair(certificates, &enrolment->trust_root, &enrolment->trust_issuer);
}

static enum reason check_leaf(
    const struct enrolment *enrolment, STACK_OF(X509) * certificates, struct x509_bundle *ret) {
    uint8_t key[SHA256_SIZE], root[SHA256_SIZE];
    if (x509_key_spki_sha256(enrolment->pending->key, key) < 0 ||
        x509_cert_spki_sha256(enrolment->device_root, root) < 0)
        return REASON_INTERNAL;
    STACK_OF(X509) *roots = sk_X509_new_null();
    if (!roots || sk_X509_push(roots, enrolment->device_root) == 0) {
        sk_X509_free(roots);
        return REASON_NO_MEMORY;
    }
    const struct x509_leaf_expectation expectation = {
        .spki_sha256 = key,
        .device_uuid = enrolment->pending->uuid,
        .policy_oid = X509_POLICY_DEVICE,
        .root_spki_sha256 = root,
        .min_lifetime_s = 1,
        .max_lifetime_s = MAX_LIFETIME_S,
    };
    enum reason reason = REASON_NONE;
    x509_bundle_check(certificates, roots, &expectation, ret, &reason);
    sk_X509_free(roots);
    return reason;
}

static X509 *reference(X509 *certificate) {
    X509_up_ref(certificate);
    return certificate;
}

static int make_identity(
    const struct enrolment *enrolment, const struct x509_bundle *bundle,
    struct device_identity **ret) {
    const struct pending_request *pending = enrolment->pending;
    CLEANUP_IDENTITY struct device_identity *identity = calloc(1, sizeof(*identity));
    if (!identity)
        return -ENOMEM;
    memcpy(identity->uuid, pending->uuid, sizeof(identity->uuid));
    identity->server = pending->server;
    EVP_PKEY_up_ref(pending->key);
    identity->key = pending->key;
    identity->certificate = reference(bundle->leaf);
    identity->device_issuer = reference(bundle->intermediate);
    identity->device_root = reference(enrolment->device_root);
    identity->trust_issuer = reference(enrolment->trust_issuer);
    identity->trust_root = reference(enrolment->trust_root);
    int r = pending_request_token_hash(pending->token, identity->token_sha256);
    if (r < 0)
        return r;
    r = device_identity_save(enrolment->options.dir_fd, enrolment->options.binding, identity);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(identity);
    return 0;
}

static void finish(struct enrolment *enrolment, enum reason reason, const char *uuid);

static enum reason take_leaf(struct enrolment *enrolment, STACK_OF(X509) * certificates) {
    CLEANUP_X509_BUNDLE struct x509_bundle bundle = {0};
    enum reason reason = check_leaf(enrolment, certificates, &bundle);
    if (reason != REASON_NONE)
        return reason;
    struct device_identity *identity = NULL;
    int r = make_identity(enrolment, &bundle, &identity);
    if (r < 0)
        return r == -ENOMEM ? REASON_NO_MEMORY : REASON_STORAGE;
    log_event(
        LOG_LEVEL_NOTICE, MSG_ENROLLED, "This device is enrolled.",
        LOG_TEXT("DEVICE", identity->uuid), LOG_TEXT("URL", identity->server.url));
    char uuid[sizeof(identity->uuid)];
    memcpy(uuid, identity->uuid, sizeof(uuid));
    enrolment->options.enrolled(identity, enrolment->options.userdata);
    finish(enrolment, REASON_NONE, uuid);
    return REASON_NONE;
}

static const struct step steps[] = {
    {.send = send_cacerts, .take = take_device_cas, .label = "device"},
    {.send = send_cacerts, .take = take_trust_cas, .label = "user"},
    {.send = send_enroll, .take = take_leaf, .label = "device", .decides = true},
};

static void tell(struct enrolment *enrolment, enum reason reason, const char *uuid) {
    uv_timer_stop(&enrolment->patience);
    enrolment_done done = TAKE_PTR(enrolment->done);
    if (done)
        done(reason, uuid, enrolment->done_userdata);
}

static void on_client_closed(void *userdata);

static void stop(struct enrolment *enrolment) {
    est_request_cancel(TAKE_PTR(enrolment->request));
    uv_timer_stop(&enrolment->retry);
    if (enrolment->client)
        http_client_close(TAKE_PTR(enrolment->client), on_client_closed, enrolment);
    enrolment->pending = pending_request_free(enrolment->pending);
    enrolment->sent = false;
}

/* The end of one enrolment, good or bad: nothing of it stays but the identity and the reason. */
static void finish(struct enrolment *enrolment, enum reason reason, const char *uuid) {
    int r = pending_request_clear(enrolment->options.dir_fd);
    if (r < 0)
        log_event(
            LOG_LEVEL_WARNING, MSG_STORAGE,
            "The used enrolment token cannot be wiped; remove pending.* in the state directory.",
            LOG_ERRNO(r));
    stop(enrolment);
    enrolment->reason = reason;
    enrolment->options.changed(enrolment->options.userdata);
    tell(enrolment, reason, uuid);
}

static void log_failure(
    const struct enrolment *enrolment, enum reason reason, const char *detail, bool final) {
    char escaped[512];
    const char *url = enrolment->pending->server.url;
    const char *shown = log_escape(detail, strlen(detail), escaped, sizeof(escaped));
    log_event(
        final ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, MSG_ENROL_FAILED,
        final ? "The enrolment failed." : "The enrolment has not succeeded yet; it goes on.",
        LOG_TEXT("URL", url), LOG_TEXT("CODE", reason_code(reason)),
        LOG_TEXT("REMEDY", reason_remedy(reason)), LOG_TEXT("DETAIL", shown));
}

/* A person waits who can mend the address or the pin, and no CSR has left this machine. */
static bool is_mistake(const struct enrolment *enrolment, const struct est_answer *answer) {
    return enrolment->done && !enrolment->sent &&
           (answer->outcome != EST_RETRY || answer->reason == REASON_SERVER_TLS);
}

static bool is_final(const struct enrolment *enrolment, const struct est_answer *answer) {
    if (is_mistake(enrolment, answer))
        return true;
    if (!enrolment->step->decides)
        return false;
    return answer->outcome == EST_REFUSED ||
           (answer->outcome == EST_FAILED && answer->status / 100 == 4);
}

static void fail(struct enrolment *enrolment, const struct est_answer *answer) {
    bool final = is_final(enrolment, answer);
    if (final || answer->reason != enrolment->reason)
        log_failure(enrolment, answer->reason, answer->detail, final);
    if (final) {
        finish(enrolment, answer->reason, NULL);
        return;
    }
    enrolment->reason = answer->reason;
    int64_t delay =
        backoff_next(&enrolment->backoff, enrolment->options.random, answer->retry_after_ms);
    uv_timer_start(&enrolment->retry, on_retry, (uint64_t)delay, 0);
    enrolment->options.changed(enrolment->options.userdata);
    if (answer->outcome != EST_RETRY)
        tell(enrolment, answer->reason, NULL);
}

static void begin_step(struct enrolment *enrolment, const struct step *step) {
    const struct est_target target = {
        .client = enrolment->client,
        .clock = enrolment->options.clock,
        .url = enrolment->pending->server.url,
        .label = step->label,
    };
    enrolment->step = step;
    int r = step->send(enrolment, &target);
    if (r < 0)
        fail(
            enrolment,
            &(struct est_answer){
                .outcome = EST_RETRY, .reason = REASON_NO_MEMORY, .detail = strerror(-r)});
}

static void on_answer(const struct est_answer *answer, void *userdata) {
    struct enrolment *enrolment = userdata;
    const struct step *step = enrolment->step;
    enrolment->request = NULL;
    if (answer->outcome != EST_ISSUED) {
        fail(enrolment, answer);
        return;
    }
    enum reason reason = step->take(enrolment, answer->certificates);
    if (reason != REASON_NONE)
        fail(
            enrolment, &(struct est_answer){.outcome = EST_FAILED, .reason = reason, .detail = ""});
    else if (step + 1 < steps + ARRAY_LENGTH(steps))
        begin_step(enrolment, step + 1);
}

static void on_retry(uv_timer_t *timer) {
    struct enrolment *enrolment = timer->data;
    begin_step(enrolment, steps);
}

/* Still under way, or ended before it began (then the reason is final). */
static void on_patience(uv_timer_t *timer) {
    struct enrolment *enrolment = timer->data;
    enum reason reason = enrolment->reason;
    tell(enrolment, reason == REASON_NONE ? REASON_SERVER_UNREACHABLE : reason, NULL);
}

static int begin(struct enrolment *enrolment, struct pending_request *pending) {
    const struct http_client_options options = {
        .loop = enrolment->options.loop,
        .ca_pin = pending->server.has_pin ? pending->server.ca_pin : NULL,
        .date_seen = enrolment->options.date_seen,
        .userdata = enrolment->options.userdata,
    };
    int r = http_client_new(&options, &enrolment->client);
    if (r < 0)
        return r;
    enrolment->open++;
    enrolment->pending = pending;
    enrolment->sent = pending->resumed;
    enrolment->reason = REASON_NONE;
    backoff_reset(&enrolment->backoff);
    uv_timer_start(&enrolment->retry, on_retry, 0, 0);
    return 0;
}

static int prepare(
    struct enrolment *enrolment, const char *url, const char *ca_pin, struct secret *token,
    enum reason *ret_reason) {
    struct server_address server;
    struct secret *basic = NULL;
    int r = server_address_parse(url, ca_pin, &server, ret_reason);
    if (r == 0 && pending_request_basic(token, &basic) < 0) {
        *ret_reason = REASON_TOKEN_INVALID;
        r = -EINVAL;
    }
    secret_free(basic);
    if (r < 0) {
        secret_free(token);
        return r;
    }
    stop(enrolment);
    struct pending_request *pending = NULL;
    r = pending_request_enrol(
        enrolment->options.dir_fd, enrolment->options.binding, enrolment->options.random, &server,
        token, &pending);
    if (r == 0) {
        r = begin(enrolment, pending);
        if (r < 0)
            pending_request_free(pending);
    }
    if (r < 0)
        *ret_reason = r == -ENOMEM ? REASON_NO_MEMORY : REASON_STORAGE;
    return r;
}

int enrolment_start(
    struct enrolment *enrolment, const char *url, const char *ca_pin, struct secret *token,
    enrolment_done done, void *userdata) {
    if (enrolment->done) {
        secret_free(token);
        return -EBUSY;
    }
    enum reason reason;
    uint64_t patience = PATIENCE_MS;
    int r = prepare(enrolment, url, ca_pin, token, &reason);
    if (r < 0) {
        enrolment->reason = reason;
        log_event(
            LOG_LEVEL_ERROR, MSG_ENROL_FAILED, "The enrolment cannot begin.",
            LOG_TEXT("CODE", reason_code(reason)), LOG_TEXT("REMEDY", reason_remedy(reason)),
            LOG_ERRNO(r));
        patience = 0;
    }
    enrolment->done = done;
    enrolment->done_userdata = userdata;
    if (done)
        uv_timer_start(&enrolment->patience, on_patience, patience, 0);
    enrolment->options.changed(enrolment->options.userdata);
    return 0;
}

int enrolment_refuse(
    struct enrolment *enrolment, enum reason reason, enrolment_done done, void *userdata) {
    if (enrolment->done)
        return -EBUSY;
    enrolment->reason = reason;
    enrolment->done = done;
    enrolment->done_userdata = userdata;
    uv_timer_start(&enrolment->patience, on_patience, 0, 0);
    return 0;
}

void enrolment_resume(struct enrolment *enrolment, struct pending_request *pending) {
    if (begin(enrolment, pending) < 0) {
        enrolment->reason = REASON_NO_MEMORY;
        pending_request_free(pending);
    }
}

int enrolment_abandon(struct enrolment *enrolment) {
    if (!enrolment->pending)
        return 0;
    int r = pending_request_clear(enrolment->options.dir_fd);
    if (r < 0)
        return r;
    stop(enrolment);
    enrolment->reason = REASON_NONE;
    return 0;
}

void enrolment_hurry(struct enrolment *enrolment) {
    if (enrolment->pending && !enrolment->request)
        uv_timer_start(&enrolment->retry, on_retry, 0, 0);
}

bool enrolment_is_active(const struct enrolment *enrolment) {
    return enrolment->pending != NULL;
}

bool enrolment_is_awaited(const struct enrolment *enrolment) {
    return enrolment->done != NULL;
}

enum reason enrolment_reason(const struct enrolment *enrolment) {
    return enrolment->reason;
}

const char *enrolment_url(const struct enrolment *enrolment) {
    return enrolment->pending ? enrolment->pending->server.url : NULL;
}

int enrolment_new(const struct enrolment_options *options, struct enrolment **ret) {
    struct enrolment *enrolment = calloc(1, sizeof(*enrolment));
    if (!enrolment)
        return -ENOMEM;
    enrolment->options = *options;
    enrolment->backoff = (struct backoff){.base_ms = RETRY_BASE_MS, .cap_ms = RETRY_CAP_MS};
    uv_timer_init(options->loop, &enrolment->retry);
    uv_timer_init(options->loop, &enrolment->patience);
    enrolment->retry.data = enrolment;
    enrolment->patience.data = enrolment;
    enrolment->open = HANDLES;
    *ret = enrolment;
    return 0;
}

static void one_closed(struct enrolment *enrolment) {
    enrolment->open--;
    if (!enrolment->closing || enrolment->open > 0)
        return;
    X509_free(enrolment->device_root);
    X509_free(enrolment->device_issuer);
    X509_free(enrolment->trust_root);
    X509_free(enrolment->trust_issuer);
    enrolment->closed(enrolment->closed_userdata);
    free(enrolment);
}

static void on_client_closed(void *userdata) {
    one_closed(userdata);
}

static void on_timer_closed(uv_handle_t *handle) {
    one_closed(handle->data);
}

void enrolment_close(struct enrolment *enrolment, void (*closed)(void *), void *userdata) {
    if (!enrolment) {
        closed(userdata);
        return;
    }
    enrolment->closing = true;
    enrolment->closed = closed;
    enrolment->closed_userdata = userdata;
    enrolment->done = NULL;
    stop(enrolment);
    uv_close((uv_handle_t *)&enrolment->retry, on_timer_closed);
    uv_close((uv_handle_t *)&enrolment->patience, on_timer_closed);
}
