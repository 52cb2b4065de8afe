/* Deletes by object: first the key, then its certificate, so that a kill in between leaves a
 * certificate that the rule of *ours* finds again. The deleted key is what makes a running browser
 * switch (facts: Chromium while it runs). */
#include "useragent/nss_sweep.h"

#include "common/log.h"
#include "common/log_messages.h"
#include "useragent/nss_object.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>

struct sweep {
    struct nss_session *session;
    const struct ours *ours;
    struct nss_certificates certificates;
    struct nss_keys keys;
};

static void sweep_deinit(struct sweep *sweep) {
    nss_keys_deinit(&sweep->keys);
    nss_certificates_deinit(&sweep->certificates);
}

/* Certificates and keys meet by their ids: where one could not be read, a key that works would pass
 * for an orphan. */
static bool has_all_ids(const struct sweep *sweep) {
    for (size_t i = 0; i < sweep->certificates.count; i++)
        if (sweep->certificates.items[i].ours && !sweep->certificates.items[i].id)
            return false;
    for (size_t i = 0; i < sweep->keys.count; i++)
        if (!sweep->keys.items[i].id &&
            ours_key_label_matches(sweep->ours, sweep->keys.items[i].label, NULL))
            return false;
    return true;
}

static int sweep_read(
    struct sweep *sweep, struct nss_session *session, const struct ours *ours,
    enum reason *ret_reason) {
    int r;

    *sweep = (struct sweep){.session = session, .ours = ours};
    r = nss_certificates_read(session, ours, &sweep->certificates);
    if (r >= 0)
        r = nss_keys_read(session, &sweep->keys);
    if (r >= 0 && !has_all_ids(sweep))
        r = -EIO;
    if (r < 0) {
        sweep_deinit(sweep);
        *ret_reason = r == -ENOMEM ? REASON_NO_MEMORY : nss_session_failure(session, "list");
    }
    return r;
}

static int delete_key(struct sweep *sweep, struct nss_key *key, enum reason *ret_reason) {
    /* PK11_DeleteTokenPrivateKey frees the key: the list keeps its own reference */
    SECKEYPrivateKey *copy = SECKEY_CopyPrivateKey(key->key);

    if (copy && PK11_DeleteTokenPrivateKey(copy, PR_TRUE) == SECSuccess)
        return 0;
    *ret_reason = nss_session_failure(sweep->session, "delete a key");
    return -EIO;
}

static int delete_certificate(
    struct sweep *sweep, const struct nss_certificate *certificate, enum reason *ret_reason) {
    if (SEC_DeletePermCertificate(certificate->nss) == SECSuccess)
        return 0;
    *ret_reason = nss_session_failure(sweep->session, "delete a certificate");
    return -EIO;
}

static bool has_key_hash(X509 *certificate, const uint8_t *spki) {
    uint8_t own[SHA256_SIZE];

    return x509_cert_spki_sha256(certificate, own) >= 0 && memcmp(own, spki, SHA256_SIZE) == 0;
}

static int delete_leaf(
    struct sweep *sweep, const struct nss_certificate *certificate, enum reason *ret_reason) {
    struct nss_key *key = nss_keys_find(&sweep->keys, certificate);
    char serial_hex[X509_SERIAL_HEX_SIZE] = "";
    const char *serial = serial_hex;
    int r;

    if (key) {
        r = delete_key(sweep, key, ret_reason);
        if (r < 0)
            return r;
    }
    r = delete_certificate(sweep, certificate, ret_reason);
    if (r < 0)
        return r;
    (void)x509_serial_hex(certificate->x509, serial_hex);
    log_event(
        LOG_LEVEL_INFO, MSG_STORE, "A certificate was removed from the database.",
        LOG_TEXT("SERIAL", serial), LOG_TEXT("PATH", nss_session_path(sweep->session)));
    return 0;
}

/* Keys with our label whose certificate is not (or no longer) there: a crash came between key and
 * leaf, or somebody removed the leaf. */
static bool is_orphan(struct sweep *sweep, const struct nss_key *key) {
    if (!ours_key_label_matches(sweep->ours, key->label, NULL))
        return false;
    for (size_t i = 0; i < sweep->certificates.count; i++)
        if (nss_key_belongs_to(key, &sweep->certificates.items[i]))
            return false;
    return true;
}

static bool is_of_ours(struct sweep *sweep, const struct nss_key *key) {
    for (size_t i = 0; i < sweep->certificates.count; i++)
        if (sweep->certificates.items[i].ours &&
            nss_key_belongs_to(key, &sweep->certificates.items[i]))
            return true;
    return false;
}

int nss_sweep_count(
    struct nss_session *session, const struct ours *ours, struct store_counts *ret,
    enum reason *ret_reason) {
    struct store_counts counts = {0};
    struct sweep sweep;
    int r = sweep_read(&sweep, session, ours, ret_reason);

    if (r < 0)
        return r;
    for (size_t i = 0; i < sweep.certificates.count; i++)
        counts.certificates += sweep.certificates.items[i].ours;
    for (size_t i = 0; i < sweep.keys.count; i++) {
        bool orphan = is_orphan(&sweep, &sweep.keys.items[i]);

        counts.orphans += orphan;
        counts.keys += orphan || is_of_ours(&sweep, &sweep.keys.items[i]);
    }
    sweep_deinit(&sweep);
    *ret = counts;
    return 0;
}

static bool is_trusted(CERTCertificate *certificate) {
    CERTCertTrust trust;
    const unsigned meaning =
        CERTDB_TRUSTED_CA | CERTDB_TRUSTED_CLIENT_CA | CERTDB_TRUSTED | CERTDB_TERMINAL_RECORD;

    return CERT_GetCertTrust(certificate, &trust) == SECSuccess &&
           ((trust.sslFlags | trust.emailFlags | trust.objectSigningFlags) & meaning) != 0;
}

/* An issuer goes when it is pinned, no leaf in the database needs it, and nobody has set trust on
 * it (we never do). */
static bool is_unneeded_issuer(struct sweep *sweep, const struct nss_certificate *issuer) {
    if (!ours_is_issuer(sweep->ours, issuer->x509) || is_trusted(issuer->nss))
        return false;
    for (size_t i = 0; i < sweep->certificates.count; i++) {
        const struct nss_certificate *other = &sweep->certificates.items[i];

        if (other != issuer && X509_check_issued(issuer->x509, other->x509) == X509_V_OK)
            return false;
    }
    return true;
}

/* One pass; *ret_removed counts what was (to be) deleted. */
static int issuers_pass(
    struct nss_session *session, const struct ours *ours, unsigned *ret_removed,
    enum reason *ret_reason) {
    struct sweep sweep;
    unsigned removed = 0;
    int r = sweep_read(&sweep, session, ours, ret_reason);

    if (r < 0)
        return r;
    for (size_t i = 0; r >= 0 && i < sweep.certificates.count; i++) {
        if (!is_unneeded_issuer(&sweep, &sweep.certificates.items[i]))
            continue;
        r = delete_certificate(&sweep, &sweep.certificates.items[i], ret_reason);
        removed++;
    }
    sweep_deinit(&sweep);
    if (r >= 0)
        *ret_removed = removed;
    return r;
}

/* Looked for again, as the leaves are: on a full disk NSS says that it deleted what is still there.
 */
static int sweep_issuers(
    struct nss_session *session, const struct ours *ours, enum reason *ret_reason) {
    unsigned removed = 0;
    int r = issuers_pass(session, ours, &removed, ret_reason);

    if (r >= 0 && removed > 0)
        r = issuers_pass(session, ours, &removed, ret_reason);
    if (r < 0 || removed == 0)
        return r;
    *ret_reason = REASON_STORE_VERIFY;
    return -EBADMSG;
}

/* Whether certificate and key are there. */
static bool holds(const struct sweep *sweep, const uint8_t *spki) {
    for (size_t i = 0; i < sweep->certificates.count; i++) {
        const struct nss_certificate *certificate = &sweep->certificates.items[i];

        if (certificate->ours && has_key_hash(certificate->x509, spki) &&
            nss_keys_find(&sweep->keys, certificate))
            return true;
    }
    return false;
}

/* One pass; *ret_removed counts what was (to be) deleted. */
static int sweep_pass(
    struct nss_session *session, const struct ours *ours, const uint8_t *keep,
    unsigned *ret_removed, enum reason *ret_reason) {
    struct sweep sweep;
    unsigned removed = 0;
    int r = sweep_read(&sweep, session, ours, ret_reason);

    if (r < 0)
        return r;
    if (keep && !holds(&sweep, keep)) {
        /* whatever has become of it since it was verified: nothing is given up for it */
        *ret_reason = REASON_STORE_VERIFY;
        r = -EBADMSG;
    }
    for (size_t i = 0; r >= 0 && i < sweep.certificates.count; i++) {
        const struct nss_certificate *certificate = &sweep.certificates.items[i];

        if (!certificate->ours || (keep && has_key_hash(certificate->x509, keep)))
            continue;
        r = delete_leaf(&sweep, certificate, ret_reason);
        removed++;
    }
    for (size_t i = 0; r >= 0 && i < sweep.keys.count; i++) {
        if (!is_orphan(&sweep, &sweep.keys.items[i]))
            continue;
        r = delete_key(&sweep, &sweep.keys.items[i], ret_reason);
        removed++;
    }
    sweep_deinit(&sweep);
    if (r >= 0)
        *ret_removed = removed;
    return r;
}

int nss_sweep_all_but(
    struct nss_session *session, const struct ours *ours, const uint8_t *keep, bool keep_issuer,
    enum reason *ret_reason) {
    unsigned removed = 0;
    int r;

    r = sweep_pass(session, ours, keep, &removed, ret_reason);
    if (r < 0)
        return r;
    if (removed > 0) {
        /* what is reported as gone was looked for, not assumed */
        r = sweep_pass(session, ours, keep, &removed, ret_reason);
        if (r < 0)
            return r;
        if (removed > 0) {
            *ret_reason = REASON_STORE_VERIFY;
            return -EBADMSG;
        }
    }
    return keep_issuer ? 0 : sweep_issuers(session, ours, ret_reason);
}

int nss_sweep_key(
    struct nss_session *session, const struct ours *ours, const uint8_t spki[SHA256_SIZE],
    bool keep_issuer, enum reason *ret_reason) {
    struct sweep sweep;
    int r = sweep_read(&sweep, session, ours, ret_reason);

    if (r < 0)
        return r;
    for (size_t i = 0; r >= 0 && i < sweep.certificates.count; i++)
        if (sweep.certificates.items[i].ours &&
            has_key_hash(sweep.certificates.items[i].x509, spki))
            r = delete_leaf(&sweep, &sweep.certificates.items[i], ret_reason);
    for (size_t i = 0; r >= 0 && i < sweep.keys.count; i++)
        if (is_orphan(&sweep, &sweep.keys.items[i]))
            r = delete_key(&sweep, &sweep.keys.items[i], ret_reason);
    sweep_deinit(&sweep);
    return r < 0 || keep_issuer ? r : sweep_issuers(session, ours, ret_reason);
}
