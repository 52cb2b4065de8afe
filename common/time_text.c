/* One table of units for every program, so that a span reads the same in log, status and doctor. */
#include "common/time_text.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

static const struct {
    int64_t seconds;
    const char *one, *many;
} units[] = {
    {86400, "day", "days"},
    {3600, "hour", "hours"},
    {60, "minute", "minutes"},
    {1, "second", "seconds"},
};

const char *time_text_span(int64_t seconds, char ret[TIME_TEXT_SIZE]) {
    int64_t length = seconds == INT64_MIN ? INT64_MAX : seconds < 0 ? -seconds : seconds;
    size_t i = 0;
    while (units[i].seconds > 1 && length / units[i].seconds < 2)
        i++;
    int64_t count = length / units[i].seconds;
    snprintf(
        ret, TIME_TEXT_SIZE, "%" PRId64 " %s", count, count == 1 ? units[i].one : units[i].many);
    return ret;
}

const char *time_text_utc(int64_t seconds, char ret[TIME_TEXT_SIZE]) {
    time_t when = (time_t)seconds;
    struct tm utc;
    if (!gmtime_r(&when, &utc) || strftime(ret, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M UTC", &utc) == 0)
        snprintf(ret, TIME_TEXT_SIZE, "@%" PRId64, seconds);
    return ret;
}
