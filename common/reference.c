/* The numbers of reasons and the check character. */
#include "common/reference.h"

#include "common/cleanup.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BASE 32
#define SYMBOLS 9 /* reason, random, check */
#define REASON_SYMBOLS 2
#define RANDOM_SYMBOLS 6

static const char alphabet[BASE + 1] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* A number is for ever, as its code is; 0 is "other". */
static const struct {
    unsigned number;
    enum reason reason;
} numbers[] = {
    {0, REASON_OTHER},
    {1, REASON_NO_CERTIFICATE},
    {2, REASON_WRONG_CERTIFICATE},
    {3, REASON_REVOKED},
    {4, REASON_EXPIRED},
    {5, REASON_DISTRIBUTION_OFF},
    {6, REASON_DISTRIBUTION_PAUSED},
    {7, REASON_NOT_MANAGED},
    {8, REASON_DEVICE_REMOVED},
    {9, REASON_CHECK_FAILED},
    {10, REASON_CLOCK},
};

static unsigned number_of(enum reason reason) {
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        if (numbers[i].reason == reason)
            return numbers[i].number;
    return 0;
}

/* Luhn modulo N: every second symbol, counted from the check's neighbour, weighs double. */
static uint8_t check_of(const uint8_t *symbols) {
    unsigned sum = 0, factor = 2;
    for (size_t i = SYMBOLS - 1; i-- > 0;) {
        unsigned addend = factor * symbols[i];
        sum += addend / BASE + addend % BASE;
        factor = 3 - factor;
    }
    return (uint8_t)((BASE - sum % BASE) % BASE);
}

static void write_symbols(const uint8_t symbols[SYMBOLS], char ret[REFERENCE_SIZE]) {
    char text[SYMBOLS + 1];
    for (size_t i = 0; i < SYMBOLS; i++)
        text[i] = alphabet[symbols[i]];
    text[SYMBOLS] = '\0';
    snprintf(ret, REFERENCE_SIZE, "DT-%.*s-%s", REASON_SYMBOLS, text, text + REASON_SYMBOLS);
}

int reference_make(
    const struct random_source *random, enum reason reason, char ret[REFERENCE_SIZE]) {
    uint8_t symbols[SYMBOLS];
    unsigned number = number_of(reason);
    int r = random->bytes(symbols + REASON_SYMBOLS, RANDOM_SYMBOLS, random->userdata);
    if (r < 0)
        return r;
    symbols[0] = (uint8_t)(number / BASE);
    symbols[1] = (uint8_t)(number % BASE);
    for (size_t i = REASON_SYMBOLS; i < SYMBOLS - 1; i++)
        symbols[i] %= BASE; /* 256 is a multiple of it: no bias */
    symbols[SYMBOLS - 1] = check_of(symbols);
    write_symbols(symbols, ret);
    return 0;
}

static bool is_gap(char character) {
    return character == '-' || character == ' ';
}

bool reference_is_meant(const char *text) {
    return strncasecmp(text, "DT", 2) == 0 && is_gap(text[2]);
}

/* Returns the symbol's value, or -1. */
static int value_of(char character) {
    char upper = character >= 'a' && character <= 'z' ? (char)(character - 'a' + 'A') : character;
    if (upper == 'O')
        upper = '0';
    if (upper == 'I' || upper == 'L')
        upper = '1';
    const char *place = upper != '\0' ? strchr(alphabet, upper) : NULL;
    return place ? (int)(place - alphabet) : -1;
}

int reference_parse(const char *text, char ret[REFERENCE_SIZE], enum reason *ret_reason) {
    uint8_t symbols[SYMBOLS];
    size_t count = 0;
    if (strncasecmp(text, "DT", 2) != 0)
        return -EINVAL;
    for (text += 2; *text != '\0'; text++) {
        if (is_gap(*text))
            continue;
        int value = value_of(*text);
        if (value < 0 || count == SYMBOLS)
            return -EINVAL;
        symbols[count++] = (uint8_t)value;
    }
    if (count != SYMBOLS)
        return -EINVAL;
    if (check_of(symbols) != symbols[SYMBOLS - 1])
        return -EBADMSG;
    write_symbols(symbols, ret);
    unsigned number = symbols[0] * BASE + symbols[1];
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        if (numbers[i].number == number) {
            *ret_reason = numbers[i].reason;
            return 0;
        }
    return -EPROTO;
}
