/* Each entry is kept as the text that GetLog answers with. */
#include "daemon/log_ring.h"

#include "common/buffer.h"
#include "common/cleanup.h"

#include <stdlib.h>
#include <string.h>

struct log_ring {
    char *entries[LOG_RING_ENTRIES];
    size_t first, count, bytes;
};

struct log_ring *log_ring_new(void) {
    return calloc(1, sizeof(struct log_ring));
}

static void drop_oldest(struct log_ring *ring) {
    char **oldest = &ring->entries[ring->first];
    ring->bytes -= strlen(*oldest);
    free(*oldest);
    *oldest = NULL;
    ring->first = (ring->first + 1) % LOG_RING_ENTRIES;
    ring->count--;
}

struct log_ring *log_ring_free(struct log_ring *ring) {
    while (ring && ring->count > 0)
        drop_oldest(ring);
    free(ring);
    return NULL;
}

void log_ring_add(struct log_ring *ring, const struct event_log *log, int64_t time_us) {
    char data[EVENT_TEXT_MAX];
    struct json_text text = JSON_TEXT_INIT(data, sizeof(data));
    event_text_write_entry(&text, log, time_us);
    char *entry = text.full ? NULL : strndup(text.data, text.size);
    if (!entry)
        return;
    while (ring->count == LOG_RING_ENTRIES ||
           (ring->count > 0 && ring->bytes + text.size > LOG_RING_BYTES))
        drop_oldest(ring);
    ring->entries[(ring->first + ring->count) % LOG_RING_ENTRIES] = entry;
    ring->count++;
    ring->bytes += text.size;
}

struct json_object *log_ring_to_json(const struct log_ring *ring) {
    struct buffer CLEANUP_BUFFER all = BUFFER_INIT(LOG_RING_BYTES + LOG_RING_ENTRIES + 2);
    int r = buffer_append_string(&all, "[");
    for (size_t i = 0; r == 0 && i < ring->count; i++) {
        if (i > 0)
            r = buffer_append_string(&all, ",");
        if (r == 0)
            r = buffer_append_string(&all, ring->entries[(ring->first + i) % LOG_RING_ENTRIES]);
    }
    if (r == 0)
        r = buffer_append_string(&all, "]");
    if (r < 0)
        return NULL;
    return json_text_to_value(buffer_steal(&all, NULL));
}
