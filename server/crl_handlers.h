/* GET /crl/trust.crl and /crl/device.crl, built when asked for and something has changed. */
#pragma once

#include "server/http.h"

struct crl_cache;
struct server;

/** Returns 0 or -ENOMEM. The server keeps it in server->crl_cache. */
int crl_cache_new(struct crl_cache **ret);
struct crl_cache *crl_cache_free(struct crl_cache *cache);

/** On the portal and admin listeners. */
extern const struct http_route crl_routes[];
