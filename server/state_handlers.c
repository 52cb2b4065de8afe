/* GET /v1/state: the desired state, with an entity tag made of epoch and generation. */
#include "server/state_handlers.h"

#include "server/fleet.h"
#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ETAG_SIZE 64

/* RFC 9110 13.1.2: a list of tags, or "*". A tag keeps its quotes, so that one is never part of
 * another. */
static bool matches(const char *if_none_match, const char *etag) {
    if (!if_none_match)
        return false;
    return strcmp(if_none_match, "*") == 0 || strstr(if_none_match, etag) != NULL;
}

static void handle_state(struct http_request *request, struct server *server) {
    const char *device = http_request_device(request);
    struct json_object *state = NULL;
    int64_t generation;
    char etag[ETAG_SIZE];
    int r = fleet_desired_state(server, device, &state, &generation);
    if (r < 0) {
        http_send_error(request, r);
        return;
    }
    snprintf(etag, sizeof(etag), "\"%s-%" PRId64 "\"", server->identity.epoch, generation);
    http_add_header(request, "ETag", etag);
    http_add_header(request, "Cache-Control", "no-cache");
    if (matches(http_request_header(request, "If-None-Match"), etag)) {
        json_object_put(state);
        http_send(request, 304, NULL, NULL, 0);
        return;
    }
    http_send_json(request, 200, state);
}

const struct http_route state_routes[] = {
    {"GET", "/v1/state", HTTP_LISTENER_DEVICES, HTTP_IDENTITY_DEVICE_REMOVED, handle_state},
    {.method = NULL},
};
