/* Enrolment over Secure Transport (RFC 7030, RFC 8951), server side. */
#pragma once

#include "server/http.h"

extern const struct http_route est_routes[];
