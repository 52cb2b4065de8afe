/* The demo portal: tells a person whether this browser presents a good device trust certificate. A
 * browser that has cached its choice for an origin keeps it until it restarts, so the page asks on
 * a host name that it has never seen (docs/SERVER-API.md, Portal listener). */
#pragma once

#include "server/http.h"

struct portal;
struct server;

/** Needs server->identity (portal URL, check domain), config, clock and random. Nothing is stored:
 * sessions and nonces are signed with a key of this process. Returns 0, -EINVAL (a portal URL that
 * is none), -EIO, -ENOMEM. */
int portal_new(struct server *server, struct portal **ret);
struct portal *portal_free(struct portal *portal);

struct portal_denials;
/** What visitors were told, for `devtrust-server explain`. Borrowed. */
const struct portal_denials *portal_denials_of(const struct portal *portal);

/** GET /, /portal.js, /portal.css, /check and POST /session on the portal listener. Handlers use
 * server->portal. */
extern const struct http_route portal_routes[];
