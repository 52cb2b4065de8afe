/* Trust by pin: the certificate in the server's chain whose key has the pinned hash is the one
 * trust anchor of the connection. The host name stays libcurl's to check. */
#pragma once

#include "common/x509_key.h"

#include <openssl/ssl.h>

/** Makes `context` verify with `pin` (SHA-256 of a SubjectPublicKeyInfo) in place of its trust
 * store: chain, validity and purpose are verified by OpenSSL up to the pinned certificate. `pin` is
 * borrowed as long as the context lives. */
void tls_pin_install(SSL_CTX *context, const uint8_t pin[SHA256_SIZE]);
