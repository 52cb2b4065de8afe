/* The codec alone: every way to cut bytes into reads gives the same messages; sizes and shapes are
 * exact. */
#include "play.h"

#define MAXIMUM 16
#define SLACK 64

static struct varlink_reader reader;

static int setup(void **state) {
    (void)state;
    varlink_reader_init(&reader, MAXIMUM, SLACK);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    varlink_reader_deinit(&reader);
    return 0;
}

/* Takes all that is there; messages are joined with '|'. */
static int take(char *joined) {
    const char *text;
    size_t size;
    int r;
    while ((r = varlink_reader_next(&reader, &text, &size)) == 1) {
        assert_int_equal(text[size], 0);
        strncat(joined, text, size);
        strcat(joined, "|");
    }
    return r;
}

static void test_every_cut_gives_the_same(void **state) {
    static const char wire[] = "one\0\0three\0sixteen-letters-\0x\0";
    const size_t size = sizeof wire - 1;
    (void)state;
    for (size_t step = 1; step <= size; step++) {
        char joined[128] = "";
        for (size_t at = 0; at < size; at += step) {
            size_t part = at + step > size ? size - at : step;
            assert_int_equal(varlink_reader_feed(&reader, wire + at, part), 0);
            assert_int_equal(take(joined), 0);
            assert_int_equal(varlink_reader_settle(&reader), 0);
        }
        assert_string_equal(joined, "one||three|sixteen-letters-|x|");
        assert_int_equal(varlink_reader_kept(&reader), 0);
        assert_null(reader.kept.data);
    }
}

static void test_left_over_messages_wait(void **state) {
    const char *text;
    size_t size;
    (void)state;
    assert_int_equal(varlink_reader_feed(&reader, "a\0b\0c\0par", 9), 0);
    assert_int_equal(varlink_reader_next(&reader, &text, &size), 1);
    assert_int_equal(varlink_reader_settle(&reader), 0);
    assert_int_equal(reader.complete, 2);
    assert_int_equal(varlink_reader_kept(&reader), 7);
    assert_true(varlink_reader_is_partial(&reader));
    char joined[32] = "";
    assert_int_equal(varlink_reader_feed(&reader, "t\0", 2), 0);
    assert_int_equal(take(joined), 0);
    assert_string_equal(joined, "b|c|part|");
    assert_int_equal(varlink_reader_settle(&reader), 0);
    assert_false(varlink_reader_is_partial(&reader));
}

static void test_size_at_the_maximum_and_one_past(void **state) {
    char joined[64] = "";
    (void)state;
    assert_int_equal(varlink_reader_feed(&reader, "0123456789abcdef\0", 17), 0);
    assert_int_equal(take(joined), 0);
    assert_int_equal(varlink_reader_settle(&reader), 0);
    assert_int_equal(varlink_reader_feed(&reader, "0123456789abcdefg\0", 18), 0);
    assert_int_equal(take(joined), -EMSGSIZE);

    varlink_reader_deinit(&reader);
    assert_int_equal(varlink_reader_feed(&reader, "0123456789abcdef", 16), 0);
    assert_int_equal(take(joined), 0);
    assert_int_equal(varlink_reader_settle(&reader), 0);
    assert_int_equal(varlink_reader_feed(&reader, "g", 1), 0);
    assert_int_equal(take(joined), -EMSGSIZE);
}

static void test_kept_bytes_are_bounded(void **state) {
    char zeros[SLACK] = {0};
    (void)state;
    zeros[0] = 'x';
    assert_int_equal(varlink_reader_feed(&reader, zeros, SLACK), 0);
    assert_int_equal(varlink_reader_settle(&reader), 0);
    assert_int_equal(varlink_reader_feed(&reader, zeros, MAXIMUM + 1), 0);
    assert_int_equal(varlink_reader_settle(&reader), 0);
    assert_int_equal(varlink_reader_feed(&reader, zeros, 1), -EMSGSIZE);
}

/* ---- shapes ---- */

/* In memory of exactly its size. */
static int read_call(const char *text, struct varlink_call_parts *ret) {
    char CLEANUP_FREE *exact = malloc(strlen(text));
    memcpy(exact, text, strlen(text));
    return varlink_call_read(exact, strlen(text), ret);
}

static int read_reply(const char *text, struct varlink_reply_parts *ret) {
    char CLEANUP_FREE *exact = malloc(strlen(text));
    memcpy(exact, text, strlen(text));
    return varlink_reply_read(exact, strlen(text), true, ret);
}

static void test_calls(void **state) {
    static const struct {
        const char *text, *field; /* NULL: fine */
    } cases[] = {
        {"{\"method\":\"a.b.C\"}", NULL},
        {"{\"method\":\"a.b.C\",\"parameters\":{}}", NULL},
        {"{\"method\":\"a.b.C\",\"parameters\":null}", NULL},
        {"{\"method\":\"a.b.C\",\"more\":false,\"oneway\":false,\"upgrade\":false}", NULL},
        {"{\"method\":\"a.b.C\",\"more\":true}", NULL},
        {"{\"method\":\"a.b.C\",\"oneway\":true}", NULL},
        {"{}", "method"},
        {"{\"method\":1}", "method"},
        {"{\"method\":null}", "method"},
        {"{\"method\":true}", "method"},
        {"{\"method\":\"a.b.C\",\"parameters\":[]}", "parameters"},
        {"{\"method\":\"a.b.C\",\"more\":1}", "more"},
        {"{\"method\":\"a.b.C\",\"more\":null}", "more"},
        {"{\"method\":\"a.b.C\",\"more\":true,\"oneway\":true}", "more"},
        {"{\"method\":\"a.b.C\",\"oneway\":\"yes\"}", "oneway"},
        {"{\"method\":\"a.b.C\",\"upgrade\":true}", "upgrade"},
        {"{\"method\":\"a.b.C\",\"trace\":true}", "trace"},
        {"{\"method\":\"a.b.C\",\"tr\\u0061ce\":true,\"other\":1}", "trace"},
        {"{\"method\":\"a.b.C\",\"parameters\":false}", "parameters"},
        {"{\"m\\u0065thod\":\"a.b.C\"}", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct varlink_call_parts CLEANUP_VARLINK_CALL parts;
        int r = read_call(cases[i].text, &parts);
        print_message("%s\n", cases[i].text);
        assert_int_equal(r, cases[i].field ? -EINVAL : 0);
        if (cases[i].field)
            assert_string_equal(parts.offence, cases[i].field);
        else
            assert_string_equal(parts.method, "a.b.C");
    }
}

static void test_no_calls(void **state) {
    static const char *const texts[] = {
        "[]",
        "\"x\"",
        "null",
        "{",
        "{\"method\":\"a.b.C\\u0000\"}",
        "{\"method\":\"a.b.C\",\"method\":\"a.b.C\"}",
        "{\"method\":\"a.b.C\",\"parameters\":{},\"parameters\":{}}",
        "{\"method\":\"a.b.C\",\"bad\":1,\"bad\":2}",
        "{\"method\":\"a.b.C\"} {}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct varlink_call_parts CLEANUP_VARLINK_CALL parts;
        print_message("%s\n", texts[i]);
        assert_int_equal(read_call(texts[i], &parts), -EBADMSG);
    }
}

static void test_parts_of_a_call(void **state) {
    static const char text[] = "{\"parameters\": {\"x\": [1]} ,\"more\":true,\"method\":\"a.b.C\"}";
    static const char parameters[] = "{\"x\": [1]}";
    struct varlink_call_parts CLEANUP_VARLINK_CALL parts;
    (void)state;
    assert_int_equal(varlink_call_read(text, strlen(text), &parts), 0);
    assert_true(parts.more);
    assert_false(parts.oneway);
    assert_int_equal(parts.parameters_size, strlen(parameters));
    assert_memory_equal(parts.parameters, parameters, strlen(parameters));
}

/* Around the room that a name has in the parts. */
static void test_names_of_any_length(void **state) {
    const size_t room = sizeof(struct varlink_name){0}.room;
    (void)state;
    for (size_t length = room - 1; length <= room + 1; length++) {
        char name[2 * sizeof(struct varlink_name)] = "a.b.C\\u0061";
        memset(name + strlen(name), 'c', length - strlen("a.b.Ca"));
        struct buffer CLEANUP_BUFFER text = BUFFER_INIT(VARLINK_CALL_MAX);
        struct varlink_call_parts CLEANUP_VARLINK_CALL call;
        struct varlink_reply_parts CLEANUP_VARLINK_REPLY reply;
        buffer_append_string(&text, "{\"method\":\"");
        buffer_append_string(&text, name);
        buffer_append_string(&text, "\"}");
        assert_int_equal(varlink_call_read((const char *)text.data, text.size, &call), 0);
        assert_int_equal(strlen(call.method), length);
        assert_memory_equal(call.method, "a.b.Cac", 7);
        text.size = 0;
        buffer_append_string(&text, "{\"error\":\"");
        buffer_append_string(&text, name);
        buffer_append_string(&text, "\"}");
        assert_int_equal(varlink_reply_read((const char *)text.data, text.size, false, &reply), 0);
        assert_int_equal(strlen(reply.error), length);
    }
}

static void test_values_at_the_maximum_and_one_past(void **state) {
    (void)state;
    for (size_t past = 0; past < 2; past++) {
        struct buffer CLEANUP_BUFFER text = BUFFER_INIT(VARLINK_CALL_MAX);
        /* the message, its method, its parameters, the array and the first element */
        buffer_append_string(&text, "{\"method\":\"a.b.C\",\"parameters\":{\"x\":[{}");
        for (size_t i = 5; i < VARLINK_CALL_MAX_VALUES + past; i++)
            assert_int_equal(buffer_append_string(&text, ",{}"), 0);
        buffer_append_string(&text, "]}}");
        struct varlink_call_parts CLEANUP_VARLINK_CALL parts;
        int r = varlink_call_read((const char *)text.data, text.size, &parts);
        assert_int_equal(r, past ? -EMSGSIZE : 0);
    }
}

static void test_oneway_is_known_even_of_a_bad_call(void **state) {
    struct varlink_call_parts CLEANUP_VARLINK_CALL parts;
    (void)state;
    assert_int_equal(read_call("{\"x\":1,\"method\":\"a.b.C\",\"oneway\":true}", &parts), -EINVAL);
    assert_true(parts.oneway);
    assert_string_equal(parts.method, "a.b.C");
}

static void test_replies(void **state) {
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        {"{}", 0},
        {"{\"parameters\":{\"a\":1}}", 0},
        {"{\"parameters\":{},\"continues\":true}", 0},
        {"{\"error\":\"a.b.C\"}", 0},
        {"{\"error\":\"a.b.C\",\"parameters\":{},\"continues\":false}", 0},
        {"{\"error\":\"a.b.C\",\"continues\":true}", -EBADMSG},
        {"{\"error\":\"C\"}", -EBADMSG},
        {"{\"error\":7}", -EBADMSG},
        {"{\"error\":null}", -EBADMSG},
        {"{\"parameters\":[]}", -EBADMSG},
        {"{\"continues\":1}", -EBADMSG},
        {"{\"trace\":1}", -EBADMSG},
        {"[]", -EBADMSG},
        {"{\"parameters\":{},\"parameters\":{}}", -EBADMSG},
        {"{\"error\":\"a.b.C\",\"error\":\"a.b.C\"}", -EBADMSG},
        {"{\"parameters\":{}", -EBADMSG},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct varlink_reply_parts CLEANUP_VARLINK_REPLY parts;
        print_message("%s\n", cases[i].text);
        assert_int_equal(read_reply(cases[i].text, &parts), cases[i].result);
    }
}

static void test_parts_of_a_reply(void **state) {
    struct varlink_reply_parts CLEANUP_VARLINK_REPLY parts;
    (void)state;
    assert_int_equal(read_reply("{\"error\":\"a.b.C\",\"parameters\":{\"x\":1}}", &parts), 0);
    assert_string_equal(parts.error, "a.b.C");
    assert_int_equal(json_object_object_length(parts.parameters), 1);
    assert_false(parts.continues);
}

static void test_names(void **state) {
    static const char *const good[] = {"a.b.C", "io.devtrust.Agent.Submit", "a-b.c1.D9", "a.0b.C"};
    static const char *const bad[] = {"",       "C",       "b.C",     "a.b.c",        "a..b.C",
                                      ".a.b.C", "a.b.",    "a.b.C-d", "a-.b.C",       "a.-b.C",
                                      "0a.b.C", "a.b.C d", "a b.c.D", "a.b.C\xc3\xa4"};
    size_t length;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(varlink_name_is_valid(good[i], &length));
    assert_true(varlink_name_is_valid("io.devtrust.Agent.Submit", &length));
    assert_int_equal(length, strlen("io.devtrust.Agent"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(varlink_name_is_valid(bad[i], NULL));
}

/* ---- text ---- */

static const char *text_of(int r, const struct buffer *buffer) {
    assert_int_equal(r, 0);
    assert_int_equal(strlen((const char *)buffer->data), buffer->size);
    return (const char *)buffer->data;
}

static void expect_call(const char *parameters, bool more, bool oneway, const char *expected) {
    struct json_object CLEANUP_JSON *object = parameters ? json_tokener_parse(parameters) : NULL;
    struct buffer CLEANUP_BUFFER text = BUFFER_INIT(strlen(expected));
    const struct varlink_parameters written = {.object = object};
    int r = varlink_call_write(&text, "a.b.C", &written, more, oneway);
    assert_string_equal(text_of(r, &text), expected);
    struct buffer CLEANUP_BUFFER small = BUFFER_INIT(strlen(expected) - 1);
    assert_int_equal(varlink_call_write(&small, "a.b.C", &written, more, oneway), -EMSGSIZE);
}

static void expect_reply(
    const char *error, const char *parameters, bool continues, const char *expected) {
    struct json_object CLEANUP_JSON *object = parameters ? json_tokener_parse(parameters) : NULL;
    struct buffer CLEANUP_BUFFER text = BUFFER_INIT(strlen(expected));
    const struct varlink_parameters written = {.object = object};
    int r = varlink_reply_write(&text, error, &written, continues);
    assert_string_equal(text_of(r, &text), expected);
    struct buffer CLEANUP_BUFFER small = BUFFER_INIT(strlen(expected) - 1);
    assert_int_equal(varlink_reply_write(&small, error, &written, continues), -EMSGSIZE);
}

static void test_text_of_calls(void **state) {
    (void)state;
    expect_call(NULL, false, false, "{\"method\":\"a.b.C\"}");
    expect_call(NULL, false, true, "{\"method\":\"a.b.C\",\"oneway\":true}");
    expect_call(
        "{\"x\":\"/\"}", true, false,
        "{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"/\"},\"more\":true}");
    struct buffer CLEANUP_BUFFER text = BUFFER_INIT(64);
    /* whatever comes from a user */
    int r = varlink_call_write(
        &text, "a\"b", &(struct varlink_parameters){.object = NULL}, false, false);
    assert_string_equal(text_of(r, &text), "{\"method\":\"a\\\"b\"}");
}

static void test_text_of_fields(void **state) {
    (void)state;
    struct fields {
        const char *text;
    } fields = {"\""};
    static const struct json_field table[] = {
        JSON_FIELD(struct fields, text, "text", JSON_FIELD_STRING, true, 0, 0),
    };
    const struct varlink_parameters written = {.table = table, .count = 1, .fields = &fields};
    struct buffer CLEANUP_BUFFER call = BUFFER_INIT(64);
    struct buffer CLEANUP_BUFFER reply = BUFFER_INIT(64);
    int r = varlink_call_write(&call, "a.b.C", &written, false, false);
    assert_string_equal(
        text_of(r, &call), "{\"method\":\"a.b.C\",\"parameters\":{\"text\":\"\\\"\"}}");
    r = varlink_reply_write(&reply, NULL, &written, false);
    assert_string_equal(text_of(r, &reply), "{\"parameters\":{\"text\":\"\\\"\"}}");
}

static void test_text_of_replies(void **state) {
    (void)state;
    expect_reply(NULL, NULL, false, "{\"parameters\":{}}");
    expect_reply(NULL, NULL, true, "{\"parameters\":{},\"continues\":true}");
    expect_reply(NULL, "{\"a\":[1,null]}", false, "{\"parameters\":{\"a\":[1,null]}}");
    expect_reply("a.b.E", NULL, false, "{\"error\":\"a.b.E\",\"parameters\":{}}");
    expect_reply(
        "a.b.E", "{\"a\":\"\\n\"}", false, "{\"error\":\"a.b.E\",\"parameters\":{\"a\":\"\\n\"}}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_cut_gives_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_left_over_messages_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_size_at_the_maximum_and_one_past, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_bytes_are_bounded, setup, teardown),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_no_calls),
        cmocka_unit_test(test_parts_of_a_call),
        cmocka_unit_test(test_names_of_any_length),
        cmocka_unit_test(test_values_at_the_maximum_and_one_past),
        cmocka_unit_test(test_oneway_is_known_even_of_a_bad_call),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_parts_of_a_reply),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_text_of_calls),
        cmocka_unit_test(test_text_of_fields),
        cmocka_unit_test(test_text_of_replies),
    };
    return cmocka_run_group_tests_name("varlink_message", tests, NULL, NULL);
}
