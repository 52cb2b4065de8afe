/* The parser of the push stream: the one place where a server's endless bytes become events,
 * bounded at every step. */
#include "daemon/sse_parser.h"

#include <errno.h>
#include <string.h>

static const char byte_order_mark[] = "\xef\xbb\xbf";
#define BOM_SIZE (sizeof(byte_order_mark) - 1)
#define BOM_PASSED (BOM_SIZE + 1)

void sse_parser_init(struct sse_parser *parser, sse_parser_event event, void *userdata) {
    *parser = (struct sse_parser){
        .event = event,
        .userdata = userdata,
        .line = BUFFER_INIT(SSE_MAX_LINE),
        .data = BUFFER_INIT(SSE_MAX_EVENT),
    };
}

void sse_parser_deinit(struct sse_parser *parser) {
    buffer_deinit(&parser->line);
    buffer_deinit(&parser->data);
    sse_parser_init(parser, parser->event, parser->userdata);
}

static void dispatch(struct sse_parser *parser) {
    if (parser->has_data) {
        const struct sse_event event = {
            .type = parser->type[0] ? parser->type : "message",
            .data = parser->data.data ? (const char *)parser->data.data : "",
            .size = parser->data.size,
        };
        parser->event(&event, parser->userdata);
    }
    buffer_deinit(&parser->data); /* an idle stream holds no memory */
    parser->has_data = false;
    parser->type[0] = '\0';
}

static int take_data(struct sse_parser *parser, const char *value, size_t size) {
    if (parser->has_data) {
        int r = buffer_append(&parser->data, "\n", 1);
        if (r < 0)
            return r;
    }
    parser->has_data = true;
    return buffer_append(&parser->data, value, size);
}

/* Too long a type cannot be one of ours; cutting it could make it one. */
static int take_type(struct sse_parser *parser, const char *value, size_t size) {
    if (size > SSE_MAX_NAME)
        return -EMSGSIZE;
    memcpy(parser->type, value, size);
    parser->type[size] = '\0';
    return 0;
}

static int take_line(struct sse_parser *parser, const char *line, size_t size) {
    parser->lines++;
    if (size == 0) {
        dispatch(parser);
        return 0;
    }
    const char *colon = memchr(line, ':', size);
    size_t name = colon ? (size_t)(colon - line) : size;
    const char *value = colon ? colon + 1 : line + size;
    size_t value_size = size - (size_t)(value - line);
    if (value_size > 0 && value[0] == ' ') {
        value++;
        value_size--;
    }
    if (name == 4 && memcmp(line, "data", name) == 0)
        return take_data(parser, value, value_size);
    if (name == 5 && memcmp(line, "event", name) == 0)
        return take_type(parser, value, value_size);
    /* Comments (no name), ids (opaque; the device always fetches the whole state) and retry (own
     * back-off) say nothing here. */
    return 0;
}

/* The part of a line that has come so far, or its end. Lines that arrive whole are not copied. */
static int end_line(struct sse_parser *parser, const char *piece, size_t size) {
    if (parser->line.size == 0)
        return size > SSE_MAX_LINE ? -EMSGSIZE : take_line(parser, piece, size);
    int r = buffer_append(&parser->line, piece, size);
    if (r < 0)
        return r;
    r = take_line(parser, (const char *)parser->line.data, parser->line.size);
    buffer_deinit(&parser->line);
    return r;
}

/* One leading byte order mark is ignored; a part of one that is none belongs to the first line. */
static int pass_bom(struct sse_parser *parser, const char **data, size_t *size) {
    while (parser->bom<BOM_SIZE && * size> 0 && **data == byte_order_mark[parser->bom]) {
        parser->bom++;
        (*data)++;
        (*size)--;
    }
    int r = 0;
    if (parser->bom < BOM_SIZE) {
        if (*size == 0)
            return 0;
        r = buffer_append(&parser->line, byte_order_mark, parser->bom);
    }
    parser->bom = BOM_PASSED;
    return r;
}

static size_t find_line_end(const char *data, size_t size) {
    size_t i = 0;
    while (i < size && data[i] != '\n' && data[i] != '\r')
        i++;
    return i;
}

int sse_parser_feed(struct sse_parser *parser, const char *data, size_t size) {
    if (parser->bom < BOM_PASSED) {
        int r = pass_bom(parser, &data, &size);
        if (r < 0)
            return r;
    }
    while (size > 0) {
        if (parser->after_cr && data[0] == '\n') {
            parser->after_cr = false;
            data++;
            size--;
            continue;
        }
        parser->after_cr = false;
        size_t end = find_line_end(data, size);
        if (end == size)
            return buffer_append(&parser->line, data, size);
        parser->after_cr = data[end] == '\r';
        int r = end_line(parser, data, end);
        if (r < 0)
            return r;
        data += end + 1;
        size -= end + 1;
    }
    return 0;
}
