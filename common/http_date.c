/* strptime() and strftime() speak the process's language; HTTP always speaks English and UTC. */
#include "http_date.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

static int month_number(const char *name) {
    for (int i = 0; i < 12; i++)
        if (strcmp(months[i], name) == 0)
            return i;
    return -1;
}

/* RFC 9110: a two-digit year that seems more than 50 years ahead is the past one. The boundary is
 * fixed, not "now", so that the same text always means the same. */
static int full_year(int year, int length) {
    if (length > 2)
        return year;
    return year < 70 ? 2000 + year : 1900 + year;
}

static int to_seconds(struct tm *tm, const char *month, int64_t *ret_s) {
    struct tm normal;
    time_t seconds;

    tm->tm_mon = month_number(month);
    if (tm->tm_mon < 0 || tm->tm_year < 1970 || tm->tm_year > 9999 || tm->tm_sec > 60)
        return -EINVAL;
    tm->tm_year -= 1900;
    if (tm->tm_sec == 60)
        tm->tm_sec = 59; /* a leap second */
    normal = *tm;
    seconds = timegm(&normal);
    /* timegm() turns 31 February into March; such a date is no date */
    if (normal.tm_mday != tm->tm_mday || normal.tm_hour != tm->tm_hour ||
        normal.tm_min != tm->tm_min)
        return -EINVAL;
    *ret_s = (int64_t)seconds;
    return 0;
}

int http_date_parse(const char *text, int64_t *ret_s) {
    struct tm tm = {0};
    char month[4];
    int begin = 0, end = 0, used = 0;

    /* NOLINTBEGIN(cert-err34-c): every number has a width and is checked by to_seconds() */
    if (sscanf(
            text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month,
            &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) == 6 &&
        used > 0 && text[used] == '\0')
        return to_seconds(&tm, month, ret_s);
    if (sscanf(
            text, "%*9[A-Za-z], %2d-%3[A-Za-z]-%n%2d%n %2d:%2d:%2d GMT%n", &tm.tm_mday, month,
            &begin, &tm.tm_year, &end, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) == 6 &&
        used > 0 && text[used] == '\0') {
        tm.tm_year = full_year(tm.tm_year, end - begin);
        return to_seconds(&tm, month, ret_s);
    }
    if (sscanf(
            text, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &tm.tm_mday, &tm.tm_hour,
            &tm.tm_min, &tm.tm_sec, &tm.tm_year, &used) == 6 &&
        used > 0 && text[used] == '\0')
        return to_seconds(&tm, month, ret_s);
    /* NOLINTEND(cert-err34-c) */
    return -EINVAL;
}

int http_date_format(int64_t seconds, char ret[HTTP_DATE_SIZE]) {
    time_t time = (time_t)seconds;
    struct tm tm;

    if (seconds < 0 || seconds > 253402300799 || !gmtime_r(&time, &tm))
        return -EINVAL;
    snprintf(
        ret, HTTP_DATE_SIZE, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
        months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return 0;
}
