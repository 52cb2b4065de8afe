/* Managed persons: the server's own id, and what their certificates may say about them. */
#pragma once

#include "server/certificate.h"
#include "server/db.h"

#include <stdbool.h>

#define USER_MAX_MAIL 255 /* bytes and NUL (RFC 5321 4.5.3.1.3) */

struct user {
    char id[SERVER_USER_ID_SIZE];
    char name[SERVER_USER_NAME_SIZE]; /* "" where none is recorded */
    char mail[USER_MAX_MAIL];
    char upn[USER_MAX_MAIL];
};

/** [A-Za-z0-9._@-]{1,64} */
bool user_id_is_valid(const char *id);

/** Printable ASCII with one '@' inside, at most 254 bytes: an address of RFC 5321 or a user
 * principal name, as it goes into the SAN. */
bool user_mail_is_valid(const char *mail);

/** Valid UTF-8 is the caller's; without control characters, 1 to 256 bytes. */
bool user_name_is_valid(const char *name);

/** NULL members of name, mail, upn are not recorded. Returns 0, -EEXIST. */
int user_add(
    struct db *db, int64_t now_s, const char *id, const char *name, const char *mail,
    const char *upn);

/** Returns 0, -ENOENT. */
int user_find(struct db *db, const char *id, struct user *ret);

/** Ends the user's assignments (their devices' generations grow), revokes all certificates, forgets
 * the user. *ret_revoked: certificates. Returns 0, -ENOENT. */
int user_remove(struct db *db, int64_t now_s, const char *id, int64_t *ret_revoked);
