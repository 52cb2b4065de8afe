/* GetCertificates: asks the agents of some users what is in their stores, waits for their answers,
 * and checks what they say. */
#pragma once

#include "daemon/agents.h"
#include "daemon/users.h"

#include "ipc/varlink_server.h"

#define INSPECTION_DEADLINE_MS 10000
#define INSPECTION_MAX_CERTIFICATES 16 /* of one answer */

struct inspections;

/** Returns 0 or -ENOMEM. */
int inspections_new(uv_loop_t *loop, struct agents *agents, struct inspections **ret);

/** After the Varlink server has closed. The loop still has timers to close. */
struct inspections *inspections_free(struct inspections *inspections);

/** Answers `call` as GetCertificates does, now or when the agents of `users` (borrowed for this
 * call only) have answered or the deadline has passed. */
void inspections_begin(
    struct inspections *inspections, struct varlink_call *call, struct user *const *users,
    size_t count);

/** An agent's answer (Inspected). Returns false if nobody asked. */
bool inspections_answer(
    struct inspections *inspections, int64_t uid, const char *id, struct json_object *certificates);
