/* Judges and makes the files of an NSS database without trusting NSS's silence about broken ones.
 */
#include "useragent/nss_database.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "useragent/user_dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define SQLITE_MAGIC                                                                               \
    "SQLite format 3" /* with its NUL: 16 bytes (sqlite.org/fileformat.html, 1.3) */
#define TEMPORARY_PREFIX ".devtrust-nssdb-"
/* what one import needs at the very most: rollback journals and grown pages of both files */
#define SPACE_NEEDED (64 * 1024)

enum file_state { FILE_ABSENT, FILE_SOUND, FILE_BROKEN };

/* An unreadable file is -EACCES: it may be sound, and is nothing that we could use. */
static int look_at_file(int dir_fd, const char *name, enum file_state *ret) {
    CLEANUP_CLOSE int fd = -1;
    char head[sizeof SQLITE_MAGIC];
    struct stat status;

    fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        if (errno != ENOENT)
            return -errno;
        *ret = FILE_ABSENT;
        return 0;
    }
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head ||
        memcmp(head, SQLITE_MAGIC, sizeof head) != 0)
        *ret = FILE_BROKEN;
    else
        *ret = FILE_SOUND;
    return 0;
}

static enum reason reason_of_errno(int error) {
    switch (error < 0 ? -error : error) {
    case EACCES:
    case EPERM:
    case EROFS:
        return REASON_STORE_READ_ONLY;
    case ENOSPC:
    case EDQUOT:
        return REASON_STORE_FULL;
    case ENOENT:
    case ENOTDIR:
        return REASON_STORE_MISSING;
    default:
        return REASON_STORE_ERROR;
    }
}

static int fail(int error, enum reason reason, enum reason *ret_reason) {
    *ret_reason = reason;
    return error;
}

static bool is_writable(int dir_fd, const char *name, enum file_state state) {
    return state == FILE_ABSENT || faccessat(dir_fd, name, R_OK | W_OK, AT_EACCESS) == 0;
}

/* SQLite's locks are only as good as the file system's (sqlite.org/lockingv3.html, "How to corrupt
 * your database files"). FUSE is left out: it is local as often as not. */
static bool is_network(int fd) {
    static const uint32_t kinds[] = {
        NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
        AFS_SUPER_MAGIC, AFS_FS_MAGIC,    CODA_SUPER_MAGIC, CEPH_SUPER_MAGIC,
    };
    struct statfs status;

    if (fstatfs(fd, &status) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if ((uint32_t)status.f_type == kinds[i])
            return true;
    return false;
}

/* Whether a directory takes new entries, and is a good place for them. */
static int check_takes_entries(int dir_fd, enum reason *ret_reason) {
    if (is_network(dir_fd))
        return fail(-EROFS, REASON_STORE_NETWORK, ret_reason);
    if (faccessat(dir_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        return fail(-errno, reason_of_errno(errno), ret_reason);
    return 0;
}

/* Whether a new database could be made: the nearest directory that exists above it takes entries.
 */
static int check_makeable(const char *path, enum reason *ret_reason) {
    char above[USER_DIRS_PATH_MAX];

    if (strlen(path) >= sizeof above)
        return fail(-ENAMETOOLONG, REASON_STORE_ERROR, ret_reason);
    memcpy(above, path, strlen(path) + 1);
    for (char *slash = strrchr(above, '/'); slash && slash != above; slash = strrchr(above, '/')) {
        CLEANUP_CLOSE int fd = -1;

        *slash = '\0';
        fd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            return check_takes_entries(fd, ret_reason);
        if (errno != ENOENT)
            return fail(-errno, reason_of_errno(errno), ret_reason);
    }
    return fail(-ENOENT, REASON_STORE_MISSING, ret_reason);
}

/* Whether there is nothing in a directory, "." and ".." aside. */
static bool is_empty(int dir_fd) {
    CLEANUP_CLOSEDIR DIR *dir = NULL;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return false;
    dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return false;
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return false;
    return true;
}

/* Files go into a directory that holds something; an empty one is replaced. */
static int check_absent(int dir_fd, const char *path, enum reason *ret_reason) {
    return is_empty(dir_fd) ? check_makeable(path, ret_reason)
                            : check_takes_entries(dir_fd, ret_reason);
}

int nss_database_check(
    const char *path, bool write, enum nss_database_state *ret, enum reason *ret_reason) {
    CLEANUP_CLOSE int dir_fd = -1;
    enum file_state certificates = FILE_ABSENT;
    enum file_state keys = FILE_ABSENT;
    int r;

    /* the directory itself may be a symbolic link: it is the user's own choice, followed as the
     * browser follows it */
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        if (errno != ENOENT)
            return fail(-errno, reason_of_errno(errno), ret_reason);
        *ret = NSS_DATABASE_ABSENT;
        return write ? check_makeable(path, ret_reason) : 0;
    }
    r = look_at_file(dir_fd, "cert9.db", &certificates);
    if (r >= 0)
        r = look_at_file(dir_fd, "key4.db", &keys);
    if (r < 0)
        return fail(r, reason_of_errno(r), ret_reason);
    if (certificates == FILE_ABSENT && keys == FILE_ABSENT) {
        *ret = NSS_DATABASE_ABSENT;
        return write ? check_absent(dir_fd, path, ret_reason) : 0;
    }
    if (certificates != FILE_SOUND || keys == FILE_BROKEN)
        return fail(-EBADMSG, REASON_STORE_CORRUPT, ret_reason);
    if (write && is_network(dir_fd))
        return fail(-EROFS, REASON_STORE_NETWORK, ret_reason);
    /* SQLite makes its journal in the directory, so that must be writable too */
    if (write &&
        (faccessat(dir_fd, ".", W_OK | X_OK, AT_EACCESS) < 0 ||
         !is_writable(dir_fd, "cert9.db", certificates) || !is_writable(dir_fd, "key4.db", keys)))
        return fail(-EROFS, REASON_STORE_READ_ONLY, ret_reason);
    *ret = NSS_DATABASE_PRESENT;
    return 0;
}

static int split(const char *path, char *ret_parent, const char **ret_name) {
    const char *slash = strrchr(path, '/');
    size_t length;

    if (!slash || slash == path || slash[1] == '\0')
        return -EINVAL;
    length = (size_t)(slash - path);
    if (length >= USER_DIRS_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret_parent, path, length);
    ret_parent[length] = '\0';
    *ret_name = slash + 1;
    return 0;
}

/* A directory with the files of one database in it, no deeper. */
static void remove_directory(int parent_fd, const char *name) {
    CLEANUP_CLOSEDIR DIR *dir = NULL;
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return;
    dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(fd, entry->d_name, 0);
    (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
}

static void sweep_directory(const char *path) {
    CLEANUP_CLOSEDIR DIR *dir = opendir(path);

    if (!dir)
        return;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (strncmp(entry->d_name, TEMPORARY_PREFIX, sizeof TEMPORARY_PREFIX - 1) == 0)
            remove_directory(dirfd(dir), entry->d_name);
}

void nss_database_sweep(const char *path) {
    char parent[USER_DIRS_PATH_MAX];
    const char *name;

    sweep_directory(path);
    if (split(path, parent, &name) >= 0)
        sweep_directory(parent);
}

/* Puts the finished directory in its place: over nothing, or over an empty directory. */
static int move_into_place(int parent_fd, const char *temporary, const char *name) {
    int error;

    if (renameat(parent_fd, temporary, parent_fd, name) >= 0)
        return fsync(parent_fd) < 0 ? -errno : 0;
    error = errno;
    remove_directory(parent_fd, temporary);
    /* somebody else has made one meanwhile: theirs is used */
    return error == ENOTEMPTY || error == EEXIST ? 0 : -error;
}

/* Each file where there is none; another program's, made meanwhile, stays. Certificates first: a
 * database with those alone is one to which NSS adds the keys. */
static int move_files(int temporary_fd, int dir_fd) {
    static const char *const files[] = {"cert9.db", "key4.db"};

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        if (renameat2(temporary_fd, files[i], dir_fd, files[i], RENAME_NOREPLACE) < 0 &&
            errno != EEXIST)
            return -errno;
    return fsync(dir_fd) < 0 ? -errno : 0;
}

/* Makes a database in a new directory in `where`; *ret_name is what that is called there. */
static int make_temporary(
    const char *where, nss_database_initialise initialise, char ret[USER_DIRS_PATH_MAX],
    const char **ret_name, enum reason *ret_reason) {
    int r = user_dirs_join(where, TEMPORARY_PREFIX "XXXXXX", ret);

    if (r < 0)
        return fail(r, REASON_STORE_ERROR, ret_reason);
    if (!mkdtemp(ret)) /* 0700 */
        return fail(-errno, reason_of_errno(errno), ret_reason);
    *ret_name = ret + strlen(where) + 1;
    r = initialise(ret, ret_reason);
    if (r < 0 && (*ret_reason == REASON_STORE_CORRUPT || *ret_reason == REASON_STORE_ERROR))
        *ret_reason = nss_database_diagnose(ret, *ret_reason);
    return r;
}

/* Into a directory that others use too. */
static int fill(
    int dir_fd, const char *path, nss_database_initialise initialise, enum reason *ret_reason) {
    CLEANUP_CLOSE int temporary_fd = -1;
    char temporary[USER_DIRS_PATH_MAX];
    const char *name = NULL;
    int r = make_temporary(path, initialise, temporary, &name, ret_reason);

    if (r >= 0) {
        temporary_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = temporary_fd < 0 ? -errno : move_files(temporary_fd, dir_fd);
        if (r < 0)
            *ret_reason = reason_of_errno(r);
    }
    if (name)
        remove_directory(dir_fd, name);
    return r;
}

int nss_database_create(
    const char *path, nss_database_initialise initialise, enum reason *ret_reason) {
    CLEANUP_CLOSE int dir_fd = -1;
    CLEANUP_CLOSE int parent_fd = -1;
    char real[PATH_MAX];
    char parent[USER_DIRS_PATH_MAX];
    char temporary[USER_DIRS_PATH_MAX];
    const char *name;
    const char *temporary_name = NULL;
    int r;

    /* an empty directory behind a symbolic link is filled where it is */
    if (realpath(path, real))
        path = real;
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd >= 0 && !is_empty(dir_fd))
        return fill(dir_fd, path, initialise, ret_reason);
    r = split(path, parent, &name);
    if (r < 0)
        return fail(r, REASON_STORE_ERROR, ret_reason);
    r = atomic_file_make_dirs(parent, 0700);
    if (r < 0)
        return fail(r, reason_of_errno(r), ret_reason);
    parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent_fd < 0)
        return fail(-errno, reason_of_errno(errno), ret_reason);
    r = make_temporary(parent, initialise, temporary, &temporary_name, ret_reason);
    if (r < 0) {
        if (temporary_name)
            remove_directory(parent_fd, temporary_name);
        return r;
    }
    r = move_into_place(parent_fd, temporary_name, name);
    return r < 0 ? fail(r, reason_of_errno(r), ret_reason) : 0;
}

enum reason nss_database_diagnose(const char *path, enum reason otherwise) {
    CLEANUP_CLOSE int fd = -1;
    int r;

    /* an unnamed file asks the file system what a write would have been told; where there are none
     * (ENOTSUP), nothing is known */
    fd = open(path, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        r = errno;
    else
        r = posix_fallocate(fd, 0, SPACE_NEEDED);
    switch (r) {
    case ENOSPC:
    case EDQUOT:
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOENT:
    case ENOTDIR:
        return reason_of_errno(r);
    default:
        return otherwise;
    }
}

/* The bytes that SQLite locks (os.h: PENDING_BYTE and the 511 after it). */
static bool is_file_locked(int dir_fd, const char *name) {
    CLEANUP_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000000, .l_len = 512};

    return fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool nss_database_is_locked(const char *path) {
    CLEANUP_CLOSE int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return dir_fd >= 0 && (is_file_locked(dir_fd, "cert9.db") || is_file_locked(dir_fd, "key4.db"));
}
