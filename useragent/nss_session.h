/* NSS for the time of one job: NSS_NoDB_Init → SECMOD_OpenUserDB → work → SECMOD_CloseUserDB →
 * NSS_Shutdown → malloc_trim. The user's pkcs11.txt is never read, so no module that it names is
 * loaded (facts: NSS in the agent). One thread only: the loop's worker. Never fork while a session
 * is open. */
#pragma once

#include "common/reason.h"

#include <openssl/x509.h>
#include <stdbool.h>

/* NSS's own types, without its headers */
struct PK11SlotInfoStr;

struct nss_session;

/** Opens the database in directory `path`, which nss_database_check() has found sound. `create`:
 * make it if it is absent; otherwise -ENOENT. Returns 0, or a negative errno and *ret_reason
 * (REASON_STORE_*): a database with a master password is STORE_PASSWORD and left as it is. */
int nss_session_open(
    const char *path, bool create, struct nss_session **ret, enum reason *ret_reason);

/** Closes the database. NSS stays loaded until nss_session_unload(). Takes NULL, returns NULL. */
struct nss_session *nss_session_close(struct nss_session *session);

struct PK11SlotInfoStr *nss_session_slot(const struct nss_session *session);
const char *nss_session_path(const struct nss_session *session);

/** Shuts NSS down and returns its memory; nothing while a session is open or NSS was not loaded. */
void nss_session_unload(void);

/** Logs NSS's error of this thread with what was tried, and gives the reason: what the error says,
 * or the files tell. */
enum reason nss_session_failure(const struct nss_session *session, const char *what);
