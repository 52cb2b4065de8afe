/* Removes from an NSS database exactly what is ours: superseded leaves with their keys, keys that
 * no certificate names any more, issuers that nothing needs. Everything else stays untouched. */
#pragma once

#include "useragent/nss_session.h"
#include "useragent/ours.h"
#include "useragent/store.h"

#include <stdbool.h>

/** See struct store_ops. */
int nss_sweep_all_but(
    struct nss_session *session, const struct ours *ours, const uint8_t *keep, bool keep_issuer,
    enum reason *ret_reason);

/** See count() of struct store_ops. */
int nss_sweep_count(
    struct nss_session *session, const struct ours *ours, struct store_counts *ret,
    enum reason *ret_reason);

/** See discard() of struct store_ops. */
int nss_sweep_key(
    struct nss_session *session, const struct ours *ours, const uint8_t spki[SHA256_SIZE],
    bool keep_issuer, enum reason *ret_reason);
