/* One look of `ipc top`: what the daemon counts, and what has changed since the look before. */
#pragma once

#include "ipc/ctl/ctl.h"

#include <json-c/json_object.h>

#define TOP_METHODS_MAX 128
#define TOP_USERS_MAX 128

struct top_method {
    const char *name;
    int64_t calls, errors, open;
    int64_t p50_us, p90_us, p99_us, max_us;
    double calls_per_s; /* < 0: not known yet */
};

struct top_user {
    int64_t uid;
    char name[CTL_NAME_SIZE];
    int64_t connections, outstanding, bytes, messages_left, refused, delayed;
};

struct top_limits {
    int64_t connections, outstanding, bytes, messages_per_s, messages_burst; /* 0: not known */
};

struct top_sample {
    struct json_object *statistics, *connections; /* the answers: names are borrowed from them */
    int64_t time_us;
    int64_t uptime_s;
    int64_t connection_count;
    struct top_method methods[TOP_METHODS_MAX]; /* busiest first */
    size_t method_count;
    struct top_user users[TOP_USERS_MAX]; /* nearest to a limit first */
    size_t user_count;
    struct top_limits limits;
    double calls_per_s; /* of all methods; < 0: not known yet */
};

/** Reads the answers of GetStatistics and ListConnections, which it keeps; `before`: the look
 * before (NULL: none). Names come from `ctl`. Returns 0, -EINVAL (another daemon's answers), or
 * -ENOMEM. */
int top_sample_new(
    const struct ctl *ctl, struct json_object *statistics, struct json_object *connections,
    int64_t time_us, const struct top_sample *before, struct top_sample **ret);
struct top_sample *top_sample_free(struct top_sample *sample);

/** The nearest any of the user's figures is to its limit, 0 to 1. */
double top_user_pressure(const struct top_user *user, const struct top_limits *limits);
