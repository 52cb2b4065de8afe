/* GET /v1/auth: whether a certificate that a proxy has seen stands for a managed user on a managed
 * device now. */
#pragma once

#include "server/http.h"

/** On the portal and admin listeners. Answers 204, 401 and 403 only (facts: nginx makes 500 of
 * anything else). */
extern const struct http_route auth_routes[];
