/* What visitors of the portal were told when it denied them, found again by the reference on their
 * page. In memory only: whoever has no certificate may make the portal write here, so it must cost
 * no disk and have an end. Two tables of one size: strangers can push out only other strangers,
 * never a visitor who presented a certificate of ours. */
#pragma once

#include "common/clock.h"
#include "common/reference.h"
#include "server/certificate.h"
#include "server/portal_browser.h"

#define PORTAL_DENIALS_MAX 2048           /* of each of the two tables; then the oldest goes */
#define PORTAL_DENIALS_LIFE_S (7 * 86400) /* a help desk's week */

struct portal_denial {
    char reference[REFERENCE_SIZE];
    enum reason reason;
    int64_t first_s, last_s; /* when it was shown, seconds since 1970 */
    enum portal_browser browser;
    bool presented; /* a certificate; of ours only if serial is not "" */
    uint8_t fingerprint[SHA256_SIZE];
    char serial[X509_SERIAL_HEX_SIZE];
    char device[SERVER_UUID_SIZE];
    char user_id[SERVER_USER_ID_SIZE];
};

struct portal_denials;

/** Returns 0 or -ENOMEM. */
int portal_denials_new(
    const struct random_source *random, const struct clock_source *clock,
    struct portal_denials **ret);
struct portal_denials *portal_denials_free(struct portal_denials *denials);

/** Notes a denial (reference and times are not read) and gives its reference. The same one again
 * while the same is told about the same certificate of ours, or to the same `session` (text; NULL:
 * none), so that an open page keeps its reference and no certificate fills its table. Returns 0 or
 * -EIO (random). */
int portal_denials_note(
    struct portal_denials *denials, const char *session, const struct portal_denial *denial,
    char ret[REFERENCE_SIZE]);

/** By a reference as reference_parse() gives it; NULL if none is remembered. Borrowed until the
 * next call. */
const struct portal_denial *portal_denials_find(
    const struct portal_denials *denials, const char *reference);
