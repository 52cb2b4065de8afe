/* EST bodies (RFC 7030, RFC 8951): base64 in, base64 out; PKCS#7 certs-only (RFC 5652 degenerate
 * SignedData). */
#pragma once

#include "buffer.h"

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

#define EST_MAX_BODY (64 * 1024)
#define EST_MAX_CERTIFICATES 8

/** Wrapped at 64 columns with LF (facts: one server refuses a single line). Returns 0, -EMSGSIZE,
 * -ENOMEM. */
int est_base64_encode(const uint8_t *data, size_t size, struct buffer *ret);

/** Any white space is skipped; anything else outside the alphabet, bad padding, or trailing data is
 * -EBADMSG. `maximum`: decoded bytes, past it -EMSGSIZE. free() *ret_data. */
int est_base64_decode(
    const char *text, size_t size, size_t maximum, uint8_t **ret_data, size_t *ret_size);

/** A certs-only message from an EST body. At most EST_MAX_CERTIFICATES; 1 at least. Returns 0,
 * -EBADMSG, -EMSGSIZE, -ENOMEM. sk_X509_pop_free(*ret, X509_free). */
int est_certs_decode(const char *body, size_t size, STACK_OF(X509) * *ret);

/** The body for a list of certificates. Returns 0, -EMSGSIZE, -ENOMEM, -EIO. */
int est_certs_encode(STACK_OF(X509) * certificates, struct buffer *ret);

/** Decides by the media type alone, parameters ignored, case-insensitive. */
bool est_is_pkcs7(const char *content_type);

/** Retry-After (RFC 9110 10.2.3): delta-seconds or an HTTP date against `now_s`; clamped to 0 … 6
 * h. -EINVAL if it is neither. */
int est_retry_after(const char *value, int64_t now_s, int64_t *ret_seconds);

void est_certs_free_ptr(STACK_OF(X509) * *certificates);
#define CLEANUP_CERTS CLEANUP(est_certs_free_ptr)
