/* Which NSS databases the browsers of this home read, by the table of families. Chromium and those
 * built from it share one: ~/.pki/nssdb if that directory exists, even empty; else
 * ${XDG_DATA_HOME:-~/.local/share}/pki/nssdb (facts, tried with Chromium 156). ~/.pki/nssdb is
 * never made: it would hide the other. Firefox has one in each profile. */
#include "common/log.h"
#include "common/log_messages.h"
#include "useragent/firefox_profiles.h"
#include "useragent/nss_database.h"
#include "useragent/nss_session.h"
#include "useragent/nss_store.h"
#include "useragent/store.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct list {
    struct store_location *items;
    size_t count;
    bool more;
};

static void add(struct list *list, enum store_kind kind, const char *path) {
    struct store_location *location;

    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].path, path) == 0)
            return;
    if (list->count == STORE_MAX) {
        list->more = true;
        return;
    }
    location = &list->items[list->count++];
    location->kind = kind;
    memcpy(location->path, path, strlen(path) + 1);
}

static bool is_directory(const char *path) {
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The first database whose directory is there, else the last, which the browser would make. */
static bool find_database(
    const struct user_dirs *dirs, const struct browser_family *family,
    char ret[USER_DIRS_PATH_MAX]) {
    bool found = false;

    for (const struct browser_place *place = family->stores; place->path; place++) {
        found = user_dirs_place(dirs, place, ret) >= 0;
        if (found && is_directory(ret))
            return true;
    }
    return found;
}

/* Chromium's own is made for a browser that may come; another's only where it has been used. */
static bool is_wanted(const struct user_dirs *dirs, const struct browser_family *family) {
    char data[USER_DIRS_PATH_MAX];

    return strcmp(family->id, "chromium") == 0 ||
           (user_dirs_place(dirs, &family->data, data) >= 0 && is_directory(data));
}

static void add_chromium(const struct user_dirs *dirs, struct list *list) {
    for (const struct browser_family *family = browser_families; family->id; family++) {
        char path[USER_DIRS_PATH_MAX];

        if (family->kind == BROWSER_CHROMIUM && is_wanted(dirs, family) &&
            find_database(dirs, family, path))
            add(list, STORE_NSS_CHROMIUM, path);
    }
}

static void add_firefox(const struct user_dirs *dirs, struct list *list) {
    CLEANUP_FIREFOX_PROFILES struct firefox_profiles profiles = {0};

    if (firefox_profiles_list(dirs, &profiles) < 0)
        return;
    for (size_t i = 0; i < profiles.count; i++)
        add(list, STORE_NSS_FIREFOX, profiles.paths[i]);
    list->more = list->more || profiles.more;
}

void store_list(
    const struct user_dirs *dirs, struct store_location ret[STORE_MAX], size_t *ret_count) {
    struct list list = {.items = ret};

    add_chromium(dirs, &list);
    add_firefox(dirs, &list);
    if (list.more)
        log_event(
            LOG_LEVEL_WARNING, MSG_STORE_FAILED,
            "There are more certificate stores than are looked after; delete browser profiles that "
            "are no longer used.",
            LOG_NUMBER("STORES", STORE_MAX));
    *ret_count = list.count;
}

int store_precheck(
    const struct store_location *location, const struct user_dirs *dirs, enum reason *ret_reason) {
    enum nss_database_state state;

    if (!is_directory(dirs->home)) {
        *ret_reason = REASON_STORE_MISSING;
        return -ENOENT;
    }
    return nss_database_check(location->path, true, &state, ret_reason);
}

const struct store_ops *store_ops_of(enum store_kind kind) {
    switch (kind) {
    case STORE_NSS_CHROMIUM:
        return &nss_store_chromium;
    case STORE_NSS_FIREFOX:
        return &nss_store_firefox;
    default:
        return NULL;
    }
}

void store_unload(void) {
    nss_session_unload();
}
