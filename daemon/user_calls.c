/* Requests from outside, turned into events of one user's machine. */
#include "daemon/user_calls.h"

#include "daemon/user_machine.h"
#include "daemon/user_signing.h"
#include "daemon/user_view.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <string.h>

#define STORAGE_RETRY_S 30
#define UNDECIDED_RETRY_S 1

static bool is_open(const struct user *user) {
    enum user_state state = user->record.state;
    return state == USER_REQUESTED || state == USER_SIGNING || state == USER_DELIVERED;
}

static struct user_answer stale(const struct user *user) {
    return (struct user_answer){
        .kind = ANSWER_STALE, .current = is_open(user) ? user->record.request.id : NULL};
}

static struct user_answer refused(enum reason reason) {
    return (struct user_answer){.kind = ANSWER_REFUSED, .reason = reason};
}

static int64_t rate_wait(const struct user *user) {
    return rate_limit_wait(
        &user->record.rate, user->services->requests_per_hour, clock_wall_s(user->services->clock));
}

/* ---- Submit ---- */

/* The new key's way into the machine. Returns false if nothing follows and `ret` is the answer. */
static bool take_new_key(
    struct user *user, const struct user_csr *csr, const char *text, struct user_answer *ret) {
    const struct user_services *services = user->services;
    char issuer_spki[SHA256_HEX_SIZE], root_spki[SHA256_HEX_SIZE];
    struct user_input input;

    if (user_record_knows_key(&user->record, csr->spki)) {
        *ret = (struct user_answer){.kind = ANSWER_BAD_CSR, .reason = REASON_CSR_KEY_REUSED};
        return false;
    }
    user_input_init(user, &input);
    if (!user_view_trust(services, issuer_spki, root_spki, &input.device_uuid)) {
        *ret = refused(REASON_NOT_ENROLLED);
        return false;
    }
    input.csr = text;
    input.spki = csr->spki;
    input.issuer_spki = issuer_spki;
    input.root_spki = root_spki;
    int r = user_event(user, USER_EVENT_SUBMIT, &input);
    if (r > 0)
        return true;
    if (r == 0 && rate_wait(user) > 0)
        *ret = (struct user_answer){.kind = ANSWER_TOO_SOON, .retry_after_s = rate_wait(user)};
    else if (r == 0)
        *ret = stale(user);
    else
        *ret = (struct user_answer){.kind = ANSWER_RETRY, .retry_after_s = STORAGE_RETRY_S};
    return false;
}

static bool same_key(const struct user *user, const struct user_csr *csr) {
    char hex[SHA256_HEX_SIZE];
    return strcmp(hex_encode(csr->spki, SHA256_SIZE, hex), user->record.request.spki) == 0;
}

/* Returns true if the answer comes later. */
static bool submit(
    struct user *user, const char *request_id, const char *text, struct user_answer *ret) {
    struct user_csr csr = {0};
    enum reason reason = REASON_CSR_INVALID;
    const struct user_record *record = &user->record;

    if (!is_open(user) || strcmp(request_id, record->request.id) != 0) {
        *ret = stale(user);
        return false;
    }
    if (!user_is_wanted(user) && record->state == USER_REQUESTED) {
        /* after a start the agent may be here before the state is: a refusal would end its request
         */
        *ret = user_is_undecided(user)
                   ? (struct user_answer){.kind = ANSWER_RETRY, .retry_after_s = UNDECIDED_RETRY_S}
                   : refused(user_view_reason(user));
        return false;
    }
    int r = user_signing_check_csr(
        text, record->id, request_id, record->request.key_type, &csr, &reason);
    uint8_t *der CLEANUP_FREE = csr.der;
    if (r < 0) {
        *ret = r == -EBADMSG
                   ? (struct user_answer){.kind = ANSWER_BAD_CSR, .reason = reason}
                   : (struct user_answer){.kind = ANSWER_RETRY, .retry_after_s = STORAGE_RETRY_S};
        if (r == -EBADMSG && user_may_log(user))
            log_event(
                LOG_LEVEL_WARNING, MSG_USER_REFUSED, reason_text(reason),
                LOG_TEXT("USER_ID", (const char *)record->id),
                LOG_TEXT("REASON", reason_code(reason)));
        return false;
    }
    if (record->state == USER_REQUESTED || !same_key(user, &csr))
        return take_new_key(user, &csr, text, ret);
    if (record->state == USER_DELIVERED) {
        *ret = (struct user_answer){.kind = ANSWER_BUNDLE, .request = &record->request};
        return false;
    }
    user_advance(user); /* signing: whoever asks first sets a due post going */
    return true;
}

void user_submit(
    struct user *user, const char *request_id, const char *csr, user_submitted done,
    void *userdata) {
    struct user_answer answer = {.kind = ANSWER_RETRY, .retry_after_s = 1};

    user_answer_submit(user, &answer); /* the connection before this one, most likely gone */
    user->submitted = done;
    user->submitted_userdata = userdata;
    user->submitted_until = clock_wall_s(user->services->clock) + USER_SUBMIT_WAIT_S;
    if (!submit(user, request_id, csr, &answer))
        user_answer_submit(user, &answer);
}

void user_submit_forget(struct user *user, void *userdata) {
    if (user->submitted && user->submitted_userdata == userdata)
        user->submitted = NULL;
}

/* ---- Report ---- */

static const char *const outcome_names[] = {"installed", "failed", "removed"};

static int queue_report(
    struct user *user, const struct user_report *report, const char *request_id,
    int64_t not_after) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    const char *serial = report->outcome == OUTCOME_INSTALLED ? report->serial : NULL;

    if (!object || json_fields_add_string(object, "user", user->record.id) < 0 ||
        json_fields_add_string(object, "request_id", request_id) < 0 ||
        json_fields_add_string(object, "outcome", outcome_names[report->outcome]) < 0 ||
        json_fields_add_string(object, "serial", serial) < 0 ||
        (serial && json_fields_add_int(object, "not_after", not_after) < 0) ||
        json_fields_add_string(object, "code", report->code ? report->code : "none") < 0 ||
        json_fields_add(
            object, "stores",
            report->stores ? json_object_get(report->stores) : json_object_new_array()) < 0)
        return -ENOMEM;
    int r = user->services->report(TAKE_PTR(object), user->services->userdata);
    /* no server to tell any more: what was done on the device stands all the same */
    return r == -ENOTCONN ? 0 : r;
}

static bool is_known(const struct user *user, const struct user_report *report) {
    return report->serial && strcmp(user->record.installed.serial, report->serial) == 0;
}

/* Whether the machine has a row for it: asked before the server is told, since the queue cannot
 * take back. */
static bool means_something(const struct user *user, const struct user_report *report) {
    const struct user_request *request = &user->record.request;
    bool this_request =
        request->id[0] && report->request_id && strcmp(request->id, report->request_id) == 0;
    switch (report->outcome) {
    case OUTCOME_INSTALLED:
        return this_request && request->serial[0] && report->serial &&
               strcmp(request->serial, report->serial) == 0 &&
               (user->record.state == USER_DELIVERED || user->record.state == USER_WAITING);
    case OUTCOME_FAILED:
        return user->record.state == USER_REMOVING || (this_request && is_open(user));
    case OUTCOME_REMOVED:
        return user->record.state == USER_REMOVING;
    }
    return false;
}

static bool stores_differ(const struct user *user, const struct user_report *report) {
    return report->stores &&
           !(user->record.stores && json_object_equal(user->record.stores, report->stores));
}

static const int outcome_events[] = {
    USER_EVENT_REPORT_INSTALLED, USER_EVENT_REPORT_FAILED, USER_EVENT_REPORT_REMOVED};

int user_report(struct user *user, const struct user_report *report) {
    struct user_input input;
    int64_t not_after = user->record.request.not_after, now = clock_wall_s(user->services->clock);
    const char *request_id = user->record.request.id[0] ? user->record.request.id : NULL;
    bool repeats = report->outcome == OUTCOME_FAILED && user->record.state == USER_REMOVING;

    if (user->problem != REASON_NONE)
        return 0;
    if (!means_something(user, report)) {
        /* a report whose acknowledgement was lost, and a removal that was done already */
        bool repeated =
            report->outcome == OUTCOME_INSTALLED
                ? is_known(user, report)
                : report->outcome == OUTCOME_REMOVED && user->record.state == USER_ABSENT;
        if (!repeated || !stores_differ(user, report) || report->outcome != OUTCOME_INSTALLED)
            return repeated;
        repeats = true;
        request_id = user->record.installed.request_id;
        not_after = user->record.installed.not_after;
    }
    if (repeats && rate_limit_wait(&user->repeats, USER_REPEATS_PER_HOUR, now) > 0)
        return -EBUSY;
    int r = queue_report(user, report, request_id, not_after);
    if (r < 0)
        return r;
    if (repeats)
        rate_limit_count(&user->repeats, now);
    user_input_init(user, &input);
    input.request_id = report->request_id;
    input.serial = report->serial;
    input.renew_at = report->renew_at;
    input.stores = report->stores;
    input.reason = report->code ? reason_from_code(report->code) : REASON_OTHER;
    return user_event(user, outcome_events[report->outcome], &input);
}

/* ---- Renew ---- */

int user_renew(
    struct user *user, enum request_reason reason, const char **ret_id,
    struct user_answer *ret_answer) {
    struct user_input input;
    int64_t since;
    enum key_type type;

    if (is_open(user)) {
        *ret_id = user->record.request.id;
        return 1;
    }
    *ret_answer = refused(user_view_reason(user));
    if (!user_is_wanted(user) || !user_ordered_key_type(user, &type) ||
        (user->record.state != USER_WAITING && user->record.state != USER_INSTALLED))
        return 0;
    if (!user->services->policy_ready(&since, user->services->userdata)) {
        *ret_answer = refused(REASON_POLICY_DIRECTORY);
        return 0;
    }
    user_input_init(user, &input);
    input.request_reason = reason;
    int r = user_event(user, USER_EVENT_RENEW, &input);
    if (r < 0)
        return r;
    if (r == 0 || !is_open(user)) {
        int64_t wait = rate_wait(user);
        *ret_answer =
            (struct user_answer){.kind = ANSWER_TOO_SOON, .retry_after_s = wait > 0 ? wait : 1};
        return 0;
    }
    *ret_id = user->record.request.id;
    return 1;
}
