/* A walk over tags and lengths alone. */
#include "x509_der.h"

struct element {
    uint8_t tag;
    const uint8_t *contents;
    size_t size;
};

/* Takes one element from the front of data/size. */
static bool take_element(const uint8_t **data, size_t *size, struct element *ret) {
    const uint8_t *p = *data;
    size_t left = *size, length;

    if (left < 2 || (p[0] & 0x1f) == 0x1f) /* tags above 30 do not occur in X.509 */
        return false;
    ret->tag = p[0];
    length = p[1];
    p += 2;
    left -= 2;
    if (length & 0x80) {
        size_t octets = length & 0x7f;

        if (octets == 0 || octets > 3 || octets > left || p[0] == 0)
            return false;
        length = 0;
        for (size_t i = 0; i < octets; i++)
            length = length << 8 | p[i];
        if (length < 0x80)
            return false;
        p += octets;
        left -= octets;
    }
    if (length > left)
        return false;
    ret->contents = p;
    ret->size = length;
    *data = p + length;
    *size = left - length;
    return true;
}

/* NOLINTNEXTLINE(misc-no-recursion): bounded by the depth */
static bool walk(const uint8_t *data, size_t size, unsigned depth) {
    if (depth > X509_DER_MAX_DEPTH)
        return false;
    while (size > 0) {
        struct element element;

        if (!take_element(&data, &size, &element))
            return false;
        if ((element.tag & 0x20) && !walk(element.contents, element.size, depth + 1))
            return false;
    }
    return true;
}

bool x509_der_is_one_object(const uint8_t *data, size_t size) {
    struct element element;

    return take_element(&data, &size, &element) && size == 0 && element.tag == 0x30 &&
           walk(element.contents, element.size, 1);
}
