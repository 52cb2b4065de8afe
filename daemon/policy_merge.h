/* The contents of our Chromium policy file, as a pure function of our rules and of the
 * administrator's files beside it. Chromium takes one key from one file only, the last by name: so
 * the administrator's effective AutoSelectCertificateForUrls must stand in ours too. */
#pragma once

#include "common/reason.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>

#define POLICY_MERGE_FILE "zz-devtrust.json" /* sorts last */
#define POLICY_MERGE_KEY "AutoSelectCertificateForUrls"
#define POLICY_MERGE_MAX_FILE (256 * 1024)
#define POLICY_MERGE_MAX_ELEMENTS 1024
#define POLICY_MERGE_MAX_ELEMENT 4096 /* bytes */

/** What we want: one rule per pattern, all with the same issuer. Borrowed strings. */
struct policy_rules {
    const char *issuer_cn;
    char *const *patterns;
    size_t count;
};

/** What the other files of a directory say. */
struct policy_merge {
    struct json_object
        *elements;         /* of the effective file: an array of strings; NULL: none has the key */
    char broken_file[128]; /* escaped name of a file that is not valid; empty: none */
    char conflict_file[128]; /* escaped name of a file that sorts after ours and has the key */
};

/** Takes one file in; call in ascending byte order of the names. Accepts what Chromium accepts
 * beyond RFC 8259 (comments, trailing commas). Elements that are no strings are dropped: they crash
 * Chromium. Returns 0 or -ENOMEM. */
int policy_merge_add(struct policy_merge *merge, const char *name, const char *text, size_t size);
void policy_merge_deinit(struct policy_merge *merge);
#define CLEANUP_POLICY_MERGE CLEANUP(policy_merge_deinit)

/** One rule as the string that stands in the array. free() it. Returns 0 or -ENOMEM. */
int policy_merge_rule(const char *issuer_cn, const char *pattern, char **ret);

/** The file's text: the administrator's elements first, then ours, none twice. free() it. Returns 0
 * or -ENOMEM. */
int policy_merge_render(
    const struct policy_merge *merge, const struct policy_rules *rules, char **ret);

/** Whether a policy text holds each of our rules already. */
bool policy_merge_has_rules(const char *text, size_t size, const struct policy_rules *rules);

/** Whether the effective elements of others hold each of our rules, compared as JSON (policy.owner
 * = external). */
bool policy_merge_others_have_rules(
    const struct policy_merge *merge, const struct policy_rules *rules);
