/* The files of an NSS database (cert9.db, key4.db), looked at without NSS: NSS would silently make
 * a new database of empty files and calls every fault a general error. A new database is made
 * beside its place and renamed into it, so that a kill at any moment leaves either none or a whole
 * one; in a directory with other things in it (a Firefox profile) each file is, certificates first,
 * so that a kill may leave those without keys, to which NSS adds. */
#pragma once

#include "common/reason.h"

#include <stdbool.h>

enum nss_database_state {
    NSS_DATABASE_ABSENT, /* no directory, or one without these files: a new one can be made */
    NSS_DATABASE_PRESENT,
};

/** Looks at directory and files. Returns 0, or a negative errno and *ret_reason: STORE_CORRUPT (a
 * file is empty, no SQLite file, or the certificate file is missing beside a key file),
 * STORE_READ_ONLY (`write` and a file or the directory cannot be written), STORE_NETWORK (`write`
 * and it is, or would be, on a network file system), STORE_MISSING (the directory for it cannot be
 * made: no home), STORE_ERROR. */
int nss_database_check(
    const char *path, bool write, enum nss_database_state *ret, enum reason *ret_reason);

/** Opens a database in `path` with NSS and closes it again; NSS makes what is missing. */
typedef int (*nss_database_initialise)(const char *path, enum reason *ret_reason);

/** Makes a new database at `path` (absent, or a directory without one): parents 0700, a temporary
 * directory initialised by `initialise`, then renamed, or its files moved into a directory that is
 * not empty. Another process that was faster wins: then 0 as well. Errors as above, STORE_FULL too.
 */
int nss_database_create(
    const char *path, nss_database_initialise initialise, enum reason *ret_reason);

/** Why NSS may have failed on a sound-looking database: STORE_FULL, STORE_READ_ONLY, STORE_MISSING,
 * else `otherwise`. */
enum reason nss_database_diagnose(const char *path, enum reason otherwise);

/** Removes temporary directories, beside `path` and in it, that a killed process left. */
void nss_database_sweep(const char *path);

/** Whether another process holds SQLite's locks on the database: then it is busy, not broken. To be
 * called while this process has it closed, since looking ends its own locks (POSIX). */
bool nss_database_is_locked(const char *path);
