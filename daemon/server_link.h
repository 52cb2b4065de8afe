/* The device's side of the server: identity, enrolment, push, desired state, signing, reports. One
 * object that the rest of the daemon sees; behind it device_identity, enrolment, est_client,
 * http_client, sse_parser, push_stream, server_probe, server_report. Everything runs on the libuv
 * loop and answers by callback, never from inside the call. */
#pragma once

#include "daemon/desired_state.h"
#include "daemon/server_probe.h"

#include "common/clock.h"
#include "common/random.h"
#include "common/reason.h"
#include "common/secret.h"

#include <json-c/json_object.h>
#include <openssl/x509.h>
#include <uv.h>

/* The clock is wrong when it differs more from the server's. */
#define SERVER_MAX_CLOCK_DIFFERENCE_S 300

struct server_link;

struct server_link_options {
    uv_loop_t *loop;
    const struct clock_source *clock;
    const struct random_source *random;
    const char *state_dir;          /* device.json, device.key, desired.json, reports/ */
    const char *enroll_config_path; /* consumed and wiped at start if it exists */
    const char *machine_id_path;
    int64_t state_poll_s; /* the desired state is fetched at least so often */
    /** A new desired state was taken, or the stored one loaded at start. Never called for an error
     * or an absence. */
    void (*state_changed)(const struct desired_state *state, void *userdata);
    /** Enrolment, push or clock status changed. */
    void (*status_changed)(void *userdata);
    void *userdata;
};

/** Reads the identity (no network) and starts to connect. Returns 0 or a negative errno; a missing
 * or broken identity is a status, not an error. */
int server_link_new(const struct server_link_options *options, struct server_link **ret);

/** Ends every transfer; `closed` runs when the loop holds nothing of it, after which it is freed.
 */
void server_link_close(struct server_link *link, void (*closed)(void *), void *userdata);

/** Enrols, once at a time. Owns `token`. `ca_pin`: hex SHA-256 of the SubjectPublicKeyInfo of a CA
 * in the server's TLS chain, or NULL. A lost reply is retried with the same CSR until answered or
 * refused; `done` is told the first final result (a refusal, or success), or
 * REASON_SERVER_UNREACHABLE after 30 s while the attempts go on. */
typedef void (*server_link_enrolled)(enum reason reason, const char *device_uuid, void *userdata);
int server_link_enroll(
    struct server_link *link, const char *url, struct secret *token, const char *ca_pin,
    server_link_enrolled done, void *userdata);

/** Notes on disk that local root has removed everything and wants it so (true), or ends that
 * (false). Held: the state `held`, and no signing; the identity stays, for reports and for the end
 * of the hold. A pending enrolment is given up. An enrolment that succeeds ends a hold. Returns 0,
 * -ENOTCONN (not enrolled), or a negative errno (nothing changed). */
int server_link_hold(struct server_link *link, bool hold);
bool server_link_is_held(struct server_link *link);

enum sign_outcome {
    SIGN_ISSUED,  /* certificates */
    SIGN_RETRY,   /* 202, 429, 5xx, network: post the same CSR again after retry_after_ms (jitter is
                     the caller's) */
    SIGN_REFUSED, /* 401 or 403: reason; wait for a new generation */
    SIGN_FAILED, /* another 4xx, or an answer that is no PKCS#7: reason; back off with a new request
                  */
};
typedef void (*server_link_signed)(
    enum sign_outcome outcome, STACK_OF(X509) * certificates, int64_t retry_after_ms,
    enum reason reason, void *userdata);

/** Posts one user CSR to simpleenroll, label from the desired state. `certificates` is borrowed by
 * the callback. Returns 0, or -ENOTCONN when not enrolled (no callback), -EBUSY past 64 at once. */
int server_link_sign(
    struct server_link *link, const uint8_t *csr, size_t size, server_link_signed done,
    void *userdata);

/** Cancels callbacks for `userdata` (the user's machine goes away). */
void server_link_cancel(struct server_link *link, void *userdata);

/** Queues a report durably (file, fsync) and sends it until the server has it; at most 1024
 * waiting, one per (user, request id, outcome). Owns `report`. Returns 0 or a negative errno. */
int server_link_report(struct server_link *link, struct json_object *report);

/** The pinned trust chain, verified at enrolment (root) and by signature (issuer). NULL before.
 * Borrowed. */
X509 *server_link_trust_root(struct server_link *link);
X509 *server_link_trust_issuer(struct server_link *link);
const char *server_link_device_uuid(struct server_link *link); /* NULL when not enrolled */
const char *server_link_url(struct server_link *link);

/** The last desired state that was taken; NULL: none. Borrowed until the next state_changed. */
const struct desired_state *server_link_state(struct server_link *link);

/** For GetStatus: the members `enrolment` and `push` of io.devtrust.Device. The caller owns both.
 * Returns 0 or -ENOMEM. */
int server_link_status(
    struct server_link *link, struct json_object **ret_enrolment, struct json_object **ret_push);

/** Asks the server over a connection of its own (server_probe.h): `done` once, from the loop,
 * unless cancelled. Returns 0, -ENOTCONN (not enrolled), -EBUSY, or another negative errno. */
int server_link_probe(struct server_link *link, server_probe_done done, void *userdata);
void server_link_probe_cancel(struct server_link *link, const void *userdata);

/** Fetches the desired state now (a hint from outside: resume, network back). */
void server_link_refresh(struct server_link *link);

/** The machine has woken from sleep, or its network is back: the same, with a push stream and
 * connections of the network that there is now, and a renewal of the device
 * certificate that waits; but nothing where the server itself has just said that it is overloaded
 * or broken, for then the network is not what was missing, and no renewal that it has ordered to
 * wait.
 */
void server_link_wake(struct server_link *link);

/** Does now what would be done later by itself: the same, and a renewal of the device certificate
 * that failed. Since any local user may ask, the one at most every SERVER_LINK_REFRESH_REST_MS, the
 * other every SERVER_LINK_REPAIR_REST_MS. Returns whether such a renewal was set going. */
#define SERVER_LINK_REFRESH_REST_MS SERVER_PROBE_REST_MS
#define SERVER_LINK_REPAIR_REST_MS 10000
bool server_link_repair(struct server_link *link);
