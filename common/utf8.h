/* One strict decoder of UTF-8 for all that looks at foreign text (JSON gate, log, configuration),
 * and its opposite. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Decodes the character at `text` (`length` bytes are left, may be 0). Returns its size of 1 to 4
 * bytes with the code point in *ret, or -EILSEQ: nothing left, overlong, cut off, a surrogate, or
 * above U+10FFFF (RFC 3629). */
int utf8_decode(const char *text, size_t length, uint32_t *ret);

/** Writes the character and returns its size of 1 to 4 bytes. `code` is none that utf8_decode()
 * would not give. */
size_t utf8_encode(uint32_t code, char *ret);

/** Whether all of `length` bytes are such characters; an empty text is. */
bool utf8_is_valid(const char *text, size_t length);

/** Whether a character beyond ASCII steers a terminal or a reader's eye instead of showing
 * something. ASCII's own control characters are for the caller, who may want some. */
bool utf8_is_deceptive(uint32_t code);
