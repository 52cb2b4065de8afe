/* Bytes that are locked in memory, kept out of core dumps and wiped when released: keys, tokens.
 * There is deliberately no way to print one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct secret;

/** Allocates a zeroed secret of `size` bytes (1 to 65536). Returns 0, -EINVAL, -ENOMEM. A failing
 * mlock (low RLIMIT_MEMLOCK) is not an error: the bytes are still wiped and left out of dumps. */
int secret_new(size_t size, struct secret **ret);

/** Wipes, unlocks and frees; takes NULL, returns NULL. */
struct secret *secret_free(struct secret *secret);

/** The bytes, owned by the secret. */
uint8_t *secret_data(struct secret *secret);
size_t secret_size(const struct secret *secret);

/** Reads a whole file or descriptor into a secret, without its final newline. `maximum` in bytes.
 * Returns 0, -EMSGSIZE, -ENODATA (empty), or the negative errno of open/read. */
int secret_read_file(const char *path, size_t maximum, struct secret **ret);
int secret_read_fd(int fd, size_t maximum, struct secret **ret);

/** Process-wide: no core dumps, not ptraceable by the same user (RLIMIT_CORE 0, PR_SET_DUMPABLE 0).
 * Call first in main(). Returns 0 or a negative errno. */
int secret_harden_process(void);

/** Tells OpenSSL to take its secret allocations from a locked arena of `size` bytes; once per
 * process. */
int secret_harden_openssl(size_t size);
