/* Keys and tokens in memory: made, read from a file, wiped. There is no function that prints one,
 * by intent. */
#include "common/secret.h"

#include "common/cleanup.h"
#include "common/secret_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_SIZE 65536
#define LINE_END_SIZE 2 /* "\r\n" */
#define ARENA_SMALLEST 32

struct secret {
    uint8_t *data;
    size_t size;
    size_t allocated; /* ≥ size: what is wiped */
};

DEFINE_CLEANUP(struct secret *, secret_free);

static int allocate(size_t size, struct secret **ret) {
    struct secret *secret = malloc(sizeof(*secret));
    if (!secret)
        return -ENOMEM;
    secret->data = secret_pages_allocate(size);
    if (!secret->data) {
        free(secret);
        return -ENOMEM;
    }
    secret->size = secret->allocated = size;
    *ret = secret;
    return 0;
}

int secret_new(size_t size, struct secret **ret) {
    if (size == 0 || size > MAX_SIZE)
        return -EINVAL;
    return allocate(size, ret);
}

struct secret *secret_free(struct secret *secret) {
    if (secret) {
        secret_pages_free(secret->data, secret->allocated);
        free(secret);
    }
    return NULL;
}

uint8_t *secret_data(struct secret *secret) {
    return secret->data;
}

size_t secret_size(const struct secret *secret) {
    return secret->size;
}

/* Reads to the end or until the secret is full; sets its size. */
static int fill(struct secret *secret, int fd) {
    size_t used = 0;
    while (used < secret->allocated) {
        ssize_t n = read(fd, secret->data + used, secret->allocated - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    secret->size = used;
    return 0;
}

static void drop_line_end(struct secret *secret) {
    if (secret->size == 0 || secret->data[secret->size - 1] != '\n')
        return;
    secret->size--;
    if (secret->size > 0 && secret->data[secret->size - 1] == '\r')
        secret->size--;
}

int secret_read_fd(int fd, size_t maximum, struct secret **ret) {
    if (maximum == 0 || maximum > MAX_SIZE)
        return -EINVAL;

    CLEANUP(secret_free_ptr) struct secret *secret = NULL;
    /* one more: a file that is cut off here is too long even without its line end */
    int r = allocate(maximum + LINE_END_SIZE + 1, &secret);
    if (r < 0)
        return r;
    r = fill(secret, fd);
    if (r < 0)
        return r;
    drop_line_end(secret);
    if (secret->size > maximum)
        return -EMSGSIZE;
    if (secret->size == 0)
        return -ENODATA;
    *ret = TAKE_PTR(secret);
    return 0;
}

int secret_read_file(const char *path, size_t maximum, struct secret **ret) {
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return secret_read_fd(fd, maximum, ret);
}

int secret_harden_openssl(size_t size) {
    if (CRYPTO_secure_malloc_initialized())
        return 0;
    if (size < (size_t)ARENA_SMALLEST * 2 || (size & (size - 1)) != 0)
        return -EINVAL; /* sh_init() takes powers of two only */
    /* 2: the arena works, but could not be locked or guarded; as with secret_new(), no error */
    return CRYPTO_secure_malloc_init(size, ARENA_SMALLEST) == 0 ? -ENOMEM : 0;
}
