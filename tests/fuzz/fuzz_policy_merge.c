/* libs: common ipc daemon */
/* The merge of browser policies: whatever the administrator's files hold, ours is valid JSON of
 * strings with all our rules. The input is up to four files, separated by a line of its own. */
#include "daemon/policy_merge.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <stdlib.h>
#include <string.h>

#define SEPARATOR "\n----\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"00.json", "50.json", "zz-devtrust.jsoo", "zzz.json"};

static void check(const char *text, const struct policy_rules *rules) {
    struct json_object *root CLEANUP_JSON = NULL;
    struct json_object *array = NULL;
    if (json_gate_parse(text, strlen(text), &root) < 0 ||
        !json_object_object_get_ex(root, POLICY_MERGE_KEY, &array) ||
        !json_object_is_type(array, json_type_array))
        abort();
    size_t count = json_object_array_length(array);
    if (count < rules->count || count > POLICY_MERGE_MAX_ELEMENTS + rules->count)
        abort();
    for (size_t i = 0; i < count; i++)
        if (!json_object_is_type(json_object_array_get_idx(array, i), json_type_string))
            abort();
    if (!policy_merge_has_rules(text, strlen(text), rules))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char portal[] = "https://portal.example.com",
                wildcard[] = "https://[*.]check.example.com";
    char *patterns[] = {portal, wildcard};
    const struct policy_rules rules = {"Trust CA", patterns, 2};
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    char *text CLEANUP_FREE = NULL;
    const char *at = (const char *)data;

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const char *end = memmem(at, size, SEPARATOR, strlen(SEPARATOR));
        size_t length = end && i + 1 < ARRAY_LENGTH(names) ? (size_t)(end - at) : size;
        if (policy_merge_add(&merge, names[i], at, length) < 0)
            return 0;
        if (length == size)
            break;
        at += length + strlen(SEPARATOR);
        size -= length + strlen(SEPARATOR);
    }
    (void)policy_merge_others_have_rules(&merge, &rules);
    if (policy_merge_render(&merge, &rules, &text) == 0)
        check(text, &rules);
    return 0;
}
