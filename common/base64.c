/* Base64 by hand, because OpenSSL's decoder passes over white space and stops at a dash, and its
 * BIO filter takes whatever stands before an error for the whole. */
#include "base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const uint8_t *data, size_t size, char *ret) {
    char *out = ret;

    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)data[i + 2] : 0);

        *out++ = alphabet[group >> 18 & 63];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *out++ = left > 2 ? alphabet[group & 63] : '=';
    }
    *out = '\0';
    return (size_t)(out - ret);
}

static int digit_value(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int base64_decode(const char *text, size_t size, bool skip_space, uint8_t *ret, size_t *ret_size) {
    uint32_t group = 0;
    unsigned digits = 0, padding = 0; /* of the current group of four */
    size_t count = 0;

    for (size_t i = 0; i < size; i++) {
        int value;

        if (skip_space && is_space(text[i]))
            continue;
        if (text[i] == '=') {
            if (digits < 2 || digits + padding >= 4)
                return -EBADMSG;
            padding++;
            continue;
        }
        value = digit_value(text[i]);
        if (value < 0 || padding > 0)
            return -EBADMSG;
        group = group << 6 | (uint32_t)value;
        if (++digits < 4)
            continue;
        ret[count++] = (uint8_t)(group >> 16);
        ret[count++] = (uint8_t)(group >> 8);
        ret[count++] = (uint8_t)group;
        group = 0;
        digits = 0;
    }
    if (digits == 1 || (digits > 1 && digits + padding != 4))
        return -EBADMSG;
    if (digits == 2) {
        if (group & 0xf)
            return -EBADMSG;
        ret[count++] = (uint8_t)(group >> 4);
    } else if (digits == 3) {
        if (group & 0x3)
            return -EBADMSG;
        ret[count++] = (uint8_t)(group >> 10);
        ret[count++] = (uint8_t)(group >> 2);
    }
    *ret_size = count;
    return 0;
}
