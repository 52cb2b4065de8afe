/* What the handlers of one running server share. Made by serve.c; nothing in it is global. */
#pragma once

#include "common/clock.h"
#include "common/random.h"
#include "server/db.h"
#include "server/db_writer.h"
#include "server/server_config.h"
#include "server/settings.h"

#include <event2/event.h>

struct ca;
struct crl_cache;
struct event_hub;
struct http_server;
struct portal;

struct server {
    struct event_base *base;
    const struct clock_source *clock;
    const struct random_source *random;
    struct server_config config; /* of server.conf */
    struct settings_identity
        identity;  /* organisation, URLs: what init was told; constant while serving */
    struct db *db; /* for reading, on the loop's thread */
    struct db_writer *writer;
    struct ca *ca;
    struct http_server *http;
    struct event_hub *hub;
    struct portal *portal;
    struct crl_cache *crl_cache;
    int64_t started_s;
    int64_t splay_s,
        splay_counted_ms; /* fleet.c's count of assignments, so that it is not made per request */
};
