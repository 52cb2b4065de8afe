/* The socket in the file system: who may be there, what is stale, how it is made. Each server of a
 * path is a process of its own, since the lock is held until the process ends. */
#include "play.h"

#include <sys/file.h>
#include <sys/un.h>

static char *directory; /* a fresh one; the sockets sit in directory/run */
static char *run, *path;

static int setup(void **state) {
    (void)state;
    directory = play_directory();
    run = play_path(directory, "run");
    path = play_path(run, "sock");
    return 0;
}

static void remove_below(const char *base) {
    static const char *const names[] = {"sock",      "sock.lock",      "target",
                                        "real/sock", "real/sock.lock", "real"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *name = play_path(base, names[i]);
        if (unlink(name) < 0)
            (void)rmdir(name);
        free(name);
    }
}

static int teardown(void **state) {
    (void)state;
    remove_below(run);
    remove_below(directory);
    if (unlink(run) < 0)
        (void)rmdir(run);
    assert_int_equal(rmdir(directory), 0);
    free(path);
    free(run);
    free(directory);
    return 0;
}

/* transport_listen() in a child that ends at once; its result. */
static int listen_in_child(void) {
    pid_t child = fork();
    if (child == 0) {
        int r = transport_listen(path);
        _exit(r < 0 ? -r : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static mode_t mode_of(const char *name) {
    struct stat status;
    assert_int_equal(lstat(name, &status), 0);
    return status.st_mode;
}

static void test_made_as_it_should_be(void **state) {
    (void)state;
    mode_t old = umask(077); /* must not matter */
    int CLEANUP_CLOSE fd = transport_listen(path);
    umask(old);
    assert_true(fd >= 0);
    assert_int_equal(mode_of(run), S_IFDIR | 0755);
    assert_int_equal(mode_of(path), S_IFSOCK | 0666);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);

    int CLEANUP_CLOSE client = transport_connect(path);
    assert_true(client >= 0);
    assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
    uid_t uid = 77;
    pid_t pid = 0;
    assert_int_equal(transport_peer(client, &uid, &pid), 0);
    assert_int_equal(uid, geteuid());
    assert_int_equal(pid, getpid());
}

static void test_a_second_server_is_refused(void **state) {
    (void)state;
    int CLEANUP_CLOSE fd = transport_listen(path);
    assert_true(fd >= 0);
    assert_int_equal(listen_in_child(), -EADDRINUSE);
    int CLEANUP_CLOSE client = transport_connect(path); /* the first one is not disturbed */
    assert_true(client >= 0);
}

static void test_a_stale_socket_is_replaced(void **state) {
    (void)state;
    assert_int_equal(listen_in_child(), 0);
    assert_int_equal(mode_of(path), S_IFSOCK | 0666);
    assert_int_equal(transport_connect(path), -ECONNREFUSED);
    int CLEANUP_CLOSE fd = transport_listen(path);
    assert_true(fd >= 0);
    int CLEANUP_CLOSE client = transport_connect(path);
    assert_true(client >= 0);
}

static void test_what_is_no_socket_stays(void **state) {
    (void)state;
    assert_int_equal(mkdir(run, 0755), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(listen_in_child(), -EEXIST);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("target", path), 0);
    assert_int_equal(listen_in_child(), -EEXIST);
}

static void test_a_directory_that_others_can_write(void **state) {
    static const mode_t modes[] = {0775, 0757, 01777};
    (void)state;
    assert_int_equal(mkdir(run, 0755), 0);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(run, modes[i]), 0);
        assert_int_equal(listen_in_child(), -EUCLEAN);
    }
    assert_int_equal(chmod(run, 0700), 0);
    assert_int_equal(listen_in_child(), 0);
}

static void test_a_directory_of_another_owner(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(run, 0755), 0);
    assert_int_equal(chown(run, 4711, 4711), 0);
    assert_int_equal(listen_in_child(), -EPERM);
}

static void test_a_directory_that_is_a_link_or_a_file(void **state) {
    (void)state;
    char *real = play_path(directory, "real");
    assert_int_equal(mkdir(real, 0755), 0);
    assert_int_equal(symlink(real, run), 0);
    assert_int_equal(listen_in_child(), -ELOOP);
    assert_int_equal(unlink(run), 0);
    int CLEANUP_CLOSE file = open(run, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(listen_in_child(), -ENOTDIR);
    free(real);
}

static void test_a_lock_file_that_is_none(void **state) {
    (void)state;
    assert_int_equal(mkdir(run, 0755), 0);
    char *lock = play_path(run, "sock.lock");
    assert_int_equal(symlink("target", lock), 0);
    assert_int_equal(listen_in_child(), -EEXIST);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(mkdir(lock, 0755), 0);
    assert_int_equal(listen_in_child(), -EEXIST);
    free(lock);
}

static void test_path_length_at_the_limit_and_one_past(void **state) {
    const size_t limit = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    (void)state;
    assert_int_equal(mkdir(run, 0755), 0);
    char *longest = calloc(1, limit + 2);
    snprintf(longest, limit + 2, "%s/", run);
    memset(longest + strlen(longest), 'x', limit - strlen(longest));
    char *saved = path;
    path = longest;
    assert_int_equal(listen_in_child(), 0);
    assert_int_equal(unlink(longest), 0);
    char *lock = NULL;
    assert_true(asprintf(&lock, "%s.lock", longest) > 0);
    assert_int_equal(unlink(lock), 0);
    longest[limit] = 'x';
    assert_int_equal(listen_in_child(), -ENAMETOOLONG);
    assert_int_equal(transport_connect(longest), -ENAMETOOLONG);
    path = saved;
    free(lock);
    free(longest);
}

static void test_paths_that_name_no_socket(void **state) {
    static char root[] = "/", empty[] = "";
    char *saved = path;
    (void)state;
    path = root;
    assert_int_equal(listen_in_child(), -EINVAL);
    path = empty;
    assert_int_equal(listen_in_child(), -EINVAL);
    path = play_path(directory, "missing/below/sock");
    assert_int_equal(listen_in_child(), -ENOENT);
    free(path);
    path = saved;
    assert_int_equal(transport_connect(path), -ENOENT);
}

static void test_peer_of_what_is_no_unix_socket(void **state) {
    uid_t uid;
    pid_t pid;
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(transport_peer(fds[0], &uid, &pid), -ENOTSOCK);
    close(fds[0]);
    close(fds[1]);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_made_as_it_should_be),
        TEST(test_a_second_server_is_refused),
        TEST(test_a_stale_socket_is_replaced),
        TEST(test_what_is_no_socket_stays),
        TEST(test_a_directory_that_others_can_write),
        TEST(test_a_directory_of_another_owner),
        TEST(test_a_directory_that_is_a_link_or_a_file),
        TEST(test_a_lock_file_that_is_none),
        TEST(test_path_length_at_the_limit_and_one_past),
        TEST(test_paths_that_name_no_socket),
        TEST(test_peer_of_what_is_no_unix_socket),
    };
    return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
