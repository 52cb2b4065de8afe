/* How a diagnosis judges free space, owners and modes. */
#include "daemon/device_checks.h"
#include "daemon/file_checks.h"

#include "tests/unit/daemon/found.h"
#include "tests/unit/daemon/state_dir.h"

#include <errno.h>

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static struct found space_of(const struct space_facts *facts) {
    struct checks checks = {0};
    file_checks_space(facts, &checks);
    return found_one(&checks);
}

static void space(void **state) {
    static const struct {
        struct space_facts facts;
        const char *result, *code, *says;
    } cases[] = {
        {{.bytes = 20 * GIB, .free_bytes = 5 * GIB, .inodes = 1000000, .free_inodes = 900000},
         "ok",
         "",
         "5.0 GiB of 20.0 GiB are free."},
        {{.bytes = 4 * GIB, .free_bytes = 64 * MIB}, "ok", "", "64.0 MiB of 4.0 GiB are free."},
        {{.bytes = 4 * GIB, .free_bytes = 64 * MIB - 1}, "warning", "disk-low", "63.9 MiB of"},
        {{.bytes = 100 * GIB, .free_bytes = GIB}, "ok", "", ""},
        {{.bytes = 100 * GIB, .free_bytes = GIB - MIB}, "warning", "disk-low", ""},
        {{.bytes = 4 * MIB, .free_bytes = MIB}, "warning", "disk-low", "1.0 MiB of 4.0 MiB"},
        {{.bytes = 4 * MIB, .free_bytes = MIB - 1}, "failure", "disk-full", "1023.9 KiB of"},
        {{.bytes = 4 * MIB, .free_bytes = 0}, "failure", "disk-full", "0 bytes of"},
        {{.bytes = GIB, .free_bytes = GIB, .inodes = 0, .free_inodes = 0}, "ok", "", ""},
        {{.bytes = GIB, .free_bytes = GIB, .inodes = 5000, .free_inodes = 256}, "ok", "", ""},
        {{.bytes = GIB, .free_bytes = GIB, .inodes = 5000, .free_inodes = 255},
         "warning",
         "disk-low",
         "only 255 more files can be made"},
        {{.bytes = GIB, .free_bytes = GIB, .inodes = 5000, .free_inodes = 7},
         "failure",
         "disk-full",
         "only 7 more files can be made"},
        {{.bytes = GIB, .free_bytes = GIB, .read_only = true}, "failure", "storage", "read-only"},
        {{.error = -ENOENT}, "failure", "storage", "No such file or directory"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct space_facts facts = cases[i].facts;
        facts.path = "/var/lib/devtrust";
        struct found found = space_of(&facts);
        EXPECT_FOUND(found, "disk", cases[i].result, cases[i].code);
        assert_non_null(strstr(found.text, cases[i].says));
        assert_string_equal(found.subject, "/var/lib/devtrust");
    }
}

static void space_of_a_real_place(void **state) {
    struct space_facts facts;
    (void)state;
    file_checks_look_at_space("/tmp", &facts);
    assert_int_equal(facts.error, 0);
    assert_true(facts.bytes > 0);
    file_checks_look_at_space("/nowhere/at/all", &facts);
    assert_int_equal(facts.error, -ENOENT);
}

/* ---- owners and modes ---- */

static const struct file_rule key_rule = {
    .path = "/s/device.key",
    .kind = FILE_KIND_REGULAR,
    .owner = 0,
    .forbidden = 077,
    .wanted = 0600,
    .absent = REASON_DEVICE_KEY,
};

static void one_file(void **state) {
    static const struct {
        struct file_facts facts;
        const char *code, *says;
    } cases[] = {
        {{.mode = S_IFREG | 0600}, "", ""},
        {{.mode = S_IFREG | 0400}, "", ""},
        {{.mode = S_IFREG | 0640}, "permissions", "Its mode is 0640; it must be 0600."},
        {{.mode = S_IFREG | 0601}, "permissions", "Its mode is 0601; it must be 0600."},
        {{.mode = S_IFREG | 0600, .owner = 1000},
         "permissions",
         "belongs to uid 1000; it must belong to uid 0"},
        {{.mode = S_IFDIR | 0700}, "device-key", "It is no plain file."},
        {{.mode = S_IFLNK | 0777}, "device-key", "It is no plain file."},
        {{.error = -ENOENT}, "device-key", "No such file or directory"},
        {{.error = -EACCES}, "device-key", "Permission denied"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct checks checks CLEANUP_CHECKS = {0};
        bool good = file_checks_file(&key_rule, &cases[i].facts, &checks);
        assert_int_equal(good, cases[i].code[0] == '\0');
        if (good)
            continue;
        struct found found = found_one(&checks);
        EXPECT_FOUND(found, "permissions", "failure", cases[i].code);
        assert_non_null(strstr(found.text, cases[i].says));
        assert_string_equal(found.subject, "/s/device.key");
    }
    struct file_rule rule = key_rule;
    struct checks checks CLEANUP_CHECKS = {0};
    const struct file_facts absent = {.error = -ENOENT};
    rule.may_be_absent = true;
    assert_true(file_checks_file(&rule, &absent, &checks));
}

static struct state_dir dir;

static int set_up(void **state) {
    (void)state;
    state_dir_make(&dir);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    state_dir_remove(&dir);
    return 0;
}

static void make(const char *name, mode_t mode) {
    assert_int_equal(mkdirat(dir.fd, name, 0700), 0);
    assert_int_equal(fchmodat(dir.fd, name, mode, 0), 0);
}

/* /tmp is sticky: who may write there cannot replace what is ours. */
static void the_way_to_a_path(void **state) {
    char path[128];
    (void)state;
    struct checks checks CLEANUP_CHECKS = {0};
    make("good", 0755);
    snprintf(path, sizeof(path), "%s/good/leaf", dir.path);
    assert_true(file_checks_parents(path, geteuid(), &checks));
    assert_null(checks.array);

    make("open", 0775);
    snprintf(path, sizeof(path), "%s/open/leaf", dir.path);
    assert_false(file_checks_parents(path, geteuid(), &checks));
    /* the same for another path below it: it is told once */
    snprintf(path, sizeof(path), "%s/open/other", dir.path);
    assert_false(file_checks_parents(path, geteuid(), &checks));
    struct found found = found_one(&checks);
    EXPECT_FOUND(found, "permissions", "failure", "permissions");
    assert_non_null(strstr(found.subject, "/open"));
    assert_non_null(strstr(found.text, "Its mode is 0775; it must be 0755."));

    /* somebody else's directory on the way */
    if (geteuid() != 0)
        return;
    make("theirs", 0755);
    assert_int_equal(fchownat(dir.fd, "theirs", 12345, 12345, 0), 0);
    snprintf(path, sizeof(path), "%s/theirs/leaf", dir.path);
    assert_false(file_checks_parents(path, 0, &checks));
    assert_non_null(strstr(found_one(&checks).text, "belongs to uid 12345"));
}

static void closing_what_is_open(void **state) {
    char path[128];
    struct stat status;
    (void)state;
    snprintf(path, sizeof(path), "%s/state", dir.path);
    const struct daemon_config config = {.state_dir = path};
    assert_int_equal(device_checks_close(&config, geteuid()), 0); /* nothing is there */
    make("state", 0755);
    int CLEANUP_CLOSE fd = openat(dir.fd, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(atomic_file_write(fd, "device.key", "k", 1, 0644), 0);
    assert_int_equal(device_checks_close(&config, geteuid() + 1), 0); /* not ours */
    assert_int_equal(device_checks_close(&config, geteuid()), 2);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(fstatat(fd, "device.key", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(device_checks_close(&config, geteuid()), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(space),
        cmocka_unit_test(space_of_a_real_place),
        cmocka_unit_test(one_file),
        cmocka_unit_test_setup_teardown(the_way_to_a_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_what_is_open, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("file checks", tests, NULL, NULL);
}
