/* users/<server user id>.json: one versioned, atomically written file per managed user. */
#pragma once

#include "daemon/user_record.h"

#define USER_STORE_MAX 1024 /* files */

struct user_store;

/** Opens (and makes, 0700) the directory "users" below the state directory and removes temp files
 * of a killed writer. Returns 0 or a negative errno. */
int user_store_open(int state_dir_fd, struct user_store **ret);
struct user_store *user_store_free(struct user_store *store);

/** Calls `loaded` with each record (borrowed). `problem`: REASON_NONE; REASON_BROKEN_STATE: the
 * file was set aside and the record is the cautious one (something of ours may be in a store, the
 * account is not known); REASON_NEWER_STATE: the file is a newer version's and must be left alone,
 * the record holds the id only. Returns 0, -E2BIG past USER_STORE_MAX, or another negative errno.
 */
typedef void (*user_store_loaded)(
    const struct user_record *record, enum reason problem, void *userdata);
int user_store_load(struct user_store *store, user_store_loaded loaded, void *userdata);

/** Writes, durably. Returns 0 or a negative errno; then the old file stands. */
int user_store_write(struct user_store *store, const struct user_record *record);

/** Removes, durably; absent is done. */
int user_store_remove(struct user_store *store, const char *id);

/** Whether the directory can be written at all: false on a file system that went read-only. */
bool user_store_is_writable(const struct user_store *store);
