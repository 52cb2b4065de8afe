/* Files that are whole at any moment, whatever is killed or full: the one place where state reaches
 * the disk. */
#include "common/atomic_file.h"

#include "common/cleanup.h"
#include "common/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_SUFFIX ".tmp"
#define TEMP_RANDOM_LENGTH                                                                         \
    6 /* 36⁶ names: a collision is a left-over of the same name, and tried again */
#define TEMP_ATTEMPTS 16
#define FIRST_READ 4096U

int atomic_file_open_dir(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static bool is_plain_name(const char *name) {
    return name[0] != '\0' && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int sync_fd(int fd) {
    return fsync(fd) < 0 ? -errno : 0;
}

/* --- write --- */

static const char temp_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

static int make_temp_name(const char *name, char ret[NAME_MAX + 1]) {
    char middle[TEMP_RANDOM_LENGTH + 1];
    for (size_t i = 0; i < TEMP_RANDOM_LENGTH; i++)
        middle[i] = temp_letters[random_below(&random_system, sizeof(temp_letters) - 1)];
    middle[TEMP_RANDOM_LENGTH] = '\0';

    int n = snprintf(ret, NAME_MAX + 1, ".%s.%s" TEMP_SUFFIX, name, middle);
    return n < 0 || n > NAME_MAX ? -ENAMETOOLONG : 0;
}

/* Creates a temp file that nobody else can open yet. Returns its descriptor and its name. */
static int open_temp(int dir_fd, const char *name, char ret_temp[NAME_MAX + 1]) {
    for (int i = 0; i < TEMP_ATTEMPTS; i++) {
        int r = make_temp_name(name, ret_temp);
        if (r < 0)
            return r;
        int fd =
            openat(dir_fd, ret_temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            return -errno;
    }
    return -EEXIST;
}

static int write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) /* POSIX leaves it open; waiting for better times would be an endless loop */
            return -EIO;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Contents and mode, on the disk. */
static int fill_temp(int temp_fd, const void *data, size_t size, mode_t mode) {
    CLEANUP_CLOSE int fd = temp_fd;
    int r = write_all(fd, data, size);
    if (r < 0)
        return r;
    if (fchmod(fd, mode) < 0)
        return -errno;
    r = sync_fd(fd);
    if (r < 0)
        return r;
    return close(TAKE_FD(fd)) < 0 ? -errno : 0;
}

int atomic_file_write(int dir_fd, const char *name, const void *data, size_t size, mode_t mode) {
    if (!is_plain_name(name))
        return -EINVAL;

    char temp[NAME_MAX + 1];
    int fd = open_temp(dir_fd, name, temp);
    if (fd < 0)
        return fd;

    int r = fill_temp(fd, data, size, mode);
    if (r == 0 && renameat(dir_fd, temp, dir_fd, name) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlinkat(dir_fd, temp, 0); /* the sweep takes what this cannot */
        return r;
    }
    /* From here the new file stands; a failing fsync means that a power cut may still bring the old
     * one back. */
    return sync_fd(dir_fd);
}

/* --- read --- */

/* O_NONBLOCK: a FIFO in the file's place must not hang the program. */
static int open_regular(int dir_fd, const char *name) {
    CLEANUP_CLOSE int fd =
        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    return TAKE_FD(fd);
}

/* Reads up to the end or until `size` bytes are full. Returns the count or a negative errno. */
static ssize_t read_some(int fd, char *data, size_t size) {
    size_t used = 0;
    while (used < size) {
        ssize_t n = read(fd, data + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

int atomic_file_read(int dir_fd, const char *name, size_t maximum, char **ret, size_t *ret_size) {
    if (!is_plain_name(name) || maximum > SSIZE_MAX - 2)
        return -EINVAL;
    CLEANUP_CLOSE int fd = open_regular(dir_fd, name);
    if (fd < 0)
        return fd;

    CLEANUP_FREE char *data = NULL;
    size_t used = 0, capacity = 0;
    do { /* grows as it reads: the size that fstat() tells may be old by then */
        capacity = capacity == 0 ? FIRST_READ : capacity * 2;
        if (capacity > maximum + 1)
            capacity = maximum + 1; /* one more than allowed, to see that there is more */
        char *grown = realloc(data, capacity + 1);
        if (!grown)
            return -ENOMEM;
        data = grown;
        ssize_t n = read_some(fd, data + used, capacity - used);
        if (n < 0)
            return (int)n;
        used += (size_t)n;
    } while (used == capacity && used <= maximum);
    if (used > maximum)
        return -EMSGSIZE;

    data[used] = '\0';
    *ret = TAKE_PTR(data);
    if (ret_size)
        *ret_size = used;
    return 0;
}

/* --- remove --- */

int atomic_file_remove(int dir_fd, const char *name) {
    if (!is_plain_name(name))
        return -EINVAL;
    if (unlinkat(dir_fd, name, 0) < 0)
        return errno == ENOENT ? 0 : -errno;
    return sync_fd(dir_fd);
}

/* ".name.XXXXXX.tmp", as make_temp_name() makes them. */
static bool is_temp_name(const char *name) {
    const size_t tail = 1 + TEMP_RANDOM_LENGTH + strlen(TEMP_SUFFIX);
    size_t length = strlen(name);
    if (name[0] != '.' || length < 1 + 1 + tail)
        return false;
    const char *end = name + length - tail;
    if (end[0] != '.' || strcmp(end + 1 + TEMP_RANDOM_LENGTH, TEMP_SUFFIX) != 0)
        return false;
    return strspn(end + 1, temp_letters) == TEMP_RANDOM_LENGTH;
}

int atomic_file_sweep(int dir_fd) {
    /* its own open file: reading a directory moves the offset of the descriptor */
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    CLEANUP_CLOSEDIR DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = -errno;
        (void)close(fd);
        return r;
    }

    int first_error = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        if (!is_temp_name(entry->d_name))
            continue;
        if (unlinkat(dir_fd, entry->d_name, 0) < 0 && errno != ENOENT && first_error == 0)
            first_error = -errno;
    }
    return errno > 0 ? -errno : first_error;
}

/* --- directories --- */

/* Makes a new directory durable: exact mode (mkdir cuts it by the umask) and its entry in the
 * parent. */
static int finish_new_dir(int parent_fd, const char *name, mode_t mode) {
    CLEANUP_CLOSE int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, mode) < 0)
        return -errno;
    CLEANUP_CLOSE int parent = openat(parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return -errno;
    return sync_fd(parent);
}

/* Steps into a part of the path, making it if it is not there. Returns its descriptor (O_PATH: a
 * parent such as /home need not be readable). */
static int enter_dir(int parent_fd, const char *name, mode_t mode) {
    int make_error = 0;
    if (mkdirat(parent_fd, name, mode & 0700) < 0)
        make_error = -errno;
    else {
        int r = finish_new_dir(parent_fd, name, mode);
        if (r < 0)
            return r;
    }

    /* mkdir() may answer EROFS or EACCES for a part that is there: what counts is whether it can be
     * entered */
    int fd = openat(parent_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    return errno == ENOENT && make_error < 0 ? make_error : -errno;
}

int atomic_file_make_dirs(const char *path, mode_t mode) {
    char parts[PATH_MAX];
    const size_t length = strlen(path);
    if (length == 0)
        return -ENOENT;
    if (length >= sizeof(parts))
        return -ENAMETOOLONG;
    memcpy(parts, path, length + 1);
    CLEANUP_CLOSE int fd = open(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;

    char *rest = parts;
    for (char *part; (part = strsep(&rest, "/"));) {
        if (part[0] == '\0')
            continue;
        int next = enter_dir(fd, part, mode);
        if (next < 0)
            return next;
        (void)close(fd);
        fd = next;
    }
    return 0;
}
