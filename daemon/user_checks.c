/* See user_checks.h. */
#include "daemon/user_checks.h"

#include "common/cleanup.h"
#include "common/time_text.h"
#include "common/version.h"

#include <stdio.h>
#include <string.h>

#define MAX_TEXT 256

/* The device's own checks say these; of the user there is nothing to tell while they hold. */
static bool is_of_the_device(enum reason reason) {
    return reason == REASON_NOT_ENROLLED || reason == REASON_DEVICE_REMOVED ||
           reason == REASON_DISTRIBUTION_OFF || reason == REASON_DISTRIBUTION_PAUSED;
}

/* No certificate, however good, makes up for these. */
static bool is_final(enum reason reason) {
    static const enum reason final[] = {
        REASON_NOT_MANAGED, REASON_USER_UNKNOWN,   REASON_USER_REFUSED, REASON_USER_CHANGED,
        REASON_NEWER_STATE, REASON_SERVER_REFUSED, REASON_HELD,
    };
    for (size_t i = 0; i < ARRAY_LENGTH(final); i++)
        if (final[i] == reason)
            return true;
    return false;
}

static bool has_valid(const struct user_facts *facts) {
    return facts->serial[0] && facts->not_after > facts->now;
}

static bool is_overdue(const struct user_facts *facts) {
    int64_t left = facts->not_after - facts->renew_at;
    return facts->renew_at > 0 && left > 0 &&
           facts->now > facts->renew_at + left / USER_CHECKS_OVERDUE_PART;
}

/* ---- user ---- */

static void judge_removing(const struct user_facts *facts, struct check *check) {
    bool is_absent = facts->reason == REASON_NO_AGENT || facts->reason == REASON_NOT_SIGNED_IN;
    bool waits = is_absent || is_of_the_device(facts->reason) || facts->reason == REASON_HELD ||
                 facts->reason == REASON_NOT_MANAGED;
    check->result = waits || facts->reason == REASON_NONE ? CHECK_WARNING : CHECK_FAILURE;
    check->reason = check->result == CHECK_WARNING ? REASON_REMOVING : facts->reason;
    if (is_absent)
        check->detail = reason_text(facts->reason);
}

static void judge_valid(const struct user_facts *facts, char text[MAX_TEXT], struct check *check) {
    char until[TIME_TEXT_SIZE];
    snprintf(
        text, MAX_TEXT, "Certificate %.8s is good until %.10s.", facts->serial,
        time_text_utc(facts->not_after, until));
    check->text = text;
    if (facts->reason != REASON_NONE) {
        check->result = CHECK_WARNING;
        check->reason = facts->reason;
        check->text = NULL;
        check->detail = text;
    } else if (is_overdue(facts)) {
        check->result = CHECK_WARNING;
        check->reason = REASON_RENEWAL_OVERDUE;
        check->text = NULL;
        check->detail = text;
    }
}

static void judge_waiting(
    const struct user_facts *facts, char text[MAX_TEXT], struct check *check) {
    char span[TIME_TEXT_SIZE];
    static const char *const where[USER_STATE_COUNT_] = {
        [USER_REQUESTED] = "The agent has been asked for a signing request.",
        [USER_SIGNING] = "The signing request is at the server.",
        [USER_DELIVERED] = "The agent is installing the certificate.",
    };
    check->result = CHECK_WARNING;
    check->reason = REASON_USER_WAITING;
    if (where[facts->state]) {
        check->text = where[facts->state];
    } else if (facts->due > facts->now) {
        snprintf(
            text, MAX_TEXT, "The certificate is on its way; its turn comes in %s.",
            time_text_span(facts->due - facts->now, span));
        check->text = text;
    }
}

void user_checks_user(const struct user_facts *facts, struct checks *checks) {
    char text[MAX_TEXT];
    struct check check = {.id = "user", .user = facts->name, .result = CHECK_OK};
    if (facts->state == USER_REMOVING) {
        judge_removing(facts, &check);
    } else if (
        is_of_the_device(facts->reason) || (facts->reason == REASON_HELD && !facts->is_held)) {
        check.result = CHECK_NOT_APPLICABLE;
        check.reason = facts->reason;
    } else if (!has_valid(facts) && facts->reason == REASON_NOT_SIGNED_IN) {
        check.result = CHECK_WARNING; /* nobody's fault; it begins when he comes */
        check.reason = facts->reason;
    } else if (is_final(facts->reason) || (!has_valid(facts) && facts->reason != REASON_NONE)) {
        check.result = CHECK_FAILURE;
        check.reason = facts->reason;
    } else if (has_valid(facts)) {
        judge_valid(facts, text, &check);
    } else {
        judge_waiting(facts, text, &check);
    }
    checks_add(checks, &check);
}

void user_checks_stranger(const char *name, enum reason device_reason, struct checks *checks) {
    const struct check check = {
        .id = "user",
        .user = name,
        .result = device_reason != REASON_NONE ? CHECK_NOT_APPLICABLE : CHECK_FAILURE,
        .reason = device_reason != REASON_NONE ? device_reason : REASON_NOT_MANAGED,
    };
    checks_add(checks, &check);
}

/* ---- agent ---- */

/* Where root looks at somebody who may not even have signed in, a certificate that is good needs no
 * agent for now. */
static void judge_absent(const struct user_facts *facts, struct check *check) {
    bool idle = facts->state == USER_ABSENT && is_of_the_device(facts->reason);
    bool good = facts->state == USER_INSTALLED && has_valid(facts) && !is_overdue(facts);
    if (facts->login == LOGIN_NO && !facts->is_own) {
        check->result = CHECK_NOT_APPLICABLE;
        check->reason = REASON_NOT_SIGNED_IN;
        return;
    }
    check->result = idle                     ? CHECK_NOT_APPLICABLE
                    : !facts->is_own && good ? CHECK_WARNING
                                             : CHECK_FAILURE;
    check->reason = REASON_NO_AGENT;
}

static void judge_version(
    const struct user_facts *facts, char text[MAX_TEXT], struct check *check) {
    const char *version = facts->agent_version ? facts->agent_version : "?";
    if (strcmp(version, DEVTRUST_VERSION) == 0) {
        snprintf(text, MAX_TEXT, "Attached and answering, version %s.", version);
        check->text = text;
        return;
    }
    check->result = CHECK_WARNING;
    check->reason = REASON_VERSION_MISMATCH;
    snprintf(text, MAX_TEXT, "agent %s, devtrustd %s", version, DEVTRUST_VERSION);
    check->detail = text;
}

void user_checks_agent(const struct user_facts *facts, struct checks *checks) {
    char text[MAX_TEXT];
    struct check check = {.id = "agent", .user = facts->name, .result = CHECK_OK};
    if (facts->outcome == INSPECTION_TIMEOUT) {
        check.result = CHECK_FAILURE;
        check.reason = REASON_AGENT_TIMEOUT;
    } else if (facts->outcome != INSPECTION_ANSWERED) {
        judge_absent(facts, &check);
    } else {
        judge_version(facts, text, &check);
    }
    checks_add(checks, &check);
    const struct check older = {
        .id = "store",
        .user = facts->name,
        .result = CHECK_NOT_APPLICABLE,
        .text = "The agent is older; it does not say how stores and browsers are.",
    };
    if (facts->outcome == INSPECTION_ANSWERED && !facts->has_checks)
        checks_add(checks, &older);
}
