/* One managed policy directory of a Chromium-family browser, on disk; to open, plan, make and
 * remove one is the same for Firefox's. Checked by descriptor: it must belong to root and be
 * writable by nobody else, or whoever can write there decides what root writes. */
#pragma once

#include "daemon/policy_merge.h"
#include "daemon/policy_record.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** The id of the family that reads a directory (browser_family.h); "chromium" for one that is not
 * in the table. */
const char *chrome_policy_family_name(const char *directory);

/** Opens a directory for the functions below. Returns a descriptor; -ENOENT; -EPERM (not `owner`'s,
 * or writable by others); -ELOOP, -ENOTDIR or another negative errno. */
int chrome_policy_open(const char *directory, uid_t owner);

/** What a person is told of an error of these functions. */
const char *chrome_policy_error_text(int error);

/** Adds to `place` the parts of its path that do not exist yet, outermost first. Returns 0 or a
 * negative errno. */
int chrome_policy_plan_parents(struct policy_place *place);

/** Makes the missing parts, 0755. Returns 0 or a negative errno. */
int chrome_policy_make(const char *directory);

/** Reads every other file in the browser's order and removes temp files of ours that a killed
 * writer left. Returns 0 or a negative errno. */
int chrome_policy_read_others(int dir_fd, struct policy_merge *ret);

/** Our file's text; -ENOENT. free() it. */
int chrome_policy_read_own(int dir_fd, char **ret, size_t *ret_size);

/** Writes our file atomically, 0644. */
int chrome_policy_write(int dir_fd, const char *text);

/** Makes an event of our file (its mode is set to what it is), so that browsers that watch look at
 * it again. The time stamp stays: with a new one Chromium would wait for the file to settle. */
int chrome_policy_remind(int dir_fd);

/** Removes the directories that we made for a place, as far as they are empty. Returns 0 or a
 * negative errno. */
int chrome_policy_remove_created(const struct policy_place *place);

/** Removes our file and the directories that we made, as far as they are empty. Returns 0 (also
 * when nothing was there) or a negative errno. */
int chrome_policy_remove(const struct policy_place *place);
