/* Sizes for people. */
#pragma once

#include <stdint.h>

#define SIZE_TEXT_SIZE 32

/** "12.3 GiB", "512 bytes": in the largest unit of 1024 that it reaches, cut to a tenth. Returns
 * `ret`. */
const char *size_text(uint64_t bytes, char ret[SIZE_TEXT_SIZE]);
