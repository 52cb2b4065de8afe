/* Reads, writes and removes policies.json. */
#include "daemon/firefox_policy_file.h"

#include "daemon/firefox_policy_text.h"

#include "common/atomic_file.h"
#include "common/browser_family.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SYSTEM_DIRECTORY "/etc/firefox/policies"
#define TEMP_PREFIX "." FIREFOX_POLICY_FILE "."
#define TEMP_SUFFIX ".tmp"

void firefox_policy_file_deinit(struct firefox_policy_file *file) {
    free(file->text);
    *file = (struct firefox_policy_file){0};
}

bool firefox_policy_file_is_temp(const char *name) {
    size_t length = strlen(name);
    return strncmp(name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0 && length > strlen(TEMP_SUFFIX) &&
           strcmp(name + length - strlen(TEMP_SUFFIX), TEMP_SUFFIX) == 0;
}

static void sweep(int dir_fd) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir CLEANUP_CLOSEDIR = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (firefox_policy_file_is_temp(entry->d_name))
            (void)unlinkat(dir_fd, entry->d_name, 0);
}

static int check_file(int dir_fd, uid_t owner, mode_t *ret_mode) {
    struct stat st;
    if (fstatat(dir_fd, FIREFOX_POLICY_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode))
        return -ELOOP;
    if (!S_ISREG(st.st_mode))
        return -EISDIR;
    if (st.st_uid != owner || (st.st_mode & (S_IWGRP | S_IWOTH)))
        return -EPERM;
    *ret_mode = st.st_mode & 07777;
    return 0;
}

int firefox_policy_file_read(int dir_fd, uid_t owner, struct firefox_policy_file *ret) {
    struct firefox_policy_file file CLEANUP_FIREFOX_POLICY_FILE = {.mode = 0644};

    sweep(dir_fd);
    int r = check_file(dir_fd, owner, &file.mode);
    if (r == 0)
        r = atomic_file_read(
            dir_fd, FIREFOX_POLICY_FILE, FIREFOX_POLICY_MAX_FILE, &file.text, &file.size);
    if (r < 0 && r != -ENOENT)
        return r;
    *ret = file;
    file = (struct firefox_policy_file){0};
    return 0;
}

int firefox_policy_file_write(int dir_fd, const char *text, mode_t mode) {
    return atomic_file_write(dir_fd, FIREFOX_POLICY_FILE, text, strlen(text), mode);
}

int firefox_policy_file_remove(int dir_fd) {
    return atomic_file_remove(dir_fd, FIREFOX_POLICY_FILE);
}

int firefox_policy_file_withdraw(const char *directory, const char *inserted) {
    struct firefox_policy_file file CLEANUP_FIREFOX_POLICY_FILE = {0};
    char *text CLEANUP_FREE = NULL;
    int fd CLEANUP_CLOSE = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int r = firefox_policy_file_read(fd, geteuid(), &file);
    if (r < 0 || !file.text)
        return r;
    r = firefox_policy_withdraw(file.text, file.size, inserted, &text);
    if (r <= 0)
        return r;
    return text ? firefox_policy_file_write(fd, text, file.mode) : firefox_policy_file_remove(fd);
}

/* The folder "distribution" beside the program (tried: firefox-esr 153 looks into it only where
 * there is no file in /etc). */
bool firefox_policy_file_shadows(const char *directory, char *ret, size_t size) {
    ret[0] = '\0';
    if (strcmp(directory, SYSTEM_DIRECTORY) != 0)
        return false;
    for (const struct browser_family *family = browser_families; family->id; family++)
        for (const char *const *path = family->executables;
             family->kind == BROWSER_FIREFOX && *path; path++) {
            int folder = (int)(strrchr(*path, '/') - *path);
            int length =
                snprintf(ret, size, "%.*s/distribution/" FIREFOX_POLICY_FILE, folder, *path);
            if (length > 0 && (size_t)length < size && access(ret, F_OK) == 0)
                return true;
        }
    ret[0] = '\0';
    return false;
}
