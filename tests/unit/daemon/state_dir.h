/* A state directory for one test, removed with everything in it. */
#pragma once

#include "common/atomic_file.h"

#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct state_dir {
    char path[64];
    int fd;
};

__attribute__((unused)) static void state_dir_make(struct state_dir *dir) {
    snprintf(dir->path, sizeof(dir->path), "/tmp/devtrust-test-XXXXXX");
    assert(mkdtemp(dir->path));
    dir->fd = atomic_file_open_dir(dir->path);
    assert(dir->fd >= 0);
}

static int state_dir_remove_one(
    const char *path, const struct stat *status, int type, struct FTW *at) {
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

__attribute__((unused)) static void state_dir_remove(struct state_dir *dir) {
    close(dir->fd);
    nftw(dir->path, state_dir_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

__attribute__((unused)) static void state_dir_write(
    struct state_dir *dir, const char *name, const void *data, size_t size) {
    assert(atomic_file_write(dir->fd, name, data, size, 0600) == 0);
}

/* free() the result; NULL: no such file. */
__attribute__((unused)) static char *state_dir_read(struct state_dir *dir, const char *name) {
    char *text = NULL;
    size_t size;
    return atomic_file_read(dir->fd, name, 1024 * 1024, &text, &size) == 0 ? text : NULL;
}

__attribute__((unused)) static bool state_dir_has(struct state_dir *dir, const char *name) {
    return faccessat(dir->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

__attribute__((unused)) static int state_dir_mode(struct state_dir *dir, const char *name) {
    struct stat status;
    assert(fstatat(dir->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0);
    return (int)(status.st_mode & 07777);
}
