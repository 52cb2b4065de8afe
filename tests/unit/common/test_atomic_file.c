/* Atomic files on good and bad days: bounds, links, foreign kinds of file, a full disk, a killed
 * writer. After each failure the old file stands and no temp file is left. */
#include "common/atomic_file.h"
#include "common/cleanup.h"

#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

#define OLD "the old contents"

static int write_string(int dir_fd, const char *name, const char *text) {
    return atomic_file_write(dir_fd, name, text, strlen(text), 0600);
}

/* What every failed write must leave. */
static void assert_only_the_old(const struct unit_dir *dir) {
    assert_true(unit_holds(dir, "file", OLD, strlen(OLD)));
    assert_int_equal(unit_count(dir), 1);
}

static void test_write_and_read(void **state) {
    struct unit_dir *dir = *state;
    assert_int_equal(write_string(dir->fd, "file", "first"), 0);
    assert_int_equal(write_string(dir->fd, "file", OLD), 0);
    assert_only_the_old(dir);
    CLEANUP_FREE char *text = NULL;
    size_t size = 0;
    assert_int_equal(atomic_file_read(dir->fd, "file", 100, &text, &size), 0);
    assert_int_equal(size, strlen(OLD));
    assert_string_equal(text, OLD); /* NUL-terminated */
}

static void test_empty_file(void **state) {
    struct unit_dir *dir = *state;
    assert_int_equal(atomic_file_write(dir->fd, "file", NULL, 0, 0600), 0);
    CLEANUP_FREE char *text = NULL;
    size_t size = 99;
    assert_int_equal(atomic_file_read(dir->fd, "file", 0, &text, &size), 0);
    assert_int_equal(size, 0);
    assert_string_equal(text, "");
}

static void test_read_maximum(void **state) {
    struct unit_dir *dir = *state;
    static const size_t sizes[] = {1, 100, 4095, 4096, 4097, 8192, 100000};
    static char data[100000];
    memset(data, 'x', sizeof(data));
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        assert_int_equal(atomic_file_write(dir->fd, "file", data, sizes[i], 0600), 0);
        CLEANUP_FREE char *text = NULL;
        size_t size = 0;
        assert_int_equal(atomic_file_read(dir->fd, "file", sizes[i], &text, &size), 0);
        assert_int_equal(size, sizes[i]);
        assert_memory_equal(text, data, size);
        assert_int_equal(text[size], 0);

        char *untouched = (char *)dir;
        assert_int_equal(
            atomic_file_read(dir->fd, "file", sizes[i] - 1, &untouched, &size), -EMSGSIZE);
        assert_ptr_equal(untouched, dir);
    }
}

static void test_mode_is_exact(void **state) {
    struct unit_dir *dir = *state;
    static const mode_t modes[] = {0600, 0644, 0444, 0666};
    mode_t before = umask(077);
    for (size_t i = 0; i < ARRAY_LENGTH(modes); i++) {
        assert_int_equal(atomic_file_write(dir->fd, "file", OLD, strlen(OLD), modes[i]), 0);
        struct stat st;
        assert_int_equal(fstatat(dir->fd, "file", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
    }
    umask(before);
}

static void test_names(void **state) {
    struct unit_dir *dir = *state;
    static const char *const bad[] = {"", ".", "..", "a/b", "/etc/x", "../x"};
    char *text = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        assert_int_equal(write_string(dir->fd, bad[i], "x"), -EINVAL);
        assert_int_equal(atomic_file_read(dir->fd, bad[i], 10, &text, NULL), -EINVAL);
        assert_int_equal(atomic_file_remove(dir->fd, bad[i]), -EINVAL);
    }
    /* ".name.XXXXXX.tmp" must fit too */
    char name[NAME_MAX + 1];
    memset(name, 'n', sizeof(name));
    name[NAME_MAX - 12] = '\0';
    assert_int_equal(write_string(dir->fd, name, "x"), 0);
    name[NAME_MAX - 12] = 'n';
    name[NAME_MAX - 11] = '\0';
    assert_int_equal(write_string(dir->fd, name, "x"), -ENAMETOOLONG);
    assert_int_equal(unit_count(dir), 1);
}

static void test_missing(void **state) {
    struct unit_dir *dir = *state;
    char *text = NULL;
    assert_int_equal(atomic_file_read(dir->fd, "file", 10, &text, NULL), -ENOENT);
    assert_null(text);
    assert_int_equal(atomic_file_remove(dir->fd, "file"), 0);
}

static void test_symbolic_links_are_not_followed(void **state) {
    struct unit_dir *dir = *state;
    unit_write(dir, "target", "precious", 8);
    assert_int_equal(symlinkat("target", dir->fd, "file"), 0);
    char *text = NULL;
    assert_int_equal(atomic_file_read(dir->fd, "file", 100, &text, NULL), -ELOOP);
    assert_int_equal(write_string(dir->fd, "file", OLD), 0); /* replaces the link */
    assert_true(unit_holds(dir, "target", "precious", 8));
    struct stat st;
    assert_int_equal(fstatat(dir->fd, "file", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISREG(st.st_mode));

    assert_int_equal(symlinkat("target", dir->fd, "link"), 0);
    assert_int_equal(atomic_file_remove(dir->fd, "link"), 0);
    assert_true(unit_holds(dir, "target", "precious", 8));
}

static void test_other_kinds_of_file(void **state) {
    struct unit_dir *dir = *state;
    char *text = NULL;
    assert_int_equal(mkfifoat(dir->fd, "fifo", 0600), 0);
    assert_int_equal(
        atomic_file_read(dir->fd, "fifo", 10, &text, NULL), -EINVAL); /* and does not wait */
    assert_int_equal(mkdirat(dir->fd, "directory", 0700), 0);
    assert_int_equal(atomic_file_read(dir->fd, "directory", 10, &text, NULL), -EISDIR);
    assert_int_equal(write_string(dir->fd, "directory", "x"), -EISDIR);
    assert_int_equal(atomic_file_remove(dir->fd, "directory"), -EISDIR);
    assert_int_equal(unit_count(dir), 2);
}

static void test_directory_is_gone(void **state) {
    struct unit_dir *dir = *state;
    assert_int_equal(mkdirat(dir->fd, "gone", 0700), 0);
    CLEANUP_CLOSE int fd = openat(dir->fd, "gone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(unlinkat(dir->fd, "gone", AT_REMOVEDIR), 0);
    assert_int_equal(write_string(fd, "file", "x"), -ENOENT);
}

static void test_open_dir(void **state) {
    struct unit_dir *dir = *state;
    char path[128];
    CLEANUP_CLOSE int good = atomic_file_open_dir(dir->path);
    assert_true(good >= 0);
    assert_true(fcntl(good, F_GETFD) & FD_CLOEXEC);

    assert_int_equal(symlinkat(".", dir->fd, "link"), 0);
    snprintf(path, sizeof(path), "%s/link", dir->path);
    int r = atomic_file_open_dir(path);
    assert_true(r == -ELOOP || r == -ENOTDIR);
    unit_write(dir, "file", "x", 1);
    snprintf(path, sizeof(path), "%s/file", dir->path);
    assert_int_equal(atomic_file_open_dir(path), -ENOTDIR);
    snprintf(path, sizeof(path), "%s/none", dir->path);
    assert_int_equal(atomic_file_open_dir(path), -ENOENT);
}

/* --- bad days --- */

/* The first 4096 bytes fit, then the file may grow no more. */
static void write_past_limit(void *argument) {
    const struct unit_dir *dir = argument;
    static char big[10000];
    const struct rlimit limit = {4096, 4096};
    signal(SIGXFSZ, SIG_IGN);
    CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHILD_CHECK(atomic_file_write(dir->fd, "file", big, 4096, 0600) == 0);
    CHILD_CHECK(write_string(dir->fd, "file", OLD) == 0);
    CHILD_CHECK(atomic_file_write(dir->fd, "file", big, 4097, 0600) == -EFBIG);
    CHILD_CHECK(atomic_file_write(dir->fd, "file", big, sizeof(big), 0600) == -EFBIG);
}

static void test_file_size_limit(void **state) {
    struct unit_dir *dir = *state;
    assert_child_passes(write_past_limit, dir);
    assert_only_the_old(dir);
}

/* A file system of 16 pages, as root or in a user namespace. */
static void write_to_full_disk(void *argument) {
    const struct unit_dir *dir = argument;
    static char big[20 * 4096];
    unit_own_tmpfs(dir->path, "size=65536,nr_inodes=5");
    struct unit_dir small = *dir;
    small.fd = atomic_file_open_dir(dir->path);
    CHILD_CHECK(small.fd >= 0);

    CHILD_CHECK(write_string(small.fd, "file", OLD) == 0);
    CHILD_CHECK(atomic_file_write(small.fd, "file", big, sizeof(big), 0600) == -ENOSPC);
    CHILD_CHECK(unit_holds(&small, "file", OLD, strlen(OLD)));
    CHILD_CHECK(unit_count(&small) == 1);

    for (char name[] = "a";
         write_string(small.fd, name, "x") == 0;) /* no inode is left for a temp */
        name[0]++;
    CHILD_CHECK(write_string(small.fd, "file", "new") == -ENOSPC);
    CHILD_CHECK(unit_holds(&small, "file", OLD, strlen(OLD)));
    CHILD_CHECK(atomic_file_remove(small.fd, "a") == 0); /* removing needs no room */
    CHILD_CHECK(write_string(small.fd, "file", "new") == 0);

    CHILD_CHECK(mount(NULL, dir->path, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    CHILD_CHECK(write_string(small.fd, "file", "newer") == -EROFS);
    CHILD_CHECK(atomic_file_remove(small.fd, "file") == -EROFS);
    CHILD_CHECK(unit_holds(&small, "file", "new", 3));
}

static void test_full_and_read_only_disk(void **state) {
    assert_child_passes(write_to_full_disk, *state);
}

/* As a user who is not root: root may write everywhere. */
static void write_as_nobody(void *argument) {
    const struct unit_dir *dir = argument;
    if (geteuid() == 0)
        CHILD_CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    CHILD_CHECK(write_string(dir->fd, "file", "new") == -EACCES);
    CHILD_CHECK(atomic_file_remove(dir->fd, "file") == -EACCES);
}

static void test_unwritable_directory(void **state) {
    struct unit_dir *dir = *state;
    assert_int_equal(write_string(dir->fd, "file", OLD), 0);
    assert_int_equal(fchmod(dir->fd, 0555), 0);
    assert_child_passes(write_as_nobody, dir);
    assert_int_equal(fchmod(dir->fd, 0700), 0);
    assert_only_the_old(dir);
}

struct writer {
    const struct unit_dir *dir;
    int pipe[2];
};

enum { CONTENTS_SIZE = 40000 };

/* Writes all-a and all-b in turn until it is killed. */
static void write_for_ever(void *argument) {
    struct writer *writer = argument;
    static char contents[CONTENTS_SIZE];
    for (int i = 0;; i++) {
        memset(contents, 'a' + i % 2, sizeof(contents));
        CHILD_CHECK(
            atomic_file_write(writer->dir->fd, "file", contents, sizeof(contents), 0600) == 0);
        CHILD_CHECK(write(writer->pipe[1], "", 1) == 1);
    }
}

/* Wherever the kill falls, the file is all of one and nothing of the other; left-over temps go with
 * the sweep. */
static void test_killed_writer(void **state) {
    struct unit_dir *dir = *state;
    for (int round = 0; round < 12; round++) {
        struct writer writer = {.dir = dir};
        assert_int_equal(pipe2(writer.pipe, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            write_for_ever(&writer);
            _exit(0);
        }
        char token;
        for (int i = 0; i <= round; i++)
            assert_int_equal(read(writer.pipe[0], &token, 1), 1);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        close(writer.pipe[0]);
        close(writer.pipe[1]);

        CLEANUP_FREE char *text = NULL;
        size_t size = 0;
        assert_int_equal(atomic_file_read(dir->fd, "file", CONTENTS_SIZE, &text, &size), 0);
        assert_int_equal(size, CONTENTS_SIZE);
        for (size_t i = 1; i < size; i++)
            assert_int_equal(text[i], text[0]);
        assert_int_equal(atomic_file_sweep(dir->fd), 0);
        assert_int_equal(unit_count(dir), 1);
    }
}

static void test_sweep(void **state) {
    struct unit_dir *dir = *state;
    static const char *const ours[] = {
        ".a.x0y1z2.tmp", ".name.json.abcdef.tmp", "..hidden.000000.tmp"};
    static const char *const others[] = {
        "file",           ".hidden",       "a.x0y1z2.tmp",   ".x0y1z2.tmp",   ".a.x0y1z.tmp",
        ".a.x0y1z23.tmp", ".a.X0Y1Z2.tmp", ".a.x0y1z2.tmp~", ".a.x0-1z2.tmp", ".tmp",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(ours); i++)
        unit_write(dir, ours[i], "x", 1);
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        unit_write(dir, others[i], "x", 1);
    for (int again = 0; again < 2; again++) { /* the descriptor's own offset is not moved */
        assert_int_equal(atomic_file_sweep(dir->fd), 0);
        assert_int_equal(unit_count(dir), (int)ARRAY_LENGTH(others));
    }
    assert_int_equal(
        mkdirat(dir->fd, ".d.abcdef.tmp", 0700), 0); /* what it cannot take it reports */
    unit_write(dir, ".z.abcdef.tmp", "x", 1);
    assert_int_equal(atomic_file_sweep(dir->fd), -EISDIR);
    assert_int_equal(unit_count(dir), (int)ARRAY_LENGTH(others) + 1);
}

/* --- directories --- */

static mode_t mode_of(const struct unit_dir *dir, const char *name) {
    struct stat st;
    assert_int_equal(fstatat(dir->fd, name, &st, 0), 0);
    assert_true(S_ISDIR(st.st_mode));
    return st.st_mode & 07777;
}

static void test_make_dirs(void **state) {
    struct unit_dir *dir = *state;
    char path[128];
    mode_t before = umask(077);
    snprintf(path, sizeof(path), "%s/a/b//c/", dir->path);
    assert_int_equal(atomic_file_make_dirs(path, 0755), 0);
    assert_int_equal(mode_of(dir, "a"), 0755);
    assert_int_equal(mode_of(dir, "a/b/c"), 0755);
    snprintf(path, sizeof(path), "%s/a/b/d", dir->path);
    assert_int_equal(atomic_file_make_dirs(path, 0700), 0);
    assert_int_equal(atomic_file_make_dirs(path, 0711), 0); /* what is there keeps its mode */
    assert_int_equal(mode_of(dir, "a/b"), 0755);
    assert_int_equal(mode_of(dir, "a/b/d"), 0700);
    umask(before);
    assert_int_equal(atomic_file_make_dirs("/", 0700), 0);
    assert_int_equal(atomic_file_make_dirs("", 0700), -ENOENT);
}

static void test_make_dirs_in_the_way(void **state) {
    struct unit_dir *dir = *state;
    char path[400];
    unit_write(dir, "file", "x", 1);
    snprintf(path, sizeof(path), "%s/file/x", dir->path);
    assert_int_equal(atomic_file_make_dirs(path, 0700), -ENOTDIR);
    snprintf(path, sizeof(path), "%s/file", dir->path);
    assert_int_equal(atomic_file_make_dirs(path, 0700), -ENOTDIR);
    assert_int_equal(
        mkdirat(dir->fd, "real", 0700), 0); /* an existing link is followed: /var may be one */
    assert_int_equal(symlinkat("real", dir->fd, "link"), 0);
    snprintf(path, sizeof(path), "%s/link/x", dir->path);
    assert_int_equal(atomic_file_make_dirs(path, 0700), 0);
    assert_int_equal(mode_of(dir, "real/x"), 0700);
    snprintf(path, sizeof(path), "%s/%0300d", dir->path, 1);
    assert_int_equal(atomic_file_make_dirs(path, 0700), -ENAMETOOLONG);
}

static void make_dirs_as_nobody(void *argument) {
    const struct unit_dir *dir = argument;
    char path[128];
    if (geteuid() == 0)
        CHILD_CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    snprintf(path, sizeof(path), "%s/closed/x", dir->path);
    CHILD_CHECK(atomic_file_make_dirs(path, 0700) == -EACCES);
    snprintf(
        path, sizeof(path), "%s/passage/open/x",
        dir->path); /* enterable, not readable: as /home may be */
    CHILD_CHECK(atomic_file_make_dirs(path, 0700) == 0);
}

static void test_make_dirs_without_rights(void **state) {
    struct unit_dir *dir = *state;
    assert_int_equal(fchmod(dir->fd, 0755), 0);
    assert_int_equal(mkdirat(dir->fd, "closed", 0700), 0);
    assert_int_equal(fchmodat(dir->fd, "closed", 0555, 0), 0);
    assert_int_equal(mkdirat(dir->fd, "passage", 0700), 0);
    assert_int_equal(mkdirat(dir->fd, "passage/open", 0700), 0);
    assert_int_equal(fchmodat(dir->fd, "passage/open", 0777, 0), 0);
    assert_int_equal(fchmodat(dir->fd, "passage", 0111, 0), 0);
    assert_child_passes(make_dirs_as_nobody, dir);
    assert_int_equal(fchmodat(dir->fd, "passage", 0700, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        unit_test_with_dir(test_write_and_read),
        unit_test_with_dir(test_empty_file),
        unit_test_with_dir(test_read_maximum),
        unit_test_with_dir(test_mode_is_exact),
        unit_test_with_dir(test_names),
        unit_test_with_dir(test_missing),
        unit_test_with_dir(test_symbolic_links_are_not_followed),
        unit_test_with_dir(test_other_kinds_of_file),
        unit_test_with_dir(test_directory_is_gone),
        unit_test_with_dir(test_open_dir),
        unit_test_with_dir(test_file_size_limit),
        unit_test_with_dir(test_full_and_read_only_disk),
        unit_test_with_dir(test_unwritable_directory),
        unit_test_with_dir(test_killed_writer),
        unit_test_with_dir(test_sweep),
        unit_test_with_dir(test_make_dirs),
        unit_test_with_dir(test_make_dirs_in_the_way),
        unit_test_with_dir(test_make_dirs_without_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
