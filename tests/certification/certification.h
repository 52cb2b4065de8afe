/* org.varlink.certification as a table: what each call answers, and so what the next must bring. */
#pragma once

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>

#define CERTIFICATION "org.varlink.certification"
#define CERTIFICATION_METHOD_SIZE 64
#define CERTIFICATION_TEXTS 10 /* replies of Test10 */

enum certification_step {
    STEP_START,
    STEP_TEST01,
    STEP_TEST09 = 9,
    STEP_TEST10,
    STEP_TEST11,
    STEP_END,
    STEP_COUNT_,
};

/** "org.varlink.certification.Test01". */
const char *certification_method(unsigned step, char ret[CERTIFICATION_METHOD_SIZE]);

/** What a step answers; NULL when memory is out. Owned by the caller. Test10: of the reply
 * `number`, 1 to CERTIFICATION_TEXTS. Start and End answer what no table knows: {}. */
struct json_object *certification_reply(unsigned step, unsigned number);

/** What a step is called with beside the client_id. Owned by the caller. */
struct json_object *certification_parameters(unsigned step);

/** Whether a value is the wanted one: a float may be written without its point, a null may be
 * absent. `exactly`: no members that are not wanted. */
bool certification_matches(struct json_object *wanted, struct json_object *got, bool exactly);
