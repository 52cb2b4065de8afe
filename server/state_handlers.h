/* GET /v1/state and PUT /v1/report (docs/SERVER-API.md). */
#pragma once

#include "server/http.h"

extern const struct http_route state_routes[];
extern const struct http_route report_routes[];
