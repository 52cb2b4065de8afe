/* What the unit tests of common/ share: a directory of their own, and code that runs in a child
 * process because it changes the process (limits, namespaces, uid). */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct unit_dir {
    char path[64];
    int fd;
};

static inline int unit_remove_entry(
    const char *path, const struct stat *st, int type, struct FTW *walk) {
    (void)st, (void)type, (void)walk;
    return remove(path);
}

/** For cmocka_unit_test_setup_teardown(): *state is a struct unit_dir. */
__attribute__((unused)) static int unit_dir_setup(void **state) {
    struct unit_dir *dir = calloc(1, sizeof(*dir));
    if (!dir)
        return -1;
    strcpy(dir->path, "/tmp/devtrust-unit-XXXXXX");
    if (!mkdtemp(dir->path))
        return -1;
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = dir;
    return dir->fd < 0 ? -1 : 0;
}

__attribute__((unused)) static int unit_dir_teardown(void **state) {
    struct unit_dir *dir = *state;
    close(dir->fd);
    int r = nftw(dir->path, unit_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
    return r;
}

#define unit_test_with_dir(f) cmocka_unit_test_setup_teardown(f, unit_dir_setup, unit_dir_teardown)

/** Writes a file as it stands. */
__attribute__((unused)) static void unit_write(
    const struct unit_dir *dir, const char *name, const void *data, size_t size) {
    int fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    close(fd);
}

/** True when the file holds exactly these bytes. */
__attribute__((unused)) static int unit_holds(
    const struct unit_dir *dir, const char *name, const void *data, size_t size) {
    int fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char *found = malloc(size + 1);
    ssize_t n = read(fd, found, size + 1);
    int same = n == (ssize_t)size && memcmp(found, data, size) == 0;
    free(found);
    close(fd);
    return same;
}

/** How many names the directory holds, without . and .. */
__attribute__((unused)) static int unit_count(const struct unit_dir *dir) {
    int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fdopendir(fd);
    int count = -2;
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

#define UNIT_CANNOT 77 /* the child could not make the conditions of the test */

/** Runs `f` in a child process; returns its exit status, or 128 + the signal that killed it. A
 * failed CHILD_CHECK ends the child with the number of its line (cmocka's own asserts belong to the
 * parent). */
__attribute__((unused)) static int unit_in_child(void (*f)(void *), void *argument) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        f(argument);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/** Writes a line to a file of /proc; 0 when it was taken. */
__attribute__((unused)) static int unit_tell_kernel(const char *path, const char *line) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line) ? 0 : -1;
    if (fd >= 0)
        close(fd);
    return r;
}

/** In a child: mounts of its own, and `path` an empty tmpfs with `options`; as root, or as root of
 * a user namespace. Ends the child with UNIT_CANNOT where the kernel forbids it. */
__attribute__((unused)) static void unit_own_tmpfs(const char *path, const char *options) {
    char uid_map[32], gid_map[32];
    snprintf(uid_map, sizeof(uid_map), "0 %u 1", geteuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", getegid());
    if (unshare(CLONE_NEWNS) < 0 && (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
                                     unit_tell_kernel("/proc/self/setgroups", "deny") < 0 ||
                                     unit_tell_kernel("/proc/self/uid_map", uid_map) < 0 ||
                                     unit_tell_kernel("/proc/self/gid_map", gid_map) < 0))
        _exit(UNIT_CANNOT);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", path, "tmpfs", 0, options) < 0)
        _exit(UNIT_CANNOT);
}

#define CHILD_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(2, "%s:%d: child: %s\n", __FILE__, __LINE__, #condition);                      \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#define assert_child_passes(f, argument)                                                           \
    do {                                                                                           \
        int status_ = unit_in_child((f), (argument));                                              \
        if (status_ == UNIT_CANNOT) {                                                              \
            print_message("the kernel forbids the namespace or mount that this needs\n");          \
            skip();                                                                                \
        }                                                                                          \
        assert_int_equal(status_, 0);                                                              \
    } while (0)
