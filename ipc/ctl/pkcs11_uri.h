/* The name by which other programs find a certificate and its key in an NSS database. */
#pragma once

#include <openssl/x509.h>

#define PKCS11_URI_SIZE 128

/** "pkcs11:token=NSS%20Certificate%20DB;id=%2D%4D…" (RFC 7512): the token's name as NSS gives it to
 * every database of a user, and the CKA_ID that NSS gives to a certificate and its private key. No
 * type, so that it names both; no label, since that is the user's to read.
 *
 * CKA_ID is the SHA-1 of the public value: the point of an EC key, the modulus of an RSA key
 * without leading zeros (NSS, lib/pk11wrap/pk11akey.c, PK11_MakeIDFromPubKey; seen with NSS 3.87).
 * A new key has a new one: the name holds until the next renewal.
 *
 * Returns 0, -ENOTSUP (another kind of key), -EBADMSG (no readable key) or -EIO (no SHA-1). */
int pkcs11_uri(X509 *certificate, char ret[PKCS11_URI_SIZE]);
