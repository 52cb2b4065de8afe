/* Brings one user's signing request to the server and takes the answer. */
#include "daemon/user_posting.h"

#include "daemon/user_machine.h"
#include "daemon/user_signing.h"

#include "common/cleanup.h"
#include "common/est_message.h"
#include "common/x509_csr.h"

#include <errno.h>
#include <string.h>

#define NOT_CONNECTED_RETRY_S 30
#define NEVER INT64_MAX

static int64_t now_s(const struct user *user) {
    return clock_wall_s(user->services->clock);
}

/* ---- the server's answer ---- */

static int take_bundle(struct user *user, STACK_OF(X509) * certificates, enum reason *ret_reason) {
    const struct user_services *services = user->services;
    const struct desired_state *state = user->orders->state;
    struct user_bundle bundle CLEANUP(user_bundle_deinit) = {0};
    struct user_bundle_expectation expectation = {
        .spki = user->record.request.spki,
        .user_id = user->record.id,
        .lifetime_s = state && state->enrolled ? state->lifetime_s : 0,
        .now_s = services->clock_agrees(services->userdata) ? now_s(user) : 0,
    };
    struct user_input input;
    X509 *issuer;

    if (!services->trust(
            &expectation.trust_root, &issuer, &expectation.device_uuid, services->userdata)) {
        *ret_reason = REASON_NOT_ENROLLED;
        return -EBADMSG;
    }
    int r = user_signing_check_bundle(certificates, &expectation, &bundle, ret_reason);
    if (r < 0)
        return r;
    user_input_init(user, &input);
    input.root = bundle.root;
    input.intermediate = bundle.intermediate;
    input.leaf = bundle.leaf;
    input.serial = bundle.serial;
    input.not_after = bundle.not_after;
    return user_event(user, USER_EVENT_ISSUED, &input);
}

static void fail_signing(
    struct user *user, enum user_event event, enum reason reason, int64_t retry_after_s) {
    struct user_input input;
    user_input_init(user, &input);
    input.reason = reason;
    input.retry_after_s = retry_after_s;
    input.epoch = user->posted_epoch;
    input.generation = user->posted_generation;
    (void)user_event(user, event, &input);
}

static void signed_by_server(
    enum sign_outcome outcome, STACK_OF(X509) * certificates, int64_t retry_after_ms,
    enum reason reason, void *userdata) {
    struct user *user = userdata;

    user->in_flight = false;
    switch (outcome) {
    case SIGN_ISSUED:
        if (take_bundle(user, certificates, &reason) == -EBADMSG)
            fail_signing(user, USER_EVENT_BAD_ANSWER, reason, 0);
        break;
    case SIGN_RETRY:
        fail_signing(user, USER_EVENT_RETRY, reason, (retry_after_ms + 999) / 1000);
        break;
    case SIGN_REFUSED:
        fail_signing(user, USER_EVENT_FORBIDDEN, reason, 0);
        break;
    case SIGN_FAILED:
        fail_signing(user, USER_EVENT_BAD_ANSWER, reason, 0);
        break;
    }
}

/* ---- the post ---- */

static void post(struct user *user) {
    const struct user_services *services = user->services;
    const struct user_request *request = &user->record.request;
    const struct desired_state *state = user->orders->state;
    uint8_t *der CLEANUP_FREE = NULL;
    size_t size = 0;

    if (est_base64_decode(request->csr, strlen(request->csr), X509_CSR_MAX_SIZE, &der, &size) < 0) {
        user->post_not_before =
            NEVER; /* a state file from elsewhere; its deadline is the agent's */
        return;
    }
    int r = services->sign(der, size, signed_by_server, user, services->userdata);
    user->sign_busy = r == -EBUSY;
    if (r < 0) {
        user->post_not_before = now_s(user) + NOT_CONNECTED_RETRY_S;
        return;
    }
    user->in_flight = true;
    memcpy(user->posted_spki, request->spki, sizeof(user->posted_spki));
    memcpy(user->posted_epoch, state->epoch, sizeof(user->posted_epoch));
    user->posted_generation = state->generation;
}

void user_posting_cancel(struct user *user) {
    if (user->in_flight)
        user->services->sign_cancel(user, user->services->userdata);
    user->in_flight = false;
    user->sign_busy = false;
}

int64_t user_posting_possible_at(const struct user *user) {
    int64_t then = user->post_not_before;
    return then == NEVER ? then : user_effective_due(then, now_s(user), NOT_CONNECTED_RETRY_S);
}

void user_posting_keep(struct user *user) {
    const struct user_record *record = &user->record;
    bool signing = record->state == USER_SIGNING && user_is_wanted(user);
    if (user->in_flight && (!signing || strcmp(user->posted_spki, record->request.spki) != 0))
        user_posting_cancel(user);
    if (!signing) {
        user->post_not_before = 0;
        user->sign_busy = false;
        return;
    }
    int64_t now = now_s(user);
    if (!user->in_flight &&
        now >= user_effective_due(record->due, now, DESIRED_STATE_MAX_SPLAY_S) &&
        (user->sign_busy || now >= user_posting_possible_at(user)))
        post(user);
}
