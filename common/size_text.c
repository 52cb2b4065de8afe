/* See size_text.h. */
#include "common/size_text.h"

#include "common/cleanup.h"

#include <inttypes.h>
#include <stdio.h>

const char *size_text(uint64_t bytes, char ret[SIZE_TEXT_SIZE]) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    uint64_t tenths = bytes > UINT64_MAX / 10 ? UINT64_MAX : bytes * 10;
    while (tenths >= 10240 && unit + 1 < ARRAY_LENGTH(units)) {
        tenths /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(ret, SIZE_TEXT_SIZE, "%" PRIu64 " bytes", bytes);
    else
        snprintf(
            ret, SIZE_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
            units[unit]);
    return ret;
}
