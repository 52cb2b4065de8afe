/* Judges the device's side of the server for Diagnose: device-certificate, server, clock, push,
 * state. Facts in, checks out. */
#pragma once

#include "daemon/checks.h"
#include "daemon/server_probe.h"
#include "daemon/server_status.h"

/* So far off the server's clock is a warning; wrong is SERVER_MAX_CLOCK_DIFFERENCE_S. */
#define SERVER_CHECKS_CLOCK_DRIFT_S 60

/* A renewal is overdue when it has been due for this part of the time that is left for it. */
#define SERVER_CHECKS_OVERDUE_PART 10

/* A ping may be so late, in tenths of its interval; at 25 the channel counts as dead. */
#define SERVER_CHECKS_LATE_PINGS_TENTHS 15

/** A probe's answer, kept: what it borrowed is gone when it is judged. */
struct probe_facts {
    bool was_asked;
    struct server_probe_answer answer; /* state is NULL */
    bool has_state, enrolled;
    enum distribution distribution;
    char epoch[37], here_epoch[37]; /* here: as this device had it when the answer came */
    int64_t generation, here_generation;
};

/** `here`: the state that this device has taken; NULL: none. */
void probe_facts_take(
    struct probe_facts *facts, const struct server_probe_answer *answer,
    const struct desired_state *here);

void server_checks_certificate(const struct server_facts *facts, struct checks *checks);
void server_checks_server(
    const struct server_facts *facts, const struct probe_facts *probe, struct checks *checks);
void server_checks_clock(const struct probe_facts *probe, struct checks *checks);
void server_checks_push(
    const struct server_facts *facts, const struct probe_facts *probe, struct checks *checks);
void server_checks_state(
    const struct server_facts *facts, const struct probe_facts *probe, struct checks *checks);
