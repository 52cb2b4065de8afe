/* Judges the browsers' side for Diagnose: policy (each directory of ours) and browser (each that is
 * installed). Facts in, checks out. */
#pragma once

#include "daemon/checks.h"
#include "daemon/policy.h"

void browser_checks_policy(const struct policy_place_facts *facts, struct checks *checks);

/** The same of a Firefox. */
void browser_checks_firefox(const struct firefox_place_facts *facts, struct checks *checks);

struct browser_facts {
    const char *name;      /* for people */
    const char *directory; /* where it reads managed policy; NULL: not known */
    bool is_opted_out;     /* a Firefox, and root has not opted in */
    bool is_external;      /* another tool owns the policy */
    bool is_wanted;        /* a managed user needs the rules */
    bool has_rules;        /* ours stand where it reads them */
};

void browser_checks_browser(const struct browser_facts *facts, struct checks *checks);

/** Looks at every place of the policy, and at every browser that is installed. */
void browser_checks_look(const struct policy *policy, struct checks *checks);
