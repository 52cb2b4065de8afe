/* Which browsers read a certificate store, by its path: the way back from what an agent reports to
 * the rows of browser_family.h, in words for people. */
#pragma once

#include "common/browser_family.h"

#include <stddef.h>

#define BROWSER_STORE_MAX_FAMILIES 16

/** The families that may use the store at `path`, in the table's order: those whose place is the
 * longest part of it. Returns how many, at most BROWSER_STORE_MAX_FAMILIES; 0: none is known. */
size_t browser_store_families(
    const char *path, enum browser_kind kind,
    const struct browser_family *ret[BROWSER_STORE_MAX_FAMILIES]);

/** The name of a profile of Firefox's by its directory: "…/1a2b3c4d.work" is "work", "…/Profile1"
 * is itself. Points into `path`. */
const char *browser_store_profile(const char *path);

#define BROWSER_STORE_NAME_SIZE 256

/** "Chromium, Google Chrome", "Firefox ESR, profile work": of the families those that are
 * `installed`, and where none is, what they have in common. `path` may come from a peer: what is
 * odd in it is not escaped here. Returns `ret`. */
const char *browser_store_name(
    const char *path, enum browser_kind kind, bool (*installed)(const struct browser_family *),
    char ret[BROWSER_STORE_NAME_SIZE]);
