/* Strings are most of what the gate sees, and nearly all of them are plain ASCII: that part goes by
 * sixteen bytes at a time, in long ones twice as many. */
#include "common/json_string.h"

#include "common/utf8.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 16

typedef int8_t block __attribute__((vector_size(BLOCK)));

/* Signed, bytes from 0x80 are below 0x20 too. */
static bool byte_is_plain(char c) {
    return (int8_t)c >= 0x20 && c != '"' && c != '\\';
}

/* The place of the first byte of `word` in memory that is not 0; there is one. */
static size_t first_byte(uint64_t word) {
    const bool is_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    return (size_t)(is_big ? __builtin_clzll(word) : __builtin_ctzll(word)) / 8;
}

/* Where a byte of sixteen is not plain, all bits of its place. */
static block special_in_block(const char *text) {
    block bytes;
    memcpy(&bytes, text, BLOCK);
    return (bytes < 0x20) | (bytes == '"') | (bytes == '\\');
}

static bool block_is_plain(block special) {
    uint64_t halves[2];
    memcpy(halves, &special, BLOCK);
    return (halves[0] | halves[1]) == 0;
}

/* How many bytes come before the first special one, which is there. */
static size_t plain_in_block(block special) {
    uint64_t halves[2];
    memcpy(halves, &special, BLOCK);
    return halves[0] ? first_byte(halves[0]) : BLOCK / 2 + first_byte(halves[1]);
}

static bool two_blocks_are_plain(const char *text) {
    return block_is_plain(special_in_block(text) | special_in_block(text + BLOCK));
}

size_t json_string_plain_length(const char *text, size_t size) {
    size_t length = 0;
    while (size - length >= BLOCK) {
        const block special = special_in_block(text + length);
        if (!block_is_plain(special))
            return length + plain_in_block(special);
        length += BLOCK;
        while (size - length >= 2 * BLOCK && two_blocks_are_plain(text + length))
            length += 2 * BLOCK;
    }
    while (length < size && byte_is_plain(text[length]))
        length++;
    return length;
}

/* ---- escapes ---- */

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits behind \u. Returns their value or -EBADMSG. */
static int read_hex4(const char **text, const char *end) {
    if (end - *text < 4)
        return -EBADMSG;
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value((*text)[i]);
        if (digit < 0)
            return -EBADMSG;
        value = value * 16 + digit;
    }
    *text += 4;
    return value;
}

/* What follows \u, surrogate pairs put together. U+0000 is refused: json-c cuts keys at it, and so
 * would every C string. */
static int read_unicode_escape(const char **text, const char *end, uint32_t *ret) {
    int high = read_hex4(text, end);
    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff))
        return -EBADMSG;
    if (high < 0xd800 || high > 0xdbff) {
        *ret = (uint32_t)high;
        return 0;
    }

    if (end - *text < 2 || (*text)[0] != '\\' || (*text)[1] != 'u')
        return -EBADMSG;
    *text += 2;
    int low = read_hex4(text, end);
    if (low < 0xdc00 || low > 0xdfff)
        return -EBADMSG;
    *ret = 0x10000U + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    return 0;
}

/* *text is at a backslash, and stays there if what follows is no escape. */
static int read_escape(const char **text, const char *end, uint32_t *ret) {
    static const char names[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";

    const char *at = *text + 1;
    if (at == end)
        return -EBADMSG;
    char c = *at++;
    if (c == 'u') {
        int r = read_unicode_escape(&at, end, ret);
        if (r < 0)
            return r;
    } else {
        const char *name = c ? strchr(names, c) : NULL;
        if (!name)
            return -EBADMSG;
        *ret = (uint32_t)meanings[name - names];
    }
    *text = at;
    return 0;
}

/* ---- a string ---- */

int json_string_check(const char **text, const char *end) {
    int escaped = 0;
    for (;;) {
        uint32_t code;
        *text += json_string_plain_length(*text, (size_t)(end - *text));
        if (*text == end)
            return -EBADMSG;
        if (**text == '"') {
            (*text)++;
            return escaped;
        }
        if (**text == '\\') {
            int r = read_escape(text, end, &code);
            if (r < 0)
                return r;
            escaped = 1;
            continue;
        }
        int size =
            (uint8_t) * *text < 0x20 ? -EILSEQ : utf8_decode(*text, (size_t)(end - *text), &code);
        if (size < 0)
            return -EBADMSG;
        *text += size;
    }
}

/* The next character of a checked string; false at its end. */
static bool next_character(struct json_string *string, uint32_t *ret) {
    if (string->start == string->end)
        return false;
    if (*string->start == '\\')
        return read_escape(&string->start, string->end, ret) == 0;
    int size = utf8_decode(string->start, (size_t)(string->end - string->start), ret);
    if (size < 0)
        return false;
    string->start += size;
    return true;
}

int json_string_compare(struct json_string left, struct json_string right) {
    for (;;) {
        uint32_t left_code, right_code;
        bool l = next_character(&left, &left_code);
        bool r = next_character(&right, &right_code);
        if (!l || !r)
            return l - r;
        if (left_code != right_code)
            return left_code < right_code ? -1 : 1;
    }
}

size_t json_string_decode(struct json_string string, char *ret) {
    char *out = ret;
    while (string.start < string.end) {
        const char *escape = memchr(string.start, '\\', (size_t)(string.end - string.start));
        size_t size = (size_t)((escape ? escape : string.end) - string.start);
        memcpy(out, string.start, size);
        out += size;
        string.start += size;
        uint32_t code;
        if (!escape || read_escape(&string.start, string.end, &code) < 0)
            break; /* the end: there are no bad escapes in a checked string */
        out += utf8_encode(code, out);
    }
    return (size_t)(out - ret);
}
