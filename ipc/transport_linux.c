/* Unix sockets made by hand: libuv's bind cuts long paths and its close unlinks whatever sits at
 * the path by then. */
#include "ipc/transport.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SOCKET_MODE 0666 /* who may call what is decided per method, by the peer's uid */
#define DIRECTORY_MODE 0755
#define BACKLOG 4096 /* who fills it keeps others waiting: the kernel's own limit decides */

static int transport_address(const char *path, struct sockaddr_un *ret, socklen_t *ret_size) {
    size_t length = strlen(path);
    if (length == 0)
        return -EINVAL;
    if (length >= sizeof ret->sun_path)
        return -ENAMETOOLONG;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, length + 1);
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return 0;
}

static int transport_split(const char *path, char **ret_directory, char **ret_name) {
    char CLEANUP_FREE *for_directory = strdup(path);
    char CLEANUP_FREE *for_name = strdup(path);
    if (!for_directory || !for_name)
        return -ENOMEM;
    char CLEANUP_FREE *directory = strdup(dirname(for_directory));
    char CLEANUP_FREE *name = strdup(basename(for_name));
    if (!directory || !name)
        return -ENOMEM;
    if (path[strlen(path) - 1] == '/' || name[0] == '/')
        return -EINVAL;
    *ret_directory = TAKE_PTR(directory);
    *ret_name = TAKE_PTR(name);
    return 0;
}

/* A directory in which nobody but this uid (and root) can put or replace names. */
static int transport_open_directory(const char *path) {
    if (mkdir(path, DIRECTORY_MODE) == 0) {
        if (chmod(path, DIRECTORY_MODE) < 0) /* the umask may have cut it */
            return -errno;
    } else if (errno != EEXIST) {
        return -errno;
    }
    int CLEANUP_CLOSE fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0) {
        int error = -errno; /* of a link it may be that of what is no directory */
        return lstat(path, &status) == 0 && S_ISLNK(status.st_mode) ? -ELOOP : error;
    }
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_uid != geteuid())
        return -EPERM;
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return -EUCLEAN;
    return TAKE_FD(fd);
}

/* The lock says whether a server runs; a connect could not tell a busy one from a dead one. */
static int transport_lock(int directory_fd, const char *name) {
    char lock_name[NAME_MAX + 1];
    int length = snprintf(lock_name, sizeof lock_name, "%s.lock", name);
    if (length < 0 || (size_t)length >= sizeof lock_name)
        return -ENAMETOOLONG;
    int CLEANUP_CLOSE fd =
        openat(directory_fd, lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno == ELOOP || errno == EISDIR || errno == ENXIO ? -EEXIST : -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
    return TAKE_FD(fd);
}

static int transport_remove_stale(int directory_fd, const char *name) {
    struct stat status;
    if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode))
        return -EEXIST;
    return unlinkat(directory_fd, name, 0) < 0 ? -errno : 0;
}

int transport_listen(const char *path) {
    struct sockaddr_un address;
    socklen_t address_size;
    int r = transport_address(path, &address, &address_size);
    if (r < 0)
        return r;
    char CLEANUP_FREE *directory = NULL;
    char CLEANUP_FREE *name = NULL;
    r = transport_split(path, &directory, &name);
    if (r < 0)
        return r;
    int CLEANUP_CLOSE directory_fd = transport_open_directory(directory);
    if (directory_fd < 0)
        return directory_fd;
    int CLEANUP_CLOSE lock_fd = transport_lock(directory_fd, name);
    if (lock_fd < 0)
        return lock_fd;
    r = transport_remove_stale(directory_fd, name);
    if (r < 0)
        return r;

    int CLEANUP_CLOSE fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, address_size) < 0 ||
        fchmodat(directory_fd, name, SOCKET_MODE, 0) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    (void)TAKE_FD(lock_fd); /* the kernel releases it when the process ends */
    return TAKE_FD(fd);
}

int transport_accept(int fd) {
    int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return accepted < 0 ? -errno : accepted;
}

const int transport_pipe_ipc = 1; /* libuv then reads with recvmsg() */

int transport_connect(const char *path) {
    struct sockaddr_un address;
    socklen_t address_size;
    int r = transport_address(path, &address, &address_size);
    if (r < 0)
        return r;
    int CLEANUP_CLOSE fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, address_size) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int transport_peer(int fd, uid_t *ret_uid, pid_t *ret_pid) {
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return -errno;
    if (size != sizeof credentials || credentials.uid == (uid_t)-1)
        return -ENODATA; /* not a Unix socket that was connected */
    *ret_uid = credentials.uid;
    *ret_pid = credentials.pid;
    return 0;
}
