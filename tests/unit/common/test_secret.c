/* Secrets: sizes, what is read from files, and what the kernel knows about their pages. */
#include "common/cleanup.h"
#include "common/secret.h"

#include "unit.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define MAXIMUM 65536

#ifdef __has_feature
#define SANITIZED __has_feature(address_sanitizer) /* which makes mlock() do nothing */
#else
#define SANITIZED 0
#endif

static void test_sizes(void **state) {
    struct secret *secret = (struct secret *)state;
    assert_int_equal(secret_new(0, &secret), -EINVAL);
    assert_int_equal(secret_new(MAXIMUM + 1, &secret), -EINVAL);
    assert_int_equal(secret_new(SIZE_MAX, &secret), -EINVAL);
    assert_ptr_equal(secret, state);
    static const size_t sizes[] = {1, 32, 4096, 4097, MAXIMUM};
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        assert_int_equal(secret_new(sizes[i], &secret), 0);
        assert_int_equal(secret_size(secret), sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(secret_data(secret)[j], 0);
        memset(secret_data(secret), 0xaa, sizes[i]);
        assert_null(secret_free(secret));
    }
    assert_null(secret_free(NULL));
}

/* Reads `text` through a file. */
static int read_text(
    const struct unit_dir *dir, const char *text, size_t size, size_t maximum,
    struct secret **ret) {
    char path[128];
    unit_write(dir, "secret", text, size);
    snprintf(path, sizeof(path), "%s/secret", dir->path);
    return secret_read_file(path, maximum, ret);
}

static void test_read(void **state) {
    struct unit_dir *dir = *state;
    static const struct {
        const char *text, *expected;
        size_t maximum;
        int result;
    } cases[] = {
        {"token", "token", 5, 0},
        {"token\n", "token", 5, 0},
        {"token\r\n", "token", 5, 0},
        {"token\n\n", "token\n", 6, 0}, /* one line end only */
        {"to\nken\n", "to\nken", 6, 0},
        {"token\r", "token\r", 6, 0},
        {" token ", " token ", 7, 0},
        {"token", NULL, 4, -EMSGSIZE},
        {"token\n", NULL, 4, -EMSGSIZE},
        {"token\r\n", NULL, 4, -EMSGSIZE},
        {"token\r\nx", NULL, 5, -EMSGSIZE},
        {"token and a lot more", NULL, 5, -EMSGSIZE},
        {"", NULL, 5, -ENODATA},
        {"\n", NULL, 5, -ENODATA},
        {"\r\n", NULL, 5, -ENODATA},
        {"x", NULL, 0, -EINVAL},
        {"x", NULL, MAXIMUM + 1, -EINVAL},
        {"x", "x", MAXIMUM, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct secret *secret = NULL;
        int r = read_text(dir, cases[i].text, strlen(cases[i].text), cases[i].maximum, &secret);
        if (r != cases[i].result)
            fail_msg("case %zu: %d", i, r);
        if (cases[i].expected) {
            assert_int_equal(secret_size(secret), strlen(cases[i].expected));
            assert_memory_equal(secret_data(secret), cases[i].expected, strlen(cases[i].expected));
        } else {
            assert_null(secret);
        }
        secret_free(secret);
    }
}

static void test_read_largest(void **state) {
    struct unit_dir *dir = *state;
    static char text[MAXIMUM + 3];
    memset(text, 'x', sizeof(text));
    struct secret *secret = NULL;
    assert_int_equal(read_text(dir, text, MAXIMUM + 1, MAXIMUM, &secret), -EMSGSIZE);
    text[MAXIMUM] = '\r';
    text[MAXIMUM + 1] = '\n';
    assert_int_equal(read_text(dir, text, MAXIMUM + 3, MAXIMUM, &secret), -EMSGSIZE);
    assert_null(secret);
    assert_int_equal(read_text(dir, text, MAXIMUM + 2, MAXIMUM, &secret), 0);
    assert_int_equal(secret_size(secret), MAXIMUM);
    secret_free(secret);
}

static void test_read_errors(void **state) {
    struct unit_dir *dir = *state;
    char path[128];
    struct secret *secret = NULL;
    snprintf(path, sizeof(path), "%s/none", dir->path);
    assert_int_equal(secret_read_file(path, 10, &secret), -ENOENT);
    assert_int_equal(secret_read_file(dir->path, 10, &secret), -EISDIR);
    assert_int_equal(secret_read_fd(-1, 10, &secret), -EBADF);
    assert_null(secret);
}

/* A pipe gives what it has in parts. */
static void test_read_in_parts(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 5; i++)
            if (write(ends[1], "part\n", 5) != 5)
                _exit(1);
        _exit(0);
    }
    close(ends[1]);
    struct secret *secret = NULL;
    assert_int_equal(secret_read_fd(ends[0], 100, &secret), 0);
    assert_int_equal(secret_size(secret), 24);
    assert_memory_equal(secret_data(secret), "part\npart\npart\npart\npart", 24);
    secret_free(secret);
    close(ends[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The VmFlags line of the mapping that holds `address` (proc_pid_smaps(5)). */
static void read_flags(const void *address, char *ret, size_t size) {
    CLEANUP_FCLOSE FILE *smaps = fopen("/proc/self/smaps", "re");
    assert_non_null(smaps);
    char line[512];
    int inside = 0;
    while (fgets(line, sizeof(line), smaps)) {
        uintptr_t first, end;
        if (sscanf(line, "%lx-%lx ", &first, &end) == 2)
            inside = (uintptr_t)address >= first && (uintptr_t)address < end;
        if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            snprintf(ret, size, "%s", line);
            return;
        }
    }
    fail_msg("no mapping");
}

static void test_pages(void **state) {
    (void)state;
    struct secret *secret = NULL;
    assert_int_equal(secret_new(100, &secret), 0);
    char flags[512];
    read_flags(secret_data(secret), flags, sizeof(flags));
    assert_non_null(strstr(flags, " dd")); /* not dumped */
    assert_non_null(strstr(flags, " wf")); /* wiped in a forked child */
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (limit.rlim_cur >= 4096 && !SANITIZED)
        assert_non_null(strstr(flags, " lo")); /* locked */
    secret_free(secret);
}

static void look_from_child(void *argument) {
    struct secret *secret = argument;
    for (size_t i = 0; i < secret_size(secret); i++)
        CHILD_CHECK(secret_data(secret)[i] == 0);
}

static void test_fork_inherits_nothing(void **state) {
    (void)state;
    struct secret *secret = NULL;
    assert_int_equal(secret_new(100, &secret), 0);
    memset(secret_data(secret), 0xaa, 100);
    assert_child_passes(look_from_child, secret);
    assert_int_equal(secret_data(secret)[99], 0xaa);
    secret_free(secret);
}

/* A limit on locked memory costs the lock, not the secret. */
static void make_without_memlock(void *argument) {
    (void)argument;
    const struct rlimit none = {0, 0};
    CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
    if (geteuid() == 0)
        CHILD_CHECK(setresuid(65534, 65534, 65534) == 0);
    struct secret *secret = NULL;
    CHILD_CHECK(secret_new(100, &secret) == 0);
    secret_data(secret)[99] = 1;
    secret_free(secret);
}

static void test_without_memlock(void **state) {
    (void)state;
    assert_child_passes(make_without_memlock, NULL);
}

static void harden(void *argument) {
    (void)argument;
    struct rlimit limit;
    CHILD_CHECK(secret_harden_process() == 0);
    CHILD_CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0);
    CHILD_CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    CHILD_CHECK(secret_harden_process() == 0);
}

static void test_harden_process(void **state) {
    (void)state;
    assert_child_passes(harden, NULL);
}

static void harden_openssl(void *argument) {
    (void)argument;
    CHILD_CHECK(secret_harden_openssl(0) == -EINVAL);
    CHILD_CHECK(secret_harden_openssl(32) == -EINVAL);
    CHILD_CHECK(secret_harden_openssl(65535) == -EINVAL);
    CHILD_CHECK(!CRYPTO_secure_malloc_initialized());
    CHILD_CHECK(secret_harden_openssl(65536) == 0);
    CHILD_CHECK(secret_harden_openssl(65536) == 0); /* once is enough */
    void *secret = OPENSSL_secure_malloc(32);
    CHILD_CHECK(secret && CRYPTO_secure_allocated(secret));
    OPENSSL_secure_free(secret);
}

static void test_harden_openssl(void **state) {
    (void)state;
    assert_child_passes(harden_openssl, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        unit_test_with_dir(test_read),
        unit_test_with_dir(test_read_largest),
        unit_test_with_dir(test_read_errors),
        cmocka_unit_test(test_read_in_parts),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_fork_inherits_nothing),
        cmocka_unit_test(test_without_memlock),
        cmocka_unit_test(test_harden_process),
        cmocka_unit_test(test_harden_openssl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
