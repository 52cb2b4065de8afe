/* The attached agents: one Watch per uid. What each is shown is asked for whenever it may have
 * changed, and sent only if it has. */
#pragma once

#include "common/clock.h"
#include "common/random.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stdint.h>

struct agents;
struct varlink_call;

struct agents_options {
    const struct clock_source *clock;
    const struct random_source *random;
    /** What a uid's agent is to see, but for revision and inspection; NULL when memory is out. The
     * caller owns it. */
    struct json_object *(*snapshot)(int64_t uid, void *userdata);
    void (*attached)(int64_t uid, void *userdata);
    void (*detached)(int64_t uid, void *userdata);
    void *userdata;
};

/** Returns 0 or -ENOMEM. */
int agents_new(const struct agents_options *options, struct agents **ret);

/** After the Varlink server has closed. Takes NULL, returns NULL. */
struct agents *agents_free(struct agents *agents);

#define AGENT_VERSION_SIZE 65 /* with NUL */

/** Takes a Watch call over: ends an older one of this uid with Replaced, sends the first snapshot.
 * `version`: as the agent says it, shorter than AGENT_VERSION_SIZE. */
void agents_watch(
    struct agents *agents, int64_t uid, const char *version, struct varlink_call *call);

bool agents_is_attached(const struct agents *agents, int64_t uid);

/** The version of this uid's agent; NULL: none is attached. Borrowed until it goes. */
const char *agents_version(const struct agents *agents, int64_t uid);

/** The snapshot of this uid may be another. */
void agents_changed(struct agents *agents, int64_t uid);

/** What an inspection is about; a set. */
enum agent_inspection {
    AGENT_INSPECT_CERTIFICATES = 0,
    AGENT_INSPECT_FULL = 1,   /* stores and browsers, too */
    AGENT_INSPECT_REPAIR = 2, /* what is ours is put in order first */
};

/** Asks the agent to look at its stores; *ret_id is the inspection's id (borrowed until it is
 * answered): that of the open one, if it says as much; else a new one, whose answer stands for that
 * of the open one. Returns 0, -ENOTCONN (no agent), -EIO. */
int agents_inspect(struct agents *agents, int64_t uid, unsigned want, const char **ret_id);

/** An answer has come: true if it is to the open inspection, which is closed by it. */
bool agents_inspected(struct agents *agents, int64_t uid, const char *id);
