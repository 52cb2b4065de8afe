/* The device's private key on disk: PKCS#8, PEM, mode 0600, never in memory that is not wiped. */
#pragma once

#include "common/x509_key.h"

#include <stdbool.h>

/** Writes atomically, with fsync. Returns 0 or a negative errno. */
int device_key_write(int dir_fd, const char *name, EVP_PKEY *key);

/** Returns 0, -ENOENT, -EBADMSG (no key), or another negative errno. EVP_PKEY_free() the result. */
int device_key_read(int dir_fd, const char *name, EVP_PKEY **ret);

/** Whether the certificate is for this key. */
bool device_key_fits(EVP_PKEY *key, X509 *certificate);
