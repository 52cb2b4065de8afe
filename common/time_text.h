/* Spans and moments for people, in words that can be read out. */
#pragma once

#include <stdint.h>

#define TIME_TEXT_SIZE 48

/** "29 days", "3 hours", "1 second"; two of a unit at least, so that 47 hours are not "1 day". The
 * sign is left out; 0 is "0 seconds". Returns `ret`. */
const char *time_text_span(int64_t seconds, char ret[TIME_TEXT_SIZE]);

/** "2026-12-20 13:03 UTC"; "@SECONDS" for what no calendar holds. Returns `ret`. */
const char *time_text_utc(int64_t seconds, char ret[TIME_TEXT_SIZE]);
