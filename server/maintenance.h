/* What a running server does by itself: ends graces, forgets what expired long ago, renews
 * the listeners' certificate. */
#pragma once

#include <openssl/ssl.h>

struct maintenance;
struct server;

/** Starts the timer; both contexts get the renewed certificate and must outlive it. Returns 0 or
 * -ENOMEM. */
int maintenance_new(
    struct server *server, SSL_CTX *devices_tls, SSL_CTX *portal_tls, struct maintenance **ret);
struct maintenance *maintenance_free(struct maintenance *maintenance);
