/* Push: the open event streams of the devices. An event says "look again" and carries no truth, so
 * that losing one loses nothing. */
#pragma once

#include "server/http.h"

#define EVENT_HUB_MAX_STREAMS 100000
#define EVENT_HUB_MAX_QUEUED                                                                       \
    (8 * 1024) /* bytes that a slow reader may owe before it is cut off                            \
                */

struct event_hub;

extern const struct http_route event_routes[];

/** Returns 0 or -ENOMEM. */
int event_hub_new(struct server *server, struct event_hub **ret);

/** Ends all streams. Takes NULL, returns NULL. */
struct event_hub *event_hub_free(struct event_hub *hub);

/** Sends an event to one device's stream, if it has one; to all with NULL. */
void event_hub_notify(struct event_hub *hub, const char *device);

/** Sends a last event to a device and ends its stream: the certificate that opened it is no longer
 * good. */
void event_hub_drop(struct event_hub *hub, const char *device);

/** For status. */
size_t event_hub_count(const struct event_hub *hub);
