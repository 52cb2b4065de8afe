/* Enrolment over Secure Transport, the client's side (RFC 7030, RFC 8951): cacerts, simpleenroll,
 * simplereenroll. Tolerant of what other servers do (wrapped base64, any white space, media types
 * with parameters, 202 and Retry-After). */
#pragma once

#include "daemon/http_client.h"

#include "common/clock.h"

#include <openssl/x509.h>

enum est_outcome {
    EST_ISSUED,  /* certificates */
    EST_RETRY,   /* the same request again, not before retry_after_ms: 202, 429, 5xx, network */
    EST_REFUSED, /* 401 or 403: reason */
    EST_FAILED,  /* another answer, or one that is no PKCS#7: reason */
};

struct est_answer {
    enum est_outcome outcome;
    enum reason reason;
    int status;                    /* HTTP's; 0: no answer */
    STACK_OF(X509) * certificates; /* ISSUED; borrowed by the callback */
    int64_t retry_after_ms;
    const char *detail; /* for the log; not escaped */
};

typedef void (*est_done)(const struct est_answer *answer, void *userdata);

struct est_request;

struct est_target {
    struct http_client *client;
    const struct clock_source *clock;
    const char *url;   /* https://HOST[:PORT] */
    const char *label; /* [A-Za-z0-9._-]{1,64}; NULL: none */
};

/** GET cacerts. `done` once, later, unless cancelled. Returns 0 or a negative errno. `ret` may be
 * NULL. */
int est_client_cacerts(
    const struct est_target *target, est_done done, void *userdata, struct est_request **ret);

struct est_enrolment {
    const uint8_t *csr; /* DER; copied */
    size_t size;
    bool renew;           /* simplereenroll */
    struct secret *basic; /* "token-id:secret"; borrowed during the call; NULL: none */
};

/** POST simpleenroll or simplereenroll. As above. */
int est_client_enroll(
    const struct est_target *target, const struct est_enrolment *enrolment, est_done done,
    void *userdata, struct est_request **ret);

/** Ends a request without its callback; NULL is fine. Not once `done` runs. */
void est_request_cancel(struct est_request *request);
