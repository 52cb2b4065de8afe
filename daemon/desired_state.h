/* The server's desired state of this device: parsed, bounded, clamped. A state that does not parse
 * changes nothing. The fields: docs/SERVER-API.md. */
#pragma once

#include "common/reason.h"
#include "common/x509_key.h"
#include "common/x509_profile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DESIRED_STATE_MAX_SIZE (256 * 1024)
#define DESIRED_STATE_MAX_USERS 256
#define DESIRED_STATE_MAX_PATTERNS 32
#define DESIRED_STATE_MAX_SPLAY_S (24 * 3600)
#define DESIRED_STATE_MAX_REVOKED 8 /* serials per user that are looked at */

enum distribution { DISTRIBUTION_OFF, DISTRIBUTION_PAUSED, DISTRIBUTION_ON };
const char *distribution_name(enum distribution distribution);

struct desired_user {
    char *id;   /* server user id, [A-Za-z0-9._@-]{1,64} */
    char *name; /* local user name, 1 to 32 bytes */
    /* certificates that an order has ended, newest first: lower-case hex */
    char revoked[DESIRED_STATE_MAX_REVOKED][X509_SERIAL_HEX_SIZE];
    size_t revoked_count;
};

struct desired_state {
    char epoch[37];
    int64_t generation; /* 0 … 2⁶³−1 */
    bool enrolled;      /* false: the tombstone; nothing below is set */
    char *organisation; /* ≤ 64 characters */
    char *device;
    enum distribution distribution;
    int64_t splay_s; /* clamped to 24 h */
    enum key_type key_type;
    bool key_type_known; /* false: a newer server's type; the old certificate is kept */
    int64_t lifetime_s;
    int64_t renew_after_s; /* clamped to 10 … 80 % of lifetime_s */
    char *est_label;
    char **portal_patterns; /* syntactically sound; what is allowed is the policy's question */
    size_t portal_pattern_count;
    struct desired_user *users;
    size_t user_count;
    char **trusted_applications;
    size_t trusted_application_count;
};

/** Parses and clamps. Returns 0; -EBADMSG (not JSON by the gate); -EINVAL with the field in
 * *ret_field. desired_state_free(). */
int desired_state_parse(
    const char *text, size_t size, struct desired_state **ret, const char **ret_field);
struct desired_state *desired_state_free(struct desired_state *state);

/** Whether `next` may replace `current` (NULL: none yet): another epoch always; the same epoch with
 * a generation that is not smaller. */
bool desired_state_is_newer(const struct desired_state *current, const struct desired_state *next);
