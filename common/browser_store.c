/* See browser_store.h. */
#include "common/browser_store.h"

#include <stdio.h>
#include <string.h>

/* Whether `place` is a run of whole parts of `path`. */
static bool lies_in(const char *path, const char *place) {
    size_t length = strlen(place);
    for (const char *found = path; (found = strstr(found, place)); found++)
        if (found > path && found[-1] == '/' && (found[length] == '/' || found[length] == '\0'))
            return true;
    return false;
}

/* The longest of a family's places that the path lies in; 0: none. */
static size_t match(const struct browser_family *family, const char *path) {
    size_t longest = 0;
    for (const struct browser_place *place = family->stores; place->path; place++)
        if (strlen(place->path) > longest && lies_in(path, place->path))
            longest = strlen(place->path);
    return longest;
}

size_t browser_store_families(
    const char *path, enum browser_kind kind,
    const struct browser_family *ret[BROWSER_STORE_MAX_FAMILIES]) {
    size_t longest = 0, count = 0;
    for (const struct browser_family *family = browser_families; family->id; family++) {
        size_t length = family->kind == kind ? match(family, path) : 0;
        if (length == 0 || length < longest)
            continue;
        if (length > longest)
            count = 0;
        longest = length;
        if (count < BROWSER_STORE_MAX_FAMILIES)
            ret[count++] = family;
    }
    return count;
}

const char *browser_store_profile(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strchr(name, '.');
    return dot && dot > name && dot[1] != '\0' ? dot + 1 : name;
}

/* snprintf() at the end of a text; what does not fit is cut. */
static void append(char ret[BROWSER_STORE_NAME_SIZE], const char *before, const char *text) {
    size_t used = strlen(ret);
    snprintf(ret + used, BROWSER_STORE_NAME_SIZE - used, "%s%s", used > 0 ? before : "", text);
}

const char *browser_store_name(
    const char *path, enum browser_kind kind, bool (*installed)(const struct browser_family *),
    char ret[BROWSER_STORE_NAME_SIZE]) {
    const struct browser_family *families[BROWSER_STORE_MAX_FAMILIES];
    size_t count = browser_store_families(path, kind, families);
    ret[0] = '\0';
    for (size_t i = 0; i < count; i++)
        if (installed && installed(families[i]))
            append(ret, ", ", families[i]->name);
    if (ret[0] == '\0' && count == 1)
        append(ret, "", families[0]->name);
    if (ret[0] == '\0')
        append(ret, "", kind == BROWSER_FIREFOX ? "Firefox" : "Chromium and its relatives");
    if (kind == BROWSER_FIREFOX)
        append(ret, ", profile ", browser_store_profile(path));
    return ret;
}
