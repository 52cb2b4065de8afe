/* libs: common ipc daemon */
/* The push stream's parser: the same bytes in two different splits must give the same events. */
#include "daemon/sse_parser.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    uint64_t hash, events;
};

static void on_event(const struct sse_event *event, void *userdata) {
    struct sum *sum = userdata;
    sum->events++;
    for (size_t i = 0; i < event->size; i++)
        sum->hash = sum->hash * 31 + (uint8_t)event->data[i];
    for (const char *c = event->type; *c; c++)
        sum->hash = sum->hash * 31 + (uint8_t)*c;
}

static int run(const char *data, size_t size, size_t piece, struct sum *sum) {
    struct sse_parser parser;
    sse_parser_init(&parser, on_event, sum);
    int r = 0;
    for (size_t at = 0; at < size && r == 0; at += piece)
        r = sse_parser_feed(&parser, data + at, size - at < piece ? size - at : piece);
    if (parser.line.size > SSE_MAX_LINE || parser.data.size > SSE_MAX_EVENT)
        abort();
    sse_parser_deinit(&parser);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    struct sum one = {0}, other = {0};
    size_t piece = (size_t)data[0] + 1;
    int r = run((const char *)data + 1, size - 1, size, &one);
    int s = run((const char *)data + 1, size - 1, piece, &other);
    if (r != s || (r == 0 && (one.hash != other.hash || one.events != other.events)))
        abort();
    return 0;
}
