/* Reads the environment of the one user whom the agent serves. */
#include "useragent/user_dirs.h"

#include "common/cleanup.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int copy_path(const char *path, char *ret) {
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length >= USER_DIRS_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret, path, length);
    ret[length] = '\0';
    return 0;
}

bool user_dirs_has_home(const struct user_dirs *dirs) {
    struct stat status;

    return stat(dirs->home, &status) == 0 && S_ISDIR(status.st_mode);
}

int user_dirs_join(const char *directory, const char *name, char *ret) {
    char joined[USER_DIRS_PATH_MAX];
    int length = snprintf(joined, sizeof joined, "%s/%s", directory, name);

    if (length < 0 || (size_t)length >= sizeof joined)
        return -ENAMETOOLONG;
    memcpy(ret, joined, (size_t)length + 1);
    return 0;
}

int user_dirs_place(const struct user_dirs *dirs, const struct browser_place *place, char *ret) {
    const char *base = place->base == BROWSER_DATA     ? dirs->data
                       : place->base == BROWSER_CONFIG ? dirs->config
                                                       : dirs->home;

    return user_dirs_join(base, place->path, ret);
}

static int read_home(char *ret) {
    CLEANUP_FREE char *buffer = NULL;
    const char *home = getenv("HOME");
    struct passwd entry;
    struct passwd *found = NULL;
    const size_t size = 16 * 1024;

    if (home && home[0] == '/')
        return copy_path(home, ret);
    buffer = malloc(size);
    if (!buffer)
        return -ENOMEM;
    if (getpwuid_r(getuid(), &entry, buffer, size, &found) != 0 || !found || entry.pw_dir[0] != '/')
        return -ENOENT;
    return copy_path(entry.pw_dir, ret);
}

/* The variable where it is an absolute path that fits; else home/fallback, or nothing where there
 * is no fallback. */
static int read_xdg(const char *variable, const char *home, const char *fallback, char *ret) {
    const char *value = getenv(variable);

    if (value && value[0] == '/' && copy_path(value, ret) >= 0)
        return 0;
    if (!fallback) {
        ret[0] = '\0';
        return 0;
    }
    return user_dirs_join(home, fallback, ret);
}

int user_dirs_read(struct user_dirs *ret) {
    struct user_dirs dirs = {.thunderbird = false};
    int r;

    r = read_home(dirs.home);
    if (r < 0)
        return r;
    r = read_xdg("XDG_CONFIG_HOME", dirs.home, ".config", dirs.config);
    if (r < 0)
        return r;
    r = read_xdg("XDG_DATA_HOME", dirs.home, ".local/share", dirs.data);
    if (r < 0)
        return r;
    r = read_xdg("XDG_STATE_HOME", dirs.home, ".local/state", dirs.state);
    if (r < 0)
        return r;
    r = read_xdg("XDG_RUNTIME_DIR", dirs.home, NULL, dirs.runtime);
    if (r < 0)
        return r;
    *ret = dirs;
    return 0;
}
