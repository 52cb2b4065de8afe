/* devtrustd.conf: defaults, every key, and errors that say file, line and remedy. */
#include "daemon/daemon_config.h"

#include "tests/unit/daemon/state_dir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct state_dir dir;
static char error[512];

static int make_dir(void **unused) {
    (void)unused;
    state_dir_make(&dir);
    return 0;
}

static int remove_dir(void **unused) {
    (void)unused;
    state_dir_remove(&dir);
    return 0;
}

static int read_text(const char *text, struct daemon_config *ret) {
    char path[128], defs[128];
    state_dir_write(&dir, "d.conf", text, strlen(text));
    snprintf(path, sizeof(path), "%s/d.conf", dir.path);
    snprintf(defs, sizeof(defs), "%s/login.defs", dir.path);
    return daemon_config_read(path, true, defs, ret, error, sizeof(error));
}

static void defaults(void **unused) {
    (void)unused;
    struct daemon_config config;
    static const char defs[] = "# UID_MIN 7\nUID_MIN\t\t 1500\nUID_MAX 60000\n";
    state_dir_write(&dir, "login.defs", defs, strlen(defs));
    assert_int_equal(read_text("", &config), 0);
    assert_int_equal(config.policy_owner, POLICY_OWNER_DEVTRUST);
    assert_null(config.chromium_directories);
    assert_false(config.firefox_auto_select);
    assert_null(config.firefox_directories);
    assert_int_equal(config.requests_per_hour, 6);
    assert_int_equal(config.min_uid, 1500);
    assert_int_equal(config.request_deadline_s, 60);
    assert_int_equal(config.state_poll_s, 4 * 3600);
    assert_string_equal(config.state_dir, "/var/lib/devtrust");
    assert_string_equal(config.socket, "/run/devtrust/io.devtrust");
    assert_int_equal(daemon_config_log_level(&config), LOG_LEVEL_INFO);
    daemon_config_deinit(&config);
}

static void every_key(void **unused) {
    (void)unused;
    struct daemon_config config;
    assert_int_equal(
        read_text(
            "[policy]\nowner = external\nchromium_directories = /a/b /c\n"
            "firefox_auto_select = yes\nfirefox_directories = /opt/firefox/distribution\n"
            "[limits]\nallowed_patterns = https://x.org\nrequests_per_hour = 1000000\n"
            "min_uid = 500\nrequest_deadline = 5s\n[server]\nstate_poll = 24h\n"
            "[paths]\nstate_dir = /s\nsocket = /r/s\nenroll_config = /e\nmachine_id = /m\n"
            "[log]\nlevel = debug\n",
            &config),
        0);
    assert_int_equal(config.policy_owner, POLICY_OWNER_EXTERNAL);
    assert_string_equal(config.chromium_directories[1], "/c");
    assert_null(config.chromium_directories[2]);
    assert_true(config.firefox_auto_select);
    assert_string_equal(config.firefox_directories[0], "/opt/firefox/distribution");
    assert_string_equal(config.allowed_patterns[0], "https://x.org");
    assert_int_equal(config.requests_per_hour, 1000000);
    assert_int_equal(config.min_uid, 500);
    assert_int_equal(config.request_deadline_s, 5);
    assert_int_equal(config.state_poll_s, 86400);
    assert_string_equal(config.state_dir, "/s");
    assert_string_equal(config.socket, "/r/s");
    assert_string_equal(config.enroll_config, "/e");
    assert_string_equal(config.machine_id, "/m");
    assert_int_equal(daemon_config_log_level(&config), LOG_LEVEL_DEBUG);
    daemon_config_deinit(&config);
}

static void errors_name_the_line(void **unused) {
    (void)unused;
    static const char *const bad[] = {
        "[limits]\nrequests_per_hour = 0\n",
        "[limits]\nrequests_per_hour = 1000001\n",
        "[limits]\nmin_uid = 0\n",
        "[policy]\nowner = intune\n",
        "[policy]\nchromium_directories = relative\n",
        "[policy]\nfirefox_auto_select = perhaps\n",
        "[policy]\nfirefox_directories = /a/../b\n",
        "[paths]\nstate_dir = relative\n",
        "[log]\nlevel = loud\n",
        "[nonsense]\nx = y\n",
        "[server]\nstate_poll = 25h\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct daemon_config config;
        if (read_text(bad[i], &config) != -EINVAL || !strstr(error, "d.conf"))
            fail_msg("%s: %s", bad[i], error);
        daemon_config_deinit(&config);
    }
}

static void an_absent_file(void **unused) {
    (void)unused;
    struct daemon_config config;
    char path[128];
    snprintf(path, sizeof(path), "%s/absent", dir.path);
    assert_int_equal(daemon_config_read(path, false, path, &config, error, sizeof(error)), 0);
    assert_int_equal(config.min_uid, 1000);
    daemon_config_deinit(&config);
    assert_int_equal(daemon_config_read(path, true, path, &config, error, sizeof(error)), -ENOENT);
    assert_non_null(strstr(error, "absent"));
    daemon_config_deinit(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(every_key, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(errors_name_the_line, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(an_absent_file, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
