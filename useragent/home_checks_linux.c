/* Looks at the home: space, who else may read or write what is this user's, the agent's record. */
#include "useragent/agent_checks_internal.h"
#include "useragent/nss_database.h"

#include "common/cleanup.h"
#include "common/paths.h"
#include "common/size_text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* An import needs tens of kilobytes, SQLite's journals included; a browser needs more to live. */
#define SPACE_FAILURE ((uint64_t)1024 * 1024)
#define SPACE_WARNING ((uint64_t)64 * 1024 * 1024)
#define INODES_FAILURE 16 /* an import makes journals and temporary files, a few at a time */

static void check_disk(struct agent_checks *checks) {
    const char *home = checks->work->dirs.home;
    char size[SIZE_TEXT_SIZE];
    struct statvfs status;
    enum agent_result result = AGENT_RESULT_OK;
    enum reason reason;
    uint64_t space;

    if (statvfs(home, &status) < 0) {
        inspection_add(
            checks->inspection, AGENT_CHECK_HOME_DISK, home, AGENT_RESULT_FAILURE,
            REASON_STORE_MISSING, "%s", strerror(errno));
        return;
    }
    space = (uint64_t)status.f_bavail * status.f_frsize;
    /* a quota shows only to those who write */
    reason = nss_database_diagnose(home, REASON_NONE);
    if (space < SPACE_FAILURE || (status.f_files > 0 && status.f_favail < INODES_FAILURE))
        reason = REASON_STORE_FULL;
    if (reason != REASON_NONE) {
        result = AGENT_RESULT_FAILURE;
    } else if (space < SPACE_WARNING) {
        result = AGENT_RESULT_WARNING;
        reason = REASON_DISK_LOW;
    }
    inspection_add(
        checks->inspection, AGENT_CHECK_HOME_DISK, home, result, reason, "%s free",
        size_text(space, size));
}

/* ---- permissions ---- */

struct permissions {
    struct agent_checks *checks;
    unsigned wrong;
};

static void note_wrong(
    struct permissions *permissions, const char *path, enum agent_result result,
    const struct stat *status) {
    permissions->wrong++;
    inspection_add(
        permissions->checks->inspection, AGENT_CHECK_HOME_PERMISSIONS, path, result,
        REASON_HOME_PERMISSIONS, "mode %04o, owner %u", (unsigned)status->st_mode & 07777,
        (unsigned)status->st_uid);
}

/* `forbidden`: bits that may not be set. `open`: others can come as far as here. */
static bool check_path(
    struct permissions *permissions, const char *path, mode_t forbidden, bool open) {
    struct stat status;

    if (stat(path, &status) < 0)
        return false;
    if (status.st_uid != geteuid())
        note_wrong(permissions, path, AGENT_RESULT_FAILURE, &status);
    else if (status.st_mode & forbidden)
        note_wrong(permissions, path, open ? AGENT_RESULT_FAILURE : AGENT_RESULT_WARNING, &status);
    return (status.st_mode & forbidden) != 0;
}

/* A directory of others' business is closed to them, and so are the files in it: one slip is a
 * warning, both together let others take the key. */
static void check_store_permissions(
    struct permissions *permissions, const struct store_location *location) {
    static const char *const files[] = {"cert9.db", "key4.db"};
    char path[USER_DIRS_PATH_MAX];
    bool open = check_path(permissions, location->path, 0077, false);

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        if (user_dirs_join(location->path, files[i], path) >= 0)
            (void)check_path(permissions, path, 0077, open);
}

static void check_permissions(struct agent_checks *checks) {
    const struct user_dirs *dirs = &checks->work->dirs;
    const struct store_set *set = &checks->work->set;
    struct permissions permissions = {.checks = checks};
    char path[USER_DIRS_PATH_MAX];

    (void)check_path(&permissions, dirs->home, 0022, true);
    for (size_t i = 0; i < set->count; i++)
        check_store_permissions(&permissions, &set->items[i].location);
    if (user_dirs_join(dirs->state, PATH_AGENT_STATE_DIR, path) >= 0)
        (void)check_path(&permissions, path, 0022, true);
    if (permissions.wrong == 0)
        inspection_add(
            checks->inspection, AGENT_CHECK_HOME_PERMISSIONS, dirs->home, AGENT_RESULT_OK,
            REASON_NONE, NULL);
}

/* ---- the record ---- */

static void check_record(struct agent_checks *checks) {
    const struct user_dirs *dirs = &checks->work->dirs;
    char directory[USER_DIRS_PATH_MAX], path[USER_DIRS_PATH_MAX];
    enum agent_result result = AGENT_RESULT_FAILURE;
    enum reason reason = REASON_NONE;
    int r = agent_record_probe(dirs);

    if (user_dirs_join(dirs->state, PATH_AGENT_STATE_DIR, directory) < 0 ||
        user_dirs_join(directory, PATH_AGENT_RECORD, path) < 0)
        return;
    if (r == -EPROTO)
        reason = REASON_NEWER_STATE;
    else if (r == -EBADMSG)
        reason = REASON_BROKEN_STATE;
    else if (r == -ENOENT || r == -ENOTDIR)
        reason = REASON_RECORD_MISSING;
    else if (r < 0 || nss_database_diagnose(directory, REASON_NONE) != REASON_NONE)
        reason = REASON_RECORD_WRITE;
    else
        result = AGENT_RESULT_OK;
    if (reason == REASON_RECORD_MISSING && !agent_record_has_current(&checks->work->record))
        inspection_add(
            checks->inspection, AGENT_CHECK_RECORD, path, AGENT_RESULT_NOT_APPLICABLE, REASON_NONE,
            "nothing was installed yet");
    else
        inspection_add(checks->inspection, AGENT_CHECK_RECORD, path, result, reason, NULL);
}

void home_checks_run(struct agent_checks *checks) {
    check_disk(checks);
    check_permissions(checks);
    check_record(checks);
}
