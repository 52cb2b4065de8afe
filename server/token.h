/* Enrolment tokens, "id.secret" as kubeadm's: the id names the row, of the secret only SHA-256 is
 * kept. */
#pragma once

#include "common/random.h"
#include "server/db.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_ID_LENGTH 8      /* of [a-z0-9] */
#define TOKEN_SECRET_LENGTH 32 /* of [a-z0-9]: 165 bits */
#define TOKEN_TEXT_SIZE (TOKEN_ID_LENGTH + 1 + TOKEN_SECRET_LENGTH + 1)
#define TOKEN_MAX_USES 1000000
#define TOKEN_MAX_EXPIRES_S (366 * 86400LL)

/** Makes and stores one. `uses` ≥ 1; `expires_at` in seconds since 1970. `ret_text`: shown once.
 * Returns 0, -EIO. */
int token_create(
    struct db *db, const struct random_source *random, int64_t now_s, int64_t uses,
    int64_t expires_at, char ret_text[TOKEN_TEXT_SIZE]);

enum token_verdict {
    TOKEN_UNKNOWN, /* no such id, wrong secret, or revoked */
    TOKEN_SPENT, /* right, but used up or expired: good only to fetch again what it was used for */
    TOKEN_GOOD,
};

/** Judges without using. The comparison takes the same time for every secret. Returns 0 or a
 * negative errno. */
int token_check(
    struct db *db, int64_t now_s, const char *id, const char *secret, enum token_verdict *ret);

/** Counts one use of a good token, in the transaction of the issuance. Returns 0, -ENOENT (used up
 * meanwhile). */
int token_use(struct db *db, const char *id);

/** Returns 0, -ENOENT (unknown or revoked already). */
int token_revoke(struct db *db, int64_t now_s, const char *id);
