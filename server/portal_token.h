/* What the portal hands out and takes back, signed with a key of this process so that waiting
 * visitors cost no memory: the session cookie, a nonce bound to it, and the answer of the check
 * host about that nonce. Only answers that were used are remembered, for as long as they would
 * live. */
#pragma once

#include "common/clock.h"
#include "common/random.h"
#include "common/x509_key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* hex text with NUL */
#define PORTAL_SESSION_SIZE 113
#define PORTAL_NONCE_SIZE 113
#define PORTAL_ANSWER_SIZE 243
#define PORTAL_MAX_USED                                                                            \
    65536 /* answers of the last nonce lifetime; past it the portal asks to try again */

struct portal_tokens;

/** `nonce_s`, `session_s`: lifetimes in seconds. Returns 0, -EIO (random), -ENOMEM. */
int portal_tokens_new(
    const struct random_source *random, const struct clock_source *clock, int64_t nonce_s,
    int64_t session_s, struct portal_tokens **ret);
struct portal_tokens *portal_tokens_free(struct portal_tokens *tokens);

/** A new session. Returns 0 or -EIO. */
int portal_session_make(struct portal_tokens *tokens, char ret[PORTAL_SESSION_SIZE]);

/** Returns 0; -EBADMSG (not made here); -ETIME (too old; `for_nonce`: too old for a new nonce to
 * end before it does). */
int portal_session_check(struct portal_tokens *tokens, const char *session, bool for_nonce);

/** A nonce that only an answer for this session can use. Returns 0 or -EIO. */
int portal_nonce_make(
    struct portal_tokens *tokens, const char *session, char ret[PORTAL_NONCE_SIZE]);

/** On the check host, which does not see the session: binds the nonce to what the peer presented
 * (NULL: no certificate). Returns 0; -EBADMSG (no nonce); -ETIME (it is over). */
int portal_answer_make(
    struct portal_tokens *tokens, const char *nonce, const uint8_t fingerprint[SHA256_SIZE],
    char ret[PORTAL_ANSWER_SIZE]);

struct portal_proof {
    bool presented; /* a certificate; else the check host saw none */
    uint8_t fingerprint[SHA256_SIZE];
};

/** Takes an answer once. Returns 0; -EBADMSG (not ours, or of another session); -ETIME (its nonce
 * is over); -EALREADY (used before); -EBUSY (too many used at the moment). */
int portal_answer_take(
    struct portal_tokens *tokens, const char *session, const char *answer,
    struct portal_proof *ret);
