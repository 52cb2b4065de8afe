/* What a doctor found: checks of the daemon's and of ours, counted, judged, and shown to people. */
#pragma once

#include "ipc/ctl/ctl.h"

enum finding_result { FINDING_OK, FINDING_WARNING, FINDING_FAILURE, FINDING_NOT_APPLICABLE };

/* One check. Strings are borrowed from the JSON; NULL: absent. */
struct finding {
    const char *id, *user, *subject, *code, *text, *remedy;
    enum finding_result result;
};

struct findings {
    struct json_object *checks; /* array of io.devtrust.Device's Check */
    unsigned ok, warnings, failures, not_applicable;
    int status; /* exit status beyond "a check failed": CTL_GOOD, CTL_UNREACHABLE … */
};

/** A zeroed one is empty. */
void findings_deinit(struct findings *findings);
#define CLEANUP_FINDINGS CLEANUP(findings_deinit)

/** Adds a check of ours: OK (reason NONE, `text`), or the reason with its words (`text` NULL) or
 * `text` instead. `subject`: NULL: none. Returns 0 or -ENOMEM. */
int findings_add(
    struct findings *findings, const char *id, const char *subject, enum finding_result result,
    enum reason reason, const char *text);

/** Adds the daemon's (array of Check). Returns 0, -EINVAL (not of that shape), -ENOMEM. */
int findings_take(struct findings *findings, struct json_object *checks);

size_t findings_length(const struct findings *findings);
struct finding findings_get(const struct findings *findings, size_t index);

/** {checks, ok, warnings, failures, not_applicable}; NULL when memory is out. The caller owns it.
 */
struct json_object *findings_to_json(const struct findings *findings);

/** The exit status that they mean. */
int findings_status(const struct findings *findings);

/** For people: by theme, one line each; under what is not well its code and what to do.
 * `only_bad`: warnings and failures alone. */
void findings_print(const struct ctl *ctl, const struct findings *findings, bool only_bad);

/** The closing lines: how many of each, the codes of what is not well, what to do next. */
void findings_print_summary(const struct ctl *ctl, const struct findings *findings);
