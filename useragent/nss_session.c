/* Loads NSS for a job and gives everything back afterwards. */
#include "useragent/nss_session.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "useragent/nss_database.h"
#include "useragent/nss_headers.h"
#include "useragent/user_dirs.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

/* path with every byte escaped, twice quoted by NSS on its way */
#define SPEC_SIZE (2 * USER_DIRS_PATH_MAX + 128)

struct nss_session {
    PK11SlotInfo *slot;
    char path[USER_DIRS_PATH_MAX];
};

static unsigned open_sessions;

static int load(enum reason *ret_reason) {
    if (NSS_IsInitialized())
        return 0;
    /* no database, no module list: neither the user's pkcs11.txt nor the system's is read */
    if (NSS_NoDB_Init(NULL) == SECSuccess)
        return 0;
    *ret_reason = nss_session_failure(NULL, "load NSS");
    return -EIO;
}

/* A module specification quotes with ' and escapes with \ (PKCS#11 Module Specs, NSS). */
static int make_spec(const char *path, char ret[SPEC_SIZE]) {
    static const char head[] = "configDir='sql:";
    static const char tail[] = "' tokenDescription='devtrust'";
    size_t used = sizeof head - 1;

    memcpy(ret, head, used);
    for (; *path; path++) {
        if (used + 2 + sizeof tail > SPEC_SIZE)
            return -ENAMETOOLONG;
        if (*path == '\'' || *path == '\\')
            ret[used++] = '\\';
        ret[used++] = *path;
    }
    memcpy(ret + used, tail, sizeof tail);
    return 0;
}

static PK11SlotInfo *open_slot(const char *path) {
    char spec[SPEC_SIZE];

    return make_spec(path, spec) < 0 ? NULL : SECMOD_OpenUserDB(spec);
}

static void close_slot(PK11SlotInfo *slot) {
    (void)SECMOD_CloseUserDB(slot);
    PK11_FreeSlot(slot);
}

/* The empty password is what browsers set in a database of their own; without it the database takes
 * no key. */
static int unlock(PK11SlotInfo *slot, const char *path, bool write, enum reason *ret_reason) {
    const struct nss_session session = {.slot = slot};

    if (PK11_NeedUserInit(slot)) {
        /* there is no key in it yet, and nothing to change for one who only looks */
        if (!write)
            return 0;
        if (PK11_InitPin(slot, NULL, "") == SECSuccess)
            return 0;
        *ret_reason =
            nss_database_diagnose(path, nss_session_failure(&session, "set the empty password"));
        return -EIO;
    }
    if (PK11_NeedLogin(slot)) {
        log_event(
            LOG_LEVEL_WARNING, MSG_STORE_FAILED,
            "The certificate database has a master password; it is left as it is. Remove the "
            "password to use it.",
            LOG_TEXT("PATH", path));
        *ret_reason = REASON_STORE_PASSWORD;
        return -EACCES;
    }
    return 0;
}

static int open_database(
    const char *path, bool write, PK11SlotInfo **ret, enum reason *ret_reason) {
    PK11SlotInfo *slot;
    int r;

    slot = open_slot(path);
    if (!slot) {
        (void)nss_session_failure(NULL, "open the database");
        /* whoever is told that it is broken moves it away, with everybody's certificates */
        *ret_reason = nss_database_diagnose(
            path, nss_database_is_locked(path) ? REASON_STORE_BUSY : REASON_STORE_CORRUPT);
        return -EIO;
    }
    r = unlock(slot, path, write, ret_reason);
    if (r < 0) {
        close_slot(slot);
        return r;
    }
    *ret = slot;
    return 0;
}

static int initialise(const char *path, enum reason *ret_reason) {
    PK11SlotInfo *slot = NULL;
    int r = open_database(path, true, &slot, ret_reason);

    if (r >= 0)
        close_slot(slot);
    return r;
}

int nss_session_open(
    const char *path, bool create, struct nss_session **ret, enum reason *ret_reason) {
    CLEANUP_FREE struct nss_session *session = NULL;
    enum nss_database_state state;
    int r;

    if (strlen(path) >= sizeof session->path) {
        *ret_reason = REASON_STORE_ERROR;
        return -ENAMETOOLONG;
    }
    r = nss_database_check(path, create, &state, ret_reason);
    if (r < 0)
        return r;
    if (state == NSS_DATABASE_ABSENT && !create) {
        *ret_reason = REASON_STORE_MISSING;
        return -ENOENT;
    }
    session = calloc(1, sizeof *session);
    if (!session) {
        *ret_reason = REASON_NO_MEMORY;
        return -ENOMEM;
    }
    r = load(ret_reason);
    if (r < 0)
        return r;
    nss_database_sweep(path);
    if (state == NSS_DATABASE_ABSENT) {
        r = nss_database_create(path, initialise, ret_reason);
        if (r < 0)
            return r;
    }
    r = open_database(path, create, &session->slot, ret_reason);
    if (r < 0)
        return r;
    memcpy(session->path, path, strlen(path) + 1);
    open_sessions++;
    *ret = TAKE_PTR(session);
    return 0;
}

struct nss_session *nss_session_close(struct nss_session *session) {
    if (!session)
        return NULL;
    close_slot(session->slot);
    open_sessions--;
    free(session);
    return NULL;
}

PK11SlotInfo *nss_session_slot(const struct nss_session *session) {
    return session->slot;
}

const char *nss_session_path(const struct nss_session *session) {
    return session->path;
}

void nss_session_unload(void) {
    if (open_sessions > 0 || !NSS_IsInitialized())
        return;
    if (NSS_Shutdown() != SECSuccess)
        (void)nss_session_failure(NULL, "shut NSS down");
    (void)malloc_trim(0);
}

static enum reason reason_of_nss_error(PRErrorCode error) {
    switch (error) {
    case SEC_ERROR_BAD_PASSWORD:
    case SEC_ERROR_TOKEN_NOT_LOGGED_IN:
        return REASON_STORE_PASSWORD;
    case SEC_ERROR_READ_ONLY:
        return REASON_STORE_READ_ONLY;
    case SEC_ERROR_BAD_DATABASE:
        return REASON_STORE_CORRUPT;
    case SEC_ERROR_NO_MEMORY:
    case PR_OUT_OF_MEMORY_ERROR:
        return REASON_NO_MEMORY;
    default:
        return REASON_STORE_ERROR;
    }
}

enum reason nss_session_failure(const struct nss_session *session, const char *what) {
    PRErrorCode error = PR_GetError();
    enum reason reason = reason_of_nss_error(error);
    const char *name = PR_ErrorToName(error);

    if (session && session->path[0] != '\0')
        reason = nss_database_diagnose(session->path, reason);
    log_event(
        LOG_LEVEL_WARNING, MSG_STORE_FAILED,
        "The certificate database could not be used; its files and free space are worth a look.",
        LOG_TEXT("OPERATION", what), LOG_TEXT("NSS_ERROR", name ? name : "unknown"),
        LOG_TEXT("PATH", session ? session->path : ""), LOG_TEXT("CODE", reason_code(reason)));
    return reason;
}
