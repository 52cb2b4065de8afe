/* The newest events of the log, kept in memory for GetLog: what happened is often over when
 * somebody comes to look, and not every machine has a journal. */
#pragma once

#include "daemon/event_text.h"

#define LOG_RING_ENTRIES 256
#define LOG_RING_BYTES ((size_t)128 * 1024) /* of all entries together; the oldest make room */

struct log_ring;

/** Returns NULL when memory is out. */
struct log_ring *log_ring_new(void);
struct log_ring *log_ring_free(struct log_ring *ring);

/** Keeps it. Where memory is out, it is not kept. */
void log_ring_add(struct log_ring *ring, const struct event_log *log, int64_t time_us);

/** All, oldest first: a JSON array of LogEntry; NULL when memory is out. */
struct json_object *log_ring_to_json(const struct log_ring *ring);
