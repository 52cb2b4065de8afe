/* One event of io.devtrust.Debug.Monitor, as it comes from the daemon or out of a recording. */
#pragma once

#include "ipc/ctl/ctl.h"

#include <json-c/json_object.h>

/* Borrowed from the object. NULL, or -1 for numbers: not there. */
struct event {
    int64_t time_us;
    const char *kind;
    int64_t connection, uid, pid;
    const char *method, *error;
    struct json_object *flags;
    int64_t size, latency_us;
    struct json_object *parameters;
    const char *level, *text;
    struct json_object *fields;
    const char *user;
    int64_t lost; /* kind "lost": how many events are missing here */
};

/** Reads what people are shown; unknown members are ignored. Returns 0, or -EINVAL with the
 * member's name in *ret_field ("" where it is no object). */
int event_read(struct json_object *object, struct event *ret, const char **ret_field);

/** Gives an event that has a uid the name of its account on this machine as `user`, unless it has
 * one: so a recording says it elsewhere, too. Returns 0 or -ENOMEM. */
int event_add_user(const struct ctl *ctl, struct json_object *object);

/** An event that says how many are missing: {"kind": "lost", "lost": N}. NULL when memory is out.
 */
struct json_object *event_lost(int64_t lost);

/* What is shown; NULL: everything. The daemon has the same rule (see Monitor). */
struct event_filter {
    const char *user;
    const char *method; /* exact, or a beginning that ends in a dot */
    char method_full[256];
};

/** From --user and --method: "Agent.Submit" is short for io.devtrust.Agent.Submit, and "Agent" or
 * "Agent." for all of that interface. Returns CTL_GOOD, or CTL_USAGE after having said why. */
int event_filter_parse(
    struct ctl *ctl, const struct ctl_arguments *arguments, struct event_filter *ret);

bool event_filter_takes(const struct event_filter *filter, const struct event *event);
