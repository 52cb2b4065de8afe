/* Renewal in three moves, each on disk before the next: a pending request, its answer, and, once
 * the new certificate has been used, the identity. */
#include "daemon/device_renewal.h"

#include "daemon/est_client.h"
#include "daemon/http_problem.h"

#include "common/backoff.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/wall_timer.h"
#include "common/x509_profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EST_LABEL "device"
#define PROOF_PATH "/v1/state"
#define RETRY_BASE_MS 2000
#define RETRY_CAP_MS (60 * 60 * 1000)
#define REFUSED_FLOOR_MS (10 * 60 * 1000) /* a refusal is for an administrator to change */
#define PROOF_DEADLINE_MS 30000
#define PROOF_MAXIMUM (256 * 1024)
#define MAX_LIFETIME_S ((int64_t)10 * 366 * 24 * 3600)
#define REST_PART 4     /* of the life between two renewals, whatever the wall clock says */
#define SAME_CLOCK_S 60 /* answers take their time: so little is no news of the clock */
#define ORDERED_MAX_S (6 * 3600) /* the longest Retry-After that is obeyed */
#define HANDLES 2

struct device_renewal {
    struct device_renewal_options options;
    struct wall_timer *wall;
    uv_poll_t due;
    uv_timer_t retry;
    unsigned open;
    bool closing;
    void (*closed)(void *userdata);
    void *closed_userdata;

    const struct device_identity *identity;
    struct http_client *client; /* presents the old certificate */
    struct http_client *proof_client;
    struct pending_request *pending;
    struct est_request *request;
    struct http_transfer *proof;
    struct backoff backoff;
    int64_t rest_until_ms;   /* monotonic */
    int64_t answered_ms;     /* monotonic; when `pending` got its certificate, 0: in a run before */
    int64_t ordered_until_s; /* wall clock: no attempt before, by the server's order */
    int64_t ahead_s;         /* of the server's clock; 0: as far as anybody knows */
    enum reason reason;
};

static void step(struct device_renewal *renewal);
static void on_retry(uv_timer_t *timer);
static void on_proof_client_closed(void *userdata);

static void drop_proof_client(struct device_renewal *renewal) {
    http_transfer_cancel(TAKE_PTR(renewal->proof));
    if (renewal->proof_client)
        http_client_close(TAKE_PTR(renewal->proof_client), on_proof_client_closed, renewal);
}

static void stop(struct device_renewal *renewal) {
    est_request_cancel(TAKE_PTR(renewal->request));
    drop_proof_client(renewal);
    uv_timer_stop(&renewal->retry);
    renewal->pending = pending_request_free(renewal->pending);
}

static void fail(
    struct device_renewal *renewal, enum reason reason, int64_t floor_ms, const char *detail) {
    if (reason != renewal->reason) {
        char escaped[512];
        const char *shown = log_escape(detail, strlen(detail), escaped, sizeof(escaped));
        log_event(
            LOG_LEVEL_WARNING, MSG_ENROL_FAILED,
            "The device certificate was not renewed; it is tried again.",
            LOG_TEXT("CODE", reason_code(reason)), LOG_TEXT("REMEDY", reason_remedy(reason)),
            LOG_TEXT("DETAIL", shown));
    }
    renewal->reason = reason;
    renewal->ordered_until_s = clock_wall_s(renewal->options.clock) + (floor_ms + 999) / 1000;
    int64_t delay = backoff_next(&renewal->backoff, renewal->options.random, floor_ms);
    uv_timer_start(&renewal->retry, on_retry, (uint64_t)delay, 0);
    renewal->options.changed(renewal->options.userdata);
}

/* --- the third move: the new certificate has been used --- */

static int make_identity(const struct device_renewal *renewal, struct device_identity **ret) {
    const struct device_identity *old = renewal->identity;
    CLEANUP_IDENTITY struct device_identity *identity = calloc(1, sizeof(*identity));
    if (!identity)
        return -ENOMEM;
    *identity = *old;
    identity->key = renewal->pending->key;
    identity->certificate = renewal->pending->certificate;
    identity->device_issuer = renewal->pending->issuer;
    EVP_PKEY_up_ref(identity->key);
    X509_up_ref(identity->certificate);
    X509_up_ref(identity->device_issuer);
    X509_up_ref(identity->device_root);
    X509_up_ref(identity->trust_issuer);
    X509_up_ref(identity->trust_root);
    int r = device_identity_save(renewal->options.dir_fd, renewal->options.binding, identity);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(identity);
    return 0;
}

static int64_t life_ms(X509 *certificate) {
    int64_t begin = 0, end = 0;
    x509_not_before(certificate, &begin);
    x509_not_after(certificate, &end);
    int64_t life_s = end - begin;
    if (life_s > X509_PROFILE_BACKDATE_S)
        life_s -= X509_PROFILE_BACKDATE_S; /* the part before the issuance is nobody's time */
    return life_s * 1000;
}

static void set_rest(struct device_renewal *renewal, const struct device_identity *identity) {
    renewal->rest_until_ms =
        clock_monotonic_ms(renewal->options.clock) + life_ms(identity->certificate) / REST_PART;
}

static void promote(struct device_renewal *renewal) {
    struct device_identity *identity = NULL;
    int r = make_identity(renewal, &identity);
    if (r < 0) {
        fail(renewal, REASON_STORAGE, 0, strerror(-r));
        return;
    }
    r = pending_request_clear(renewal->options.dir_fd); /* what stays is wiped at the next start */
    if (r < 0)
        log_event(
            LOG_LEVEL_WARNING, MSG_STORAGE, "A file in the state directory cannot be removed.",
            LOG_ERRNO(r));
    const char *device = identity->uuid;
    log_event(
        LOG_LEVEL_NOTICE, MSG_DEVICE_RENEWED, "The device certificate was renewed.",
        LOG_TEXT("DEVICE", device));
    renewal->reason = REASON_NONE;
    set_rest(renewal, identity);
    struct http_client *client = TAKE_PTR(renewal->proof_client);
    renewal->open--; /* the client is the callee's now */
    stop(renewal);
    renewal->options.renewed(identity, client, renewal->options.userdata);
}

/* --- the second move: prove it --- */

static void start_over(struct device_renewal *renewal) {
    drop_proof_client(renewal);
    pending_request_clear(renewal->options.dir_fd);
    renewal->pending = pending_request_free(renewal->pending);
}

/* It has waited for all its life, or since a run before, while the server was away. By the time
 * that has passed and not by a clock: a server that calls each new one expired cannot be meant. */
static bool has_outlived_itself(const struct device_renewal *renewal) {
    int64_t age_ms = clock_monotonic_ms(renewal->options.clock) - renewal->answered_ms;
    return renewal->answered_ms == 0 || age_ms >= life_ms(renewal->pending->certificate);
}

static void on_proof(const struct http_answer *answer, void *userdata) {
    struct device_renewal *renewal = userdata;
    renewal->proof = NULL;
    enum reason reason = http_problem_reason(answer);
    if (reason == REASON_NONE) {
        promote(renewal);
        return;
    }
    int64_t floor = http_problem_retry_after_ms(answer, renewal->options.clock);
    /* A certificate that the server does not take is of no use: another one is asked for, with the
     * old; but a server that takes none must not be made to issue one after the other. */
    if (answer->reason == REASON_NONE && (answer->status == 401 || answer->status == 403)) {
        if (reason == REASON_EXPIRED && has_outlived_itself(renewal))
            backoff_reset(&renewal->backoff);
        else if (floor < REFUSED_FLOOR_MS)
            floor = REFUSED_FLOOR_MS;
        start_over(renewal);
    }
    fail(renewal, reason, floor, answer->detail);
}

static int open_proof_client(struct device_renewal *renewal) {
    const struct device_identity *identity = renewal->identity;
    const struct http_client_options options = {
        .loop = renewal->options.loop,
        .ca_pin = identity->server.has_pin ? identity->server.ca_pin : NULL,
        .certificate = renewal->pending->certificate,
        .issuer = renewal->pending->issuer,
        .key = renewal->pending->key,
        .date_seen = renewal->options.date_seen,
        .userdata = renewal->options.userdata,
    };
    if (renewal->proof_client)
        return 0;
    int r = http_client_new(&options, &renewal->proof_client);
    if (r == 0)
        renewal->open++;
    return r;
}

static int send_proof(struct device_renewal *renewal) {
    char url[SERVER_ADDRESS_MAX_URL + sizeof(PROOF_PATH)];
    int r = open_proof_client(renewal);
    if (r < 0)
        return r;
    snprintf(url, sizeof(url), "%s%s", renewal->identity->server.url, PROOF_PATH);
    const struct http_request request = {
        .method = HTTP_GET,
        .url = url,
        .accept = "application/json",
        .maximum = PROOF_MAXIMUM,
        .deadline_ms = PROOF_DEADLINE_MS,
        .done = on_proof,
        .userdata = renewal,
    };
    return http_client_send(renewal->proof_client, &request, &renewal->proof);
}

/* --- the first move: ask --- */

static enum reason check_leaf(
    const struct device_renewal *renewal, STACK_OF(X509) * certificates, struct x509_bundle *ret) {
    uint8_t key[SHA256_SIZE], root[SHA256_SIZE];
    if (x509_key_spki_sha256(renewal->pending->key, key) < 0 ||
        x509_cert_spki_sha256(renewal->identity->device_root, root) < 0)
        return REASON_INTERNAL;
    STACK_OF(X509) *roots = sk_X509_new_null();
    if (!roots || sk_X509_push(roots, renewal->identity->device_root) == 0) {
        sk_X509_free(roots);
        return REASON_NO_MEMORY;
    }
    const struct x509_leaf_expectation expectation = {
        .spki_sha256 = key,
        .device_uuid = renewal->identity->uuid,
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

static void on_answer(const struct est_answer *answer, void *userdata) {
    struct device_renewal *renewal = userdata;
    renewal->request = NULL;
    if (answer->outcome != EST_ISSUED) {
        int64_t floor = answer->retry_after_ms;
        if (answer->outcome != EST_RETRY && floor < REFUSED_FLOOR_MS)
            floor = REFUSED_FLOOR_MS;
        fail(renewal, answer->reason, floor, answer->detail);
        return;
    }
    CLEANUP_X509_BUNDLE struct x509_bundle bundle = {0};
    enum reason reason = check_leaf(renewal, answer->certificates, &bundle);
    if (reason != REASON_NONE) {
        fail(renewal, reason, 0, "");
        return;
    }
    int r = pending_request_answered(
        renewal->options.dir_fd, renewal->options.binding, renewal->pending, bundle.leaf,
        bundle.intermediate);
    if (r < 0) {
        fail(renewal, REASON_STORAGE, 0, strerror(-r));
        return;
    }
    renewal->answered_ms = clock_monotonic_ms(renewal->options.clock);
    step(renewal);
}

static int send_request(struct device_renewal *renewal) {
    const struct est_target target = {
        .client = renewal->client,
        .clock = renewal->options.clock,
        .url = renewal->identity->server.url,
        .label = EST_LABEL,
    };
    const struct est_enrolment enrolment = {
        .csr = renewal->pending->csr,
        .size = renewal->pending->csr_size,
        .renew = true,
    };
    return est_client_enroll(&target, &enrolment, on_answer, renewal, &renewal->request);
}

/* Whatever comes next. */
static void step(struct device_renewal *renewal) {
    int r = 0;
    if (!renewal->identity || renewal->request || renewal->proof)
        return;
    if (!renewal->pending)
        r = pending_request_renew(
            renewal->options.dir_fd, renewal->options.binding, renewal->identity,
            &renewal->pending);
    if (r == 0)
        r = renewal->pending->certificate ? send_proof(renewal) : send_request(renewal);
    if (r < 0)
        fail(renewal, r == -ENOMEM ? REASON_NO_MEMORY : REASON_STORAGE, 0, strerror(-r));
}

static void on_retry(uv_timer_t *timer) {
    step(timer->data);
}

/* --- when --- */

/* Both times by our own clock. A clock that runs years ahead, with no server's Date to show it,
 * makes each new certificate look due: then the rest between two renewals holds. */
static int64_t next_renewal_s(const struct device_renewal *renewal, int64_t now_s) {
    int64_t due_s = device_identity_renew_at(renewal->identity) + renewal->ahead_s;
    int64_t rest_ms = renewal->rest_until_ms - clock_monotonic_ms(renewal->options.clock);
    int64_t rested_s = rest_ms > 0 ? now_s + (rest_ms + 999) / 1000 : now_s;
    return due_s > rested_s ? due_s : rested_s;
}

static void schedule(struct device_renewal *renewal) {
    if (!renewal->identity || renewal->pending || uv_is_active((uv_handle_t *)&renewal->retry))
        return; /* it is on its way, or the next attempt waits */
    int64_t now_s = clock_wall_s(renewal->options.clock);
    int64_t next_s = next_renewal_s(renewal, now_s);
    wall_timer_set(renewal->wall, next_s > now_s ? next_s : 0);
    if (next_s <= now_s)
        uv_timer_start(&renewal->retry, on_retry, 0, 0);
}

static void on_due(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    struct device_renewal *renewal = poll->data;
    enum wall_timer_event event = wall_timer_read(renewal->wall);
    if (event == WALL_TIMER_NOTHING)
        return;
    if (event == WALL_TIMER_CLOCK_SET)
        renewal->ahead_s = 0; /* the next answer tells */
    schedule(renewal);
    if (event == WALL_TIMER_CLOCK_SET)
        renewal->options.clock_set(renewal->options.userdata);
}

void device_renewal_clock_differs(struct device_renewal *renewal, int64_t ahead_s) {
    int64_t change_s = ahead_s - renewal->ahead_s;
    if (ahead_s != 0 && change_s >= -SAME_CLOCK_S && change_s <= SAME_CLOCK_S)
        return;
    if (change_s == 0)
        return;
    renewal->ahead_s = ahead_s;
    schedule(renewal);
}

void device_renewal_watch(
    struct device_renewal *renewal, const struct device_identity *identity,
    struct http_client *client, struct pending_request *pending) {
    stop(renewal);
    backoff_reset(&renewal->backoff);
    renewal->identity = identity;
    renewal->client = client;
    if (!identity) {
        pending_request_free(pending);
        wall_timer_set(renewal->wall, 0);
        renewal->reason = REASON_NONE;
        return;
    }
    renewal->pending = pending;
    renewal->answered_ms = 0;
    if (pending)
        uv_timer_start(&renewal->retry, on_retry, 0, 0);
    else
        schedule(renewal);
}

bool device_renewal_hurry(struct device_renewal *renewal) {
    bool waits = renewal->identity && renewal->reason != REASON_NONE && !renewal->request &&
                 !renewal->proof && uv_is_active((uv_handle_t *)&renewal->retry);
    if (waits)
        uv_timer_start(&renewal->retry, on_retry, 0, 0);
    return waits;
}

void device_renewal_recheck(struct device_renewal *renewal) {
    int64_t left_s = renewal->ordered_until_s - clock_wall_s(renewal->options.clock);
    if (left_s <= 0 || left_s > ORDERED_MAX_S) /* past the longest, the clock was set back */
        (void)device_renewal_hurry(renewal);
}

bool device_renewal_is_watching(const struct device_renewal *renewal) {
    return renewal->identity != NULL;
}

enum reason device_renewal_reason(const struct device_renewal *renewal) {
    return renewal->reason;
}

int device_renewal_new(const struct device_renewal_options *options, struct device_renewal **ret) {
    struct device_renewal *renewal = calloc(1, sizeof(*renewal));
    if (!renewal)
        return -ENOMEM;
    renewal->options = *options;
    renewal->backoff = (struct backoff){.base_ms = RETRY_BASE_MS, .cap_ms = RETRY_CAP_MS};
    int r = wall_timer_new(&renewal->wall);
    if (r == 0)
        r = uv_poll_init(options->loop, &renewal->due, wall_timer_fd(renewal->wall));
    if (r < 0) {
        wall_timer_free(renewal->wall);
        free(renewal);
        return r;
    }
    renewal->due.data = renewal;
    uv_timer_init(options->loop, &renewal->retry);
    renewal->retry.data = renewal;
    renewal->open = HANDLES;
    uv_poll_start(&renewal->due, UV_READABLE, on_due);
    *ret = renewal;
    return 0;
}

static void one_closed(struct device_renewal *renewal) {
    renewal->open--;
    if (!renewal->closing || renewal->open > 0)
        return;
    wall_timer_free(renewal->wall);
    renewal->closed(renewal->closed_userdata);
    free(renewal);
}

static void on_proof_client_closed(void *userdata) {
    one_closed(userdata);
}

static void on_handle_closed(uv_handle_t *handle) {
    one_closed(handle->data);
}

void device_renewal_close(struct device_renewal *renewal, void (*closed)(void *), void *userdata) {
    if (!renewal) {
        closed(userdata);
        return;
    }
    renewal->closing = true;
    renewal->closed = closed;
    renewal->closed_userdata = userdata;
    stop(renewal);
    uv_close((uv_handle_t *)&renewal->due, on_handle_closed);
    uv_close((uv_handle_t *)&renewal->retry, on_handle_closed);
}
