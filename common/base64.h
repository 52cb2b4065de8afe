/* Base64 of RFC 4648 section 4, with the two readings that the project needs: strict (state files,
 * IPC) and with white space skipped (EST bodies, RFC 8951 section 3.1). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Room for the text of `size` bytes, with NUL. */
#define BASE64_TEXT_SIZE(size) (((size) + 2) / 3 * 4 + 1)

/** Encodes without line breaks; `ret` holds BASE64_TEXT_SIZE(size). Returns the length without NUL.
 */
size_t base64_encode(const uint8_t *data, size_t size, char *ret);

/** Decodes; padding is demanded, unused bits must be zero, nothing may follow. `skip_space`:
 * blanks, tabs and line ends are passed over. `ret` holds at least size / 4 * 3 bytes. Returns 0 or
 * -EBADMSG. */
int base64_decode(const char *text, size_t size, bool skip_space, uint8_t *ret, size_t *ret_size);
