/* Where Chromium-family browsers keep the user's NSS database on Linux (facts, tried with Chromium
 * 156): ~/.pki/nssdb if that directory exists, even empty; else
 * ${XDG_DATA_HOME:-~/.local/share}/pki/nssdb. ~/.pki/nssdb is never made: it would hide the other.
 */
#include "useragent/nss_database.h"
#include "useragent/nss_session.h"
#include "useragent/nss_store.h"
#include "useragent/store.h"

#include <errno.h>
#include <sys/stat.h>

void store_list(
    const struct user_dirs *dirs, struct store_location ret[STORE_MAX], size_t *ret_count) {
    struct stat status;

    *ret_count = 0;
    ret[0].kind = STORE_NSS_CHROMIUM;
    if (user_dirs_join(dirs->home, ".pki/nssdb", ret[0].path) < 0)
        return;
    if (stat(ret[0].path, &status) < 0 || !S_ISDIR(status.st_mode))
        if (user_dirs_join(dirs->data, "pki/nssdb", ret[0].path) < 0)
            return;
    *ret_count = 1;
}

int store_precheck(
    const struct store_location *location, const struct user_dirs *dirs, enum reason *ret_reason) {
    enum nss_database_state state;
    struct stat status;

    if (stat(dirs->home, &status) < 0 || !S_ISDIR(status.st_mode)) {
        *ret_reason = REASON_STORE_MISSING;
        return -ENOENT;
    }
    return nss_database_check(location->path, true, &state, ret_reason);
}

const struct store_ops *store_ops_of(enum store_kind kind) {
    return kind == STORE_NSS_CHROMIUM ? &nss_store_chromium : NULL;
}

void store_unload(void) {
    nss_session_unload();
}
