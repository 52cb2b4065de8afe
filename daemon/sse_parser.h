/* Server-Sent Events (WHATWG HTML, section 9.2.6): bytes in, events out. Pure: no socket, no clock,
 * no loop. */
#pragma once

#include "common/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SSE_MAX_LINE (16 * 1024)  /* bytes of one line without its ending */
#define SSE_MAX_EVENT (64 * 1024) /* bytes of all data lines of one event */
#define SSE_MAX_NAME 64           /* bytes of an event's type */

/* Borrowed by the callback. */
struct sse_event {
    const char *type; /* "message" if the stream names none */
    const char *data; /* lines joined by LF; NUL-terminated, may hold NUL bytes before that */
    size_t size;
};

typedef void (*sse_parser_event)(const struct sse_event *event, void *userdata);

struct sse_parser {
    sse_parser_event event;
    void *userdata;
    struct buffer line, data;
    char type[SSE_MAX_NAME + 1];
    bool has_data;  /* at least one data line, which may have been empty */
    bool after_cr;  /* a LF that comes next belongs to the CR before it */
    size_t bom;     /* bytes of a byte order mark seen at the start; BOM_PASSED afterwards */
    uint64_t lines; /* complete lines so far; a stream of which this does not grow is stuck */
};

/** `event` is called from within sse_parser_feed() for each complete event. */
void sse_parser_init(struct sse_parser *parser, sse_parser_event event, void *userdata);

/** Releases the buffers; the parser is ready for a new stream. Safe on a zeroed parser. */
void sse_parser_deinit(struct sse_parser *parser);

/** Takes any piece of the stream. Returns 0; -EMSGSIZE past a limit, -ENOMEM: the stream must be
 * given up. */
int sse_parser_feed(struct sse_parser *parser, const char *data, size_t size);
