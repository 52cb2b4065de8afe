/* An NSS database as a store: install, verify, discard, list. What is removed is nss_sweep.h's. */
#pragma once

#include "useragent/nss_session.h"
#include "useragent/store.h"

extern const struct store_ops nss_store_chromium;
extern const struct store_ops nss_store_firefox;

/** The open database behind a store; borrowed. */
struct nss_session *nss_store_session(struct store *store);
