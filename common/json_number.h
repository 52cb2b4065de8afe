/* One JSON number (RFC 8259, section 6): checked, and within what a program can hold. Refused are
 * integers beyond int64 and what is no finite double. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The parts of a number as they stand in the text. */
struct json_number {
    const char *digits;
    size_t digit_count; /* before the point */
    int exponent;       /* 0 where it is negative: that never makes a number too large */
    bool negative, is_integer;
    int64_t value; /* of an integer */
};

/** *text is at what should be a number; afterwards it is behind it, or at the first offence.
 * Returns 0 or -EBADMSG. */
int json_number_check(const char **text, const char *end, struct json_number *ret);
