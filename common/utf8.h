/* One strict decoder of UTF-8 for all that looks at foreign text (JSON gate, log, configuration).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Decodes the character at `text` (`length` bytes are left, may be 0). Returns its size of 1 to 4
 * bytes with the code point in *ret, or -EILSEQ: nothing left, overlong, cut off, a surrogate, or
 * above U+10FFFF (RFC 3629). */
int utf8_decode(const char *text, size_t length, uint32_t *ret);

/** Whether all of `length` bytes are such characters; an empty text is. */
bool utf8_is_valid(const char *text, size_t length);
