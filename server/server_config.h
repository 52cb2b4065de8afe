/* server.conf, read by table (common/config.h). The keys: docs/SERVER.md. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct server_config {
    /* [listen], "ADDRESS:PORT" */
    char *listen_devices, *listen_portal, *listen_admin;
    /* [tls], NULL: those that init made */
    char *tls_certificate, *tls_key;
    /* [issue], seconds */
    int64_t user_lifetime_s, renew_after_s, device_lifetime_s;
    int key_type; /* enum key_type */
    int64_t superseded_grace_s, expired_device_grace_s, keep_expired_s;
    int64_t hourly_limit; /* certificates of one user on one device */
    /* [push] */
    int64_t ping_s;
    int64_t rate; /* issuances per second, for the splay */
    /* [portal] */
    int64_t nonce_s, session_s; /* lifetimes of a check's answer and of a session */
    /* [paths] */
    char *state_dir, *socket;
    /* [log] */
    int log_level; /* index: error, warning, notice, info, debug */
};

/** The defaults. Returns 0 or -ENOMEM; server_config_deinit() also after an error. */
int server_config_init(struct server_config *ret);

/** Defaults, then the file. A missing default file is no error; a missing one that was named is.
 * `ret_error`: as config_read(). */
int server_config_load(
    const char *path, struct server_config *ret, char *ret_error, size_t error_size);
void server_config_deinit(struct server_config *config);
