/* See browser_checks.h. */
#include "daemon/browser_checks.h"

#include "daemon/policy_merge.h"

#include "common/browser_family.h"
#include "common/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_TEXT 256
#define MAX_PATH 4096

/* ---- policy ---- */

static const char *directory_error(int error) {
    switch (error) {
    case -ENOENT:
        return "it is missing";
    case -EPERM:
        return "not root's, or writable by others";
    case -ELOOP:
    case -ENOTDIR:
        return "no directory of its own";
    default:
        return strerror(-error);
    }
}

static void fail(struct check *check, enum reason reason, const char *detail) {
    check->result = CHECK_FAILURE;
    check->reason = reason;
    check->text = NULL;
    check->detail = detail;
}

static void warn(struct check *check, enum reason reason, const char *detail) {
    fail(check, reason, detail);
    check->result = CHECK_WARNING;
}

/* What is worst comes first; the rest shows once that is mended. */
static void judge_own(const struct policy_place_facts *facts, struct check *check) {
    if (facts->own_error == -ENOENT)
        fail(check, REASON_POLICY_MISSING, NULL);
    else if (facts->own_error < 0)
        fail(check, REASON_STORAGE, strerror(-facts->own_error));
    else if (!facts->own_is_json)
        fail(check, REASON_POLICY_CHANGED, "not valid JSON: browsers ignore it");
    else if (!facts->own_is_readable)
        fail(check, REASON_POLICY_CHANGED, "users' browsers may not read it");
    else if (!facts->own_is_same)
        fail(check, REASON_POLICY_CHANGED, NULL);
    else if (facts->conflict_file[0])
        fail(check, REASON_POLICY_CONFLICT, facts->conflict_file);
    else if (facts->broken_file[0])
        warn(check, REASON_POLICY_BROKEN_FILE, facts->broken_file);
    else if (facts->refused[0])
        warn(check, REASON_PATTERN_REFUSED, facts->refused);
}

void browser_checks_policy(const struct policy_place_facts *facts, struct checks *checks) {
    char text[MAX_TEXT], subject[MAX_PATH];
    struct check check = {.id = "policy", .subject = subject, .result = CHECK_OK, .text = text};
    bool has_file = facts->is_wanted && !facts->is_external && facts->error >= 0;

    snprintf(subject, sizeof(subject), "%s%s", facts->path, has_file ? "/" POLICY_MERGE_FILE : "");
    if (facts->error == -ENOENT && !facts->is_made)
        return; /* a browser that needs it says so itself */
    if (!facts->is_wanted) {
        check.result = CHECK_NOT_APPLICABLE;
        check.text = "No user needs it now.";
    } else if (facts->is_external) {
        snprintf(
            text, sizeof(text), "Another tool owns the policy; our rules stand in it (%zu).",
            facts->rules);
        if (facts->error < 0 && facts->error != -ENOENT)
            fail(&check, REASON_POLICY_DIRECTORY, directory_error(facts->error));
        else if (facts->error < 0 || !facts->others_have_rules)
            fail(&check, REASON_POLICY_EXTERNAL, NULL);
    } else if (facts->error < 0) {
        fail(&check, REASON_POLICY_DIRECTORY, directory_error(facts->error));
    } else {
        snprintf(
            text, sizeof(text), "%zu rule%s of ours, as written; no other file overrides them.",
            facts->rules, facts->rules == 1 ? "" : "s");
        judge_own(facts, &check);
    }
    checks_add(checks, &check);
}

/* ---- browser ---- */

void browser_checks_browser(const struct browser_facts *facts, struct checks *checks) {
    char text[MAX_TEXT];
    struct check check = {
        .id = "browser", .subject = facts->name, .result = CHECK_NOT_APPLICABLE, .text = text};
    if (!facts->is_supported) {
        check.text = "Installed; this version does not set its policy: it asks which certificate "
                     "to present.";
    } else if (!facts->directory) {
        check.text = "Installed; where it reads its policy is not known: it asks which certificate "
                     "to present.";
    } else if (!facts->is_wanted) {
        check.text = "Installed; no user needs its policy now.";
    } else if (facts->has_rules) {
        check.result = CHECK_OK;
        snprintf(text, sizeof(text), "Installed, with its policy in %s.", facts->directory);
    } else {
        warn(&check, facts->is_external ? REASON_POLICY_EXTERNAL : REASON_BROWSER_NO_POLICY, NULL);
        check.detail = facts->directory;
    }
    checks_add(checks, &check);
}

static bool place_has_rules(const struct policy_place_facts *facts) {
    if (facts->error < 0)
        return false;
    return facts->is_external ? facts->others_have_rules
                              : facts->own_error == 0 && facts->own_is_json;
}

static void look_at_browser(
    const struct policy *policy, const struct browser_family *family, struct checks *checks) {
    struct policy_place_facts place;
    struct browser_facts facts = {
        .name = family->name,
        .directory = family->policy_directory,
        .is_supported = family->kind == BROWSER_CHROMIUM,
    };
    for (size_t i = 0; policy_examine(policy, i, &place) == 0; i++) {
        facts.is_wanted = place.is_wanted;
        facts.is_external = place.is_external;
        if (family->policy_directory && strcmp(place.path, family->policy_directory) == 0)
            facts.has_rules = place_has_rules(&place);
    }
    browser_checks_browser(&facts, checks);
}

void browser_checks_look(const struct policy *policy, struct checks *checks) {
    struct policy_place_facts place;
    unsigned installed = 0;

    for (size_t i = 0; policy_examine(policy, i, &place) == 0; i++)
        browser_checks_policy(&place, checks);
    for (const struct browser_family *family = browser_families; family->id; family++) {
        if (!browser_family_is_installed(family))
            continue;
        look_at_browser(policy, family, checks);
        installed++;
    }
    const struct check none = {
        .id = "browser",
        .result = CHECK_NOT_APPLICABLE,
        .text = "No browser that this version knows is installed.",
    };
    if (installed == 0)
        checks_add(checks, &none);
}
