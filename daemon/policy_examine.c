/* Looks at the policy directories as they are this moment, for a diagnosis: the status that
 * policy.c keeps is what the last write found. */
#include "daemon/chrome_policy.h"
#include "daemon/policy_internal.h"

#include "common/cleanup.h"
#include "common/json_gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void look_at_own(int fd, const char *expected, struct policy_place_facts *ret) {
    char *text CLEANUP_FREE = NULL;
    struct json_object *object CLEANUP_JSON = NULL;
    struct stat status;
    size_t size = 0;
    ret->own_error = chrome_policy_read_own(fd, &text, &size);
    if (ret->own_error < 0)
        return;
    ret->own_is_readable =
        fstatat(fd, POLICY_MERGE_FILE, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        (status.st_mode & (S_IRUSR | S_IRGRP | S_IROTH)) == (S_IRUSR | S_IRGRP | S_IROTH);
    ret->own_is_json = json_gate_parse(text, size, &object) == 0;
    ret->own_is_same = size == strlen(expected) && memcmp(text, expected, size) == 0;
}

static int look_at_place(const struct policy *policy, int fd, struct policy_place_facts *ret) {
    struct policy_merge merge CLEANUP_POLICY_MERGE = {0};
    struct policy_rules rules = policy_rules(policy);
    char *expected CLEANUP_FREE = NULL;

    int r = chrome_policy_read_others(fd, &merge);
    if (r == 0)
        r = policy_merge_render(&merge, &rules, &expected);
    if (r < 0 || !expected)
        return r < 0 ? r : -ENOMEM;
    memcpy(ret->broken_file, merge.broken_file, sizeof(ret->broken_file));
    memcpy(ret->conflict_file, merge.conflict_file, sizeof(ret->conflict_file));
    ret->others_have_rules = policy_merge_others_have_rules(&merge, &rules);
    look_at_own(fd, expected, ret);
    return 0;
}

int policy_examine(const struct policy *policy, size_t index, struct policy_place_facts *ret) {
    if (index >= policy->place_count)
        return -ENOENT;
    const struct place_status *place = &policy->places[index];
    *ret = (struct policy_place_facts){
        .path = place->path,
        .is_made = place->make,
        .is_wanted = policy->wanted && policy->record.pattern_count > 0,
        .is_external = policy->options.owner == POLICY_OWNER_EXTERNAL,
        .rules = policy->record.pattern_count,
        .since = policy_place_since(policy, place),
        .refused = policy->refused,
    };
    int fd CLEANUP_CLOSE = chrome_policy_open(place->path, policy->options.directory_owner);
    ret->error = fd;
    if (fd < 0 || !ret->is_wanted)
        return 0;
    ret->error = look_at_place(policy, fd, ret);
    return 0;
}
