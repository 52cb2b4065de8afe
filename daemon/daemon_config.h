/* devtrustd.conf: what local root decides. Every key has a default, so that the file may be absent.
 * The manual page is devtrustd.conf(5). */
#pragma once

#include "common/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum policy_owner { POLICY_OWNER_DEVTRUST, POLICY_OWNER_EXTERNAL };

struct daemon_config {
    int policy_owner;            /* enum policy_owner */
    char **chromium_directories; /* NULL: the families' own places (browser_family.h) */
    bool firefox_auto_select;    /* Firefox chooses by itself, on every site: root's opt-in */
    char **firefox_directories;  /* of policies.json; NULL: the families' own places */
    char **allowed_patterns;    /* beyond the registrable domain of the enrolment URL; NULL: none */
    int64_t requests_per_hour;  /* per user, 1 … 1000000 */
    int64_t min_uid;            /* smallest uid of an ordinary account */
    int64_t request_deadline_s; /* an agent answers a request within it */
    int64_t state_poll_s;       /* the desired state is fetched at least so often */
    char *state_dir;
    char *socket;
    char *enroll_config;
    char *machine_id;
    int log_level; /* index: error, warning, notice, info, debug */
};

/** Fills defaults (min_uid from UID_MIN of `login_defs`, 1000 without it), then reads the file. An
 * absent file is an error only if `required`. On an error `ret_error` says file, line and remedy.
 * Returns 0 or a negative errno; daemon_config_deinit() in both cases. */
int daemon_config_read(
    const char *path, bool required, const char *login_defs, struct daemon_config *ret,
    char *ret_error, size_t error_size);

/** Frees the members. */
void daemon_config_deinit(struct daemon_config *config);

enum log_level daemon_config_log_level(const struct daemon_config *config);

/** UID_MIN of a login.defs(5); `fallback` where the file or the line is missing or not a number. */
int64_t daemon_config_uid_min(const char *path, int64_t fallback);
