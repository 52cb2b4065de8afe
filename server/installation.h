/* What lies in the state directory beside the CA's files (ca.h), and to whom it belongs. */
#pragma once

#include "common/x509_key.h"
#include "server/ca.h"
#include "server/server_config.h"

#define INSTALLATION_DATABASE "server.db"
#define INSTALLATION_LOCK "serve.lock"
#define INSTALLATION_ACCOUNT "devtrust-server" /* owns the default state directory */

/** Path of a file in the state directory. free() it; NULL when memory is out. */
char *installation_path(const struct server_config *config, const char *name);

/** Removes a database that was not finished, with its WAL files. */
void installation_remove_database(const struct server_config *config);

/** Where root made it for the service: gives the directory and its files to the directory's owner;
 * the default directory to the service's account if there is one. Nothing to do for others than
 * root. Returns 0 or a negative errno. */
int installation_hand_over(const struct server_config *config);

/** Opens the CA with the CRL addresses below `portal_url` (NULL: none). `ret_error` as ca_open().
 */
int installation_open_ca(
    const struct server_config *config, const char *portal_url, int64_t now_s, struct ca **ret,
    char *ret_error, size_t error_size);

/** The pin of the TLS CA, "" where the operator brought a certificate. */
int installation_pin(
    const struct server_config *config, char ret[SHA256_HEX_SIZE], char *ret_error,
    size_t error_size);

/** Takes the lock that one `serve` holds. Returns a descriptor to keep, -EBUSY (another serve
 * runs), or a negative errno. */
int installation_lock(const struct server_config *config);
