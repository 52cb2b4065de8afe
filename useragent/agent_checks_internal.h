/* What the parts of agent_checks_run() share: stores (agent_checks.c), browsers, home. */
#pragma once

#include "useragent/agent_checks.h"

struct agent_checks {
    struct agent_work *work;
    const struct ours *ours;
    struct inspection *inspection;
    bool good[STORE_MAX]; /* the current certificate is in this store and its key signs */
};

/** Whether a certificate should be where browsers look. */
static inline bool agent_checks_expect_one(const struct agent_checks *checks) {
    return inspection_mode(checks->inspection) == AGENT_MODE_CERTIFICATE;
}

/** browser-store, browser-restart; after the stores. */
void browser_checks_run(struct agent_checks *checks);

/** home-disk, home-permissions, agent-record. */
void home_checks_run(struct agent_checks *checks);
