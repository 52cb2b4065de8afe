/* Who the peer of the device listener is: its certificate by signature, policy and our own record,
 * judged per path. */
#pragma once

#include "server/certificate.h"
#include "server/http.h"

/** http_server_options.authorise: answers 403 itself. The first good use of a device certificate
 * confirms it, which revokes its predecessor. */
int identity_authorise(
    struct http_request *request, enum http_identity identity, struct server *server);

/** The rule alone: REASON_NONE if a device certificate of that status may use a path of that
 * identity, else why not. */
enum reason identity_judge(
    const struct certificate_status *status, enum http_identity identity, int64_t now_s,
    int64_t expired_grace_s);
