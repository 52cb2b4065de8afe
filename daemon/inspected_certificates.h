/* What an agent says of the certificates in its user's stores, checked before it is shown: what is
 * not ours by the rule of *ours* is left out. */
#pragma once

#include "daemon/user_record.h"

#include <json-c/json_object.h>
#include <openssl/x509.h>

#define INSPECTED_MAX_CERTIFICATES 32 /* of one answer: two in each of the most stores */

/** Whose stores they are, and what is ours in them. */
struct certificate_owner {
    char name[USER_NAME_SIZE];
    uint8_t issuer_spki[SHA256_SIZE];
    char device_uuid[37];
    X509 *issuer; /* the present one, where the agent does not know it; owned; NULL: none */
};

struct certificate_counts {
    unsigned ours;   /* one per store that has it */
    unsigned usable; /* of these: its key is there and signs, and it has not expired */
};

/** Adds those of `answer` (array of io.devtrust.Agent's StoreCertificate) that are ours to
 * `certificates` (array of io.devtrust.Device's Certificate), one object for all stores that hold
 * the same. `now`: seconds since 1970. */
void inspected_certificates_add(
    struct json_object *certificates, const struct certificate_owner *owner,
    struct json_object *answer, int64_t now, struct certificate_counts *ret);
