/* The inside of struct firefox_policy, for firefox_policy.c and firefox_policy_status.c alone. */
#pragma once

#include "daemon/firefox_policy.h"
#include "daemon/firefox_policy_file.h"
#include "daemon/policy_record.h"

#include "common/reason.h"

#define FIREFOX_POLICY_MAX_PLACES 8

struct firefox_place {
    char *directory;
    bool make; /* made where absent; the others are used only where they exist */
    uv_fs_event_t watch;
    bool installed;
    int64_t seen_since; /* somebody else's: when it was first seen */
    enum reason reason;
    const char *remedy; /* NULL: the reason's own */
    char detail[160];
};

struct firefox_policy {
    struct firefox_policy_options options;
    struct policy_record record;
    bool wanted;
    struct firefox_place places[FIREFOX_POLICY_MAX_PLACES];
    size_t place_count;
    uv_timer_t debounce;
    unsigned writes; /* files that were written */
    unsigned open_handles;
};

/** Whether the file is what we have put there, and nothing else. */
bool firefox_policy_is_ours_alone(
    const struct firefox_policy *policy, const struct firefox_place *place,
    const struct firefox_policy_file *file);
