/* Reads devtrustd.conf into one struct, with every default in one place. */
#include "daemon/daemon_config.h"

#include "common/cleanup.h"
#include "common/config.h"
#include "common/paths.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const owner_values[] = {"devtrust", "external", NULL};
static const char *const level_values[] = {"error", "warning", "notice", "info", "debug", NULL};

#define KEY(section_, key_, type_, member_)                                                        \
    section_, key_, type_, offsetof(struct daemon_config, member_)

static const struct config_key daemon_config_table[] = {
    {KEY("policy", "owner", CONFIG_ENUM, policy_owner), 0, 0, owner_values,
     "devtrust (write the browser policy) or external (another tool owns it; only verify)"},
    {KEY("policy", "chromium_directories", CONFIG_LIST, chromium_directories), 0, 0, NULL,
     "absolute paths of managed policy directories, separated by spaces"},
    {KEY("policy", "firefox_auto_select", CONFIG_BOOL, firefox_auto_select), 0, 0, NULL,
     "yes (Firefox presents a certificate unasked, to every site that wants one) or no"},
    {KEY("policy", "firefox_directories", CONFIG_LIST, firefox_directories), 0, 0, NULL,
     "absolute paths of directories of a policies.json, separated by spaces"},
    {KEY("limits", "allowed_patterns", CONFIG_LIST, allowed_patterns), 0, 0, NULL,
     "portal patterns that are allowed beyond the server's own domain: https://host or "
     "https://[*.]host"},
    {KEY("limits", "requests_per_hour", CONFIG_INT, requests_per_hour), 1, 1000000, NULL,
     "certificate requests per user and hour, 1 to 1000000"},
    {KEY("limits", "min_uid", CONFIG_INT, min_uid), 1, 4294967293, NULL,
     "the smallest uid of an ordinary account, such as 1000"},
    {KEY("limits", "request_deadline", CONFIG_DURATION, request_deadline_s), 5, 3600, NULL,
     "5s to 1h: within it an agent answers a request"},
    {KEY("server", "state_poll", CONFIG_DURATION, state_poll_s), 1, 86400, NULL,
     "1s to 24h: the desired state is fetched at least so often"},
    {KEY("paths", "state_dir", CONFIG_PATH, state_dir), 0, 0, NULL, "an absolute path"},
    {KEY("paths", "socket", CONFIG_PATH, socket), 0, 0, NULL, "an absolute path"},
    {KEY("paths", "enroll_config", CONFIG_PATH, enroll_config), 0, 0, NULL, "an absolute path"},
    {KEY("paths", "machine_id", CONFIG_PATH, machine_id), 0, 0, NULL, "an absolute path"},
    {KEY("log", "level", CONFIG_ENUM, log_level), 0, 0, level_values,
     "error, warning, notice, info or debug"},
};

int64_t daemon_config_uid_min(const char *path, int64_t fallback) {
    FILE *file CLEANUP_FCLOSE = fopen(path, "re");
    char line[512];
    int64_t result = fallback;

    if (!file)
        return fallback;
    while (fgets(line, sizeof(line), file)) {
        const char *text = line + strspn(line, " \t");
        if (strncmp(text, "UID_MIN", 7) != 0 || !isspace((unsigned char)text[7]))
            continue;
        char *end = NULL;
        errno = 0;
        long value = strtol(text + 7, &end, 0);
        if (errno == 0 && end != text + 7 && isspace((unsigned char)*end) && value > 0)
            result = value;
    }
    return result;
}

static int preset(struct daemon_config *config, const char *login_defs) {
    *config = (struct daemon_config){
        .policy_owner = POLICY_OWNER_DEVTRUST,
        .requests_per_hour = 6,
        .min_uid = daemon_config_uid_min(login_defs, 1000),
        .request_deadline_s = 60,
        .state_poll_s = (int64_t)4 * 3600,
        .state_dir = strdup(PATH_DAEMON_STATE_DIR),
        .socket = strdup(PATH_DAEMON_SOCKET),
        .enroll_config = strdup(PATH_ENROLL_CONFIG),
        .machine_id = strdup(PATH_MACHINE_ID),
        .log_level = 3,
    };
    if (!config->state_dir || !config->socket || !config->enroll_config || !config->machine_id)
        return -ENOMEM;
    return 0;
}

static int check_directories(
    const char *path, const char *key, char *const *directories, const char *example,
    char *ret_error, size_t error_size) {
    for (char *const *dir = directories; dir && *dir; dir++)
        if ((*dir)[0] != '/' || strstr(*dir, "/../") || strlen(*dir) > 1024) {
            snprintf(
                ret_error, error_size,
                "%s: [policy] %s: \"%.64s\" is not an absolute path; name directories like %s",
                path, key, *dir, example);
            return -EINVAL;
        }
    return 0;
}

int daemon_config_read(
    const char *path, bool required, const char *login_defs, struct daemon_config *ret,
    char *ret_error, size_t error_size) {
    ret_error[0] = '\0';
    int r = preset(ret, login_defs);
    if (r < 0)
        return r;
    r = config_read(
        path, daemon_config_table, ARRAY_LENGTH(daemon_config_table), ret, ret_error, error_size);
    if (r == -ENOENT && !required)
        return 0;
    if (r < 0) {
        if (ret_error[0] == '\0')
            snprintf(
                ret_error, error_size, "%s: %s; check the path and its permissions", path,
                strerror(-r));
        return r;
    }
    r = check_directories(
        path, "chromium_directories", ret->chromium_directories, "/etc/chromium/policies/managed",
        ret_error, error_size);
    if (r < 0)
        return r;
    return check_directories(
        path, "firefox_directories", ret->firefox_directories, "/etc/firefox/policies", ret_error,
        error_size);
}

void daemon_config_deinit(struct daemon_config *config) {
    config_free(daemon_config_table, ARRAY_LENGTH(daemon_config_table), config);
}

enum log_level daemon_config_log_level(const struct daemon_config *config) {
    return (enum log_level)(LOG_LEVEL_ERROR + config->log_level);
}
