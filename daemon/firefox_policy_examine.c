/* Looks at Firefox's policy as it is this moment, for a diagnosis: the status that firefox_policy.c
 * keeps is what the last write found. */
#include "daemon/chrome_policy.h"
#include "daemon/firefox_policy_file.h"
#include "daemon/firefox_policy_internal.h"

#include "common/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define READABLE (S_IRUSR | S_IRGRP | S_IROTH)

bool firefox_policy_is_enabled(const struct firefox_policy *policy) {
    return policy->options.enabled;
}

int firefox_policy_examine(
    const struct firefox_policy *policy, size_t index, struct firefox_place_facts *ret) {
    struct firefox_policy_file file CLEANUP_FIREFOX_POLICY_FILE = {0};
    if (index >= policy->place_count)
        return -ENOENT;
    const struct firefox_place *place = &policy->places[index];
    *ret = (struct firefox_place_facts){
        .directory = place->directory,
        .is_wanted = policy->wanted,
        .is_made = place->make,
        .is_external = policy->options.owner == POLICY_OWNER_EXTERNAL,
    };
    int fd CLEANUP_CLOSE = chrome_policy_open(place->directory, policy->options.directory_owner);
    ret->error = fd < 0 ? fd : 0;
    if (fd < 0 || !policy->wanted)
        return 0;
    ret->error = firefox_policy_file_read(fd, policy->options.directory_owner, &file);
    if (ret->error < 0)
        return 0;
    ret->is_readable = !file.text || (file.mode & READABLE) == READABLE;
    if (file.text)
        ret->finding = firefox_policy_look(file.text, file.size);
    if ((!file.text || firefox_policy_is_ours_alone(policy, place, &file)) && !ret->is_external)
        (void)firefox_policy_file_shadows(place->directory, ret->shadowed, sizeof(ret->shadowed));
    return 0;
}
