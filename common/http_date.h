/* Dates of HTTP (RFC 9110 section 5.6.7), independent of locale and time zone. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HTTP_DATE_SIZE 32

/** Reads the three forms that a recipient must accept: IMF-fixdate, RFC 850, asctime. The name of
 * the day is not judged. Returns 0 or -EINVAL. */
int http_date_parse(const char *text, int64_t *ret_s);

/** Writes IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT"; years 1970 to 9999. Returns 0 or -EINVAL.
 */
int http_date_format(int64_t seconds, char ret[HTTP_DATE_SIZE]);
