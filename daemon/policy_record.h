/* What we put into policy directories, and since when: policy.json in the state directory for
 * Chromium's, firefox-policy.json for Firefox's. It is written before the policy is, so that
 * removal is exact after a kill at any moment: files, and directories that we had to make. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define POLICY_RECORD_FILE "policy.json"
#define POLICY_RECORD_FIREFOX_FILE "firefox-policy.json"
#define POLICY_RECORD_MAX_PLACES 16
#define POLICY_RECORD_MAX_CREATED 16

struct policy_place {
    char *path;                               /* the policy directory */
    int64_t since;                            /* our rules stand there since; seconds since 1970 */
    char *created[POLICY_RECORD_MAX_CREATED]; /* directories that we made, outermost first */
    size_t created_count;
    char *inserted; /* Firefox: the piece that we put into a file; NULL: none */
};

struct policy_record {
    char *issuer_cn; /* NULL: no rules */
    char **patterns;
    size_t pattern_count;
    struct policy_place places[POLICY_RECORD_MAX_PLACES];
    size_t place_count;
};

/** Reads one of the two; absent: an empty record. Returns 0, -EPROTO (a newer version), -EBADMSG
 * (broken) or another negative errno. */
int policy_record_read(int state_dir_fd, const char *name, struct policy_record *ret);

/** Writes it; an empty record removes the file. Returns 0 or a negative errno. */
int policy_record_write(int state_dir_fd, const char *name, const struct policy_record *record);
void policy_record_deinit(struct policy_record *record);

/** The place for a path; NULL if there is none. */
struct policy_place *policy_record_find(struct policy_record *record, const char *path);

/** Adds a place. Returns 0, -ENOSPC, -ENOMEM. */
int policy_record_add(struct policy_record *record, const char *path, struct policy_place **ret);

/** Adds a directory that is about to be made. Returns 0, -ENOSPC, -ENOMEM. */
int policy_place_add_created(struct policy_place *place, const char *path);

/** Replaces what was inserted (copied). Returns 0 or -ENOMEM. */
int policy_place_set_inserted(struct policy_place *place, const char *inserted);

/** Drops a place; later ones move up. */
void policy_record_drop(struct policy_record *record, struct policy_place *place);

/** Replaces the rules (copied; NULL issuer: none). Returns 0 or -ENOMEM. */
int policy_record_set_rules(
    struct policy_record *record, const char *issuer_cn, char *const *patterns, size_t count);
