/* Which machine this is, without telling anybody: what an identity is bound to, so that a copied
 * disk does not impersonate the machine that it was copied from. */
#pragma once

#define MACHINE_BINDING_SIZE 33 /* 32 hex digits and NUL */

/** The machine id's application-specific form for devtrust, as sd_id128_get_machine_app_specific(3)
 * computes it: HMAC-SHA256 keyed by the id, cut to 128 bits, marked as a version 4 UUID. `path`: a
 * file with 32 hex digits, such as /etc/machine-id. Returns 0, -ENOENT, -EINVAL (empty,
 * "uninitialized", all zero, no machine id), or another negative errno. */
int machine_binding_read(const char *path, char ret[MACHINE_BINDING_SIZE]);
