/* See device_checks.h. */
#include "daemon/device_checks.h"

#include "daemon/device_identity.h"
#include "daemon/file_checks.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define OPEN_TO_OTHERS (S_IRWXG | S_IRWXO)
#define WRITABLE_BY_OTHERS (S_IWGRP | S_IWOTH)
#define MAX_PLACES 17 /* the state directory and the policy's */

/* ---- permissions ---- */

static bool look_at_key(const char *state_dir, uid_t owner, bool enrolled, struct checks *checks) {
    char path[PATH_MAX];
    const struct file_rule rule = {
        .path = path,
        .kind = FILE_KIND_REGULAR,
        .owner = owner,
        .forbidden = OPEN_TO_OTHERS,
        .wanted = 0600,
        .may_be_absent = !enrolled,
        .absent = REASON_DEVICE_KEY,
    };
    snprintf(path, sizeof(path), "%s/" DEVICE_KEY_FILE, state_dir);
    return file_checks_look(&rule, checks);
}

static bool look_at_state(
    const struct daemon_config *config, uid_t owner, bool enrolled, struct checks *checks) {
    const struct file_rule rule = {
        .path = config->state_dir,
        .kind = FILE_KIND_DIRECTORY,
        .owner = owner,
        .forbidden = OPEN_TO_OTHERS,
        .wanted = 0700,
    };
    bool good = file_checks_look(&rule, checks);
    good = file_checks_parents(config->state_dir, owner, checks) && good;
    return look_at_key(config->state_dir, owner, enrolled, checks) && good;
}

static bool look_at_socket(const struct daemon_config *config, uid_t owner, struct checks *checks) {
    char copy[PATH_MAX];
    const struct file_rule socket = {
        .path = config->socket,
        .kind = FILE_KIND_SOCKET,
        .owner = owner,
        .absent = REASON_SOCKET_DIRECTORY,
    };
    snprintf(copy, sizeof(copy), "%s", config->socket);
    const struct file_rule directory = {
        .path = dirname(copy),
        .kind = FILE_KIND_DIRECTORY,
        .owner = owner,
        .forbidden = WRITABLE_BY_OTHERS,
        .wanted = 0755,
        .absent = REASON_SOCKET_DIRECTORY,
    };
    bool good = file_checks_look(&directory, checks);
    good = file_checks_look(&socket, checks) && good;
    return file_checks_parents(directory.path, owner, checks) && good;
}

/* The directories themselves are the policy's to judge. */
static bool look_at_policy(const struct policy *policy, uid_t owner, struct checks *checks) {
    struct policy_place_facts place;
    bool good = true;
    for (size_t i = 0; policy_examine(policy, i, &place) == 0; i++)
        if (place.error != -ENOENT)
            good = file_checks_parents(place.path, owner, checks) && good;
    return good;
}

void device_checks_permissions(
    const struct daemon_config *config, const struct policy *policy, uid_t owner, bool is_enrolled,
    struct checks *checks) {
    bool good = look_at_state(config, owner, is_enrolled, checks);
    good = look_at_socket(config, owner, checks) && good;
    good = look_at_policy(policy, owner, checks) && good;
    const struct check check = {
        .id = "permissions",
        .result = CHECK_OK,
        .text = "State, key, socket and policies are root's alone.",
    };
    if (good)
        checks_add(checks, &check);
}

/* ---- disk ---- */

static void look_at_disk(
    const char *path, uint64_t seen[MAX_PLACES], size_t *count, struct checks *checks) {
    struct space_facts facts;
    file_checks_look_at_space(path, &facts);
    for (size_t i = 0; facts.error == 0 && i < *count; i++)
        if (seen[i] == facts.device)
            return;
    if (facts.error == 0 && *count < MAX_PLACES)
        seen[(*count)++] = facts.device;
    file_checks_space(&facts, checks);
}

void device_checks_disk(
    const struct daemon_config *config, const struct policy *policy, struct checks *checks) {
    uint64_t seen[MAX_PLACES];
    size_t count = 0;
    struct policy_place_facts place;
    look_at_disk(config->state_dir, seen, &count, checks);
    for (size_t i = 0; policy_examine(policy, i, &place) == 0; i++)
        if (place.error >= 0 && !place.is_external)
            look_at_disk(place.path, seen, &count, checks);
}

/* ---- repair ---- */

static bool close_one(int fd, uid_t owner) {
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_uid != owner ||
        (status.st_mode & OPEN_TO_OTHERS) == 0)
        return false;
    return fchmod(fd, status.st_mode & S_IRWXU) == 0;
}

unsigned device_checks_close(const struct daemon_config *config, uid_t owner) {
    int directory CLEANUP_CLOSE =
        open(config->state_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0)
        return 0;
    int key CLEANUP_CLOSE =
        openat(directory, DEVICE_KEY_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    unsigned changed = close_one(directory, owner) ? 1 : 0;
    return close_one(key, owner) ? changed + 1 : changed;
}
