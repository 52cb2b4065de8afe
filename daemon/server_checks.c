/* See server_checks.h. */
#include "daemon/server_checks.h"

#include "daemon/server_link.h"

#include "common/time_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_TEXT 256

static const char *const not_enrolled = "This device is not enrolled.";

static void add_not_applicable(struct checks *checks, const char *id, const char *text) {
    const struct check check = {.id = id, .result = CHECK_NOT_APPLICABLE, .text = text};
    checks_add(checks, &check);
}

/* ---- device-certificate ---- */

static bool is_overdue(const struct server_facts *facts) {
    int64_t left = facts->not_after - facts->renew_at;
    return facts->now > facts->renew_at + left / SERVER_CHECKS_OVERDUE_PART;
}

static void judge_validity(
    const struct server_facts *facts, char text[MAX_TEXT], struct check *check) {
    char when[TIME_TEXT_SIZE], span[TIME_TEXT_SIZE];
    if (facts->now < facts->not_before) {
        check->result = CHECK_FAILURE;
        check->reason = REASON_NOT_YET_VALID;
    } else if (facts->now >= facts->not_after) {
        check->result = CHECK_FAILURE;
        check->reason = REASON_EXPIRED;
        snprintf(
            text, MAX_TEXT, "The device certificate expired %s ago.",
            time_text_span(facts->now - facts->not_after, span));
        check->text = text;
        if (facts->renewal_reason != REASON_NONE)
            check->detail = reason_text(facts->renewal_reason);
    } else if (is_overdue(facts)) {
        check->result = CHECK_WARNING;
        check->reason = REASON_RENEWAL_OVERDUE;
        if (facts->renewal_reason != REASON_NONE)
            check->detail = reason_text(facts->renewal_reason);
    } else {
        snprintf(
            text, MAX_TEXT, "Good until %.10s, for another %s.",
            time_text_utc(facts->not_after, when),
            time_text_span(facts->not_after - facts->now, span));
        check->text = text;
    }
}

void server_checks_certificate(const struct server_facts *facts, struct checks *checks) {
    char text[MAX_TEXT];
    struct check check = {.id = "device-certificate", .result = CHECK_FAILURE};
    switch (facts->state) {
    case ENROLMENT_NONE:
    case ENROLMENT_CLONED:
    case ENROLMENT_REMOVED:
    case ENROLMENT_HELD:
        check.reason = facts->reason != REASON_NONE ? facts->reason : REASON_NOT_ENROLLED;
        break;
    case ENROLMENT_ENROLLING:
        check.result = facts->reason != REASON_NONE ? CHECK_FAILURE : CHECK_WARNING;
        check.reason = facts->reason != REASON_NONE ? facts->reason : REASON_ENROLLING;
        break;
    case ENROLMENT_ENROLLED:
        check.result = CHECK_OK;
        judge_validity(facts, text, &check);
        break;
    }
    checks_add(checks, &check);
}

/* ---- server ---- */

void probe_facts_take(
    struct probe_facts *facts, const struct server_probe_answer *answer,
    const struct desired_state *here) {
    *facts = (struct probe_facts){.was_asked = true, .answer = *answer};
    facts->answer.state = NULL;
    if (here) {
        memcpy(facts->here_epoch, here->epoch, sizeof(facts->here_epoch));
        facts->here_generation = here->generation;
    }
    if (!answer->state)
        return;
    facts->has_state = true;
    facts->enrolled = answer->state->enrolled;
    facts->distribution = answer->state->distribution;
    facts->generation = answer->state->generation;
    memcpy(facts->epoch, answer->state->epoch, sizeof(facts->epoch));
}

void server_checks_server(
    const struct server_facts *facts, const struct probe_facts *probe, struct checks *checks) {
    char text[MAX_TEXT];
    struct check check = {.id = "server", .subject = facts->url, .result = CHECK_OK};
    if (!probe->was_asked) {
        add_not_applicable(checks, "server", not_enrolled);
        return;
    }
    if (probe->answer.reason != REASON_NONE) {
        check.result = CHECK_FAILURE;
        check.reason = probe->answer.reason;
        check.detail = probe->answer.detail;
    } else {
        snprintf(
            text, sizeof(text), "Answers after %" PRId64 " ms; its TLS certificate is good (%s).",
            probe->answer.latency_ms, facts->has_pin ? "CA as pinned" : "by the CAs of the system");
        check.text = text;
    }
    checks_add(checks, &check);
}

/* ---- clock ---- */

void server_checks_clock(const struct probe_facts *probe, struct checks *checks) {
    char text[MAX_TEXT], span[TIME_TEXT_SIZE];
    struct check check = {.id = "clock", .text = text};
    if (!probe->was_asked || probe->answer.date_s == 0) {
        add_not_applicable(
            checks, "clock",
            probe->was_asked ? "The server has not told its time; there is nothing to compare with."
                             : not_enrolled);
        return;
    }
    int64_t ahead = probe->answer.wall_s - probe->answer.date_s;
    int64_t distance = ahead < 0 ? -ahead : ahead;
    check.result = distance > SERVER_MAX_CLOCK_DIFFERENCE_S ? CHECK_FAILURE
                   : distance > SERVER_CHECKS_CLOCK_DRIFT_S ? CHECK_WARNING
                                                            : CHECK_OK;
    if (check.result == CHECK_OK) {
        check.text = "This device's clock and the server's agree.";
    } else {
        check.reason = REASON_CLOCK;
        snprintf(
            text, sizeof(text), "This device's clock is %s %s the server's.",
            time_text_span(distance, span), ahead > 0 ? "ahead of" : "behind");
    }
    checks_add(checks, &check);
}

/* ---- push ---- */

void server_checks_push(
    const struct server_facts *facts, const struct probe_facts *probe, struct checks *checks) {
    char text[MAX_TEXT], silent[TIME_TEXT_SIZE], ping[TIME_TEXT_SIZE];
    struct check check = {.id = "push", .result = CHECK_OK, .text = text};
    if (!facts->push_used) {
        add_not_applicable(
            checks, "push",
            facts->state == ENROLMENT_REMOVED ? "A removed device has no push channel."
                                              : not_enrolled);
        return;
    }
    time_text_span(facts->push_silent_ms / 1000, silent);
    time_text_span(facts->push_ping_s, ping);
    int64_t late_ms = facts->push_ping_s * 1000 * SERVER_CHECKS_LATE_PINGS_TENTHS / 10;
    if (!facts->push_connected) {
        check.result = CHECK_FAILURE;
        check.reason = REASON_PUSH_DOWN;
        check.text = NULL;
        if (facts->push_reason != REASON_NONE)
            check.detail = reason_text(facts->push_reason);
        if (probe->was_asked && probe->answer.reason != REASON_NONE)
            check.remedy = "It is opened again by itself once the server answers.";
    } else if (facts->push_silent_ms > late_ms) {
        check.result = CHECK_WARNING;
        check.reason = REASON_PUSH_SILENT;
        snprintf(
            text, sizeof(text),
            "Nothing has come over the push channel for %s; a ping is due after %s.", silent, ping);
    } else {
        snprintf(text, sizeof(text), "Open; the server was last heard %s ago.", silent);
    }
    checks_add(checks, &check);
}

/* ---- state ---- */

static bool same_epoch(const struct probe_facts *probe, const char *epoch) {
    return strcmp(probe->epoch, epoch) == 0;
}

/* What came from the server while the rest was looked at is no reproach to either. */
static void judge_generation(
    const struct server_facts *facts, const struct probe_facts *probe, char detail[MAX_TEXT],
    struct check *check) {
    const struct desired_state *here = facts->current;
    bool ahead = same_epoch(probe, probe->here_epoch) && probe->here_generation > probe->generation;
    bool taken = here && same_epoch(probe, here->epoch) && here->generation >= probe->generation;
    if (taken && !ahead)
        return;
    check->result = ahead ? CHECK_FAILURE : CHECK_WARNING;
    check->reason = ahead ? REASON_STATE_AHEAD : REASON_STATE_BEHIND;
    if (here)
        snprintf(
            detail, MAX_TEXT, "here %" PRId64 ", there %" PRId64 "%s", here->generation,
            probe->generation, same_epoch(probe, here->epoch) ? "" : " of another epoch");
    else
        snprintf(detail, MAX_TEXT, "here none, there %" PRId64, probe->generation);
    check->detail = detail;
}

static enum reason distribution_reason(const struct desired_state *state) {
    if (state->distribution == DISTRIBUTION_OFF)
        return REASON_DISTRIBUTION_OFF;
    return state->distribution == DISTRIBUTION_PAUSED ? REASON_DISTRIBUTION_PAUSED : REASON_NONE;
}

/* The state that this device acts by, whatever the server's is. */
static void judge_current(
    const struct server_facts *facts, bool compared, char text[MAX_TEXT], struct check *check) {
    const struct desired_state *here = facts->current;
    enum reason reason = here && here->enrolled ? distribution_reason(here) : REASON_NONE;
    if (facts->sync_reason == REASON_STORAGE || facts->sync_reason == REASON_NEWER_STATE ||
        facts->sync_reason == REASON_STATE_INVALID) {
        check->result = CHECK_FAILURE;
        check->reason = facts->sync_reason;
    } else if (reason != REASON_NONE) {
        check->result = CHECK_FAILURE;
        check->reason = reason;
    } else if (!here) {
        check->result = CHECK_NOT_APPLICABLE;
        check->text = "No desired state has come yet, and the server does not answer.";
    } else {
        snprintf(
            text, MAX_TEXT,
            compared ? "Generation %" PRId64 ", the newest; distribution is on."
                     : "Generation %" PRId64 "; the server does not say whether it is the newest.",
            here->generation);
        check->result = compared ? CHECK_OK : CHECK_NOT_APPLICABLE;
        check->text = text;
    }
}

void server_checks_state(
    const struct server_facts *facts, const struct probe_facts *probe, struct checks *checks) {
    char text[MAX_TEXT], detail[MAX_TEXT];
    struct check check = {.id = "state", .result = CHECK_OK};
    bool removed = facts->state == ENROLMENT_REMOVED;
    if (!facts->device_uuid || removed) {
        add_not_applicable(
            checks, "state", removed ? "The server has removed this device." : not_enrolled);
        return;
    }
    if (probe->has_state)
        judge_generation(facts, probe, detail, &check);
    else if (probe->answer.reason == REASON_STATE_INVALID) {
        check.result = CHECK_FAILURE;
        check.reason = REASON_STATE_INVALID;
        check.detail = probe->answer.detail;
    }
    if (check.result == CHECK_OK)
        judge_current(facts, probe->has_state, text, &check);
    checks_add(checks, &check);
}
