/* State files: what is written is read; newer, broken, foreign and too large files are told apart
 * and left alone. */
#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/json_gate.h"
#include "common/state_file.h"

#include "unit.h"

#include <errno.h>
#include <limits.h>

static const struct state_file_type type = {.format = "devtrust-test", .version = 3};

static int read_back(const struct unit_dir *dir, struct json_object **ret) {
    return state_file_read(dir->fd, "state.json", &type, ret);
}

static void test_round_trip(void **state) {
    struct unit_dir *dir = *state;
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    json_object_object_add(object, "n", json_object_new_int64(INT64_MAX));
    json_object_object_add(object, "s", json_object_new_string("a/\"\x01\xc3\xa9"));
    json_object_object_add(object, "version", json_object_new_int(77)); /* ours wins */
    assert_int_equal(state_file_write(dir->fd, "state.json", &type, object, 0640), 0);

    struct stat st;
    assert_int_equal(fstatat(dir->fd, "state.json", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    CLEANUP_JSON struct json_object *found = NULL;
    assert_int_equal(read_back(dir, &found), 0);
    assert_true(json_object_equal(object, found));
    assert_int_equal(json_object_get_int(json_object_object_get(found, "version")), 3);
    assert_string_equal(
        json_object_get_string(json_object_object_get(found, "format")), "devtrust-test");
}

static void test_what_is_no_state(void **state) {
    struct unit_dir *dir = *state;
    static const struct {
        const char *text;
        int expected;
    } cases[] = {
        {"{\"format\":\"devtrust-test\",\"version\":3}", 0},
        {"{\"format\":\"devtrust-test\",\"version\":1,\"new\":[]}\n", 0},
        {"{\"format\":\"devtrust-test\",\"version\":4,\"new\":[]}", -EPROTO},
        {"{\"format\":\"devtrust-test\",\"version\":2147483647}", -EPROTO},
        {"{\"format\":\"devtrust-test\",\"version\":2147483648}", -EBADMSG},
        {"{\"format\":\"devtrust-test\",\"version\":0}", -EBADMSG},
        {"{\"format\":\"devtrust-test\",\"version\":-1}", -EBADMSG},
        {"{\"format\":\"devtrust-test\",\"version\":\"3\"}", -EBADMSG},
        {"{\"format\":\"devtrust-test\",\"version\":3.0}", -EBADMSG},
        {"{\"format\":\"devtrust-test\"}", -EBADMSG},
        {"{\"format\":\"devtrust-other\",\"version\":3}", -EBADMSG},
        {"{\"format\":\"devtrust-other\",\"version\":9}", -EBADMSG},
        {"{\"format\":3,\"version\":3}", -EBADMSG},
        {"{\"version\":3}", -EBADMSG},
        {"{\"format\":\"devtrust-test\",\"version\":3,\"version\":3}", -EBADMSG},
        {"{\"format\":\"devtrust-test\",\"version\":3", -EBADMSG},
        {"", -EBADMSG},
        {"null", -EBADMSG},
        {"[]", -EBADMSG},
        {"<html>", -EBADMSG},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        unit_write(dir, "state.json", cases[i].text, strlen(cases[i].text));
        CLEANUP_JSON struct json_object *found = NULL;
        int r = read_back(dir, &found);
        if (r != cases[i].expected)
            fail_msg("%s: %d", cases[i].text, r);
        assert_int_equal(found != NULL, r == 0);
        assert_true(unit_holds(dir, "state.json", cases[i].text, strlen(cases[i].text)));
    }
}

static void test_missing_and_link(void **state) {
    struct unit_dir *dir = *state;
    struct json_object *found = NULL;
    assert_int_equal(read_back(dir, &found), -ENOENT);
    assert_int_equal(symlinkat("elsewhere", dir->fd, "state.json"), 0);
    assert_int_equal(read_back(dir, &found), -ELOOP);
    assert_null(found);
}

/* A state whose text is exactly `size` bytes. */
static struct json_object *state_of_size(size_t size) {
    struct json_object *object = json_object_new_object();
    static const char frame[] = "{\"s\":\"\",\"format\":\"devtrust-test\",\"version\":3}";
    size_t length = size - (sizeof(frame) - 1);
    char *text = malloc(length);
    memset(text, 'x', length);
    json_object_object_add(object, "s", json_object_new_string_len(text, (int)length));
    free(text);
    return object;
}

static void test_maximum_and_one_past(void **state) {
    struct unit_dir *dir = *state;
    CLEANUP_JSON struct json_object *largest = state_of_size(STATE_FILE_MAX_SIZE);
    CLEANUP_JSON struct json_object *larger = state_of_size(STATE_FILE_MAX_SIZE + 1);
    assert_int_equal(state_file_write(dir->fd, "state.json", &type, largest, 0600), 0);
    assert_int_equal(state_file_write(dir->fd, "state.json", &type, larger, 0600), -EMSGSIZE);
    struct stat st;
    assert_int_equal(fstatat(dir->fd, "state.json", &st, 0), 0);
    assert_int_equal(st.st_size, STATE_FILE_MAX_SIZE);
    CLEANUP_JSON struct json_object *found = NULL;
    assert_int_equal(read_back(dir, &found), 0);

    CLEANUP_CLOSE int fd = openat(dir->fd, "state.json", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "\n", 1), 1); /* a good file, but larger than any of ours */
    struct json_object *none = NULL;
    assert_int_equal(read_back(dir, &none), -EBADMSG);
    assert_null(none);
}

/* What could not be read back is not written, and the old file stands. */
static void test_unreadable_is_not_written(void **state) {
    struct unit_dir *dir = *state;
    CLEANUP_JSON struct json_object *good = json_object_new_object();
    assert_int_equal(state_file_write(dir->fd, "state.json", &type, good, 0600), 0);
    const char *text = json_object_to_json_string_ext(good, JSON_C_TO_STRING_PLAIN);

    CLEANUP_JSON struct json_object *latin = json_object_new_object();
    json_object_object_add(latin, "s", json_object_new_string("\xe9"));
    assert_int_equal(state_file_write(dir->fd, "state.json", &type, latin, 0600), -EINVAL);

    CLEANUP_JSON struct json_object *deep = json_object_new_object();
    struct json_object *inner = deep;
    for (int i = 0; i < JSON_GATE_MAX_DEPTH; i++) {
        struct json_object *next = json_object_new_object();
        json_object_object_add(inner, "d", next);
        inner = next;
    }
    assert_int_equal(state_file_write(dir->fd, "state.json", &type, deep, 0600), -EINVAL);

    CLEANUP_JSON struct json_object *list = json_object_new_array();
    assert_int_equal(state_file_write(dir->fd, "state.json", &type, list, 0600), -EINVAL);
    assert_int_equal(state_file_write(dir->fd, "state.json", &type, NULL, 0600), -EINVAL);
    assert_true(unit_holds(dir, "state.json", text, strlen(text)));
    assert_int_equal(unit_count(dir), 1);
}

static void test_set_aside(void **state) {
    struct unit_dir *dir = *state;
    assert_int_equal(state_file_set_aside(dir->fd, "state.json"), -ENOENT);
    unit_write(dir, "state.json", "one", 3);
    assert_int_equal(state_file_set_aside(dir->fd, "state.json"), 0);
    unit_write(dir, "state.json", "two", 3);
    assert_int_equal(state_file_set_aside(dir->fd, "state.json"), 0);
    assert_true(unit_holds(dir, "state.json.broken", "two", 3));
    assert_int_equal(unit_count(dir), 1);

    char name[NAME_MAX + 1];
    memset(name, 'n', NAME_MAX);
    name[NAME_MAX - 6] = '\0'; /* ".broken" has 7 */
    assert_int_equal(state_file_set_aside(dir->fd, name), -ENAMETOOLONG);
    name[NAME_MAX - 7] = '\0';
    unit_write(dir, name, "x", 1);
    assert_int_equal(state_file_set_aside(dir->fd, name), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        unit_test_with_dir(test_round_trip),
        unit_test_with_dir(test_what_is_no_state),
        unit_test_with_dir(test_missing_and_link),
        unit_test_with_dir(test_maximum_and_one_past),
        unit_test_with_dir(test_unreadable_is_not_written),
        unit_test_with_dir(test_set_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
