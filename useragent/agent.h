/* The agent of one user: turns devtrustd's snapshots, the clock and the outcomes of its own jobs
 * into events of the state machine, and does what the machine's table says. Everything that blocks
 * is a job on the loop's one worker thread. */
#pragma once

#include "common/clock.h"
#include "common/random.h"
#include "useragent/user_dirs.h"

#include <uv.h>

struct agent;

struct agent_options {
    uv_loop_t *loop;
    const char *socket_path;
    struct user_dirs dirs;
    const char *system_bus, *user_bus; /* addresses (ipc/bus.h), borrowed; NULL: none */
    const struct clock_source *clock;
    const struct random_source *random;
    uint64_t settle_ms;        /* from a change in the home to a look at it; 0: some seconds */
    uint64_t notice_settle_ms; /* until a person is bothered; 0: a minute */
    uint64_t answer_within_ms; /* to an inspection, whatever hangs; 0: in time for devtrustd */
    /** Once: the agent should end (0: a newer agent took over; -EPROTO: the record is of a newer
     * version). */
    void (*ended)(int result, void *userdata);
    void *userdata;
};

/** Starts: recovery first, then the connection. Returns 0 or a negative errno. */
int agent_new(const struct agent_options *options, struct agent **ret);

/** Closes the connection and every handle; a running job is finished, so that the loop may take a
 * moment to end. */
void agent_stop(struct agent *agent);

/** After the loop has ended. Takes NULL, returns NULL. */
struct agent *agent_free(struct agent *agent);
