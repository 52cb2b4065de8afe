/* server.conf: defaults, every key, and errors that say where and what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/server_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY 86400LL

static char path[] = "/tmp/devtrust-server-conf-XXXXXX";

static int make_file(void **state) {
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state) {
    (void)state;
    return unlink(path);
}

static int load(const char *text, struct server_config *config, char error[256]) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    error[0] = '\0';
    return server_config_load(path, config, error, 256);
}

static void test_defaults(void **state) {
    (void)state;
    struct server_config config;
    char error[256];
    assert_int_equal(load("", &config, error), 0);
    assert_string_equal(config.listen_devices, "0.0.0.0:8443");
    assert_string_equal(config.listen_portal, "0.0.0.0:9443");
    assert_string_equal(config.listen_admin, "127.0.0.1:9080");
    assert_int_equal(config.user_lifetime_s, 30 * DAY);
    assert_int_equal(config.renew_after_s, 14 * DAY);
    assert_int_equal(config.device_lifetime_s, 90 * DAY);
    assert_int_equal(config.superseded_grace_s, DAY);
    assert_int_equal(config.keep_expired_s, 180 * DAY);
    assert_int_equal(config.expired_device_grace_s, 180 * DAY);
    assert_int_equal(config.ping_s, 30);
    assert_int_equal(config.rate, 1000);
    assert_null(config.tls_certificate);
    server_config_deinit(&config);
}

static void test_every_key(void **state) {
    (void)state;
    struct server_config config;
    char error[256];
    int r = load(
        "[listen]\ndevices = [::]:1\nportal = 127.0.0.1:2\nadmin = 127.0.0.1:3\n"
        "[tls]\ncertificate = /a/b.pem\nkey = /a/b.key\n"
        "[issue]\nuser_lifetime = 5s\nrenew_after = 2s\ndevice_lifetime = 1h\nkey_type = p384\n"
        "superseded_grace = 0s\nexpired_device_grace = 10d\nkeep_expired = 20d\nhourly_limit = 12\n"
        "[push]\nping = 5s\nrate = 7\n[portal]\nnonce = 30s\nsession = 5min\n"
        "[paths]\nstate_dir = /var/lib/x\nsocket = /run/x/y\n[log]\nlevel = debug\n",
        &config, error);
    assert_string_equal(error, "");
    assert_int_equal(r, 0);
    assert_string_equal(config.listen_devices, "[::]:1");
    assert_string_equal(config.tls_key, "/a/b.key");
    assert_int_equal(config.user_lifetime_s, 5);
    assert_int_equal(config.renew_after_s, 2);
    assert_int_equal(config.device_lifetime_s, 3600);
    assert_int_equal(config.key_type, 1);
    assert_int_equal(config.superseded_grace_s, 0);
    assert_int_equal(config.keep_expired_s, 20 * DAY);
    assert_int_equal(config.hourly_limit, 12);
    assert_int_equal(config.ping_s, 5);
    assert_int_equal(config.rate, 7);
    assert_int_equal(config.nonce_s, 30);
    assert_int_equal(config.session_s, 300);
    assert_string_equal(config.socket, "/run/x/y");
    assert_int_equal(config.log_level, 4);
    server_config_deinit(&config);
}

static void test_errors(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *error; /* after the path */
    } cases[] = {
        {"[issue]\nuser_lifetime = 4s\n", ":2: "},
        {"[issue]\nuser_lifetime = soon\n", ":2: "},
        {"[issue]\nkey_type = p521\n", ":2: "},
        {"[issue]\nlifetime = 5s\n", ":2: "},
        {"[nonsense]\na = b\n", ":1: "},
        {"[paths]\nstate_dir = relative\n", ":2: "},
        {"[push]\nrate = 0\n", ":2: "},
        {"[tls]\ncertificate = /a/b\n", "both or neither"},
        {"[tls]\nkey = /a/b\n", "both or neither"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct server_config config;
        char error[256];
        assert_int_equal(load(cases[i].text, &config, error), -EINVAL);
        assert_int_equal(strncmp(error, path, strlen(path)), 0);
        if (!strstr(error, cases[i].error))
            fail_msg("%s: %s", cases[i].text, error);
        server_config_deinit(&config);
    }
}

static void test_missing_file(void **state) {
    (void)state;
    struct server_config config;
    char error[256] = "";
    assert_int_equal(
        server_config_load("/nonexistent/server.conf", &config, error, sizeof(error)), -ENOENT);
    assert_non_null(strstr(error, "/nonexistent/server.conf"));
    server_config_deinit(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
