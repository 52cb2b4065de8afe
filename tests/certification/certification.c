/* See certification.h. The values are those of the interface's other implementations. */
#include "tests/certification/certification.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define STRUCT                                                                                     \
    "{\"bool\": false, \"int\": 2, \"float\": 3.141592653589793, \"string\": \"a lot of string\"}"
#define MAP "{\"foo\": \"Foo\", \"bar\": \"Bar\"}"
#define SET "{\"one\": {}, \"two\": {}, \"three\": {}}"
#define OBJECT "{\"method\": \"" CERTIFICATION ".Test09\", \"parameters\": {\"map\": " MAP "}}"
#define INTERFACE                                                                                  \
    "{\"foo\": [null, {\"foo\": \"foo\", \"bar\": \"bar\"}, null, "                                \
    "{\"one\": \"foo\", \"two\": \"bar\"}], \"anon\": {\"foo\": true, \"bar\": false}}"

static const struct {
    const char *name;
    const char *reply;
} steps[STEP_COUNT_] = {
    [STEP_START] = {"Start", "{}"},
    [STEP_TEST01] = {"Test01", "{\"bool\": true}"},
    {"Test02", "{\"int\": 1}"},
    {"Test03", "{\"float\": 1.0}"},
    {"Test04", "{\"string\": \"ping\"}"},
    {"Test05", STRUCT},
    {"Test06", "{\"struct\": " STRUCT "}"},
    {"Test07", "{\"map\": " MAP "}"},
    {"Test08", "{\"set\": " SET "}"},
    [STEP_TEST09] =
        {"Test09", "{\"mytype\": {\"object\": " OBJECT ", \"enum\": \"two\", "
                   "\"struct\": {\"first\": 1, \"second\": \"2\"}, "
                   "\"array\": [\"one\", \"two\", \"three\"], \"dictionary\": " MAP ", "
                   "\"stringset\": " SET ", \"nullable\": null, "
                   "\"nullable_array_struct\": null, \"interface\": " INTERFACE "}}"},
    [STEP_TEST10] = {"Test10", NULL},
    [STEP_TEST11] = {"Test11", "{}"},
    [STEP_END] = {"End", "{}"},
};

const char *certification_method(unsigned step, char ret[CERTIFICATION_METHOD_SIZE]) {
    snprintf(ret, CERTIFICATION_METHOD_SIZE, CERTIFICATION ".%s", steps[step].name);
    return ret;
}

static struct json_object *text_of_reply(unsigned number) {
    char text[32];
    snprintf(text, sizeof text, "Reply number %u", number);
    return json_object_new_string(text);
}

struct json_object *certification_reply(unsigned step, unsigned number) {
    struct json_object *reply = NULL;
    if (steps[step].reply) {
        (void)json_gate_parse(steps[step].reply, strlen(steps[step].reply), &reply);
        return reply;
    }
    reply = json_object_new_object();
    (void)json_fields_add(reply, "string", text_of_reply(number));
    return reply;
}

struct json_object *certification_parameters(unsigned step) {
    if (step == STEP_START || step == STEP_TEST01 || step == STEP_END)
        return json_object_new_object();
    if (step != STEP_TEST11)
        return certification_reply(step - 1, 0);
    struct json_object *parameters = json_object_new_object();
    struct json_object *texts = json_object_new_array();
    for (unsigned i = 1; i <= CERTIFICATION_TEXTS; i++)
        json_object_array_add(texts, text_of_reply(i));
    (void)json_fields_add(parameters, "last_more_replies", texts);
    return parameters;
}

/* ---- comparing ---- */

static bool numbers_match(struct json_object *wanted, struct json_object *got) {
    if (json_object_is_type(wanted, json_type_int) && !json_object_is_type(got, json_type_int))
        return false;
    return (json_object_is_type(got, json_type_int) ||
            json_object_is_type(got, json_type_double)) &&
           json_object_get_double(wanted) == json_object_get_double(got);
}

static bool arrays_match(struct json_object *wanted, struct json_object *got, bool exactly) {
    size_t count = json_object_array_length(wanted);
    if (json_object_array_length(got) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!certification_matches(
                json_object_array_get_idx(wanted, i), json_object_array_get_idx(got, i), exactly))
            return false;
    return true;
}

static bool objects_match(struct json_object *wanted, struct json_object *got, bool exactly) {
    json_object_object_foreach(wanted, name, value) {
        if (!certification_matches(value, json_object_object_get(got, name), exactly))
            return false;
    }
    if (!exactly)
        return true;
    json_object_object_foreach(got, got_name, got_value) {
        if (got_value && !json_object_object_get(wanted, got_name))
            return false;
    }
    return true;
}

bool certification_matches(struct json_object *wanted, struct json_object *got, bool exactly) {
    switch (json_object_get_type(wanted)) {
    case json_type_int:
    case json_type_double:
        return numbers_match(wanted, got);
    case json_type_array:
        return json_object_is_type(got, json_type_array) && arrays_match(wanted, got, exactly);
    case json_type_object:
        return json_object_is_type(got, json_type_object) && objects_match(wanted, got, exactly);
    default:
        return json_object_equal(wanted, got) == 1;
    }
}
