/* The agent's one file, ${XDG_STATE_HOME:-~/.local/state}/devtrust/agent.json: what is installed,
 * and what was about to be done when the process died. Public data only. Written before acting;
 * read at start. */
#pragma once

#include "useragent/ours.h"
#include "useragent/store.h"

#include <stdint.h>

enum agent_intent {
    AGENT_INTENT_NONE,
    AGENT_INTENT_IMPORT,
    AGENT_INTENT_SUPERSEDE,
    AGENT_INTENT_REMOVE
};
const char *agent_intent_name(enum agent_intent intent);

#define AGENT_RECORD_MAX_OLD OURS_MAX_KEYS

/* of present_since */
#define AGENT_RECORD_ABSENT 0
#define AGENT_RECORD_UNKNOWN (-1) /* a record of an older version, or one that was rebuilt */

struct agent_record_store {
    struct store_location location;
    int64_t present_since; /* seconds since 1970: a certificate of ours that works has been there
                              without a break since; or one of the above */
    bool issuer_found;     /* the issuer's certificate was there before us and stays */
    bool verified;         /* the current certificate was verified there */
};

struct agent_record {
    char device_uuid[37];
    char *issuers[OURS_MAX_ISSUERS]; /* base64 DER, newest first; owned */
    size_t issuer_count;

    /* current: serial empty where there is none */
    char serial[X509_SERIAL_HEX_SIZE];
    char request_id[USER_ID_MAX];
    uint8_t spki[SHA256_SIZE];
    int64_t not_before, not_after;  /* seconds since 1970 */
    int64_t installed_at, renew_at; /* seconds since 1970 */
    int64_t renew_after_s;          /* the setting that renew_at was drawn from */
    struct agent_record_store stores[STORE_MAX];
    size_t store_count;

    /* intent */
    enum agent_intent intent;
    char intent_request_id[USER_ID_MAX];
    uint8_t intent_spki[SHA256_SIZE];               /* import: the new key */
    uint8_t old[AGENT_RECORD_MAX_OLD][SHA256_SIZE]; /* supersede: keys to remove */
    size_t old_count;
};

void agent_record_init(struct agent_record *record);
void agent_record_deinit(struct agent_record *record);
#define CLEANUP_AGENT_RECORD CLEANUP(agent_record_deinit)

/** Deep copy. Returns 0 or -ENOMEM. */
int agent_record_copy(const struct agent_record *from, struct agent_record *ret);

static inline bool agent_record_has_current(const struct agent_record *record) {
    return record->serial[0] != '\0';
}

/** Puts an issuer first in the list; the oldest falls out. Returns 0, 1 (it was known), -ENOMEM. */
int agent_record_add_issuer(struct agent_record *record, X509 *issuer);

/** Keeps the first `count` issuers. */
void agent_record_keep_issuers(struct agent_record *record, size_t count);

/** Adds what the record knows to the rule of *ours*. */
int agent_record_add_to(const struct agent_record *record, struct ours *ours);

/** Reads the file. Returns 0; -ENOENT; -EPROTO (a newer version: leave it alone); -EBADMSG (broken:
 * it has been set aside); other negative errno. */
int agent_record_read(const struct user_dirs *dirs, struct agent_record *ret);

/** Whether the file could be read now, with the same results; changes nothing. */
int agent_record_probe(const struct user_dirs *dirs);

/** Writes it durably (0600, directory 0700). A missing home is not made. Returns 0,
 * -ENOTDIR/-ENOENT (no home), or a negative errno. */
int agent_record_write(const struct user_dirs *dirs, const struct agent_record *record);

/** Unlinks the file and, if it is empty, its directory. */
int agent_record_remove(const struct user_dirs *dirs);
