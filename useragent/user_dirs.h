/* The user's own directories: home and the XDG base directories (XDG Base Directory Specification
 * 0.8). The one place where the agent reads its environment; a relative or overlong value is
 * ignored, as the specification asks. */
#pragma once

#include "common/browser_family.h"

#include <stdbool.h>

#define USER_DIRS_PATH_MAX 1024 /* bytes with NUL */

struct user_dirs {
    char home[USER_DIRS_PATH_MAX];
    char config[USER_DIRS_PATH_MAX];  /* $XDG_CONFIG_HOME or ~/.config */
    char data[USER_DIRS_PATH_MAX];    /* $XDG_DATA_HOME or ~/.local/share */
    char state[USER_DIRS_PATH_MAX];   /* $XDG_STATE_HOME or ~/.local/state */
    char runtime[USER_DIRS_PATH_MAX]; /* $XDG_RUNTIME_DIR; empty where there is none */
    bool thunderbird;                 /* serve its profiles, too */
};

/** $HOME, or the home of the passwd entry; without Thunderbird. Returns 0, -ENOENT (no home is
 * known), -ENAMETOOLONG. */
int user_dirs_read(struct user_dirs *ret);

/** False where the home directory is not there: not mounted, moved, deleted. */
bool user_dirs_has_home(const struct user_dirs *dirs);

/** Joins directory and name into `ret` (USER_DIRS_PATH_MAX bytes). Returns 0 or -ENAMETOOLONG. */
int user_dirs_join(const char *directory, const char *name, char *ret);

/** Where a browser's place (browser_family.h; with a path) is for this user; as user_dirs_join().
 */
int user_dirs_place(const struct user_dirs *dirs, const struct browser_place *place, char *ret);
