/* The listeners' own certificate: a small CA that has nothing to do with the two roots, for servers
 * that get no certificate from elsewhere. */
#pragma once

#include "server/ca.h"

/** Makes the TLS CA and a server certificate for `hosts` and the check domain in `dir_fd`. Returns
 * 0, -EINVAL with `ret_error` (a host that is none), or another negative errno. */
int ca_tls_init(
    int dir_fd, const struct ca_init_options *options, char *ret_error, size_t error_size);
