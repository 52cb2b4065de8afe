/* The agent's two connections to devtrustd: Watch on one, calls on the other; and a short third for
 * what must not wait behind a call that the server is slow to answer. All must be served by uid 0;
 * there is no option to bypass that. Reconnects by itself with full jitter; what was in hand is
 * sent again by the agent, which is told of each attachment. */
#pragma once

#include "common/random.h"
#include "useragent/agent_message.h"

#include <uv.h>

struct agent_link;

enum agent_answer {
    AGENT_ANSWER_OK,
    AGENT_ANSWER_DISCONNECTED, /* ask again after the next attachment */
    AGENT_ANSWER_NOT_MANAGED,
    AGENT_ANSWER_STALE,
    AGENT_ANSWER_BAD_CSR,
    AGENT_ANSWER_TOO_SOON, /* retry_after_s */
    AGENT_ANSWER_REFUSED,
    AGENT_ANSWER_OTHER, /* a time-out, an error that this version does not know */
};

/** `parameters` is borrowed; NULL where the connection ended. */
typedef void (*agent_link_answer)(
    enum agent_answer answer, struct json_object *parameters, int64_t retry_after_s,
    void *userdata);

struct agent_link_options {
    uv_loop_t *loop;
    const char *socket_path; /* copied */
    const struct random_source *random;
    /** Both connections stand and the first snapshot is here (then once per change). */
    void (*snapshot)(const struct agent_snapshot *snapshot, bool attached_now, void *userdata);
    /** The connection has ended; no call is open any more. */
    void (*detached)(void *userdata);
    /** A newer agent of this user has taken over: exit. */
    void (*replaced)(void *userdata);
    void *userdata;
};

/** Starts to connect. Returns 0 or a negative errno. */
int agent_link_new(const struct agent_link_options *options, struct agent_link **ret);

/** Closes at once, without callbacks; the loop frees the rest when it runs next. NULL is allowed.
 */
void agent_link_close(struct agent_link *link);

bool agent_link_is_attached(const struct agent_link *link);

/** Calls. Own `parameters`. Return 0, -ENOTCONN, -ENOMEM; the answer comes once. */
int agent_link_call(
    struct agent_link *link, const char *method, struct json_object *parameters,
    agent_link_answer answer, void *userdata);

/** Calls on a connection of its own, made for it: answers come in the order of the calls, and a
 * Submit may wait for the server. The answer is ignored. Owns `parameters`. Returns 0, -ENOTCONN,
 * -ENOMEM or another negative errno. */
int agent_link_tell(struct agent_link *link, const char *method, struct json_object *parameters);
