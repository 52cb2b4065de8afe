/* Where the server is and by what its TLS certificate is known: said by an administrator, kept with
 * the identity. */
#pragma once

#include "common/reason.h"
#include "common/x509_key.h"

#include <stdbool.h>

#define SERVER_ADDRESS_MAX_URL 512

struct server_address {
    char url[SERVER_ADDRESS_MAX_URL]; /* https://host[:port], lower-case, no final slash */
    bool has_pin;
    uint8_t ca_pin[SHA256_SIZE];
};

/** Reads a URL and a pin (64 hex digits, optionally with "sha256:" before; NULL or empty: none).
 * Returns 0, or -EINVAL and *ret_reason: URL_INVALID, PIN_INVALID. */
int server_address_parse(
    const char *url, const char *pin, struct server_address *ret, enum reason *ret_reason);
