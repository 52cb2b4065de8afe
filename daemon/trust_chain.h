/* The CAs of one kind as cacerts names them: a self-signed root and the issuing CA below it,
 * checked before they are pinned. */
#pragma once

#include "common/x509_key.h"

/** Finds the root (self-signed, CA, allowed to sign certificates) and the CA that it signed.
 * Exactly one of each. References in *ret_… (X509_free()). Returns 0 or -EBADMSG. */
int trust_chain_pick(STACK_OF(X509) * certificates, X509 **ret_root, X509 **ret_issuer);
