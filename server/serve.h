/* `serve`: the running server, put together and taken apart in the order that leaves nobody without
 * an answer. */
#pragma once

#include "common/clock.h"
#include "common/random.h"
#include "server/server_config.h"

struct server;
struct serving;

struct serve_options {
    const struct server_config *config; /* its strings must outlive the server */
    const struct clock_source *clock;
    const struct random_source *random;
};

/** Opens the installation and listens; nothing is served before the loop of serving_server()->base
 * runs. What is wrong is in the log. Returns 0 or a negative errno. */
int serving_new(const struct serve_options *options, struct serving **ret);
struct server *serving_server(struct serving *serving);

/** Accepts nothing new, lets the writer answer what is queued, closes what is open. Takes NULL,
 * returns NULL. */
struct serving *serving_free(struct serving *serving);

/** Serves in the foreground until SIGTERM or SIGINT. Returns an exit status (cli.h); what is wrong
 * is in the log. */
int serve_run(const struct server_config *config);
