/* Random numbers, UUIDs and their form, over any random_source; the system's own is OpenSSL's
 * generator. */
#include "common/random.h"

#include <errno.h>
#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

/* Rejection sampling throws a draw away with a chance below one half; this many in a row does not
 * happen with a working source and ends the loop with a broken or a fixed one. */
#define MAX_DRAWS 128

static int system_bytes(void *ret, size_t size, void *userdata) {
    (void)userdata;
    uint8_t *next = ret;
    while (size > 0) {
        int part = size > INT_MAX ? INT_MAX : (int)size;
        if (RAND_bytes(next, part) != 1)
            return -EIO;
        next += part;
        size -= (size_t)part;
    }
    return 0;
}

const struct random_source random_system = {.bytes = system_bytes, .userdata = NULL};

uint64_t random_below(const struct random_source *random, uint64_t bound) {
    if (bound <= 1)
        return 0;

    /* 2⁶⁴ mod bound: the draws below it would make the small results likelier */
    const uint64_t excess = (UINT64_MAX - bound + 1) % bound;
    uint64_t draw = 0;
    for (int i = 0; i < MAX_DRAWS; i++) {
        if (random->bytes(&draw, sizeof(draw), random->userdata) < 0)
            return bound / 2; /* jitter without randomness: the mean keeps a schedule sane */
        if (draw >= excess)
            break;
    }
    return draw % bound;
}

int random_uuid(const struct random_source *random, char ret[37]) {
    uint8_t b[16];
    if (random->bytes(b, sizeof(b), random->userdata) < 0)
        return -EIO;

    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant of RFC 9562, section 4.1 */
    (void)snprintf(
        ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
        b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return 0;
}

int random_uuid_is_valid(const char *text) {
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    if (!text)
        return 0;
    for (size_t i = 0; i < sizeof(form);
         i++) { /* the NUL is part of the form: the length is exact */
        char c = text[i];
        int good = form[i] == 'x' ? (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') : c == form[i];
        if (!good)
            return 0;
    }
    return 1;
}
