/* Asks the agents of some users how their stores are, waits for their answers, and checks what they
 * say: for GetCertificates, Diagnose and Repair. */
#pragma once

#include "daemon/agents.h"
#include "daemon/inspected_certificates.h"
#include "daemon/users.h"

#include "common/clock.h"

#define INSPECTION_DEADLINE_MS 10000
#define INSPECTION_MAX_CHECKS 64  /* of one answer */
#define INSPECTION_MAX_ACTIONS 16 /* of one answer */

struct inspections;
struct inspection;

enum inspection_outcome {
    INSPECTION_OPEN,
    INSPECTION_NO_AGENT, /* none is attached, or it went before it answered */
    INSPECTION_NOTHING,  /* not asked for certificates: nobody has said what would be ours */
    INSPECTION_TIMEOUT,
    INSPECTION_ANSWERED,
};

/** One user of an inspection. */
struct inspected_user {
    struct certificate_owner owner;
    int64_t uid;
    bool is_known; /* what is ours */
    enum inspection_outcome outcome;
    /* ANSWERED */
    struct certificate_counts counts;
    struct json_object *checks;  /* array of io.devtrust.Agent's AgentCheck; NULL: an agent that
                                    does not know them */
    struct json_object *actions; /* array of strings; NULL: as above */
};

/** Nobody is waited for any more. From the loop; not from inside inspections_begin(). */
typedef void (*inspection_done)(struct inspection *inspection, void *userdata);

/** `clock` outlives it. Returns 0 or -ENOMEM. */
int inspections_new(
    uv_loop_t *loop, const struct clock_source *clock, struct agents *agents,
    struct inspections **ret);

/** After the Varlink server has closed. The loop still has timers to close. */
struct inspections *inspections_free(struct inspections *inspections);

/** Asks the agents of `users` (borrowed for this call only). `want`: enum agent_inspection. `done`
 * runs only if inspection_is_open() afterwards. Returns 0 or a negative errno. inspection_end() in
 * any case. */
int inspections_begin(
    struct inspections *inspections, struct user *const *users, size_t count, unsigned want,
    inspection_done done, void *userdata, struct inspection **ret);

/** Forgets it; `done` does not run any more. Takes NULL, returns NULL. */
struct inspection *inspection_end(struct inspection *inspection);

bool inspection_is_open(const struct inspection *inspection);
size_t inspection_count(const struct inspection *inspection);
const struct inspected_user *inspection_get(const struct inspection *inspection, size_t index);

/** Array of io.devtrust.Device's Certificate: what is ours in all stores. Borrowed. */
struct json_object *inspection_certificates(const struct inspection *inspection);

struct inspection_answer {
    struct json_object *certificates;     /* array */
    struct json_object *checks, *actions; /* arrays; NULL: not said */
};

/** An agent's answer (Inspected). Returns false if nobody asked. */
bool inspections_answer(
    struct inspections *inspections, int64_t uid, const char *id,
    const struct inspection_answer *answer);

/** This uid's agent has gone: it is not waited for. */
void inspections_agent_gone(struct inspections *inspections, int64_t uid);
