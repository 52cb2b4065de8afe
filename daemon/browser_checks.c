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

/* Firefox reads one file, which may be an administrator's: so whatever keeps our preference out of
 * it, or it from being read, is a failure. */
static void judge_firefox(const struct firefox_place_facts *facts, struct check *check) {
    if (facts->error < 0)
        fail(check, REASON_POLICY_DIRECTORY, directory_error(facts->error));
    else if (facts->finding == FIREFOX_POLICY_BROKEN)
        fail(check, REASON_POLICY_BROKEN_FILE, FIREFOX_POLICY_FILE);
    else if (facts->finding == FIREFOX_POLICY_OTHER)
        fail(
            check, REASON_POLICY_CONFLICT,
            "it sets " FIREFOX_POLICY_PREFERENCE " to something else");
    else if (facts->shadowed[0])
        fail(check, REASON_POLICY_CONFLICT, facts->shadowed);
    else if (facts->finding == FIREFOX_POLICY_ABSENT)
        fail(check, facts->is_external ? REASON_POLICY_EXTERNAL : REASON_POLICY_MISSING, NULL);
    else if (!facts->is_readable)
        fail(check, REASON_PERMISSIONS, "users' browsers may not read it; mode 0644");
}

void browser_checks_firefox(const struct firefox_place_facts *facts, struct checks *checks) {
    char subject[MAX_PATH];
    struct check check = {
        .id = "policy",
        .subject = subject,
        .result = CHECK_OK,
        .text = "It lets Firefox choose the certificate by itself.",
    };
    snprintf(subject, sizeof(subject), "%s/" FIREFOX_POLICY_FILE, facts->directory);
    if (facts->error == -ENOENT && !facts->is_made)
        return; /* as above */
    if (!facts->is_wanted) {
        check.result = CHECK_NOT_APPLICABLE;
        check.text = "It is not needed now.";
    } else {
        judge_firefox(facts, &check);
    }
    checks_add(checks, &check);
}

/* ---- browser ---- */

void browser_checks_browser(const struct browser_facts *facts, struct checks *checks) {
    char text[MAX_TEXT];
    struct check check = {
        .id = "browser", .subject = facts->name, .result = CHECK_NOT_APPLICABLE, .text = text};
    if (facts->is_opted_out) {
        check.text = "Installed; it asks which certificate to present, until root opts in "
                     "(devtrustd.conf, [policy] firefox_auto_select).";
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

static void look_at_chromium(
    const struct policy *policy, const char *directory, struct browser_facts *facts) {
    struct policy_place_facts place;
    for (size_t i = 0; policy_examine(policy, i, &place) == 0; i++) {
        facts->is_wanted = place.is_wanted;
        facts->is_external = place.is_external;
        if (directory && strcmp(place.path, directory) == 0)
            facts->has_rules = place_has_rules(&place);
    }
}

static void look_at_firefox(
    const struct policy *policy, const char *directory, struct browser_facts *facts) {
    struct firefox_place_facts place;
    facts->is_opted_out = !policy_has_firefox(policy);
    for (size_t i = 0; policy_examine_firefox(policy, i, &place) == 0; i++) {
        facts->is_wanted = place.is_wanted;
        facts->is_external = place.is_external;
        if (directory && strcmp(place.directory, directory) == 0)
            facts->has_rules = place.error == 0 && place.finding == FIREFOX_POLICY_SET;
    }
}

static void look_at_browser(
    const struct policy *policy, const struct browser_family *family, struct checks *checks) {
    struct browser_facts facts = {.name = family->name, .directory = family->policy_directory};
    if (family->kind == BROWSER_FIREFOX)
        look_at_firefox(policy, family->policy_directory, &facts);
    else
        look_at_chromium(policy, family->policy_directory, &facts);
    browser_checks_browser(&facts, checks);
}

void browser_checks_look(const struct policy *policy, struct checks *checks) {
    struct policy_place_facts place;
    struct firefox_place_facts firefox;
    unsigned installed = 0;

    for (size_t i = 0; policy_examine(policy, i, &place) == 0; i++)
        browser_checks_policy(&place, checks);
    for (size_t i = 0; policy_examine_firefox(policy, i, &firefox) == 0; i++)
        browser_checks_firefox(&firefox, checks);
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
