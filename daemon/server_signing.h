/* Users' signing requests on their way to the server: one EST simpleenroll each, under the device's
 * certificate. */
#pragma once

#include "daemon/est_client.h"
#include "daemon/server_link.h"

#define SERVER_SIGNING_MAX 64 /* at once */

struct server_signing;

/** Returns 0 or -ENOMEM. */
int server_signing_new(struct server_signing **ret);

/** Cancels all, without callbacks. */
struct server_signing *server_signing_free(struct server_signing *signing);

/** As server_link_sign(). Returns 0, -EBUSY, or a negative errno. */
int server_signing_post(
    struct server_signing *signing, const struct est_target *target, const uint8_t *csr,
    size_t size, server_link_signed done, void *userdata);

/** Cancels those of one caller. */
void server_signing_cancel(struct server_signing *signing, void *userdata);

/** The identity has changed: what a server now says against the old certificate is no refusal of
 * the user's request, which is posted again. */
void server_signing_identity_changed(struct server_signing *signing);
