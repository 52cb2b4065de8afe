/* The CA's files: PEM in, PEM out, written atomically, keys closed to everybody else. */
#pragma once

#include "common/secret.h"
#include "common/x509_key.h"

#include <openssl/x509.h>
#include <stddef.h>

/** The first certificate of a PEM file. Returns 0, -ENOENT, -EBADMSG, or another negative errno. */
int ca_file_read_certificate(int dir_fd, const char *name, X509 **ret);

/** Writes certificates, in order, mode 0644. */
int ca_file_write_certificates(
    int dir_fd, const char *name, X509 *const *certificates, size_t count);

/** Writes an unencrypted PKCS#8 key, mode 0600; the text is wiped afterwards. */
int ca_file_write_key(int dir_fd, const char *name, EVP_PKEY *key);

/** Writes a PKCS#8 key encrypted with AES-256-CBC under scrypt (RFC 7914; N 16384, r 8, p 5), mode
 * 0600. `openssl pkey` reads it. */
int ca_file_write_encrypted_key(
    int dir_fd, const char *name, EVP_PKEY *key, struct secret *passphrase);
