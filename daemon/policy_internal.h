/* The inside of struct policy, for policy.c and policy_status.c alone. */
#pragma once

#include "daemon/firefox_policy.h"
#include "daemon/policy.h"
#include "daemon/policy_record.h"

struct place_status {
    char *path;
    bool make;
    bool watched;
    uv_fs_event_t watch;
    bool installed;
    int64_t verified_since; /* owner = external */
    enum reason reason;
    char detail[160];
};

struct policy {
    struct policy_options options;
    struct policy_record record;
    bool wanted;
    char refused[128]; /* a pattern that was left out, escaped */
    struct place_status places[POLICY_RECORD_MAX_PLACES];
    size_t place_count;
    struct firefox_policy *firefox;
    uv_timer_t debounce;
    uv_timer_t remind;
    unsigned reminded;
    unsigned writes; /* files that were written or removed */
    unsigned open_handles;
};

/** What is wanted now; borrowed from the record. */
struct policy_rules policy_rules(const struct policy *policy);

/** Since when the rules stand in a place; 0: they do not. */
int64_t policy_place_since(const struct policy *policy, const struct place_status *place);
