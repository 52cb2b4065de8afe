/* Where Firefox keeps a user's profiles, each with an NSS database of its own. Read from Firefox's
 * own files as text that may hold anything: bounded, and what does not make sense is left out.
 * Thunderbird has such files in roots of its own, and is left alone unless dirs->thunderbird. */
#pragma once

#include "common/cleanup.h"
#include "useragent/user_dirs.h"

#include <stdbool.h>
#include <stddef.h>

#define FIREFOX_PROFILES_MAX 64 /* of one user */

struct firefox_profiles {
    char *paths[FIREFOX_PROFILES_MAX]; /* absolute, each directory once; owned */
    size_t count;
    bool more; /* there are others that did not fit */
};

void firefox_profiles_deinit(struct firefox_profiles *profiles);
#define CLEANUP_FIREFOX_PROFILES CLEANUP(firefox_profiles_deinit)

/** Every profile directory that exists, of each Firefox that this home may have: Debian's and
 * Mozilla's own builds, snap, Flatpak. Reads only. Returns 0 or -ENOMEM. */
int firefox_profiles_list(const struct user_dirs *dirs, struct firefox_profiles *ret);

/** Adds what one profiles.ini or installs.ini in directory `root` names: `Path` of a [Profile…],
 * relative to `root` where `IsRelative=1`, and `Default` of the others where that is a path. A
 * relative path with a ".." is none that Firefox writes, and is left out. *ret_group: there is a
 * group of profiles whose others are not named here. Returns 0 or -ENOMEM. */
int firefox_profiles_parse(
    const char *root, const char *text, size_t size, struct firefox_profiles *profiles,
    bool *ret_group);
