/* Tokens lie on disk for as long as they are needed; this ends it. */
#include "daemon/file_wipe.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

static int overwrite(int fd, off_t size) {
    static const char zeros[4096];
    for (off_t at = 0; at < size;) {
        size_t left = (size_t)(size - at);
        ssize_t written = pwrite(fd, zeros, left < sizeof(zeros) ? left : sizeof(zeros), at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        at += written;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int file_wipe(int dir_fd, const char *name) {
    CLEANUP_CLOSE int fd =
        openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    int r = overwrite(fd, status.st_size);
    if (r < 0)
        return r;
    return atomic_file_remove(dir_fd, name);
}

int file_wipe_path(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash || slash[1] == '\0')
        return -EINVAL;
    CLEANUP_FREE char *directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!directory)
        return -ENOMEM;
    CLEANUP_CLOSE int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? 0 : -errno;
    return file_wipe(dir_fd, slash + 1);
}
