/* io.devtrust.Debug.Monitor: any number of streams (a few) that show what happens on all other
 * connections, and the log. Those who are watched must not feel it: an event is built once for all
 * streams, and only while one of them has room for it; what has no room is counted. */
#pragma once

#include "daemon/event_text.h"

#include <uv.h>

#define MONITOR_STREAMS_MAX 8
/* What waits for one stream at most. The gate of older readers takes 8192 keys in one reply. */
#define MONITOR_EVENTS_MAX 512
#define MONITOR_BYTES_MAX ((size_t)256 * 1024)
#define MONITOR_KEYS_MAX 8000
#define MONITOR_BURST_MS 40 /* events of this long go out together */

#define MONITOR_METHOD "io.devtrust.Debug.Monitor"
#define MONITOR_METHOD_NAME_MAX 255 /* bytes of the filter */
#define MONITOR_USER_NAME_MAX 32
#define MONITOR_UID_NONE (-1)

struct monitor;

struct monitor_options {
    uv_loop_t *loop;
    int64_t (*now_us)(void); /* since 1970 */
    /** Whether monitor_observe() is wanted: while there is a stream. */
    void (*watching)(bool watching, void *userdata);
    void *userdata;
};

/* What a stream shows; copied. */
struct monitor_filter {
    const char *user;   /* NULL: everybody's; else events that name him */
    int64_t uid;        /* and messages of this uid; MONITOR_UID_NONE: of none */
    const char *method; /* NULL: all; else this one, or those that begin so if it ends in a dot; and
                           then neither connections nor log */
};

/** Returns 0, -ENOMEM or another negative errno. */
int monitor_new(const struct monitor_options *options, struct monitor **ret);

/** Closes on the loop. The streams' calls must have ended. NULL is allowed. */
void monitor_close(struct monitor *monitor);

/** Makes `call` a stream, until its peer leaves. Returns 0, -EMFILE (MONITOR_STREAMS_MAX are open),
 * -ENOMEM. */
int monitor_add(
    struct monitor *monitor, struct varlink_call *call, const struct monitor_filter *filter);

/** Something happened on a connection; `userdata`: the monitor. */
void monitor_observe(const struct varlink_event *event, void *userdata);

/** Something was logged. */
void monitor_log(struct monitor *monitor, const struct event_log *log);

/** Microseconds since 1970, for monitor_options. */
int64_t monitor_system_now_us(void);
