/* The log in memory: its order, its bounds, and that hostile text stays text. */
#include "daemon/log_ring.h"

#include "common/cleanup.h"
#include "common/json_gate.h"
#include "common/log_messages.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state) {
    *state = log_ring_new();
    assert_non_null(*state);
    return 0;
}

static int teardown(void **state) {
    assert_null(log_ring_free(*state));
    return 0;
}

static void add(struct log_ring *ring, const char *text, int64_t number) {
    const struct log_field fields[] = {LOG_TEXT("NAME", "a b"), LOG_NUMBER("NUMBER", number)};
    const struct event_log log = {LOG_LEVEL_NOTICE, MSG_START, text, fields, 2};
    log_ring_add(ring, &log, 1000000 + number);
}

/* The entries as whoever calls GetLog gets them. */
static struct json_object *entries_of(const struct log_ring *ring) {
    struct json_object *raw CLEANUP_JSON = log_ring_to_json(ring);
    const char *text = json_object_to_json_string_ext(raw, JSON_C_TO_STRING_PLAIN);
    struct json_object *entries = NULL;
    assert_int_equal(json_gate_parse(text, strlen(text), &entries), 0);
    return entries;
}

static void test_an_entry(void **state) {
    (void)state;
    struct json_object *empty CLEANUP_JSON = entries_of(*state);
    assert_int_equal(json_object_array_length(empty), 0);
    add(*state, "Something.", 7);
    struct json_object *entries CLEANUP_JSON = entries_of(*state);
    assert_string_equal(
        json_object_to_json_string_ext(entries, JSON_C_TO_STRING_PLAIN),
        "[{\"time_us\":1000007,\"level\":\"notice\",\"message_id\":\"" MSG_START "\","
        "\"text\":\"Something.\",\"fields\":{\"NAME\":\"a b\",\"NUMBER\":7}}]");
}

static int64_t time_at(struct json_object *entries, size_t i) {
    return json_object_get_int64(
        json_object_object_get(json_object_array_get_idx(entries, i), "time_us"));
}

static void test_the_oldest_make_room(void **state) {
    for (int i = 0; i < LOG_RING_ENTRIES; i++)
        add(*state, "x", i);
    struct json_object *full CLEANUP_JSON = entries_of(*state);
    assert_int_equal(json_object_array_length(full), LOG_RING_ENTRIES);
    assert_int_equal(time_at(full, 0), 1000000);
    for (int i = 0; i < 300; i++)
        add(*state, "x", LOG_RING_ENTRIES + i);
    struct json_object *later CLEANUP_JSON = entries_of(*state);
    assert_int_equal(json_object_array_length(later), LOG_RING_ENTRIES);
    assert_int_equal(time_at(later, 0), 1000300);
    assert_int_equal(time_at(later, LOG_RING_ENTRIES - 1), 1000000 + LOG_RING_ENTRIES + 299);
}

/* As large as an entry can be: 24 fields of hostile text. */
static void test_bytes_have_a_limit_too(void **state) {
    char hostile[2048];
    struct log_field fields[30];
    char names[30][8];
    memset(hostile, '\x01', sizeof(hostile) - 1);
    hostile[sizeof(hostile) - 1] = '\0';
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
        snprintf(names[i], sizeof(names[i]), "F%zu", i);
        fields[i] = (struct log_field)LOG_TEXT(names[i], hostile);
    }
    for (int i = 0; i < LOG_RING_ENTRIES; i++) {
        const struct event_log log = {LOG_LEVEL_ERROR, NULL, hostile, fields, ARRAY_LENGTH(fields)};
        log_ring_add(*state, &log, i);
    }
    struct json_object *raw CLEANUP_JSON = log_ring_to_json(*state);
    size_t size = strlen(json_object_to_json_string_ext(raw, JSON_C_TO_STRING_PLAIN));
    assert_in_range(size, LOG_RING_BYTES / 2, LOG_RING_BYTES + LOG_RING_ENTRIES + 2);
    struct json_object *entries CLEANUP_JSON = entries_of(*state);
    size_t count = json_object_array_length(entries);
    assert_in_range(count, 10, LOG_RING_ENTRIES - 1);
    assert_int_equal(time_at(entries, count - 1), LOG_RING_ENTRIES - 1);
}

/* A reader's gate takes so many keys in one text. */
static void test_as_many_fields_as_an_event_has(void **state) {
    struct log_field fields[24];
    char names[24][8];
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
        snprintf(names[i], sizeof(names[i]), "F%zu", i);
        fields[i] = (struct log_field)LOG_NUMBER(names[i], i);
    }
    for (int i = 0; i < LOG_RING_ENTRIES; i++) {
        const struct event_log log = {LOG_LEVEL_INFO, MSG_STOP, "", fields, ARRAY_LENGTH(fields)};
        log_ring_add(*state, &log, i);
    }
    struct json_object *entries CLEANUP_JSON = entries_of(*state);
    assert_int_equal(json_object_array_length(entries), LOG_RING_ENTRIES);
}

static void test_hostile_text(void **state) {
    const struct log_field fields[] = {
        LOG_TEXT("A", "\xff\"\\\n\x1b[31m\xe2\x80\xae"), LOG_TEXT("B", "1"), LOG_TEXT("A", "2")};
    const struct event_log log = {LOG_LEVEL_DEBUG, MSG_STOP, "x\n\xc0", fields, 3};
    log_ring_add(*state, &log, 5);
    struct json_object *entries CLEANUP_JSON = entries_of(*state);
    struct json_object *entry = json_object_array_get_idx(entries, 0);
    struct json_object *shown = json_object_object_get(entry, "fields");
    assert_string_equal(
        json_object_get_string(json_object_object_get(entry, "text")), "x\\x0a\\xc0");
    assert_string_equal(
        json_object_get_string(json_object_object_get(shown, "A")),
        "\\xff\"\\\\x0a\\x1b[31m\\u{202e}");
    assert_int_equal(json_object_object_length(shown), 2); /* a name twice: the first */
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_an_entry),
        TEST(test_the_oldest_make_room),
        TEST(test_bytes_have_a_limit_too),
        TEST(test_as_many_fields_as_an_event_has),
        TEST(test_hostile_text),
    };
    return cmocka_run_group_tests_name("log_ring", tests, NULL, NULL);
}
