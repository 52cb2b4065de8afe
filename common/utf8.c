/* The strict decoder of UTF-8: a table of the four lead forms, each with the smallest code point
 * that may use it. */
#include "common/utf8.h"

#include "common/cleanup.h"

#include <errno.h>

static const struct {
    uint8_t mask, lead;
    int size;
    uint32_t smallest; /* anything below it is overlong */
} forms[] = {
    {0x80, 0x00, 1, 0x00},
    {0xe0, 0xc0, 2, 0x80},
    {0xf0, 0xe0, 3, 0x800},
    {0xf8, 0xf0, 4, 0x10000},
};

int utf8_decode(const char *text, size_t length, uint32_t *ret) {
    if (length == 0)
        return -EILSEQ;

    const uint8_t lead = (uint8_t)text[0];
    size_t f = 0;
    while (f < ARRAY_LENGTH(forms) && (lead & forms[f].mask) != forms[f].lead)
        f++;
    if (f == ARRAY_LENGTH(forms) || (size_t)forms[f].size > length)
        return -EILSEQ;

    uint32_t code = lead & (uint8_t)~forms[f].mask;
    for (int i = 1; i < forms[f].size; i++) {
        const uint8_t next = (uint8_t)text[i];
        if ((next & 0xc0) != 0x80)
            return -EILSEQ;
        code = code << 6 | (next & 0x3f);
    }
    if (code < forms[f].smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return -EILSEQ;
    *ret = code;
    return forms[f].size;
}

size_t utf8_encode(uint32_t code, char *ret) {
    size_t f = code < forms[1].smallest   ? 0
               : code < forms[2].smallest ? 1
               : code < forms[3].smallest ? 2
                                          : 3;
    const int size = forms[f].size;
    for (int i = size - 1; i > 0; i--) {
        ret[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    ret[0] = (char)(forms[f].lead | code);
    return (size_t)size;
}

/* C1 controls, the bidirectional controls (Unicode UAX #9, section 2), line separators, invisible
 * tags. */
bool utf8_is_deceptive(uint32_t code) {
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x80, 0x9f},     {0x61c, 0x61c},   {0x200e, 0x200f},   {0x2028, 0x202e},
        {0x2066, 0x2069}, {0xfeff, 0xfeff}, {0xe0000, 0xe007f},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(ranges); i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

bool utf8_is_valid(const char *text, size_t length) {
    size_t done = 0;
    while (done < length) {
        uint32_t code;
        int size = utf8_decode(text + done, length - done, &code);
        if (size < 0)
            return false;
        done += (size_t)size;
    }
    return true;
}
