/* Every text of the JSON corpus as a part of calls and replies: through the reader in pieces,
 * through the codec, and through a server that gives it back. */
#include "play.h"

#include "tests/unit/common/json_corpus.h"

#define CALL_ECHO "{\"method\":\"io.test.Play.Echo\",\"parameters\":"

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

/* What the gate says of the text alone, and, if it is good, what it means. */
struct sample {
    const char *name, *text;
    size_t size;
    bool is_good;
    struct json_object *value;
    unsigned depth;
    size_t values;
};

/* Levels of nesting, and how many values there are on the way. */
static unsigned depth_of(struct json_object *value, size_t *values) {
    unsigned deepest = 0;
    ++*values;
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            unsigned depth = depth_of(json_object_array_get_idx(value, i), values);
            deepest = depth > deepest ? depth : deepest;
        }
        return deepest + 1;
    }
    if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach(value, key, member) {
            (void)key;
            unsigned depth = depth_of(member, values);
            deepest = depth > deepest ? depth : deepest;
        }
        return deepest + 1;
    }
    return 0;
}

static void wrap(
    const char *before, const struct sample *sample, const char *after, struct buffer *ret) {
    assert_int_equal(buffer_append_string(ret, before), 0);
    assert_int_equal(buffer_append(ret, sample->text, sample->size), 0);
    assert_int_equal(buffer_append_string(ret, after), 0);
}

/* Good texts stay good inside others, as far as the depth allows; bad ones never become so. */
static bool stays_good(const struct sample *sample, unsigned levels) {
    return sample->is_good && sample->depth + levels <= JSON_GATE_MAX_DEPTH;
}

/* The method is one value more. */
static bool fits_call(const struct sample *sample, unsigned levels) {
    return sample->values + levels + 1 <= VARLINK_CALL_MAX_VALUES;
}

static void expect(const struct sample *sample, int r, int expected, const char *what) {
    if (r != expected)
        fail_msg("%s: %d %s", sample->name, r, what);
}

static void expect_same(
    const struct sample *sample, struct json_object *parameters, const char *what) {
    if (!json_object_equal(json_object_object_get(parameters, "value"), sample->value))
        fail_msg("%s: another value in a %s", sample->name, what);
}

/* ---- the codec ---- */

static void check_call(const struct sample *sample) {
    struct buffer CLEANUP_BUFFER message = BUFFER_INIT(JSON_CORPUS_MAX);
    struct varlink_call_parts CLEANUP_VARLINK_CALL parts;
    wrap(CALL_ECHO "{\"value\":", sample, "}}", &message);
    int r = varlink_call_read((const char *)message.data, message.size, &parts);
    int expected = !stays_good(sample, 2) ? -EBADMSG : fits_call(sample, 2) ? 0 : -EMSGSIZE;
    expect(sample, r, expected, "in the parameters of a call");
    if (r < 0)
        return;
    struct json_object CLEANUP_JSON *parameters = NULL;
    assert_int_equal(json_gate_make(parts.parameters, parts.parameters_size, &parameters), 0);
    expect_same(sample, parameters, "call");
}

static void check_reply(const struct sample *sample) {
    struct buffer CLEANUP_BUFFER message = BUFFER_INIT(JSON_CORPUS_MAX);
    struct varlink_reply_parts CLEANUP_VARLINK_REPLY parts;
    wrap("{\"continues\":true,\"parameters\":{\"value\":", sample, "}}", &message);
    int r = varlink_reply_read((const char *)message.data, message.size, true, &parts);
    expect(sample, r, stays_good(sample, 2) ? 0 : -EBADMSG, "in the parameters of a reply");
    if (r == 0)
        expect_same(sample, parts.parameters, "reply");
}

/* The text as the parameters themselves, which must be an object or null. */
static void check_as_parameters(const struct sample *sample) {
    bool is_good = stays_good(sample, 1);
    bool fits = !sample->value || json_object_is_type(sample->value, json_type_object);
    struct buffer CLEANUP_BUFFER call = BUFFER_INIT(JSON_CORPUS_MAX);
    struct buffer CLEANUP_BUFFER reply = BUFFER_INIT(JSON_CORPUS_MAX);
    struct varlink_call_parts CLEANUP_VARLINK_CALL call_parts;
    struct varlink_reply_parts CLEANUP_VARLINK_REPLY reply_parts;
    wrap("{\"method\":\"a.b.C\",\"parameters\":", sample, "}", &call);
    wrap("{\"parameters\":", sample, "}", &reply);
    int r = varlink_call_read((const char *)call.data, call.size, &call_parts);
    int expected = !is_good ? -EBADMSG : !fits_call(sample, 1) ? -EMSGSIZE : fits ? 0 : -EINVAL;
    expect(sample, r, expected, "as parameters of a call");
    if (r == -EINVAL)
        assert_string_equal(call_parts.offence, "parameters");
    r = varlink_reply_read((const char *)reply.data, reply.size, false, &reply_parts);
    expect(sample, r, is_good && fits ? 0 : -EBADMSG, "as parameters of a reply");
}

/* ---- bytes ---- */

static void check_pieces(const struct sample *sample) {
    struct buffer CLEANUP_BUFFER message = BUFFER_INIT(JSON_CORPUS_MAX);
    wrap(CALL_ECHO, sample, "}", &message);
    const char *whole = (const char *)message.data;
    if (memchr(whole, 0, message.size))
        return; /* the NUL ends the message: what comes out is not what went in */
    static const size_t steps[] = {1, 7, 4096, JSON_CORPUS_MAX};
    for (size_t i = 0; i < ARRAY_LENGTH(steps); i++) {
        if (message.size / steps[i] > 4096)
            continue;
        struct varlink_reader reader;
        varlink_reader_init(&reader, JSON_CORPUS_MAX, steps[i]);
        const char *text = NULL;
        size_t size = 0;
        for (size_t at = 0; at < message.size + 1; at += steps[i]) {
            size_t left = message.size + 1 - at;
            assert_int_equal(varlink_reader_settle(&reader), 0);
            assert_int_equal(
                varlink_reader_feed(&reader, whole + at, left < steps[i] ? left : steps[i]), 0);
            int r = varlink_reader_next(&reader, &text, &size);
            assert_int_equal(r, left <= steps[i]);
        }
        if (size != message.size || memcmp(text, whole, size) != 0)
            fail_msg("%s: not the same in pieces of %zu bytes", sample->name, steps[i]);
        varlink_reader_deinit(&reader);
    }
}

/* ---- the server ---- */

/* Sends as far as the server reads. */
static void send_all(int fd, const struct buffer *message) {
    size_t size = message->size + 1; /* the NUL that a buffer has behind its contents */
    for (size_t at = 0; at < size;) {
        ssize_t n = send(fd, message->data + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return;
        at += n > 0 ? (size_t)n : 0;
        play_turn(&play);
    }
}

/* One call, one answer with the same value; or, where it is no JSON, the end of the connection. */
static void check_server(const struct sample *sample) {
    struct buffer CLEANUP_BUFFER call = BUFFER_INIT(JSON_CORPUS_MAX);
    struct buffer CLEANUP_BUFFER answer = BUFFER_INIT(JSON_CORPUS_MAX);
    wrap(CALL_ECHO "{\"value\":", sample, "}}", &call);
    bool is_good = stays_good(sample, 2) && fits_call(sample, 2) && call.size <= VARLINK_CALL_MAX;
    int CLEANUP_CLOSE fd = play_connect(&play);
    send_all(fd, &call);
    char chunk[4096];
    ssize_t n;
    while ((n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0) {
        assert_int_equal(buffer_append(&answer, chunk, (size_t)n), 0);
        play_turn(&play);
    }
    bool is_open = n < 0 && errno == EAGAIN;
    if (is_open != is_good || (answer.size > 0) != is_good)
        fail_msg(
            "%s: %zu bytes of an answer, %s", sample->name, answer.size,
            is_open ? "open" : "closed");
    if (!is_good)
        return;
    struct json_object CLEANUP_JSON *reply = NULL;
    assert_int_equal(answer.data[answer.size - 1], 0);
    if (json_gate_parse((const char *)answer.data, answer.size - 1, &reply) < 0)
        fail_msg("%s: the answer is no JSON: %s", sample->name, (const char *)answer.data);
    expect_same(sample, json_object_object_get(reply, "parameters"), "answer");
}

/* ---- all of them ---- */

static void visit(const char *name, const char *text, size_t size) {
    struct json_object CLEANUP_JSON *value = NULL;
    struct sample sample = {.name = name, .text = text, .size = size};
    sample.is_good = json_gate_parse(text, size, &value) == 0;
    sample.value = value;
    sample.depth = depth_of(value, &sample.values);
    check_call(&sample);
    check_reply(&sample);
    check_as_parameters(&sample);
    check_pieces(&sample);
    check_server(&sample);
    play_turn(&play);
}

static void visit_accept(const char *name, const char *text, size_t size) {
    if (json_gate_check(text, size, NULL) < 0)
        fail_msg("%s: refused", name);
    visit(name, text, size);
}

static void visit_reject(const char *name, const char *text, size_t size) {
    if (json_gate_check(text, size, NULL) == 0)
        fail_msg("%s: accepted", name);
    visit(name, text, size);
}

static void test_must_accept(void **state) {
    (void)state;
    assert_true(json_corpus_each("accept", visit_accept) > 0);
}

static void test_must_reject(void **state) {
    (void)state;
    assert_true(json_corpus_each("reject", visit_reject) > 0);
}

static void test_either(void **state) {
    (void)state;
    assert_true(json_corpus_each("either", visit) > 0);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_must_accept),
        TEST(test_must_reject),
        TEST(test_either),
    };
    return cmocka_run_group_tests_name("json_corpus", tests, NULL, NULL);
}
