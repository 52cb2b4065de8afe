/* The parts of a number one after the other, each by its digits. */
#include "common/json_number.h"

#include <errno.h>

/* Below 10³⁰⁸ every decimal number is a finite double; the few above it are not worth a bignum. */
#define MAX_DECIMAL_MAGNITUDE 308
#define MAX_EXPONENT 9999

struct cursor {
    const char *next, *end;
};

static bool take(struct cursor *cursor, char c) {
    if (cursor->next == cursor->end || *cursor->next != c)
        return false;
    cursor->next++;
    return true;
}

static size_t skip_digits(struct cursor *cursor) {
    const char *first = cursor->next;
    while (cursor->next < cursor->end && *cursor->next >= '0' && *cursor->next <= '9')
        cursor->next++;
    return (size_t)(cursor->next - first);
}

static bool integer_value(const struct json_number *number, int64_t *ret) {
    if (number->digit_count > 19) /* 2⁶³ has 19 digits, and a first digit of 0 stands alone */
        return false;
    uint64_t value = 0; /* 19 digits fit 64 bits */
    for (size_t i = 0; i < number->digit_count; i++)
        value = value * 10 + (uint64_t)(number->digits[i] - '0');
    if (value > (uint64_t)INT64_MAX + (number->negative ? 1 : 0))
        return false;
    *ret = number->negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/* The digits of an exponent, saturating. */
static int exponent_value(const char *digits, size_t count) {
    int value = 0;
    for (size_t i = 0; i < count && value < MAX_EXPONENT; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

static int take_fraction(struct cursor *cursor, struct json_number *number) {
    if (!take(cursor, '.'))
        return 0;
    number->is_integer = false;
    return skip_digits(cursor) == 0 ? -EBADMSG : 0;
}

static int take_exponent(struct cursor *cursor, struct json_number *number) {
    if (!take(cursor, 'e') && !take(cursor, 'E'))
        return 0;
    number->is_integer = false;
    bool small = take(cursor, '-');
    if (!small)
        (void)take(cursor, '+');
    const char *digits = cursor->next;
    size_t count = skip_digits(cursor);
    if (count == 0)
        return -EBADMSG;
    number->exponent = small ? 0 : exponent_value(digits, count);
    return 0;
}

static bool number_fits(struct json_number *number) {
    if (number->is_integer)
        return integer_value(number, &number->value);
    return number->digit_count <= MAX_DECIMAL_MAGNITUDE &&
           (int)number->digit_count + number->exponent <= MAX_DECIMAL_MAGNITUDE;
}

int json_number_check(const char **text, const char *end, struct json_number *ret) {
    struct cursor cursor = {*text, end};
    *ret = (struct json_number){.is_integer = true};
    ret->negative = take(&cursor, '-');
    ret->digits = cursor.next;
    ret->digit_count = skip_digits(&cursor);
    if (ret->digit_count == 0 || (ret->digit_count > 1 && *ret->digits == '0'))
        return -EBADMSG;
    int r = take_fraction(&cursor, ret);
    if (r == 0)
        r = take_exponent(&cursor, ret);
    if (r == 0 && !number_fits(ret))
        return -EBADMSG;
    *text = cursor.next; /* of a part that is missing, where it should be */
    return r;
}
