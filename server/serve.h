/* `serve`: the running server. */
#pragma once

#include "server/server_config.h"

/** Serves in the foreground until SIGTERM or SIGINT. Returns an exit status (cli.h); what is wrong
 * is in the log. */
int serve_run(const struct server_config *config);
