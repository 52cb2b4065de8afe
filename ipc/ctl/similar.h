/* What somebody may have meant: words that are like a mistyped one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define SIMILAR_MAX_LENGTH 64 /* bytes; a longer word is like nothing */

/** Letters to add, take away, change or swap with their neighbour to make `b` of `a`; SIZE_MAX
 * where one is longer than SIMILAR_MAX_LENGTH. */
size_t similar_distance(const char *a, const char *b);

/** Whether `typed` may have been meant for `word`: a part of it (three letters at least), or at
 * most one letter in three is wrong. */
bool similar_is(const char *typed, const char *word);

#define SIMILAR_LIST_SIZE 256
struct similar {
    char list[SIMILAR_LIST_SIZE]; /* "a, b, c"; empty: none. At most eight. */
    unsigned count;
};

/** Takes `word` into the list if it is like `typed`. Begin with {0}. */
void similar_consider(struct similar *similar, const char *typed, const char *word);
