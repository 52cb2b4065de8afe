/* The server against raw bytes on socket pairs: order, shapes, streams, access, tables. */
#include "play.h"

#include <inttypes.h>

static struct play play;

static int setup(void **state) {
    (void)state;
    play_start(&play);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    play_stop(&play);
    return 0;
}

/* ---- calls and answers ---- */

static void test_byte_by_byte(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    static const char wire[] = "{\"method\":\"io.test.Play.Echo\"}";
    (void)state;
    for (size_t i = 0; i < sizeof wire; i++) {
        assert_string_equal(play_received(fd), "");
        assert_int_equal(send(fd, wire + i, 1, 0), 1);
        play_turn(&play);
    }
    assert_string_equal(play_received(fd), "{\"parameters\":{}}|");
}

static void test_pipelined_calls_are_answered_in_order(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(
        &play, fd, ECHO_CALL("1") CALL("Later") ECHO_CALL("2") CALL("Nope") ECHO_CALL("3"),
        ECHOED("1"));
    assert_non_null(play.later);
    struct varlink_call *later = play.later;
    play.later = NULL;
    varlink_call_error(later, "io.test.Play.Wrong", NULL);
    assert_int_equal(play.called, 2); /* the next handler does not run on the answer's stack */
    play_turn(&play);
    assert_string_equal(
        play_received(fd),
        "{\"error\":\"io.test.Play.Wrong\",\"parameters\":{}}|" ECHOED(
            "2") "{\"error\":\"org.varlink.service.MethodNotFound\","
                 "\"parameters\":{\"method\":\"io.test.Play.Nope\"}}|" ECHOED("3"));
}

static void test_five_thousand_pipelined_calls(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    size_t sent = 0, received = 0;
    char text[128];
    char *answers = calloc(1, 1024 * 1024);
    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(
            text, sizeof text,
            "{\"method\":\"io.test.Play.Echo\",\"parameters\":{\"value\":\"%d\"}}", i);
        while (send(fd, text, strlen(text) + 1, MSG_DONTWAIT) < 0) {
            assert_int_equal(errno, EAGAIN);
            play_turn(&play);
            strcat(answers + received, play_received(fd));
            received += strlen(answers + received);
        }
        sent++;
    }
    for (int i = 0; i < 50; i++) {
        play_turn(&play);
        strcat(answers + received, play_received(fd));
        received += strlen(answers + received);
    }
    assert_int_equal(sent, 5000);
    const char *at = answers;
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "{\"parameters\":{\"value\":\"%d\"}}|", i);
        assert_memory_equal(at, text, strlen(text));
        at += strlen(text);
    }
    assert_string_equal(at, "");
    free(answers);
}

static void test_oneway_is_never_answered(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(
        &play, fd,
        ONEWAY("Echo") ONEWAY("Nope") ONEWAY(
            "Count") "{\"method\":\"io.nobody.X\",\"oneway\":true}|"
                     "{\"method\":\"io.test.Play.Echo\",\"oneway\":true,\"bad\":1}|" ECHO_CALL(
                         "end"),
        ECHOED("end"));
    assert_int_equal(play.called, 2);
}

static void test_unknown_names(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(
        &play, fd, "{\"method\":\"io.nobody.X\"}|",
        "{\"error\":\"org.varlink.service.InterfaceNotFound\","
        "\"parameters\":{\"interface\":\"io.nobody\"}}|");
    play_expect(&play, fd, "{\"method\":\"io.test.Play.echo\"}|", INVALID("method"));
    play_expect(&play, fd, "{\"method\":\"Echo\"}|", INVALID("method"));
    play_expect(&play, fd, "{\"method\":\"\"}|", INVALID("method"));
    play_expect(
        &play, fd, "{\"method\":\"io.test.Pla.Echo\"}|",
        "{\"error\":\"org.varlink.service.InterfaceNotFound\","
        "\"parameters\":{\"interface\":\"io.test.Pla\"}}|");
}

static void test_a_call_of_another_shape_is_told_so(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(&play, fd, "{\"method\":\"io.test.Play.Echo\",\"tracing\":1}|", INVALID("tracing"));
    play_expect(&play, fd, "{\"parameters\":{}}|", INVALID("method"));
    play_expect(
        &play, fd, "{\"method\":\"io.test.Play.Echo\",\"upgrade\":true}|", INVALID("upgrade"));
    play_expect(
        &play, fd, "{\"method\":\"io.test.Play.Echo\",\"parameters\":[]}|", INVALID("parameters"));
    play_expect(&play, fd, ECHO_CALL("still there"), ECHOED("still there"));
    assert_int_equal(play.called, 1);
}

static void test_what_is_no_json_object_ends_the_connection(void **state) {
    static const char *const wires[] = {
        "|",
        "[]|",
        "nonsense|",
        "{}{}|",
        "{\"method\":\"a\",}|",
        "{\"method\":\"io.test.Play.Echo\",\"method\":\"io.test.Play.Echo\"}|",
        "\"x\"|",
        "{\"method\":\"\xff\"}|",
        "{\"a\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}|"};
    (void)state;
    for (size_t i = 0; i < sizeof wires / sizeof wires[0]; i++) {
        int CLEANUP_CLOSE fd = play_connect(&play);
        print_message("%s\n", wires[i]);
        play_expect(&play, fd, wires[i], "$");
        assert_int_equal(play_connections(&play), 0);
    }
    assert_int_equal(play.called, 0);
}

#define FIELDS_CALL(parameters_)                                                                   \
    "{\"method\":\"io.test.Play.Fields\",\"parameters\":" parameters_ "}|"
#define GOOD(parameters_) "{\"parameters\":" parameters_ "}|"

static void test_fields_by_table(void **state) {
    static const struct {
        const char *call, *answer;
    } cases[] = {
        {FIELDS_CALL("{\"text\":\"a\"}"), GOOD("{\"text\":\"a\"}")},
        {FIELDS_CALL(
             "{\"flag\":true,\"more\":[{}],\"number\":-7, \"te\\u0078t\" : \"\\n\\u00e4\"}"),
         GOOD("{\"text\":\"\\n\xc3\xa4\",\"number\":-7,\"flag\":true}")},
        {FIELDS_CALL("{\"text\":\"\",\"number\":null,\"flag\":false}"), GOOD("{\"text\":\"\"}")},
        {FIELDS_CALL("{\"text\":\"12345678901234567\"}"), INVALID("text")},
        {FIELDS_CALL("{\"text\":\"a\",\"number\":\"1\"}"), INVALID("number")},
        {FIELDS_CALL("{}"), INVALID("text")},
        {FIELDS_CALL("null"), INVALID("text")},
        {CALL("Fields"), INVALID("text")},
    };
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        play_expect(&play, fd, cases[i].call, cases[i].answer);
}

/* What was read is good until the answer; what was not read until the handler returned is gone. */
static void test_fields_outlive_their_message(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_send(
        &play, fd,
        "{\"method\":\"io.test.Play.Keep\",\"parameters\":{\"text\":\"kept\",\"number\":5}}|");
    play_send(&play, fd, ECHO_CALL("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    struct varlink_call *call = play.later;
    play.later = NULL;
    assert_string_equal(play.kept.text, "kept");
    assert_int_equal(play.kept.number, 5);
    assert_null(varlink_call_parameters(call));
    varlink_call_reply(call, NULL);
    play_turn(&play);
    assert_string_equal(
        play_received(fd),
        GOOD("{}") ECHOED("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    play_send(&play, fd, CALL("Later"));
    assert_null(varlink_call_parameters(play.later));
    varlink_call_reply(TAKE_PTR(play.later), NULL);
}

static void test_service_interface(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(
        &play, fd, "{\"method\":\"org.varlink.service.GetInfo\"}|",
        "{\"parameters\":{\"vendor\":\"v\",\"product\":\"p\",\"version\":\"1\",\"url\":\"u\","
        "\"interfaces\":[\"io.test.Play\",\"org.varlink.service\"]}}|");
    play_send(
        &play, fd,
        "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
        "\"parameters\":{\"interface\":\"io.test.Play\"}}|");
    char received[4096];
    snprintf(received, sizeof received, "%s", play_received(fd));
    received[strlen(received) - 1] = '\0';
    struct json_object CLEANUP_JSON *reply = json_tokener_parse(received);
    struct json_object *parameters = NULL, *description = NULL;
    assert_true(json_object_object_get_ex(reply, "parameters", &parameters));
    assert_true(json_object_object_get_ex(parameters, "description", &description));
    assert_string_equal(json_object_get_string(description), play_interface);
    play_expect(
        &play, fd,
        "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
        "\"parameters\":{\"interface\":\"io.nobody\"}}|",
        "{\"error\":\"org.varlink.service.InterfaceNotFound\","
        "\"parameters\":{\"interface\":\"io.nobody\"}}|");
    play_expect(
        &play, fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}|",
        INVALID("interface"));
}

/* ---- streams ---- */

static void test_a_stream_needs_more(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(&play, fd, CALL("Count"), ERROR("ExpectedMore"));
    assert_int_equal(play.called, 0);
    play_expect(&play, fd, MORE("Echo"), "{\"parameters\":{}}|");
}

static void test_a_stream_and_the_calls_behind_it(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    (void)state;
    play_expect(&play, fd, MORE("Count") ECHO_CALL("behind"), "");
    play_notify(&play, 1);
    play_notify(&play, 2);
    assert_string_equal(
        play_received(fd), "{\"parameters\":{\"number\":1},\"continues\":true}|"
                           "{\"parameters\":{\"number\":2},\"continues\":true}|");
    play_turn(&play);
    assert_string_equal(play_received(fd), "");
    varlink_call_reply(play.count, NULL);
    play_turn(&play);
    assert_string_equal(play_received(fd), "{\"parameters\":{}}|" ECHOED("behind"));
}

static void test_a_slow_reader_gets_the_newest_only(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    enum { LAST = 100000 };
    static char whole[8 * 1024 * 1024];
    (void)state;
    play_send(&play, fd, MORE("Count"));
    for (int64_t i = 1; i <= LAST; i++)
        play_notify(&play, i);
    assert_int_equal(play_connections(&play), 1);
    size_t size = 0;
    for (const char *part = play_received(fd); *part; part = play_received(fd)) {
        assert_true(size + strlen(part) < sizeof whole);
        strcpy(whole + size, part);
        size += strlen(part);
        play_turn(&play);
    }
    static const char last[] = "{\"parameters\":{\"number\":100000},\"continues\":true}|";
    assert_string_equal(whole + size - strlen(last), last);
    /* numbers run without a gap until the peer was slow, and then comes the newest */
    const char *at = whole;
    int64_t expected = 1, number = 0;
    while (*at) {
        assert_int_equal(sscanf(at, "{\"parameters\":{\"number\":%" SCNd64, &number), 1);
        if (number != expected)
            break;
        expected++;
        at = strchr(at, '|') + 1;
    }
    assert_true(expected < LAST);
    assert_string_equal(at, last);
}

static void test_the_last_words_of_a_stream_follow_its_newest(void **state) {
    int CLEANUP_CLOSE fd = play_connect(&play);
    static char whole[4 * 1024 * 1024];
    (void)state;
    play_send(&play, fd, MORE("Count"));
    for (int64_t i = 1; i <= 50000; i++)
        play_notify(&play, i);
    varlink_call_error(play.count, "io.test.Play.Wrong", NULL);
    size_t size = 0;
    for (const char *part = play_received(fd); *part; part = play_received(fd)) {
        strcpy(whole + size, part);
        size += strlen(part);
        play_turn(&play);
    }
    static const char last[] = "{\"parameters\":{\"number\":50000},\"continues\":true}|"
                               "{\"error\":\"io.test.Play.Wrong\",\"parameters\":{}}|";
    assert_string_equal(whole + size - strlen(last), last);
}

/* ---- who may ---- */

static void test_access_by_class(void **state) {
    static const struct {
        uid_t uid;
        const char *anyone, *managed, *root;
    } cases[] = {
        {0, "{\"parameters\":{}}|", "{\"parameters\":{}}|", "{\"parameters\":{}}|"},
        {PLAY_MANAGED_UID, "{\"parameters\":{}}|", "{\"parameters\":{}}|",
         ERROR("PermissionDenied")},
        {65534, "{\"parameters\":{}}|", ERROR("PermissionDenied"), ERROR("PermissionDenied")},
    };
    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int CLEANUP_CLOSE fd = play_connect_as(&play, cases[i].uid);
        play_expect(&play, fd, CALL("Echo"), cases[i].anyone);
        play_expect(&play, fd, CALL("Managed"), cases[i].managed);
        play_expect(&play, fd, CALL("Root"), cases[i].root);
    }
}

static void test_without_is_managed_root_alone_is(void **state) {
    struct play other = {0};
    (void)state;
    if (geteuid() != 0)
        skip();
    struct varlink_server_options options = play_options(&other);
    options.is_managed = NULL;
    assert_int_equal(uv_loop_init(&other.loop), 0);
    assert_int_equal(varlink_server_new(&other.loop, &options, &other.server), 0);
    assert_int_equal(seteuid(PLAY_MANAGED_UID), 0);
    int CLEANUP_CLOSE fd = play_connect(&other);
    assert_int_equal(seteuid(0), 0);
    play_expect(&other, fd, CALL("Managed"), ERROR("PermissionDenied"));
    play_stop(&other);
}

static void test_introspection_only(void **state) {
    static const char implemented[] =
        "{\"error\":\"org.varlink.service.MethodNotImplemented\",\"parameters\":{\"method\":";
    struct play other = {0};
    char expected[1024];
    (void)state;
    struct varlink_server_options options = play_options(&other);
    options.introspection_only = true;
    assert_int_equal(uv_loop_init(&other.loop), 0);
    assert_int_equal(varlink_server_new(&other.loop, &options, &other.server), 0);
    int CLEANUP_CLOSE fd = play_connect(&other);
    snprintf(
        expected, sizeof expected,
        "%s\"io.test.Play.Echo\"}}|%s\"io.test.Play.Root\"}}|%s\"io.test.Play.Count\"}}|",
        implemented, implemented, implemented);
    play_expect(&other, fd, CALL("Echo") CALL("Root") CALL("Count"), expected);
    assert_int_equal(other.called, 0);
    play_send(&other, fd, "{\"method\":\"org.varlink.service.GetInfo\"}|" CALL("Nope"));
    const char *received = play_received(fd);
    assert_non_null(strstr(received, "\"product\":\"p\""));
    assert_non_null(strstr(received, "MethodNotFound"));
    play_stop(&other);
}

/* ---- tables ---- */

static int new_with(const struct varlink_server_options *options) {
    uv_loop_t loop;
    struct varlink_server *server = NULL;
    assert_int_equal(uv_loop_init(&loop), 0);
    int r = varlink_server_new(&loop, options, &server);
    if (r == 0)
        varlink_server_close(server, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return r;
}

static void test_tables_must_match(void **state) {
    const struct method *methods[16];
    struct method row = *play_methods[0];
    size_t count = sizeof play_methods / sizeof play_methods[0];
    (void)state;
    struct varlink_server_options options = play_options(&play);
    options.methods = methods;
    memcpy(methods, play_methods, sizeof play_methods);
    assert_int_equal(new_with(&options), 0);
    options.method_count = count - 1; /* a method without a row */
    assert_int_equal(new_with(&options), -EINVAL);
    options.method_count = count + 1; /* a row without a method */
    methods[count] = &row;
    row.name = "io.test.Play.Extra";
    assert_int_equal(new_with(&options), -EINVAL);
    row.name = "io.nobody.Extra";
    assert_int_equal(new_with(&options), -EINVAL);
    row.name = "io.test.Play.Echo"; /* twice */
    assert_int_equal(new_with(&options), -EINVAL);
    options.method_count = count;
    methods[0] = &row;
    assert_int_equal(new_with(&options), 0);
    row.deadline_ms = 0;
    assert_int_equal(new_with(&options), -EINVAL);
    row = *play_methods[0];
    row.handler = NULL;
    assert_int_equal(new_with(&options), -EINVAL);
    methods[0] = play_methods[0];
    struct varlink_interface broken = {"io.test.Play", "interface io.test.Play\nmethod X("};
    options.interfaces = &broken;
    assert_int_equal(new_with(&options), -EINVAL);
    options.interfaces = play_interfaces;
    options.limits.partial_message_ms = 0;
    assert_int_equal(new_with(&options), -EINVAL);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_byte_by_byte),
        TEST(test_pipelined_calls_are_answered_in_order),
        TEST(test_five_thousand_pipelined_calls),
        TEST(test_oneway_is_never_answered),
        TEST(test_unknown_names),
        TEST(test_a_call_of_another_shape_is_told_so),
        TEST(test_what_is_no_json_object_ends_the_connection),
        TEST(test_fields_by_table),
        TEST(test_fields_outlive_their_message),
        TEST(test_service_interface),
        TEST(test_a_stream_needs_more),
        TEST(test_a_stream_and_the_calls_behind_it),
        TEST(test_a_slow_reader_gets_the_newest_only),
        TEST(test_the_last_words_of_a_stream_follow_its_newest),
        TEST(test_access_by_class),
        TEST(test_without_is_managed_root_alone_is),
        TEST(test_introspection_only),
        TEST(test_tables_must_match),
    };
    return cmocka_run_group_tests_name("varlink_server", tests, NULL, NULL);
}
