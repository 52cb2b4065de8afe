/* A command that goes on until it is interrupted: one connection on a loop, signals, a clock, keys.
 */
#pragma once

#include "ipc/ctl/ctl.h"

#include <json-c/json_object.h>

struct live;

/** Connects to the daemon. Returns CTL_GOOD, or an exit status after having said why. */
int live_new(struct ctl *ctl, struct live **ret);

#define LIVE_CALLS_MAX 4 /* open at once */

/** Calls; `reply` gets every answer (`parameters` borrowed). Owns `parameters`. Returns CTL_GOOD,
 * or an exit status after having said why. */
typedef void (*live_reply)(
    struct json_object *parameters, const char *error, bool continues, void *userdata);
int live_call(
    struct live *live, const char *method, struct json_object *parameters, bool more,
    live_reply reply, void *userdata);

/** Calls `tick` every `interval_ms`, first after one of them. Returns 0 or a negative errno. */
int live_every(
    struct live *live, uint64_t interval_ms, void (*tick)(void *userdata), void *userdata);

/** Ends on the key q, where standard input is a terminal. Returns 0 or a negative errno. */
int live_take_keys(struct live *live);

/** Lets live_run() return with this exit status. The first one counts. */
void live_stop(struct live *live, int status);

/** Runs unless `status` is another than CTL_GOOD, and frees. Returns the exit status: CTL_GOOD
 * after SIGINT, SIGTERM or SIGHUP, CTL_UNREACHABLE (said) when the daemon goes away. */
int live_run(struct live *live, int status);
