/* What an HTTP answer means: transport, status and problem details (RFC 9457) as one of our
 * reasons. */
#pragma once

#include "common/clock.h"
#include "daemon/http_client.h"

/** NONE for 2xx and 304; the transport's reason; the server's code where it is one that says what
 * is wrong; else a reason by status. */
enum reason http_problem_reason(const struct http_answer *answer);

/** True where the same request may well succeed later: no answer, 202, 408, 425, 429, 5xx. */
bool http_problem_is_transient(const struct http_answer *answer);

/** The answer's Retry-After in ms, 0 without one; at most 6 h. */
int64_t http_problem_retry_after_ms(
    const struct http_answer *answer, const struct clock_source *clock);
