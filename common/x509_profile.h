/* What our certificates look like: policy OIDs, names, the check of an issued leaf, and the rule of
 * *ours*. Profile: RFC 5280. */
#pragma once

#include "reason.h"
#include "x509_key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 2.25.<UUID as a number> (ITU-T X.667): an arc that needs no registration. */
#define X509_POLICY_ARC "2.25.45844740899722477562360191552555722051"
#define X509_POLICY_USER X509_POLICY_ARC ".1"   /* a managed user's leaf */
#define X509_POLICY_DEVICE X509_POLICY_ARC ".2" /* a device's identity leaf */

#define X509_SERIAL_HEX_SIZE 41 /* 20 octets (RFC 5280 4.1.2.2) and NUL */
#define X509_MAX_DER_SIZE 8192  /* one certificate */

/** SAN URI of a device: "urn:uuid:<device>"; of a user: "urn:devtrust:user:<server user id>".
 * `size` ≥ 160 for a user. */
int x509_profile_device_uri(const char *device_uuid, char *ret, size_t size);
int x509_profile_user_uri(const char *user_id, char *ret, size_t size);

#define X509_PROFILE_BACKDATE_S                                                                    \
    300 /* notBefore lies so far before the issuance, for clocks that are behind */
#define X509_PROFILE_CN_SIZE (64 * 4 + 1)

/** "<Organisation><rest>" for a common name: the organisation is cut so that the whole keeps RFC
 * 5280's 64 characters. `size` ≥ X509_PROFILE_CN_SIZE. Returns 0 or -EINVAL (not UTF-8, control
 * characters, empty). */
int x509_profile_name(const char *organisation, const char *rest, char *ret, size_t size);

/** "<Organisation> Device Trust Certificate - xxxxxxxx": the organisation is cut so that the name
 * keeps RFC 5280's 64 characters; eight hex digits are the first four octets of the serial. `size`
 * ≥ 65*4. Returns 0 or -EINVAL. */
int x509_profile_user_cn(const char *organisation, const uint8_t serial[4], char *ret, size_t size);

/** True if the common name has the form above (any organisation) and its digits match the
 * certificate's serial. */
bool x509_profile_user_cn_matches(X509 *certificate);

/** Lower-case hex of the serial number, no leading zero octets, ≤ 20 octets. Returns 0 or -EINVAL.
 */
int x509_serial_hex(X509 *certificate, char ret[X509_SERIAL_HEX_SIZE]);

/** Seconds since 1970. Returns 0 or -EINVAL. */
int x509_not_before(X509 *certificate, int64_t *ret);
int x509_not_after(X509 *certificate, int64_t *ret);

/** Whether the certificate policies extension names `oid` (dotted text). */
bool x509_has_policy(X509 *certificate, const char *oid);

/** Whether the SAN has exactly this URI. */
bool x509_has_san_uri(X509 *certificate, const char *uri);

/** Copies a subject attribute's first value as UTF-8 by NID (NID_commonName …). free() it. Returns
 * 0, -ENOENT, -ENOMEM. */
int x509_subject_text(X509 *certificate, int nid, char **ret);

/** RFC 2253 text of subject and issuer for people (escaped). free() it; NULL when memory is out. */
char *x509_name_text(const X509_NAME *name);

struct x509_leaf_expectation {
    const uint8_t *spki_sha256;      /* SHA256_SIZE bytes; the key of our request */
    const char *device_uuid;         /* SAN that must be there */
    const char *user_id;             /* SAN that must be there; NULL for a device leaf */
    const char *policy_oid;          /* X509_POLICY_USER or X509_POLICY_DEVICE */
    const uint8_t *root_spki_sha256; /* the pinned root's key; NULL: take the root as it is (at
                                        enrolment only) */
    int64_t min_lifetime_s, max_lifetime_s;
    int64_t now_s; /* 0: do not look at the clock; else only "already expired" is refused */
};

/** Finds leaf, issuing CA and root among `certificates` (any order, at most 8; a missing root is
 * taken from `known_roots`, which may be NULL) and checks: key, SAN, CN form (users), EKU
 * clientAuth only, KU digitalSignature, CA:FALSE, policy OID, chain of signatures with pathlen and
 * CA flags up to the pinned root, lifetime as notAfter − notBefore. Returns 0 and a bundle, or
 * -EBADMSG and *ret_reason (REASON_LEAF_*, REASON_BUNDLE_INVALID). A bad leaf with a good key is
 * reported by its own fault, not as a chain fault. */
struct x509_bundle {
    X509 *root;
    X509 *intermediate;
    X509 *leaf;
};
int x509_bundle_check(
    STACK_OF(X509) * certificates, STACK_OF(X509) * known_roots,
    const struct x509_leaf_expectation *expectation, struct x509_bundle *ret,
    enum reason *ret_reason);

/** Drops the references; the struct may be used again. Safe on a zeroed one. */
void x509_bundle_deinit(struct x509_bundle *bundle);
#define CLEANUP_X509_BUNDLE CLEANUP(x509_bundle_deinit)

/** The rule of *ours*: authority key pinned (issuer's SPKI hash is proved by verifying the
 * signature with `issuer`), policy OID and SAN device. Never a name. */
bool x509_is_ours(
    X509 *leaf, X509 *issuer, const uint8_t issuer_spki_sha256[SHA256_SIZE],
    const char *device_uuid);

/** DER in standard base64 without line breaks, as it travels over IPC and stands in state files.
 * free() the text. Return 0, -ENOMEM, -EIO; from text also -EBADMSG, -EMSGSIZE past
 * X509_MAX_DER_SIZE. */
int x509_cert_to_base64(X509 *certificate, char **ret);
int x509_cert_from_base64(const char *text, X509 **ret);
