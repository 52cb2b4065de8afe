/* See similar.h. */
#include "ipc/ctl/similar.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MAX_LISTED 8

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Optimal string alignment: Levenshtein's table by rows, with swaps of neighbours. */
size_t similar_distance(const char *a, const char *b) {
    size_t rows[3][SIMILAR_MAX_LENGTH + 1];
    size_t a_length = strlen(a), b_length = strlen(b);
    if (a_length > SIMILAR_MAX_LENGTH || b_length > SIMILAR_MAX_LENGTH)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *before = rows[(i - 1) % 3], *two_before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
            row[j] = smallest(before[j] + 1, row[j - 1] + 1, before[j - 1] + change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_before[j - 2] + 1 < row[j])
                row[j] = two_before[j - 2] + 1;
        }
    }
    return rows[a_length % 3][b_length];
}

bool similar_is(const char *typed, const char *word) {
    size_t length = strlen(typed);
    if (length >= 3 && strstr(word, typed))
        return true;
    size_t allowed = length < 6 ? 1 : length / 3;
    return length >= 2 && similar_distance(typed, word) <= allowed;
}

void similar_consider(struct similar *similar, const char *typed, const char *word) {
    size_t used = strlen(similar->list);
    if (similar->count == MAX_LISTED || !similar_is(typed, word) ||
        used + strlen(word) + strlen(", ") >= sizeof similar->list)
        return;
    snprintf(
        similar->list + used, sizeof similar->list - used, "%s%s", similar->count ? ", " : "",
        word);
    similar->count++;
}
