/* The parser of the push stream: the standard's forms, any split, and its limits. */
#include "daemon/sse_parser.h"

#include "common/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    struct buffer text; /* "type|data\n" per event */
    size_t count;
};

static void on_event(const struct sse_event *event, void *userdata) {
    struct seen *seen = userdata;
    seen->count++;
    assert_int_equal(strlen(event->data), event->size);
    buffer_append_string(&seen->text, event->type);
    buffer_append_string(&seen->text, "|");
    buffer_append(&seen->text, event->data, event->size);
    buffer_append_string(&seen->text, "\n");
}

static void expect(const char *stream, const char *events) {
    size_t size = strlen(stream);
    for (size_t piece = 1; piece <= size; piece++) {
        struct seen seen = {.text = BUFFER_INIT(4096)};
        struct sse_parser parser;
        sse_parser_init(&parser, on_event, &seen);
        for (size_t at = 0; at < size; at += piece)
            assert_int_equal(
                sse_parser_feed(&parser, stream + at, size - at < piece ? size - at : piece), 0);
        assert_string_equal(seen.text.data ? (char *)seen.text.data : "", events);
        sse_parser_deinit(&parser);
        buffer_deinit(&seen.text);
    }
}

static void events_in_any_split(void **state) {
    (void)state;
    expect("event: state\nid: 1\ndata: {\"a\":1}\n\n", "state|{\"a\":1}\n");
    expect("data: one\r\n\r\ndata: two\r\n\r\n", "message|one\nmessage|two\n");
    expect("data: one\r\rdata: two\r\r", "message|one\nmessage|two\n");
    expect(
        "\xef\xbb\xbf"
        "data: x\n\n",
        "message|x\n");
    expect(": ping\n\n: ping\n\n", "");
    expect("data: a\ndata: b\n\n", "message|a\nb\n");
    expect("data\n\n", "message|\n");
    expect("data:x\ndata:  y\n\n", "message|x\n y\n");
}

static void what_is_no_event(void **state) {
    (void)state;
    expect("event: state\n\ndata: x\n\n", "message|x\n"); /* a type without data is forgotten */
    expect("data: half", "");
    expect("data: line\n", ""); /* no empty line yet */
    expect("retry: 5\nid\nfoo: bar\nda: x\ndataa: y\n\n", "");
    expect(
        "\xef\xbb"
        "data: x\n\n",
        ""); /* half a byte order mark spoils the field's name */
    expect(
        "data: a\n\n\xef\xbb\xbf"
        "data: b\n\n",
        "message|a\n"); /* only at the start */
}

static int feed_many(struct sse_parser *parser, const char *piece, size_t times) {
    int r = 0;
    for (size_t i = 0; i < times && r == 0; i++)
        r = sse_parser_feed(parser, piece, strlen(piece));
    return r;
}

static void a_line_has_a_limit(void **state) {
    (void)state;
    for (size_t extra = 0; extra <= 1; extra++)
        for (size_t piece = 1; piece <= SSE_MAX_LINE + extra; piece *= 4) {
            struct seen seen = {.text = BUFFER_INIT(2 * SSE_MAX_LINE)};
            struct sse_parser parser;
            sse_parser_init(&parser, on_event, &seen);
            size_t size = SSE_MAX_LINE + extra;
            CLEANUP_FREE char *line = malloc(size + 2);
            memset(line, 'x', size);
            memcpy(line, "data:", 5);
            memcpy(line + size, "\n\n", 2);
            int r = 0;
            for (size_t at = 0; at < size + 2 && r == 0; at += piece)
                r = sse_parser_feed(
                    &parser, line + at, size + 2 - at < piece ? size + 2 - at : piece);
            assert_int_equal(r, extra ? -EMSGSIZE : 0);
            assert_int_equal(seen.count, extra ? 0 : 1);
            sse_parser_deinit(&parser);
            buffer_deinit(&seen.text);
        }
}

static void ten_mebibytes_without_an_end(void **state) {
    (void)state;
    struct sse_parser parser;
    CLEANUP_FREE char *block = calloc(1, 10 * 1024 * 1024);
    memset(block, 'x', 10 * 1024 * 1024);
    sse_parser_init(&parser, on_event, NULL);
    assert_int_equal(sse_parser_feed(&parser, block, 10 * 1024 * 1024), -EMSGSIZE);
    assert_int_equal(parser.line.size, 0);
    sse_parser_deinit(&parser);
}

static void an_event_has_a_limit(void **state) {
    (void)state;
    struct seen seen = {.text = BUFFER_INIT(2 * SSE_MAX_EVENT)};
    struct sse_parser parser;
    sse_parser_init(&parser, on_event, &seen);
    /* 1024 lines of 63 bytes, with 1023 LF between them: one byte below the limit */
    const char line[] = "data: 123456789012345678901234567890123456789012345678901234567890123\n";
    assert_int_equal(feed_many(&parser, line, 1024), 0);
    assert_int_equal(parser.data.size, SSE_MAX_EVENT - 1);
    assert_int_equal(sse_parser_feed(&parser, "data:x\n", 7), -EMSGSIZE);
    sse_parser_deinit(&parser);
    assert_int_equal(feed_many(&parser, line, 1024), 0);
    assert_int_equal(sse_parser_feed(&parser, "data:\n\n", 7), 0); /* the limit itself */
    assert_int_equal(seen.count, 1);
    sse_parser_deinit(&parser);
    buffer_deinit(&seen.text);
}

static void a_type_has_a_limit(void **state) {
    (void)state;
    struct sse_parser parser;
    char line[7 + SSE_MAX_NAME + 2] = "event: ";
    memset(line + 7, 'x', SSE_MAX_NAME);
    sse_parser_init(&parser, on_event, NULL);
    line[7 + SSE_MAX_NAME] = '\n';
    assert_int_equal(sse_parser_feed(&parser, line, strlen(line)), 0);
    sse_parser_deinit(&parser);
    assert_int_equal(sse_parser_feed(&parser, "event: x", 8), 0);
    assert_int_equal(sse_parser_feed(&parser, line + 7, strlen(line + 7)), -EMSGSIZE);
    sse_parser_deinit(&parser);
}

static void lines_tell_of_progress(void **state) {
    (void)state;
    struct sse_parser parser;
    sse_parser_init(&parser, on_event, NULL);
    assert_int_equal(feed_many(&parser, "x", 1000), 0);
    assert_int_equal(parser.lines, 0);
    assert_int_equal(sse_parser_feed(&parser, "\n: ping\n", 8), 0);
    assert_int_equal(parser.lines, 2);
    sse_parser_deinit(&parser);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_in_any_split),    cmocka_unit_test(what_is_no_event),
        cmocka_unit_test(a_line_has_a_limit),     cmocka_unit_test(ten_mebibytes_without_an_end),
        cmocka_unit_test(an_event_has_a_limit),   cmocka_unit_test(a_type_has_a_limit),
        cmocka_unit_test(lines_tell_of_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
