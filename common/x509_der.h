/* One DER object and nothing else (X.690 sections 8.1.3 and 10.1): what OpenSSL's decoders let pass
 * (indefinite and long-winded lengths, trailing bytes) is a second encoding of the same thing, and
 * hashes of requests must mean one thing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define X509_DER_MAX_DEPTH 16

/** True if `data` is exactly one SEQUENCE with definite, shortest lengths at every level that can
 * be seen from the outside (constructed elements; what is wrapped in octet or bit strings is not
 * looked into), at most X509_DER_MAX_DEPTH deep. */
bool x509_der_is_one_object(const uint8_t *data, size_t size);
