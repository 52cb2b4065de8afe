/* Looks at each browser that is installed or was used here: where it reads its certificates, and
 * whether it may have decided before there was one. */
#include "useragent/agent_checks_internal.h"
#include "useragent/browser_check.h"
#include "useragent/firefox_profiles.h"

#include <string.h>
#include <sys/stat.h>

static bool is_directory(const char *path) {
    struct stat status;

    return stat(path, &status) >= 0 && S_ISDIR(status.st_mode);
}

static bool place_is_there(
    const struct user_dirs *dirs, const struct browser_place *place, char *ret_path) {
    return place->path && user_dirs_place(dirs, place, ret_path) >= 0 && is_directory(ret_path);
}

/* The index of a store in the set; -1: none of ours. */
static int find_store(const struct store_set *set, enum store_kind kind, const char *path) {
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].location.kind == kind && strcmp(set->items[i].location.path, path) == 0)
            return (int)i;
    return -1;
}

static void add(
    struct agent_checks *checks, const struct browser_family *family, enum agent_result result,
    enum reason reason, const char *detail) {
    inspection_add(
        checks->inspection, AGENT_CHECK_BROWSER_STORE, family->id, result, reason, "%s", detail);
}

/* ---- Chromium's families ---- */

/* Whether it has been started here, or will look when it is: which of the two tells what to expect.
 */
struct chromium_store {
    char path[USER_DIRS_PATH_MAX];  /* where it reads now */
    char other[USER_DIRS_PATH_MAX]; /* a later place that is there too, hidden; empty: none */
    bool there;
    int index, other_index; /* in the set; -1: none of ours */
};

static bool find_chromium_store(
    const struct agent_checks *checks, const struct browser_family *family,
    struct chromium_store *ret) {
    const struct user_dirs *dirs = &checks->work->dirs;
    char path[USER_DIRS_PATH_MAX] = "";

    *ret = (struct chromium_store){.index = -1, .other_index = -1};
    for (const struct browser_place *place = family->stores; place->path; place++) {
        if (!place_is_there(dirs, place, path))
            continue;
        memcpy(ret->there ? ret->other : ret->path, path, sizeof path);
        if (ret->there)
            break;
        ret->there = true;
    }
    if (!ret->there) {
        /* the last one is what it will make */
        const struct browser_place *last = family->stores;

        while (last[1].path)
            last++;
        if (user_dirs_place(dirs, last, ret->path) < 0)
            return false;
    }
    ret->index = find_store(&checks->work->set, STORE_NSS_CHROMIUM, ret->path);
    ret->other_index = find_store(&checks->work->set, STORE_NSS_CHROMIUM, ret->other);
    return true;
}

static void check_chromium(struct agent_checks *checks, const struct browser_family *family) {
    struct chromium_store store;

    if (!find_chromium_store(checks, family, &store))
        return;
    if (store.index >= 0 && checks->good[store.index])
        add(checks, family, AGENT_RESULT_OK, REASON_NONE, store.path);
    else if (!agent_checks_expect_one(checks))
        add(checks, family, AGENT_RESULT_NOT_APPLICABLE, REASON_NO_CERTIFICATE, store.path);
    else if (store.other_index >= 0 && checks->good[store.other_index])
        add(checks, family, AGENT_RESULT_FAILURE, REASON_STORE_HIDDEN, store.path);
    else if (store.index >= 0)
        add(checks, family, AGENT_RESULT_WARNING, REASON_NO_CERTIFICATE, store.path);
    else if (store.there)
        add(checks, family, AGENT_RESULT_WARNING, REASON_BROWSER_NOT_SERVED, store.path);
    else
        add(checks, family, AGENT_RESULT_NOT_APPLICABLE, REASON_NONE, "");
}

static void check_restart(struct agent_checks *checks, const struct browser_run *run) {
    struct chromium_store store;
    int64_t since = AGENT_RECORD_UNKNOWN;
    enum agent_result result = AGENT_RESULT_OK;
    enum reason reason = REASON_NONE;

    if (!find_chromium_store(checks, run->family, &store))
        return;
    if (store.index >= 0 && checks->good[store.index])
        since = checks->work->set.items[store.index].present_since;
    if (since <= 0 || run->started_s == 0) {
        bool has_one = store.index >= 0 && checks->good[store.index];

        inspection_add(
            checks->inspection, AGENT_CHECK_BROWSER_RESTART, run->family->id,
            AGENT_RESULT_NOT_APPLICABLE, has_one ? REASON_PRESENCE_UNKNOWN : REASON_NO_CERTIFICATE,
            "%s", store.path);
        return;
    }
    /* a choice made in the very second of the import may be either */
    if (run->started_s <= since) {
        result = AGENT_RESULT_WARNING;
        reason = REASON_BROWSER_RESTART;
    }
    inspection_add(
        checks->inspection, AGENT_CHECK_BROWSER_RESTART, run->family->id, result, reason, "%s",
        store.path);
}

/* ---- Firefox ---- */

static bool is_below(const char *path, const char *root) {
    size_t length = strlen(root);

    return strncmp(path, root, length) == 0 && path[length] == '/';
}

/* A profile below this root that has no place among the stores: there are STORE_MAX already. */
static void check_left_out(
    struct agent_checks *checks, const struct browser_family *family, const char *root) {
    CLEANUP_FIREFOX_PROFILES struct firefox_profiles profiles = {0};

    if (firefox_profiles_list(&checks->work->dirs, &profiles) < 0)
        return;
    for (size_t i = 0; i < profiles.count; i++)
        if (is_below(profiles.paths[i], root) &&
            find_store(&checks->work->set, STORE_NSS_FIREFOX, profiles.paths[i]) < 0) {
            add(checks, family, AGENT_RESULT_WARNING, REASON_BROWSER_NOT_SERVED, profiles.paths[i]);
            return;
        }
}

/* Every profile below a root is a store of its own. */
static void check_firefox(struct agent_checks *checks, const struct browser_family *family) {
    const struct store_set *set = &checks->work->set;
    char root[USER_DIRS_PATH_MAX];
    const char *bad = NULL, *good = NULL;
    bool there = false;

    for (const struct browser_place *place = family->stores; place->path; place++) {
        if (!place_is_there(&checks->work->dirs, place, root))
            continue;
        there = true;
        if (agent_checks_expect_one(checks))
            check_left_out(checks, family, root);
        for (size_t i = 0; i < set->count; i++) {
            const struct store_location *location = &set->items[i].location;

            if (location->kind != STORE_NSS_FIREFOX || !set->items[i].listed ||
                !is_below(location->path, root))
                continue;
            if (checks->good[i])
                good = location->path;
            else
                bad = location->path;
        }
    }
    if (!there)
        add(checks, family, AGENT_RESULT_NOT_APPLICABLE, REASON_NONE, "");
    else if (!agent_checks_expect_one(checks))
        add(checks, family, AGENT_RESULT_NOT_APPLICABLE, REASON_NO_CERTIFICATE, bad ? bad : "");
    else if (bad)
        add(checks, family, AGENT_RESULT_WARNING, REASON_NO_CERTIFICATE, bad);
    else if (good)
        add(checks, family, AGENT_RESULT_OK, REASON_NONE, good);
    else
        add(checks, family, AGENT_RESULT_NOT_APPLICABLE, REASON_NONE, "no profile yet");
}

/* It looks for certificates at each new connection, but for its policy only when it starts (facts:
 * Firefox, running; tried with firefox-esr 153). Without the opt-in there is none to miss. */
static void check_firefox_restart(struct agent_checks *checks, const struct browser_run *run) {
    int64_t since = checks->work->settings.firefox_policy_since;
    enum agent_result result = AGENT_RESULT_OK;
    enum reason reason = REASON_NONE;

    if (since == 0 || run->started_s == 0)
        return;
    if (run->started_s <= since) {
        result = AGENT_RESULT_WARNING;
        reason = REASON_BROWSER_OLD_POLICY;
    }
    inspection_add(
        checks->inspection, AGENT_CHECK_BROWSER_RESTART, run->family->id, result, reason, "%s", "");
}

/* ---- all ---- */

static bool was_used_here(const struct agent_checks *checks, const struct browser_family *family) {
    char path[USER_DIRS_PATH_MAX];

    return place_is_there(&checks->work->dirs, &family->data, path);
}

void browser_checks_run(struct agent_checks *checks) {
    struct browser_run runs[BROWSER_RUNS_MAX];
    int count = browser_check_list(runs);

    for (const struct browser_family *family = browser_families; family->id; family++) {
        if (!browser_family_is_installed(family) && !was_used_here(checks, family))
            continue;
        if (family->kind == BROWSER_FIREFOX)
            check_firefox(checks, family);
        else
            check_chromium(checks, family);
    }
    for (int i = 0; i < count; i++) {
        if (runs[i].family->kind == BROWSER_FIREFOX)
            check_firefox_restart(checks, &runs[i]);
        else
            check_restart(checks, &runs[i]);
    }
}
