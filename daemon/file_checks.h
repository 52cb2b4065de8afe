/* Judges free space (disk), and owners and modes (permissions) for Diagnose. Local paths only: what
 * is looked at here never blocks for long. */
#pragma once

#include "daemon/checks.h"

#include <stdint.h>
#include <sys/types.h>

/* Free space: what a renewal writes is some kilobytes, but logs and databases share the file
 * system. Below the first, or the second of a hundred parts, it is a warning; below the third a
 * failure. */
#define FILE_CHECKS_LOW_BYTES ((uint64_t)64 << 20)
#define FILE_CHECKS_LOW_PERCENT 1
#define FILE_CHECKS_FULL_BYTES ((uint64_t)1 << 20)
/* Free inodes: a write takes one; file systems without a fixed number say 0 of 0. */
#define FILE_CHECKS_LOW_INODES 256
#define FILE_CHECKS_FULL_INODES 8

struct space_facts {
    const char *path;
    int error; /* 0 or a negative errno; nothing else is set then */
    bool read_only;
    uint64_t device; /* tells file systems apart */
    uint64_t bytes, free_bytes;
    uint64_t inodes, free_inodes;
};

/** statvfs and stat of a path. */
void file_checks_look_at_space(const char *path, struct space_facts *ret);

/** One file system; its subject is the path. */
void file_checks_space(const struct space_facts *facts, struct checks *checks);

enum file_kind { FILE_KIND_DIRECTORY, FILE_KIND_REGULAR, FILE_KIND_SOCKET };

/** What a path should be. */
struct file_rule {
    const char *path;
    enum file_kind kind;
    uid_t owner;
    mode_t forbidden; /* bits that must not be set */
    mode_t wanted;    /* the mode that is told to people */
    bool may_be_absent;
    enum reason absent; /* why it matters; NONE: PERMISSIONS */
};

struct file_facts {
    int error; /* 0 or a negative errno of lstat() */
    mode_t mode;
    uid_t owner;
};

/** Returns whether all is well; else a failure is added. */
bool file_checks_file(
    const struct file_rule *rule, const struct file_facts *facts, struct checks *checks);

/** Looks at the path and judges it. */
bool file_checks_look(const struct file_rule *rule, struct checks *checks);

/** Every directory above `path` but the root, which is not ours to judge: who can write in one of
 * them can replace the rest. Each must be root's or `owner`'s, and writable by nobody else, unless
 * it is sticky. Returns whether all is well. */
bool file_checks_parents(const char *path, uid_t owner, struct checks *checks);
