/* Reads what a judgement has added to a list of checks. */
#pragma once

#include "daemon/checks.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct found {
    char id[64], user[64], subject[1100], result[32], code[64], text[2100], remedy[512];
    size_t count; /* checks in the list */
};

static void found_copy(struct json_object *object, const char *name, char *ret, size_t size) {
    struct json_object *value;
    bool has = json_object_object_get_ex(object, name, &value);
    snprintf(ret, size, "%s", has ? json_object_get_string(value) : "");
}

/* The check at `index`; takes the list. Every warning and failure has a code and says what to do.
 */
__attribute__((unused)) static struct found found_at(struct checks *checks, size_t index) {
    CLEANUP_JSON struct json_object *array = checks_take(checks);
    assert_non_null(array);
    struct found found = {.count = json_object_array_length(array)};
    assert_true(index < found.count);
    struct json_object *object = json_object_array_get_idx(array, index);
    found_copy(object, "id", found.id, sizeof(found.id));
    found_copy(object, "user", found.user, sizeof(found.user));
    found_copy(object, "subject", found.subject, sizeof(found.subject));
    found_copy(object, "result", found.result, sizeof(found.result));
    found_copy(object, "code", found.code, sizeof(found.code));
    found_copy(object, "text", found.text, sizeof(found.text));
    found_copy(object, "remedy", found.remedy, sizeof(found.remedy));
    assert_true(strlen(found.text) > 0);
    if (strcmp(found.result, "warning") == 0 || strcmp(found.result, "failure") == 0) {
        assert_true(strlen(found.code) > 0);
        assert_true(strlen(found.remedy) > 0);
    }
    return found;
}

/* The only one. */
__attribute__((unused)) static struct found found_one(struct checks *checks) {
    struct found found = found_at(checks, 0);
    assert_int_equal(found.count, 1);
    return found;
}

#define EXPECT_FOUND(found_, id_, result_, code_)                                                  \
    do {                                                                                           \
        struct found expected_ = (found_);                                                         \
        assert_string_equal(expected_.id, id_);                                                    \
        assert_string_equal(expected_.result, result_);                                            \
        assert_string_equal(expected_.code, code_);                                                \
    } while (0)
