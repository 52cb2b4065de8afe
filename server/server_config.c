/* The table of server.conf. */
#include "server/server_config.h"

#include "common/config.h"
#include "common/paths.h"
#include "common/x509_key.h"

#include <errno.h>
#include <string.h>

#define DAY 86400LL

static const char *const key_types[] = {"p256", "p384", "rsa2048", "rsa3072", NULL};
static const char *const levels[] = {"error", "warning", "notice", "info", "debug", NULL};

#define KEY(section_, key_, type_, member_, ...)                                                   \
    {                                                                                              \
        .section = section_, .key = key_, .type = type_,                                           \
        .offset = offsetof(struct server_config, member_), __VA_ARGS__                             \
    }
#define DURATION(section_, key_, member_, minimum_, maximum_, help_)                               \
    KEY(section_, key_, CONFIG_DURATION, member_, .minimum = (minimum_), .maximum = (maximum_),    \
        .help = (help_))

static const struct config_key keys[] = {
    KEY("listen", "devices", CONFIG_STRING, listen_devices,
        .help = "write ADDRESS:PORT, such as 0.0.0.0:8443"),
    KEY("listen", "portal", CONFIG_STRING, listen_portal,
        .help = "write ADDRESS:PORT, such as 0.0.0.0:9443"),
    KEY("listen", "admin", CONFIG_STRING, listen_admin,
        .help = "write ADDRESS:PORT, such as 127.0.0.1:9080"),
    KEY("tls", "certificate", CONFIG_PATH, tls_certificate,
        .help = "write the absolute path of a PEM chain, leaf first"),
    KEY("tls", "key", CONFIG_PATH, tls_key,
        .help = "write the absolute path of the unencrypted PEM key"),
    DURATION("issue", "user_lifetime", user_lifetime_s, 5, 398 * DAY, "write 5s to 398d"),
    DURATION("issue", "renew_after", renew_after_s, 1, 398 * DAY, "write 1s to 398d"),
    DURATION("issue", "device_lifetime", device_lifetime_s, 5, 398 * DAY, "write 5s to 398d"),
    KEY("issue", "key_type", CONFIG_ENUM, key_type, .values = key_types,
        .help = "write p256, p384, rsa2048 or rsa3072"),
    DURATION("issue", "superseded_grace", superseded_grace_s, 0, 30 * DAY, "write 0s to 30d"),
    DURATION(
        "issue", "expired_device_grace", expired_device_grace_s, 0, 730 * DAY, "write 0s to 730d"),
    DURATION("issue", "keep_expired", keep_expired_s, 0, 3650 * DAY, "write 0s to 3650d"),
    KEY("issue", "hourly_limit", CONFIG_INT, hourly_limit, .minimum = 1, .maximum = 1000000,
        .help = "write how many certificates one user on one device may get in an hour"),
    DURATION("push", "ping", ping_s, 1, 3600, "write 1s to 1h"),
    KEY("push", "rate", CONFIG_INT, rate, .minimum = 1, .maximum = 100000,
        .help = "write how many certificates a second this machine issues, 1 to 100000"),
    DURATION("portal", "nonce", nonce_s, 5, 600, "write 5s to 10min"),
    DURATION("portal", "session", session_s, 5, 86400, "write 5s to 24h"),
    KEY("paths", "state_dir", CONFIG_PATH, state_dir, .help = "write an absolute path"),
    KEY("paths", "socket", CONFIG_PATH, socket, .help = "write an absolute path"),
    KEY("log", "level", CONFIG_ENUM, log_level, .values = levels,
        .help = "write error, warning, notice, info or debug"),
};

int server_config_init(struct server_config *ret) {
    *ret = (struct server_config){
        .listen_devices = strdup("0.0.0.0:8443"),
        .listen_portal = strdup("0.0.0.0:9443"),
        .listen_admin = strdup("127.0.0.1:9080"),
        .user_lifetime_s = 30 * DAY,
        .renew_after_s = 14 * DAY,
        .device_lifetime_s = 90 * DAY,
        .key_type = KEY_TYPE_P256,
        .superseded_grace_s = DAY,
        .expired_device_grace_s = 180 * DAY,
        .keep_expired_s = 180 * DAY,
        .hourly_limit = 600,
        .ping_s = 30,
        .rate = 1000,
        .nonce_s = 60,
        .session_s = 600,
        .state_dir = strdup(PATH_SERVER_STATE_DIR),
        .socket = strdup(PATH_SERVER_SOCKET),
        .log_level = 3,
    };
    if (!ret->listen_devices || !ret->listen_portal || !ret->listen_admin || !ret->state_dir ||
        !ret->socket)
        return -ENOMEM;
    return 0;
}

/* What a table cannot say: keys that belong together. */
static int check_together(
    const char *path, struct server_config *config, char *ret_error, size_t size) {
    if (!config->tls_certificate != !config->tls_key) {
        snprintf(
            ret_error, size, "%s: [tls] certificate and key belong together; name both or neither",
            path);
        return -EINVAL;
    }
    return 0;
}

int server_config_load(
    const char *path, struct server_config *ret, char *ret_error, size_t error_size) {
    int r = server_config_init(ret);
    if (r < 0)
        return r;
    r = config_read(
        path ? path : PATH_SERVER_CONFIG, keys, ARRAY_LENGTH(keys), ret, ret_error, error_size);
    if (r == -ENOENT && !path)
        return 0;
    if (r == -ENOENT)
        snprintf(ret_error, error_size, "%s: no such file; make it or name another", path);
    if (r < 0)
        return r;
    return check_together(path ? path : PATH_SERVER_CONFIG, ret, ret_error, error_size);
}

void server_config_deinit(struct server_config *config) {
    config_free(keys, ARRAY_LENGTH(keys), config);
    *config = (struct server_config){0};
}
