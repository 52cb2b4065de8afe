/* Randomness, behind a function so that tests can fix it. The system's is
 * RAND_bytes/RAND_priv_bytes of OpenSSL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct random_source {
    /** Fills `size` bytes. Returns 0 or -EIO. */
    int (*bytes)(void *ret, size_t size, void *userdata);
    void *userdata;
};

extern const struct random_source random_system;

/** A uniform number in [0, bound); bound 0 gives 0. No modulo bias. */
uint64_t random_below(const struct random_source *random, uint64_t bound);

/** A random (version 4, RFC 9562) UUID as 36 characters and NUL. Returns 0 or -EIO. */
int random_uuid(const struct random_source *random, char ret[37]);

/** True for 36 characters of the form 8-4-4-4-12 in lower-case hex. */
int random_uuid_is_valid(const char *text);
