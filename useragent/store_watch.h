/* Notices that a browser's certificate store may have come, gone or moved: a browser started for
 * the first time, a new profile, a ~/.pki/nssdb that hides the other. Watches directories, the
 * nearest that exist; asks nothing of a browser's own files while it works. Nothing wakes the
 * process while nobody touches these directories. */
#pragma once

#include "useragent/store.h"

#include <stdbool.h>
#include <stdint.h>

struct store_watch;
struct store_watch_table; /* what is watched and why */

/** Returns 0 or a negative errno (-EMFILE: the user's inotify instances are used up). */
int store_watch_new(struct store_watch **ret);

/** Takes NULL, returns NULL. */
struct store_watch *store_watch_free(struct store_watch *watch);

/** Readable when something has happened. */
int store_watch_fd(const struct store_watch *watch);

/** Watches what is to be watched now. Blocks (home directories): worker only; everything else is
 * the loop's. *ret_mark: the sum of the marks of all stores that there are. Returns 0, -ENOMEM, or
 * -ENOSPC (the user's watches are used up: some are missing); the table is there in the
 * last case too. */
int store_watch_scan(
    const struct store_watch *watch, const struct user_dirs *dirs,
    struct store_watch_table **ret_table, uint64_t *ret_mark);
/** What tells whether a store is there and has its files; to be added up, from this on. Blocks:
 * worker only. */
#define STORE_WATCH_NO_STORES UINT64_C(1)
uint64_t store_watch_mark(const struct store_location *location);

struct store_watch_table *store_watch_table_free(struct store_watch_table *table);

/** A scan begins; until its table is taken, what happens in places not yet known counts too. */
void store_watch_begin(struct store_watch *watch);

/** The scan's table (owned from now on; NULL: it failed) takes the place of the one before. */
void store_watch_take(struct store_watch *watch, struct store_watch_table *table);

/** Reads what has happened. Returns whether it may concern a store: then scan again, soon. */
bool store_watch_read(struct store_watch *watch);
