/* One agent per user, by a lock that the kernel releases. */
#include "useragent/agent_lock.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/stat.h>

#define ATTEMPTS 8 /* an agent that ends unlinks the file between our open and our lock */

static int open_directory(const struct user_dirs *dirs, bool create) {
    char directory[USER_DIRS_PATH_MAX];
    struct stat status;
    int r;

    if (dirs->runtime[0] != '\0')
        return atomic_file_open_dir(dirs->runtime);
    r = user_dirs_join(dirs->state, PATH_AGENT_STATE_DIR, directory);
    if (r < 0)
        return r;
    if (create) {
        if (stat(dirs->home, &status) < 0)
            return -errno;
        r = atomic_file_make_dirs(directory, 0700);
        if (r < 0)
            return r;
    }
    return atomic_file_open_dir(directory);
}

static bool is_still_there(int dir_fd, int fd) {
    struct stat mine;
    struct stat there;

    return fstat(fd, &mine) >= 0 &&
           fstatat(dir_fd, PATH_AGENT_LOCK, &there, AT_SYMLINK_NOFOLLOW) >= 0 &&
           mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

int agent_lock_take(const struct user_dirs *dirs) {
    CLEANUP_CLOSE int dir_fd = open_directory(dirs, true);

    if (dir_fd < 0)
        return dir_fd;
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        CLEANUP_CLOSE int fd =
            openat(dir_fd, PATH_AGENT_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
            return -errno;
        if (is_still_there(dir_fd, fd))
            return TAKE_FD(fd);
    }
    return -EWOULDBLOCK;
}

void agent_lock_release(const struct user_dirs *dirs, int fd) {
    CLEANUP_CLOSE int dir_fd = open_directory(dirs, false);
    char directory[USER_DIRS_PATH_MAX];

    if (dir_fd >= 0)
        (void)unlinkat(dir_fd, PATH_AGENT_LOCK, 0);
    if (dirs->runtime[0] == '\0' &&
        user_dirs_join(dirs->state, PATH_AGENT_STATE_DIR, directory) >= 0)
        (void)rmdir(directory);
    close(fd);
}
