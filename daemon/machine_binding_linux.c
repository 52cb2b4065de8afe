/* The binding on Linux: machine-id(5). Own code and not sd-id128's, whose path cannot be chosen. */
#include "daemon/machine_binding.h"

#include "common/cleanup.h"
#include "common/x509_key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/hmac.h>
#include <string.h>

#define ID_SIZE 16
#define ID_HEX_SIZE (2 * ID_SIZE)

/* devtrust's application id; made once with systemd-id128 new. Another one would unbind every
 * device. */
static const uint8_t application[ID_SIZE] = {0x0a, 0xdf, 0x11, 0x53, 0x20, 0x3b, 0x44, 0xd6,
                                             0xb0, 0xc9, 0xf1, 0xa8, 0xdb, 0x1f, 0xa2, 0xbc};

static int read_id(const char *path, uint8_t ret[ID_SIZE]) {
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    char text[ID_HEX_SIZE + 2];
    ssize_t size = read(fd, text, sizeof(text));
    if (size < 0)
        return -errno;
    if (size != ID_HEX_SIZE && !(size == ID_HEX_SIZE + 1 && text[ID_HEX_SIZE] == '\n'))
        return -EINVAL;
    text[ID_HEX_SIZE] = '\0';
    int r = hex_decode(text, ret, ID_SIZE);
    if (r < 0)
        return r;
    static const uint8_t zero[ID_SIZE];
    return memcmp(ret, zero, ID_SIZE) == 0 ? -EINVAL : 0;
}

int machine_binding_read(const char *path, char ret[MACHINE_BINDING_SIZE]) {
    uint8_t id[ID_SIZE], hash[SHA256_SIZE];
    int r = read_id(path, id);
    if (r < 0)
        return r;
    unsigned size = sizeof(hash);
    if (!HMAC(EVP_sha256(), id, ID_SIZE, application, ID_SIZE, hash, &size) || size != SHA256_SIZE)
        return -EIO;
    hash[6] = (uint8_t)((hash[6] & 0x0f) | 0x40);
    hash[8] = (uint8_t)((hash[8] & 0x3f) | 0x80);
    hex_encode(hash, ID_SIZE, ret);
    return 0;
}
