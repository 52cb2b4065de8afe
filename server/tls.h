/* TLS contexts of the listeners (OpenSSL): TLS ≥ 1.2, a client certificate is asked for and never
 * the reason for a failed handshake; what it is worth is judged per path (identity.h,
 * certificate.h), so that an expired device may renew and a browser gets a page that says what is
 * wrong. */
#pragma once

#include <openssl/ssl.h>

struct tls_options {
    const char *certificate_path; /* PEM, leaf first, then intermediates */
    const char *key_path;         /* PEM, not encrypted */
    X509 *const *client_cas; /* named in the certificate request, so that clients offer the right
                                one; may be empty */
    size_t client_ca_count;
    const char *session_context; /* ≤ 32 bytes, another one per listener: a session is never resumed
                                    across listeners */
    long session_s;              /* resumption lifetime in seconds; 0: none */
};

/** Reads certificate and key, checks that they belong together. `ret_error` (≥ 256 bytes) says what
 * to mend. SSL_CTX_free() the result. Returns 0, -EINVAL (see ret_error), or -ENOMEM. */
int tls_context_new(
    const struct tls_options *options, SSL_CTX **ret, char *ret_error, size_t error_size);

/** Takes a renewed certificate and key; connections made from now on use them. Nothing is changed
 * on an error. Returns 0 or -EINVAL. */
int tls_context_reload(SSL_CTX *context, const char *certificate_path, const char *key_path);
