/* The file that an image or a management tool leaves to enrol a device without hands:
 * /etc/devtrust/enroll.conf. */
#pragma once

#include "common/secret.h"

#include <stddef.h>

struct enroll_config {
    char *url;
    char *ca_pin; /* NULL: none */
    struct secret *token;
};

/** Reads `[enroll] url, token, ca_pin`. Returns 0, -ENOENT, -EINVAL (see ret_error: file, line,
 * what to do; ≥ 256 bytes), or another negative errno. enroll_config_deinit() the result. */
int enroll_config_read(
    const char *path, struct enroll_config *ret, char *ret_error, size_t error_size);

/** Wipes and frees; safe on a zeroed struct. */
void enroll_config_deinit(struct enroll_config *config);
