/* The one place that knows EST's paths, types and encodings. */
#include "daemon/est_client.h"

#include "daemon/http_problem.h"

#include "common/buffer.h"
#include "common/est_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CACERTS_DEADLINE_MS 30000
#define ENROL_DEADLINE_MS 60000
#define MAX_URL 1024

struct est_request {
    struct http_transfer *transfer;
    const struct clock_source *clock;
    bool with_token;
    est_done done;
    void *userdata;
};

static int make_url(const struct est_target *target, const char *operation, char ret[MAX_URL]) {
    int size = snprintf(
        ret, MAX_URL, "%s/.well-known/est%s%s/%s", target->url, target->label ? "/" : "",
        target->label ? target->label : "", operation);
    return size < 0 || size >= MAX_URL ? -EINVAL : 0;
}

static enum est_outcome judge_status(const struct http_answer *answer) {
    if (http_problem_is_transient(answer))
        return EST_RETRY;
    if (answer->reason == REASON_NONE && (answer->status == 401 || answer->status == 403))
        return EST_REFUSED;
    if (answer->reason == REASON_NONE && answer->status == 200)
        return EST_ISSUED;
    return EST_FAILED;
}

static enum reason judge_reason(
    const struct est_request *request, const struct http_answer *answer) {
    if (answer->status == 401 && request->with_token && answer->reason == REASON_NONE)
        return REASON_TOKEN_REFUSED;
    enum reason reason = http_problem_reason(answer);
    /* 2xx that is neither 200 nor 202 means nothing in EST. */
    return reason == REASON_NONE && answer->status != 200 && answer->status != 202
               ? REASON_SERVER_ANSWER
               : reason;
}

static void on_done(const struct http_answer *http, void *userdata) {
    struct est_request *request = userdata;
    CLEANUP_CERTS STACK_OF(X509) *certificates = NULL;
    struct est_answer answer = {
        .outcome = judge_status(http),
        .reason = judge_reason(request, http),
        .status = http->status,
        .retry_after_ms = http_problem_retry_after_ms(http, request->clock),
        .detail = http->detail,
    };
    if (answer.outcome == EST_ISSUED) {
        if (!est_is_pkcs7(http->content_type))
            answer.reason = REASON_SERVER_ANSWER;
        else if (est_certs_decode(http->body, http->size, &certificates) < 0)
            answer.reason = REASON_BUNDLE_INVALID;
        if (answer.reason != REASON_NONE)
            answer.outcome = EST_FAILED;
    }
    answer.certificates = certificates;
    request->done(&answer, request->userdata);
    free(request);
}

static int send_request(
    const struct est_target *target, const struct http_request *http, struct est_request *request,
    struct est_request **ret) {
    request->clock = target->clock;
    struct http_request full = *http;
    full.done = on_done;
    full.userdata = request;
    full.maximum = EST_MAX_BODY;
    int r = http_client_send(target->client, &full, &request->transfer);
    if (r < 0)
        return r;
    if (ret)
        *ret = request;
    return 0;
}

static struct est_request *new_request(est_done done, void *userdata, bool with_token) {
    struct est_request *request = calloc(1, sizeof(*request));
    if (request) {
        request->done = done;
        request->userdata = userdata;
        request->with_token = with_token;
    }
    return request;
}

int est_client_cacerts(
    const struct est_target *target, est_done done, void *userdata, struct est_request **ret) {
    char url[MAX_URL];
    int r = make_url(target, "cacerts", url);
    if (r < 0)
        return r;
    struct est_request *request = new_request(done, userdata, false);
    if (!request)
        return -ENOMEM;
    const struct http_request http = {
        .method = HTTP_GET,
        .url = url,
        .accept = "application/pkcs7-mime",
        .deadline_ms = CACERTS_DEADLINE_MS,
    };
    r = send_request(target, &http, request, ret);
    if (r < 0)
        free(request);
    return r;
}

int est_client_enroll(
    const struct est_target *target, const struct est_enrolment *enrolment, est_done done,
    void *userdata, struct est_request **ret) {
    char url[MAX_URL];
    int r = make_url(target, enrolment->renew ? "simplereenroll" : "simpleenroll", url);
    if (r < 0)
        return r;
    CLEANUP_BUFFER struct buffer body = BUFFER_INIT(EST_MAX_BODY);
    r = est_base64_encode(enrolment->csr, enrolment->size, &body);
    if (r < 0)
        return r;
    struct est_request *request = new_request(done, userdata, enrolment->basic != NULL);
    if (!request)
        return -ENOMEM;
    const struct http_request http = {
        .method = HTTP_POST,
        .url = url,
        .accept = "application/pkcs7-mime",
        .content_type = "application/pkcs10",
        .basic = enrolment->basic,
        .body = body.data,
        .body_size = body.size,
        .deadline_ms = ENROL_DEADLINE_MS,
    };
    r = send_request(target, &http, request, ret);
    if (r < 0)
        free(request);
    return r;
}

void est_request_cancel(struct est_request *request) {
    if (!request)
        return;
    http_transfer_cancel(request->transfer);
    free(request);
}
