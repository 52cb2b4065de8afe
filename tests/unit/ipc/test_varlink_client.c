/* Both clients against the real server over a real socket, and against peers that do not keep to
 * the protocol. */
#include "play.h"

#include <pthread.h>

static struct play play;
static char *directory, *path;

struct record {
    struct varlink_client *client;
    char log[4096];
    unsigned replies, ends;
    bool close_in_reply;
};

static int setup(void **state) {
    (void)state;
    directory = play_directory();
    path = play_path(directory, "sock");
    play_start(&play);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    play_stop(&play);
    char *lock = play_path(directory, "sock.lock");
    (void)unlink(lock);
    (void)unlink(path);
    assert_int_equal(rmdir(directory), 0);
    free(lock);
    free(path);
    free(directory);
    return 0;
}

static void serve(void) {
    int fd = transport_listen(path);
    assert_true(fd >= 0);
    assert_int_equal(varlink_server_listen_fd(play.server, fd), 0);
}

static void on_reply(
    struct varlink_client *client, struct json_object *parameters, const char *error,
    bool continues, void *userdata) {
    struct record *record = userdata;
    record->replies++;
    snprintf(
        record->log + strlen(record->log), sizeof record->log - strlen(record->log), "%s%s%s ",
        error ? error : "", parameters ? json_object_to_json_string_ext(parameters, 0) : "-",
        continues ? "+" : "");
    if (record->close_in_reply) {
        varlink_client_close(client);
        record->client = NULL;
    }
}

static void on_end(struct varlink_client *client, void *userdata) {
    struct record *record = userdata;
    record->ends++;
    strcat(record->log, "end ");
    varlink_client_close(client);
    record->client = NULL;
}

static void connect_record(struct record *record) {
    assert_int_equal(
        varlink_client_connect(&play.loop, path, geteuid(), on_end, record, &record->client), 0);
}

static void call(struct record *record, const char *method, const char *parameters, bool more) {
    struct json_object *object = parameters ? json_tokener_parse(parameters) : NULL;
    assert_int_equal(
        varlink_client_call(record->client, method, object, more, on_reply, record), 0);
}

/* ---- on the loop ---- */

static void test_calls_and_streams(void **state) {
    struct record record = {0};
    (void)state;
    serve();
    connect_record(&record);
    call(&record, "io.test.Play.Echo", "{\"value\":\"a\"}", false);
    call(&record, "io.test.Play.Nope", NULL, false);
    call(&record, "io.test.Play.Count", NULL, true);
    call(&record, "io.test.Play.Echo", NULL, false);
    assert_int_equal(record.replies, 0); /* never from inside the call */
    play_turn(&play);
    varlink_call_notify(play.count, json_tokener_parse("{\"number\":1}"));
    varlink_call_reply(play.count, json_tokener_parse("{\"number\":2}"));
    play_turn(&play);
    assert_string_equal(
        record.log, "{\"value\":\"a\"} "
                    "org.varlink.service.MethodNotFound{\"method\":\"io.test.Play.Nope\"} "
                    "{\"number\":1}+ {\"number\":2} {} ");
    varlink_client_close(record.client);
    varlink_client_close(NULL);
    play_turn(&play);
    assert_int_equal(play_connections(&play), 0);
    assert_int_equal(record.ends, 0);
}

static void test_the_end_comes_after_all_calls(void **state) {
    struct record record = {0};
    (void)state;
    serve();
    connect_record(&record);
    call(&record, "io.test.Play.Count", NULL, true);
    call(&record, "io.test.Play.Echo", NULL, false);
    play_turn(&play);
    varlink_server_close(play.server, play_server_closed, &play);
    play_turn(&play);
    assert_string_equal(
        record.log, "io.devtrust.Local.Disconnected- "
                    "io.devtrust.Local.Disconnected- end ");
    assert_null(record.client);
}

static void test_closing_in_a_callback(void **state) {
    struct record record = {.close_in_reply = true};
    (void)state;
    serve();
    connect_record(&record);
    call(&record, "io.test.Play.Echo", NULL, false);
    call(&record, "io.test.Play.Echo", NULL, false);
    play_turn(&play);
    assert_int_equal(record.replies, 1);
    assert_int_equal(record.ends, 0);
    record = (struct record){.close_in_reply = true};
    connect_record(&record);
    call(&record, "io.test.Play.Later", NULL, false);
    call(&record, "io.test.Play.Later", NULL, false);
    play_turn(&play);
    varlink_server_close(play.server, play_server_closed, &play);
    play_turn(&play);
    assert_int_equal(record.replies, 1);
    assert_int_equal(record.ends, 0);
}

static void test_large_messages_both_ways(void **state) {
    struct record record = {0};
    static char value[60000], parameters[60100];
    (void)state;
    serve();
    connect_record(&record);
    memset(value, 'v', sizeof value - 1);
    snprintf(parameters, sizeof parameters, "{\"value\":\"%s\"}", value);
    for (int i = 0; i < 16; i++) /* more than the socket holds: some must queue */
        call(&record, "io.test.Play.Echo", parameters, false);
    for (int i = 0; i < 20; i++)
        play_turn(&play);
    assert_int_equal(record.replies, 16);
    varlink_client_close(record.client);
}

static void test_size_and_number_of_calls_at_the_limit_and_one_past(void **state) {
    struct record record = {0};
    (void)state;
    serve();
    connect_record(&record);
    static const char frame[] =
        "{\"method\":\"io.test.Play.Echo\",\"parameters\":{\"value\":\"\"}}";
    for (size_t past = 0; past < 2; past++) {
        size_t length = VARLINK_CALL_MAX - strlen(frame) + past;
        char *value = calloc(1, length + 1);
        memset(value, 'v', length);
        struct json_object *parameters = json_object_new_object();
        assert_int_equal(json_fields_add_string(parameters, "value", value), 0);
        assert_int_equal(
            varlink_client_call(
                record.client, "io.test.Play.Echo", parameters, false, on_reply, &record),
            past ? -EMSGSIZE : 0);
        free(value);
    }
    play_turn(&play);
    assert_int_equal(record.replies, 1);
    for (int i = 0; i < VARLINK_CLIENT_MAX_CALLS; i++)
        call(&record, "io.test.Play.Echo", NULL, false);
    assert_int_equal(
        varlink_client_call(record.client, "io.test.Play.Echo", NULL, false, on_reply, &record),
        -EBUSY);
    for (int i = 0; i < 10; i++)
        play_turn(&play);
    assert_int_equal(record.replies, 1 + VARLINK_CLIENT_MAX_CALLS);
    varlink_client_close(record.client);
}

static void test_who_listens_is_checked(void **state) {
    struct record record = {0};
    struct varlink_stream *stream = NULL;
    (void)state;
    assert_int_equal(
        varlink_client_connect(&play.loop, path, geteuid(), on_end, &record, &record.client),
        -ENOENT);
    serve();
    assert_int_equal(
        varlink_client_connect(&play.loop, path, geteuid() + 1, on_end, &record, &record.client),
        -EPERM);
    assert_int_equal(varlink_stream_open(path, geteuid() + 1, 1000, &stream), -EPERM);
    assert_null(record.client);
    assert_null(stream);
}

/* ---- against what does not keep to the protocol ---- */

/* A listener without a server; the test plays its side. */
static int listen_raw(void) {
    int fd = transport_listen(path);
    assert_true(fd >= 0);
    return fd;
}

static int accept_raw(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void test_bad_replies_end_the_connection(void **state) {
    static const char *const replies[] = {
        "|",
        "[]|",
        "{\"trace\":1}|",
        "nonsense|",
        "{\"parameters\":{},\"continues\":true}|", /* to a call without more */
        "{}|{}|",                                  /* more replies than calls */
        "{\"error\":1}|",
        "{\"parameters\":{\"a\":1,\"a\":2}}|"};
    (void)state;
    int CLEANUP_CLOSE listener = listen_raw();
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct record record = {0};
        print_message("%s\n", replies[i]);
        connect_record(&record);
        int CLEANUP_CLOSE fd = accept_raw(listener);
        call(&record, "a.b.C", NULL, false);
        play_send(&play, fd, replies[i]);
        assert_int_equal(record.ends, 1);
        assert_null(record.client);
    }
}

static void test_reply_size_at_the_limit_and_one_past(void **state) {
    (void)state;
    int CLEANUP_CLOSE listener = listen_raw();
    for (size_t past = 0; past < 2; past++) {
        struct record record = {0};
        connect_record(&record);
        int CLEANUP_CLOSE fd = accept_raw(listener);
        call(&record, "a.b.C", NULL, false);
        size_t size = VARLINK_REPLY_MAX + past;
        char *reply = malloc(size + 1);
        memset(reply, ' ', size);
        reply[0] = '{';
        reply[size - 1] = '}';
        reply[size] = '\0';
        for (size_t at = 0; at < size + 1;) {
            ssize_t n = send(fd, reply + at, size + 1 - at, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN)
                break;
            at += n > 0 ? (size_t)n : 0;
            play_turn(&play);
        }
        free(reply);
        assert_string_equal(record.log, past ? "io.devtrust.Local.Disconnected- end " : "{} ");
        varlink_client_close(record.client);
        play_turn(&play);
    }
}

static void test_no_call_on_an_ended_connection(void **state) {
    struct record record = {0};
    (void)state;
    int CLEANUP_CLOSE listener = listen_raw();
    connect_record(&record);
    close(accept_raw(listener));
    assert_int_equal(
        varlink_client_call(record.client, "a.b.C", NULL, false, on_reply, &record), -ENOTCONN);
    assert_int_equal(record.ends, 0);
    play_turn(&play);
    assert_int_equal(record.ends, 1);
    assert_int_equal(record.replies, 0);
}

/* ---- blocking ---- */

struct script {
    int listener;
    const char *reply;
    size_t step; /* bytes per write */
};

/* Answers whatever comes first with the script, a few bytes at a time. */
static void *play_script(void *userdata) {
    const struct script *script = userdata;
    int fd = -1;
    while ((fd = accept4(script->listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
        ;
    char byte = 1;
    while (byte != 0 && recv(fd, &byte, 1, 0) == 1)
        ;
    size_t size = strlen(script->reply);
    for (size_t at = 0; at < size; at += script->step) {
        char part[256] = {0};
        size_t length = size - at < script->step ? size - at : script->step;
        memcpy(part, script->reply + at, length);
        for (size_t i = 0; i < length; i++)
            if (part[i] == '|')
                part[i] = '\0';
        if (send(fd, part, length, MSG_NOSIGNAL) < 0)
            break;
    }
    close(fd);
    return NULL;
}

static void with_script(
    const char *reply, size_t step, void (*check)(struct varlink_stream *stream)) {
    struct script script = {.reply = reply, .step = step};
    struct varlink_stream *stream = NULL;
    pthread_t thread;
    script.listener = listen_raw();
    fcntl(script.listener, F_SETFL, 0);
    assert_int_equal(pthread_create(&thread, NULL, play_script, &script), 0);
    assert_int_equal(varlink_stream_open(path, geteuid(), 60000, &stream), 0);
    assert_int_equal(varlink_stream_send(stream, "a.b.C", NULL, true, false), 0);
    check(stream);
    assert_null(varlink_stream_free(stream));
    pthread_join(thread, NULL);
    close(script.listener);
}

static void check_three(struct varlink_stream *stream) {
    struct json_object *parameters = NULL;
    char *error = NULL;
    bool continues = false;
    assert_int_equal(varlink_stream_receive(stream, &parameters, &error, &continues), 0);
    assert_string_equal(json_object_to_json_string_ext(parameters, 0), "{\"n\":1}");
    assert_true(continues);
    assert_null(error);
    json_object_put(parameters);
    assert_int_equal(varlink_stream_receive(stream, &parameters, &error, &continues), 0);
    json_object_put(parameters);
    assert_int_equal(varlink_stream_receive(stream, &parameters, &error, &continues), 0);
    assert_string_equal(error, "a.b.E");
    assert_false(continues);
    json_object_put(parameters);
    free(error);
    assert_int_equal(varlink_stream_receive(stream, &parameters, &error, &continues), -ECONNRESET);
}

static const char three[] = "{\"parameters\":{\"n\":1},\"continues\":true}|{\"continues\":true}|"
                            "{\"error\":\"a.b.E\"}|";

static void test_stream_whole(void **state) {
    (void)state;
    with_script(three, sizeof three, check_three);
}

static void test_stream_byte_by_byte(void **state) {
    (void)state;
    with_script(three, 1, check_three);
}

static void check_bad(struct varlink_stream *stream) {
    struct json_object *parameters = NULL;
    char *error = NULL;
    bool continues;
    assert_int_equal(varlink_stream_receive(stream, &parameters, &error, &continues), -EBADMSG);
    assert_null(parameters);
}

static void test_stream_bad_reply(void **state) {
    (void)state;
    with_script("{]|", 8, check_bad);
}

/* ---- by table ---- */

struct answer {
    const char *text;
    int64_t number;
};

static const struct json_field answer_table[] = {
    JSON_FIELD(struct answer, text, "text", JSON_FIELD_STRING, true, 0, 0),
    JSON_FIELD(struct answer, number, "number", JSON_FIELD_INT, false, 0, 0),
};

static int receive_answer(
    struct varlink_stream *stream, struct answer *answer, const char **ret_error) {
    return varlink_stream_receive_fields(
        stream, answer_table, ARRAY_LENGTH(answer_table), answer, ret_error);
}

static void check_fields(struct varlink_stream *stream) {
    struct answer answer = {0};
    const char *error = "untouched";
    assert_int_equal(receive_answer(stream, &answer, &error), 0);
    assert_string_equal(answer.text, "a\"b");
    assert_int_equal(answer.number, 7);
    assert_null(error);
    answer = (struct answer){"untouched", 8};
    assert_int_equal(receive_answer(stream, &answer, &error), 0);
    assert_string_equal(error, "a.b.E");
    assert_string_equal(answer.text, "untouched");
    assert_int_equal(receive_answer(stream, &answer, &error), 0);
    assert_string_equal(answer.text, "longer than the one before");
    assert_null(error);
    for (int i = 0; i < 3; i++) /* without the text, of another type, and with more behind it */
        assert_int_equal(receive_answer(stream, &answer, &error), -EBADMSG);
    assert_int_equal(receive_answer(stream, &answer, &error), -ECONNRESET);
}

static const char field_replies[] =
    "{\"parameters\":{\"number\":7,\"text\":\"a\\\"b\"}}|{\"error\":\"a.b.E\",\"parameters\":{}}|"
    "{\"parameters\":{\"text\":\"longer than the one before\"}}|{}|{\"parameters\":{\"text\":1}}|"
    "{\"parameters\":{\"text\":\"a\"},\"continues\":true}|";

static void test_stream_fields(void **state) {
    (void)state;
    with_script(field_replies, sizeof field_replies, check_fields);
}

static void test_stream_fields_byte_by_byte(void **state) {
    (void)state;
    with_script(field_replies, 1, check_fields);
}

static void test_stream_sends_fields(void **state) {
    static const char expected[] =
        "{\"method\":\"a.b.C\",\"parameters\":{\"text\":\"\\n\",\"number\":3}}";
    const struct answer fields = {"\n", 3};
    struct varlink_stream *stream = NULL;
    int pair[2];
    char text[sizeof expected + 1];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(varlink_stream_open_fd(pair[0], 1000, &stream), 0);
    assert_int_equal(
        varlink_stream_send_fields(
            stream, "a.b.C", answer_table, ARRAY_LENGTH(answer_table), &fields),
        0);
    assert_int_equal(recv(pair[1], text, sizeof text, MSG_DONTWAIT), sizeof expected);
    assert_memory_equal(text, expected, sizeof expected);
    varlink_stream_free(stream);
    close(pair[1]);
}

static void test_stream_times_out(void **state) {
    struct varlink_stream *stream = NULL;
    struct json_object *parameters = NULL;
    char *error = NULL;
    bool continues;
    (void)state;
    int CLEANUP_CLOSE listener = listen_raw();
    (void)listener; /* nobody accepts */
    assert_int_equal(varlink_stream_open(path, geteuid(), 20, &stream), 0);
    assert_int_equal(varlink_stream_send(stream, "a.b.C", NULL, false, false), 0);
    assert_int_equal(varlink_stream_receive(stream, &parameters, &error, &continues), -ETIMEDOUT);
    varlink_stream_free(stream);
}

static void test_stream_waits_for_a_full_backlog(void **state) {
    struct varlink_stream *stream = NULL;
    int held[512];
    size_t count = 0;
    (void)state;
    int CLEANUP_CLOSE listener = listen_raw();
    assert_int_equal(listen(listener, 1), 0);
    int fd;
    while (count < 512 && (fd = transport_connect(path)) >= 0)
        held[count++] = fd;
    assert_int_equal(fd, -EAGAIN);
    assert_int_equal(varlink_stream_open(path, geteuid(), 30, &stream), -ETIMEDOUT);
    while (count > 0)
        close(held[--count]);
}

static void test_stream_secret_text(void **state) {
    struct varlink_stream *stream = NULL;
    struct secret *secret = NULL;
    char received[64] = "";
    static const char text[] = "{\"method\":\"a.b.C\"}";
    (void)state;
    int CLEANUP_CLOSE listener = listen_raw();
    assert_int_equal(varlink_stream_open(path, geteuid(), 1000, &stream), 0);
    assert_int_equal(secret_new(strlen(text), &secret), 0);
    memcpy(secret_data(secret), text, strlen(text));
    assert_int_equal(varlink_stream_send_secret(stream, secret), 0);
    int CLEANUP_CLOSE fd = accept_raw(listener);
    assert_int_equal(recv(fd, received, sizeof received, 0), sizeof text);
    assert_memory_equal(received, text, sizeof text);
    secret_free(secret);
    varlink_stream_free(stream);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_calls_and_streams),
        TEST(test_the_end_comes_after_all_calls),
        TEST(test_closing_in_a_callback),
        TEST(test_large_messages_both_ways),
        TEST(test_size_and_number_of_calls_at_the_limit_and_one_past),
        TEST(test_who_listens_is_checked),
        TEST(test_bad_replies_end_the_connection),
        TEST(test_reply_size_at_the_limit_and_one_past),
        TEST(test_no_call_on_an_ended_connection),
        TEST(test_stream_whole),
        TEST(test_stream_byte_by_byte),
        TEST(test_stream_bad_reply),
        TEST(test_stream_fields),
        TEST(test_stream_fields_byte_by_byte),
        TEST(test_stream_sends_fields),
        TEST(test_stream_times_out),
        TEST(test_stream_waits_for_a_full_backlog),
        TEST(test_stream_secret_text),
    };
    return cmocka_run_group_tests_name("varlink_client", tests, NULL, NULL);
}
