/* The push channel: one Server-Sent-Events stream, kept open for ever. What comes is a hint to
 * fetch the desired state, nothing more. A stream that completes no line for 2.5 ping intervals is
 * dead; any end is a disconnect, and is followed by a new connection after full jitter: at first
 * within 100 ms, or within the splay that the last event named, so that a large fleet does not come
 * back all at once to a server that was only restarted. */
#pragma once

#include "common/clock.h"
#include "common/random.h"
#include "common/reason.h"

#include <stdbool.h>
#include <uv.h>

#define PUSH_STREAM_RETRY_BASE_MS 100
#define PUSH_STREAM_RETRY_CAP_MS ((int64_t)5 * 60 * 1000)
#define PUSH_STREAM_SETTLED_MS 10000 /* a stream that lived so long was a good one */

struct push_stream;
struct http_client;

struct push_stream_options {
    uv_loop_t *loop;
    const struct clock_source *clock;
    const struct random_source *random;
    /** The stream is open, or an event came: fetch the state. `epoch` is NULL where nothing is
     * said, else borrowed. */
    void (*hint)(const char *epoch, int64_t generation, void *userdata);
    void (*changed)(void *userdata); /* connected or reason */
    void *userdata;
    int64_t retry_base_ms, retry_cap_ms; /* 0: the defaults */
    int64_t default_ping_s;              /* until the server names its own; 0: 30 */
};

/** The longest first wait after a disconnect, at least `base_ms` and at most `cap_ms`; `splay_s` (≥
 * 0): the server's, which grows with its fleet. */
static inline int64_t push_stream_first_wait_ms(int64_t splay_s, int64_t base_ms, int64_t cap_ms) {
    int64_t splay_ms = splay_s < cap_ms / 1000 ? splay_s * 1000 : cap_ms;
    return splay_ms > base_ms ? splay_ms : base_ms;
}

/** Returns 0 or a negative errno. */
int push_stream_new(const struct push_stream_options *options, struct push_stream **ret);
void push_stream_close(struct push_stream *stream, void (*closed)(void *), void *userdata);

/** Connects with `client` to `url` (both borrowed until the next call); NULL: disconnects. */
void push_stream_use(struct push_stream *stream, struct http_client *client, const char *url);

/** A hint from outside (resume, network back): connects now if it waits, and anew if the stream has
 * been silent by the wall clock. */
void push_stream_refresh(struct push_stream *stream);

/** The same where the network may be another one: a connection of the old one looks open until the
 * watchdog ends it. So an open stream is opened anew, but for one that is younger than
 * PUSH_STREAM_SETTLED_MS: a storm of network changes must not become one of handshakes. */
void push_stream_reopen(struct push_stream *stream);

bool push_stream_is_used(const struct push_stream *stream); /* by push_stream_use() */
bool push_stream_is_connected(const struct push_stream *stream);
int64_t push_stream_last_event_s(const struct push_stream *stream); /* 0: none yet */

/** How long no line has come on the open stream, in ms; -1: it is not open. */
int64_t push_stream_silent_ms(const struct push_stream *stream);
int64_t push_stream_ping_s(const struct push_stream *stream); /* the interval of its pings */

enum reason push_stream_reason(const struct push_stream *stream); /* NONE while connected */
