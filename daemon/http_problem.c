/* One judgement of HTTP answers for enrolment, signing, desired state and reports, so that they
 * cannot disagree. */
#include "daemon/http_problem.h"

#include "common/cleanup.h"
#include "common/est_message.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <string.h>
#include <strings.h>

#define PROBLEM_TYPE "application/problem+json"

struct problem {
    const char *code;
};

static const struct json_field problem_fields[] = {
    JSON_FIELD(struct problem, code, "code", JSON_FIELD_STRING, true, 1, 64),
};

static bool is_problem(const char *content_type) {
    size_t size = sizeof(PROBLEM_TYPE) - 1;
    return strncasecmp(content_type, PROBLEM_TYPE, size) == 0 &&
           (content_type[size] == '\0' || content_type[size] == ';' || content_type[size] == ' ');
}

/* NONE: the server names no code that this version knows. A refusal can never say that nothing is
 * wrong. */
static enum reason stated_reason(const struct http_answer *answer) {
    if (!is_problem(answer->content_type))
        return REASON_NONE;
    CLEANUP_JSON struct json_object *object = NULL;
    struct problem problem = {0};
    if (json_gate_parse(answer->body, answer->size, &object) < 0 ||
        !json_object_is_type(object, json_type_object) ||
        json_fields_read(object, problem_fields, ARRAY_LENGTH(problem_fields), &problem, NULL) < 0)
        return REASON_NONE;
    enum reason reason = reason_from_code(problem.code);
    return reason == REASON_OTHER ? REASON_NONE : reason;
}

enum reason http_problem_reason(const struct http_answer *answer) {
    if (answer->reason != REASON_NONE)
        return answer->reason;
    if (answer->status / 100 == 2 || answer->status == 304)
        return REASON_NONE;
    enum reason stated = stated_reason(answer);
    if (stated != REASON_NONE)
        return stated;
    switch (answer->status) {
    case 401:
    case 403:
        return REASON_SERVER_REFUSED;
    case 429:
        return REASON_RATE_LIMITED;
    default:
        return answer->status >= 500 ? REASON_SERVER_ERROR : REASON_SERVER_ANSWER;
    }
}

bool http_problem_is_transient(const struct http_answer *answer) {
    switch (answer->reason) {
    case REASON_NONE:
        break;
    case REASON_SERVER_UNREACHABLE:
    case REASON_SERVER_TLS: /* a portal of the network in between, or a clock that is not set yet */
    case REASON_NO_MEMORY:
        return true;
    default:
        return false;
    }
    return answer->status == 202 || answer->status == 408 || answer->status == 425 ||
           answer->status == 429 || answer->status >= 500;
}

int64_t http_problem_retry_after_ms(
    const struct http_answer *answer, const struct clock_source *clock) {
    int64_t seconds;
    int64_t now_s = answer->date_s > 0 ? answer->date_s : clock_wall_s(clock);
    if (answer->retry_after[0] == '\0' || est_retry_after(answer->retry_after, now_s, &seconds) < 0)
        return 0;
    return seconds * 1000;
}
