/* libs: common */
/* What the gate accepts, json-c in strict mode must parse; what json-c then writes must pass the
 * gate again and mean the same. What the gate refuses names an offset within the text. */
#include "common/json_gate.h"

#include <errno.h>
#include <json-c/json_tokener.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    size_t offset = SIZE_MAX;

    int r = json_gate_check(text, size, &offset);
    CHECK(r == 0 || r == -EBADMSG);
    CHECK((r == 0) == (offset == SIZE_MAX));
    CHECK(r == 0 || offset <= size);

    struct json_object *object = NULL;
    CHECK(json_gate_parse(text, size, &object) == r);
    if (r < 0)
        return 0;

    size_t again_size;
    const char *again = json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &again_size);
    CHECK(again && strlen(again) == again_size);
    struct json_object *second = NULL;
    CHECK(json_gate_parse(again, again_size, &second) == 0);
    CHECK(json_object_equal(object, second));
    json_object_put(second);
    json_object_put(object);
    return 0;
}
