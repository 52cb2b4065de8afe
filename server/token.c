/* Tokens: made, judged, counted. */
#include "server/token.h"

#include "common/x509_key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

static int random_text(const struct random_source *random, size_t length, char *ret) {
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < length;) {
        uint8_t bytes[64];
        if (random->bytes(bytes, sizeof(bytes), random->userdata) < 0)
            return -EIO;
        /* 252 is the largest multiple of 36 below 256: no letter is more likely than another */
        for (size_t k = 0; k < sizeof(bytes) && i < length; k++)
            if (bytes[k] < 252)
                ret[i++] = alphabet[bytes[k] % 36];
        OPENSSL_cleanse(bytes, sizeof(bytes));
    }
    return 0;
}

static int hash_secret(const char *secret, size_t length, uint8_t ret[SHA256_SIZE]) {
    return EVP_Digest(secret, length, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int token_create(
    struct db *db, const struct random_source *random, int64_t now_s, int64_t uses,
    int64_t expires_at, char ret_text[TOKEN_TEXT_SIZE]) {
    char text[TOKEN_TEXT_SIZE] = {0};
    char id[TOKEN_ID_LENGTH + 1] = {0};
    uint8_t hash[SHA256_SIZE];
    int r = random_text(random, TOKEN_ID_LENGTH, text);
    if (r >= 0)
        r = random_text(random, TOKEN_SECRET_LENGTH, text + TOKEN_ID_LENGTH + 1);
    if (r < 0)
        return r;
    memcpy(id, text, TOKEN_ID_LENGTH);
    text[TOKEN_ID_LENGTH] = '.';
    r = hash_secret(text + TOKEN_ID_LENGTH + 1, TOKEN_SECRET_LENGTH, hash);
    if (r >= 0)
        r = db_execute(
            db,
            "INSERT INTO tokens (id, secret_sha256, uses, created_at, expires_at)"
            " VALUES (?, ?, ?, ?, ?)",
            DB_VALUES(
                DB_TEXT(id), DB_BLOB(hash, sizeof(hash)), DB_INT(uses), DB_INT(now_s),
                DB_INT(expires_at)));
    if (r >= 0)
        memcpy(ret_text, text, sizeof(text));
    OPENSSL_cleanse(text, sizeof(text));
    return r < 0 ? r : 0;
}

int token_check(
    struct db *db, int64_t now_s, const char *id, const char *secret, enum token_verdict *ret) {
    uint8_t hash[SHA256_SIZE];
    int r = hash_secret(secret, strlen(secret), hash);
    if (r < 0)
        return r;
    CLEANUP_DB_STATEMENT struct db_statement *row = NULL;
    r = db_query(
        db, "SELECT secret_sha256, uses, used, expires_at, revoked_at FROM tokens WHERE id = ?",
        DB_VALUES(DB_TEXT(id)), &row);
    if (r >= 0)
        r = db_step(row);
    if (r < 0)
        return r;
    if (r == 0) {
        *ret = TOKEN_UNKNOWN;
        return 0;
    }
    size_t size;
    const void *expected = db_column_blob(row, 0, &size);
    if (size != sizeof(hash) || CRYPTO_memcmp(expected, hash, sizeof(hash)) != 0 ||
        db_column_int(row, 4) != 0)
        *ret = TOKEN_UNKNOWN;
    else if (db_column_int(row, 2) >= db_column_int(row, 1) || db_column_int(row, 3) <= now_s)
        *ret = TOKEN_SPENT;
    else
        *ret = TOKEN_GOOD;
    return 0;
}

int token_use(struct db *db, const char *id) {
    int r = db_execute(
        db, "UPDATE tokens SET used = used + 1 WHERE id = ? AND used < uses",
        DB_VALUES(DB_TEXT(id)));
    if (r < 0)
        return r;
    return r == 0 ? -ENOENT : 0;
}

int token_revoke(struct db *db, int64_t now_s, const char *id) {
    int r = db_execute(
        db, "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at = 0",
        DB_VALUES(DB_INT(now_s), DB_TEXT(id)));
    if (r < 0)
        return r;
    return r == 0 ? -ENOENT : 0;
}
