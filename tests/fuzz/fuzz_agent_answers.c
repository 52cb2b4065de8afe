/* libs: common ipc daemon */
/* The checks that any user's process may send with Inspected: taken or refused; what is taken is
 * shown within its bounds. */
#include "daemon/agent_answers.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check(bool holds) {
    if (!holds)
        abort();
}

static void check_shown(struct json_object *array, size_t most) {
    check(array && json_object_array_length(array) <= most + 1);
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        struct json_object *one = json_object_array_get_idx(array, i), *value = NULL;

        check(json_object_object_get_ex(one, "id", &value));
        check(json_object_object_get_ex(one, "result", &value));
        check(json_object_object_get_ex(one, "text", &value));
        check(json_object_get_string_len(value) > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct json_object *object CLEANUP_JSON = NULL, *shown CLEANUP_JSON = NULL;
    struct checks checks CLEANUP_CHECKS = {0};

    if (json_gate_parse((const char *)data, size, &object) < 0 ||
        !json_object_is_type(object, json_type_array))
        return 0;
    if (agent_answers_validate(object) < 0)
        return 0;
    agent_answers_add(object, "alice", &checks);
    shown = checks_take(&checks);
    check_shown(shown, json_object_array_length(object));
    return 0;
}
