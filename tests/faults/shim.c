/* Preloaded into a program under test: the calls by which it leaves a trace on a disk or at a peer
 * fail, or kill it, at a moment that the walker chooses. Nothing of it is in the product; without
 * FAULTS_CONTROL it does nothing. It stands in front of libc, so it sees every library in the
 * process as well: SQLite in NSS calls pwrite() through a table of libc's symbols.
 *
 * Not points: pipes and event descriptors (a process talking to itself), its log, datagrams to the
 * service manager, and a read of a socket that has nothing to read. */
#define _GNU_SOURCE
#include "tests/faults/shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define REAL(name) ((__typeof__(&name))real(#name))

static struct faults_control *control;

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort(); /* a libc without it: the shim is wrong */
    return found;
}

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("FAULTS_CONTROL");
    if (!path)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        abort(); /* a test that believes in faults which nobody injects is worse than none */
    void *map = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        abort();
    syscall(SYS_close, fd);
    control = map;
}

/* --- what a descriptor is --- */

static void name_path(struct faults_point *point, const char *path) {
    size_t length = strlen(path);
    size_t left_out = length < sizeof(point->detail) ? 0 : length - sizeof(point->detail) + 1;
    memcpy(point->detail, path + left_out, length - left_out + 1);
}

static void name_descriptor(struct faults_point *point, int fd) {
    char link[64], path[512];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n < 0 ? 0 : n] = '\0';
    name_path(point, path);
}

/* Returns false for a descriptor that is no point. */
static bool name_socket(struct faults_point *point, int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
        struct sockaddr_storage room;
    } own = {0}, peer = {0};
    socklen_t own_size = sizeof(own), peer_size = sizeof(peer), type_size = sizeof(int);
    int type = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) < 0 || type != SOCK_STREAM ||
        getsockname(fd, &own.any, &own_size) < 0 || getpeername(fd, &peer.any, &peer_size) < 0)
        return false;
    if (peer.any.sa_family == AF_UNIX)
        snprintf(
            point->detail, sizeof(point->detail), "unix %.60s",
            own.un.sun_path[0] ? own.un.sun_path : peer.un.sun_path);
    else
        snprintf(
            point->detail, sizeof(point->detail), "tcp %u to %u", ntohs(own.in.sin_port),
            ntohs(peer.in.sin_port));
    return true;
}

/* A call on a descriptor; `end`: how far into a file it writes, 0 for one that does not. Returns
 * false where it is no point. */
static bool describe(
    struct faults_point *point, const char *call, int fd, uint32_t file_classes,
    uint32_t socket_classes, off64_t end) {
    struct stat status;
    int saved = errno;
    bool good = false;
    *point = (struct faults_point){0};
    strncpy(point->call, call, sizeof(point->call) - 1);
    if (fstat(fd, &status) == 0) {
        bool socket = S_ISSOCK(status.st_mode);
        point->classes = socket ? socket_classes : file_classes;
        if (!socket &&
            end > status.st_size) /* over what is there already, a full disk lets one write */
            point->classes |= FAULTS_ROOM;
        if (point->classes & control->wanted &&
            (socket || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) {
            good = !socket || name_socket(point, fd);
            if (!socket)
                name_descriptor(point, fd);
        }
    }
    errno = saved;
    return good;
}

/* --- the point itself --- */

static void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;)
        pause();
}

static bool is_hit(const struct faults_point *point, uint32_t number) {
    if (control->at == 0 || number < control->at)
        return false;
    return number == control->at || (control->kind == FAULTS_FULL && point->classes & FAULTS_ROOM);
}

/* Lists a point and does what is to be done before the call. Returns the kind that remains to be
 * done, FAULTS_COUNT for none. */
static enum faults_kind enter(const struct faults_point *point) {
    uint32_t number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    if (number <= FAULTS_MAX_POINTS)
        control->points[number - 1] = *point;
    if (!is_hit(point, number))
        return FAULTS_COUNT;
    control->fired = 1;
    if (control->kind == FAULTS_KILL_BEFORE)
        die();
    return control->kind;
}

static bool watching(void) {
    return control && control->armed;
}

/* The kind for a call on a descriptor, or on a path. */
static enum faults_kind at_descriptor(const char *call, int fd, uint32_t file_classes) {
    struct faults_point point;
    if (!watching() || !describe(&point, call, fd, file_classes, 0, 0))
        return FAULTS_COUNT;
    return enter(&point);
}

static enum faults_kind at_write(const char *call, int fd, off64_t offset, size_t size) {
    struct faults_point point;
    if (!watching() || !describe(
                           &point, call, fd, FAULTS_FILE | FAULTS_DATA, FAULTS_SEND | FAULTS_DATA,
                           offset + (off64_t)size))
        return FAULTS_COUNT;
    return enter(&point);
}

static enum faults_kind at_path(const char *call, const char *path, uint32_t classes) {
    struct faults_point point = {.classes = classes};
    if (!watching() || !(classes & control->wanted))
        return FAULTS_COUNT;
    strncpy(point.call, call, sizeof(point.call) - 1);
    name_path(&point, path);
    return enter(&point);
}

static bool fails(enum faults_kind kind) {
    return kind == FAULTS_ERROR || kind == FAULTS_FULL;
}

/* Runs `expression` (the real call) as the kind says; the wrapper returns its value. */
#define PERFORM(kind, expression)                                                                  \
    do {                                                                                           \
        if (fails(kind)) {                                                                         \
            errno = control->error;                                                                \
            return -1;                                                                             \
        }                                                                                          \
        __typeof__(expression) result_ = (expression);                                             \
        if ((kind) == FAULTS_KILL_AFTER)                                                           \
            die();                                                                                 \
        return result_;                                                                            \
    } while (0)

/* --- writing and sending --- */

/* where write() goes to; none for a socket */
static off64_t position(int fd) {
    int saved = errno;
    off64_t offset = watching() ? lseek64(fd, 0, SEEK_CUR) : 0;
    errno = saved;
    return offset < 0 ? 0 : offset;
}

static size_t cut(enum faults_kind kind, size_t size) {
    return kind == FAULTS_SHORT && size > 1 ? size / 2 : size;
}

EXPORT ssize_t write(int fd, const void *data, size_t size) {
    enum faults_kind kind = at_write("write", fd, position(fd), size);
    PERFORM(kind, REAL(write)(fd, data, cut(kind, size)));
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    enum faults_kind kind = at_write("pwrite", fd, offset, size);
    PERFORM(kind, REAL(pwrite)(fd, data, cut(kind, size), offset));
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    enum faults_kind kind = at_write("pwrite", fd, offset, size);
    PERFORM(kind, REAL(pwrite64)(fd, data, cut(kind, size), offset));
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
    enum faults_kind kind = at_write("writev", fd, position(fd), parts[0].iov_len);
    if (kind == FAULTS_SHORT)
        return REAL(write)(fd, parts[0].iov_base, cut(kind, parts[0].iov_len));
    PERFORM(kind, REAL(writev)(fd, parts, count));
}

EXPORT ssize_t send(int fd, const void *data, size_t size, int flags) {
    enum faults_kind kind = at_write("send", fd, 0, size);
    PERFORM(kind, REAL(send)(fd, data, cut(kind, size), flags));
}

EXPORT ssize_t sendto(
    int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
    socklen_t to_size) {
    enum faults_kind kind = at_write("sendto", fd, 0, size);
    PERFORM(kind, REAL(sendto)(fd, data, cut(kind, size), flags, to, to_size));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    enum faults_kind kind = at_write("sendmsg", fd, 0, 0);
    PERFORM(kind, REAL(sendmsg)(fd, message, flags));
}

/* --- receiving: a point only where there is something, so that a busy loop's empty reads do not
 * count --- */

static enum faults_kind at_receive(const char *call, int fd, int flags) {
    struct faults_point point;
    char byte;
    if (!watching() || flags & MSG_PEEK || !describe(&point, call, fd, 0, FAULTS_RECEIVE, 0))
        return FAULTS_COUNT;
    int saved = errno;
    ssize_t there = REAL(recv)(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    bool empty = there < 0 && errno == EAGAIN;
    errno = saved;
    return empty ? FAULTS_COUNT : enter(&point);
}

EXPORT ssize_t read(int fd, void *data, size_t size) {
    enum faults_kind kind = at_receive("read", fd, 0);
    PERFORM(kind, REAL(read)(fd, data, size));
}

/* how libevent reads what is no TLS: an administrator's command */
EXPORT ssize_t readv(int fd, const struct iovec *parts, int count) {
    enum faults_kind kind = at_receive("readv", fd, 0);
    PERFORM(kind, REAL(readv)(fd, parts, count));
}

EXPORT ssize_t recv(int fd, void *data, size_t size, int flags) {
    enum faults_kind kind = at_receive("recv", fd, flags);
    PERFORM(kind, REAL(recv)(fd, data, size, flags));
}

EXPORT ssize_t
recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *from_size) {
    enum faults_kind kind = at_receive("recvfrom", fd, flags);
    PERFORM(kind, REAL(recvfrom)(fd, data, size, flags, from, from_size));
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    enum faults_kind kind = at_receive("recvmsg", fd, flags);
    PERFORM(kind, REAL(recvmsg)(fd, message, flags));
}

/* what -D_FORTIFY_SOURCE makes of them */
ssize_t __read_chk(int fd, void *data, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *data, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(
    int fd, void *data, size_t size, size_t room, int flags, struct sockaddr *from,
    socklen_t *from_size);

EXPORT ssize_t __read_chk(int fd, void *data, size_t size, size_t room) {
    enum faults_kind kind = at_receive("read", fd, 0);
    PERFORM(kind, REAL(__read_chk)(fd, data, size, room));
}

EXPORT ssize_t __recv_chk(int fd, void *data, size_t size, size_t room, int flags) {
    enum faults_kind kind = at_receive("recv", fd, flags);
    PERFORM(kind, REAL(__recv_chk)(fd, data, size, room, flags));
}

EXPORT ssize_t __recvfrom_chk(
    int fd, void *data, size_t size, size_t room, int flags, struct sockaddr *from,
    socklen_t *from_size) {
    enum faults_kind kind = at_receive("recvfrom", fd, flags);
    PERFORM(kind, REAL(__recvfrom_chk)(fd, data, size, room, flags, from, from_size));
}

/* --- making it last, and names --- */

EXPORT int fsync(int fd) {
    enum faults_kind kind = at_descriptor("fsync", fd, FAULTS_FILE | FAULTS_COMMIT);
    PERFORM(kind, REAL(fsync)(fd));
}

EXPORT int fdatasync(int fd) {
    enum faults_kind kind = at_descriptor("fdatasync", fd, FAULTS_FILE | FAULTS_COMMIT);
    PERFORM(kind, REAL(fdatasync)(fd));
}

EXPORT int ftruncate(int fd, off_t size) {
    enum faults_kind kind = at_descriptor("ftruncate", fd, FAULTS_FILE);
    PERFORM(kind, REAL(ftruncate)(fd, size));
}

EXPORT int ftruncate64(int fd, off64_t size) {
    enum faults_kind kind = at_descriptor("ftruncate", fd, FAULTS_FILE);
    PERFORM(kind, REAL(ftruncate64)(fd, size));
}

EXPORT int rename(const char *from, const char *to) {
    enum faults_kind kind = at_path("rename", to, FAULTS_FILE | FAULTS_COMMIT);
    PERFORM(kind, REAL(rename)(from, to));
}

EXPORT int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    enum faults_kind kind = at_path("rename", to, FAULTS_FILE | FAULTS_COMMIT);
    PERFORM(kind, REAL(renameat)(from_fd, from, to_fd, to));
}

EXPORT int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
    enum faults_kind kind = at_path("rename", to, FAULTS_FILE | FAULTS_COMMIT);
    PERFORM(kind, REAL(renameat2)(from_fd, from, to_fd, to, flags));
}

EXPORT int unlink(const char *path) {
    enum faults_kind kind = at_path("unlink", path, FAULTS_FILE | FAULTS_COMMIT);
    PERFORM(kind, REAL(unlink)(path));
}

EXPORT int unlinkat(int fd, const char *path, int flags) {
    enum faults_kind kind = at_path("unlink", path, FAULTS_FILE | FAULTS_COMMIT);
    PERFORM(kind, REAL(unlinkat)(fd, path, flags));
}

EXPORT int rmdir(const char *path) {
    enum faults_kind kind = at_path("rmdir", path, FAULTS_FILE);
    PERFORM(kind, REAL(rmdir)(path));
}

EXPORT int mkdir(const char *path, mode_t mode) {
    enum faults_kind kind = at_path("mkdir", path, FAULTS_FILE | FAULTS_ROOM);
    PERFORM(kind, REAL(mkdir)(path, mode));
}

EXPORT int mkdirat(int fd, const char *path, mode_t mode) {
    enum faults_kind kind = at_path("mkdir", path, FAULTS_FILE | FAULTS_ROOM);
    PERFORM(kind, REAL(mkdirat)(fd, path, mode));
}

/* --- new files --- */

static enum faults_kind at_open(const char *path, int flags) {
    return flags & O_CREAT ? at_path("create", path, FAULTS_FILE | FAULTS_ROOM) : FAULTS_COUNT;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

/* the four entries of libc differ in their names alone */
#define OPEN(name)                                                                                 \
    EXPORT int name(const char *path, int flags, ...) {                                            \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = mode_of(flags, rest);                                                        \
        va_end(rest);                                                                              \
        enum faults_kind kind = at_open(path, flags);                                              \
        PERFORM(kind, REAL(name)(path, flags, mode));                                              \
    }
#define OPEN_AT(name)                                                                              \
    EXPORT int name(int fd, const char *path, int flags, ...) {                                    \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = mode_of(flags, rest);                                                        \
        va_end(rest);                                                                              \
        enum faults_kind kind = at_open(path, flags);                                              \
        PERFORM(kind, REAL(name)(fd, path, flags, mode));                                          \
    }
OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)
