/* Files and directories of Chromium's managed policy on Linux. */
#include "daemon/chrome_policy.h"

#include "common/atomic_file.h"
#include "common/browser_family.h"
#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILES 256
#define TEMP_PREFIX "." POLICY_MERGE_FILE "."
#define TEMP_SUFFIX ".tmp"

const char *chrome_policy_family_name(const char *directory) {
    const struct browser_family *family = browser_family_of_policy(directory);
    return family ? family->id : "chromium";
}

int chrome_policy_open(const char *directory, uid_t owner) {
    struct stat st;
    int fd CLEANUP_CLOSE = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != owner || (st.st_mode & (S_IWGRP | S_IWOTH)))
        return -EPERM;
    return TAKE_FD(fd);
}

/* What the unit may not write is read-only for it alone: nobody would find that by looking. */
const char *chrome_policy_error_text(int error) {
    return error == -EROFS ? "read-only for devtrustd; see FILES in devtrustd.conf(5)"
                           : strerror(-error);
}

int chrome_policy_plan_parents(struct policy_place *place) {
    char path[PATH_MAX];
    size_t length = strlen(place->path);

    if (length >= sizeof(path))
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= length; i++) {
        if (place->path[i] != '/' && place->path[i] != '\0')
            continue;
        if (place->path[i - 1] == '/')
            continue;
        struct stat st;
        memcpy(path, place->path, i);
        path[i] = '\0';
        if (lstat(path, &st) == 0)
            continue;
        if (errno != ENOENT)
            return -errno;
        int r = policy_place_add_created(place, path);
        if (r < 0)
            return r;
    }
    return 0;
}

int chrome_policy_make(const char *directory) {
    return atomic_file_make_dirs(directory, 0755);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_temp(const char *name) {
    size_t length = strlen(name);
    return strncmp(name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0 && length > strlen(TEMP_SUFFIX) &&
           strcmp(name + length - strlen(TEMP_SUFFIX), TEMP_SUFFIX) == 0;
}

struct names {
    char *name[MAX_FILES];
    size_t count;
};

static void names_deinit(struct names *names) {
    for (size_t i = 0; i < names->count; i++)
        free(names->name[i]);
}

static int list_names(int dir_fd, struct names *ret) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *dir CLEANUP_CLOSEDIR = fdopendir(fd);
    if (!dir) {
        int error = errno;
        close(fd);
        return -error;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, POLICY_MERGE_FILE) == 0)
            continue;
        if (is_temp(entry->d_name)) {
            unlinkat(dir_fd, entry->d_name, 0);
            continue;
        }
        if (ret->count == MAX_FILES)
            return -E2BIG;
        ret->name[ret->count] = strdup(entry->d_name);
        if (!ret->name[ret->count])
            return -ENOMEM;
        ret->count++;
    }
    if (errno != 0)
        return -errno;
    qsort(ret->name, ret->count, sizeof(*ret->name), compare_names);
    return 0;
}

/* The browser follows symbolic links, and in this directory root alone can make one. *ret stays
 * NULL for what is no file. */
static int read_other(int dir_fd, const char *name, char **ret, size_t *ret_size) {
    struct stat st;
    int fd CLEANUP_CLOSE = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT || errno == ENXIO || errno == ELOOP || errno == EACCES ? 0 : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return 0;
    size_t size = 0;
    char *text CLEANUP_FREE = malloc(POLICY_MERGE_MAX_FILE + 1);
    if (!text)
        return -ENOMEM;
    while (size <= POLICY_MERGE_MAX_FILE) {
        ssize_t n = read(fd, text + size, POLICY_MERGE_MAX_FILE + 1 - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        size += (size_t)n;
    }
    /* one past the maximum stays in, so that the file is named as broken */
    *ret = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}

int chrome_policy_read_others(int dir_fd, struct policy_merge *ret) {
    struct names names CLEANUP(names_deinit) = {.count = 0};
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};

    int r = list_names(dir_fd, &names);
    for (size_t i = 0; r == 0 && i < names.count; i++) {
        char *text CLEANUP_FREE = NULL;
        size_t size = 0;
        r = read_other(dir_fd, names.name[i], &text, &size);
        if (r == 0 && text)
            r = policy_merge_add(&merge, names.name[i], text, size);
    }
    if (r < 0)
        return r;
    *ret = merge;
    merge = (struct policy_merge){0};
    return 0;
}

int chrome_policy_read_own(int dir_fd, char **ret, size_t *ret_size) {
    return atomic_file_read(
        dir_fd, POLICY_MERGE_FILE, (size_t)4 * POLICY_MERGE_MAX_FILE, ret, ret_size);
}

int chrome_policy_write(int dir_fd, const char *text) {
    return atomic_file_write(dir_fd, POLICY_MERGE_FILE, text, strlen(text), 0644);
}

int chrome_policy_remind(int dir_fd) {
    int fd CLEANUP_CLOSE = openat(dir_fd, POLICY_MERGE_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0644) < 0)
        return -errno;
    return 0;
}

int chrome_policy_remove_created(const struct policy_place *place) {
    for (size_t i = place->created_count; i > 0; i--)
        if (rmdir(place->created[i - 1]) < 0 && errno != ENOENT && errno != ENOTEMPTY &&
            errno != EEXIST)
            return -errno;
    return 0;
}

int chrome_policy_remove(const struct policy_place *place) {
    int fd CLEANUP_CLOSE = open(place->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return -errno;
    if (fd >= 0) {
        struct names names CLEANUP(names_deinit) = {.count = 0};
        (void)list_names(fd, &names); /* takes leftover temp files along */
        int r = atomic_file_remove(fd, POLICY_MERGE_FILE);
        if (r < 0)
            return r;
    }
    return chrome_policy_remove_created(place);
}
