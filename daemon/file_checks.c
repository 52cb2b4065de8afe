/* See file_checks.h. */
#include "daemon/file_checks.h"

#include "common/size_text.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define MAX_TEXT 256
#define MODE_BITS 07777
#define WRITABLE_BY_OTHERS (S_IWGRP | S_IWOTH)

/* ---- disk ---- */

void file_checks_look_at_space(const char *path, struct space_facts *ret) {
    struct statvfs space;
    struct stat status;
    *ret = (struct space_facts){.path = path};
    if (stat(path, &status) < 0 || statvfs(path, &space) < 0) {
        ret->error = -errno;
        return;
    }
    ret->device = (uint64_t)status.st_dev;
    ret->read_only = (space.f_flag & ST_RDONLY) != 0;
    ret->bytes = (uint64_t)space.f_blocks * space.f_frsize;
    ret->free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    ret->inodes = space.f_files;
    ret->free_inodes = space.f_favail;
}

static enum check_result judge_space(const struct space_facts *facts) {
    bool counts_inodes = facts->inodes > 0;
    if (facts->read_only || facts->free_bytes < FILE_CHECKS_FULL_BYTES ||
        (counts_inodes && facts->free_inodes < FILE_CHECKS_FULL_INODES))
        return CHECK_FAILURE;
    if (facts->free_bytes < FILE_CHECKS_LOW_BYTES ||
        facts->free_bytes < facts->bytes / 100 * FILE_CHECKS_LOW_PERCENT ||
        (counts_inodes && facts->free_inodes < FILE_CHECKS_LOW_INODES))
        return CHECK_WARNING;
    return CHECK_OK;
}

void file_checks_space(const struct space_facts *facts, struct checks *checks) {
    char text[MAX_TEXT], free_size[SIZE_TEXT_SIZE], size[SIZE_TEXT_SIZE];
    struct check check = {.id = "disk", .subject = facts->path, .text = text};
    if (facts->error < 0) {
        check.result = CHECK_FAILURE;
        check.reason = REASON_STORAGE;
        snprintf(text, sizeof(text), "It cannot be looked at: %s.", strerror(-facts->error));
        checks_add(checks, &check);
        return;
    }
    snprintf(
        text, sizeof(text), "%s of %s are free.", size_text(facts->free_bytes, free_size),
        size_text(facts->bytes, size));
    check.result = judge_space(facts);
    if (check.result != CHECK_OK)
        check.reason = check.result == CHECK_FAILURE ? REASON_DISK_FULL : REASON_DISK_LOW;
    if (facts->read_only) {
        check.reason = REASON_STORAGE;
        check.text = "The file system is mounted read-only.";
    } else if (facts->inodes > 0 && facts->free_inodes < FILE_CHECKS_LOW_INODES) {
        snprintf(
            text, sizeof(text), "%s of %s are free, but only %" PRIu64 " more files can be made.",
            free_size, size, facts->free_inodes);
    }
    checks_add(checks, &check);
}

/* ---- permissions ---- */

static const char *const kind_names[] = {
    [FILE_KIND_DIRECTORY] = "directory",
    [FILE_KIND_REGULAR] = "plain file",
    [FILE_KIND_SOCKET] = "socket",
};

static bool is_kind(mode_t mode, enum file_kind kind) {
    static const mode_t types[] = {
        [FILE_KIND_DIRECTORY] = S_IFDIR,
        [FILE_KIND_REGULAR] = S_IFREG,
        [FILE_KIND_SOCKET] = S_IFSOCK,
    };
    return (mode & S_IFMT) == types[kind];
}

bool file_checks_file(
    const struct file_rule *rule, const struct file_facts *facts, struct checks *checks) {
    char text[MAX_TEXT];
    struct check check = {
        .id = "permissions",
        .subject = rule->path,
        .result = CHECK_FAILURE,
        .reason = REASON_PERMISSIONS,
        .text = text,
    };
    if (facts->error == -ENOENT && rule->may_be_absent)
        return true;
    if (facts->error < 0) {
        check.reason = rule->absent != REASON_NONE ? rule->absent : REASON_PERMISSIONS;
        snprintf(text, sizeof(text), "It cannot be looked at: %s.", strerror(-facts->error));
    } else if (!is_kind(facts->mode, rule->kind)) {
        check.reason = rule->absent != REASON_NONE ? rule->absent : REASON_PERMISSIONS;
        snprintf(text, sizeof(text), "It is no %s.", kind_names[rule->kind]);
    } else if (facts->owner != rule->owner) {
        snprintf(
            text, sizeof(text), "It belongs to uid %ju; it must belong to uid %ju.",
            (uintmax_t)facts->owner, (uintmax_t)rule->owner);
    } else if (facts->mode & rule->forbidden) {
        snprintf(
            text, sizeof(text), "Its mode is %04o; it must be %04o.",
            (unsigned)(facts->mode & MODE_BITS), (unsigned)rule->wanted);
    } else {
        return true;
    }
    if (!checks_has(checks, check.id, check.subject)) /* a parent of several */
        checks_add(checks, &check);
    return false;
}

bool file_checks_look(const struct file_rule *rule, struct checks *checks) {
    struct stat status;
    struct file_facts facts = {0};
    if (lstat(rule->path, &status) < 0)
        facts.error = -errno;
    else
        facts = (struct file_facts){.mode = status.st_mode, .owner = status.st_uid};
    return file_checks_file(rule, &facts, checks);
}

static bool look_at_parent(const char *path, uid_t owner, struct checks *checks) {
    struct stat status;
    if (stat(path, &status) < 0)
        return true; /* what is missing above shows below */
    struct file_rule rule = {
        .path = path,
        .kind = FILE_KIND_DIRECTORY,
        .owner = status.st_uid == owner ? owner : 0,
        .forbidden = status.st_mode & S_ISVTX ? 0 : WRITABLE_BY_OTHERS,
        .wanted = 0755,
    };
    const struct file_facts facts = {.mode = status.st_mode, .owner = status.st_uid};
    return file_checks_file(&rule, &facts, checks);
}

bool file_checks_parents(const char *path, uid_t owner, struct checks *checks) {
    char part[PATH_MAX];
    bool good = true;
    size_t length = strlen(path);
    if (length >= sizeof(part))
        return true;
    for (size_t i = 1; i < length; i++) {
        if (path[i] != '/' || path[i + 1] == '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        good = look_at_parent(part, owner, checks) && good;
    }
    return good;
}
