/* The inside of one JSON string (RFC 8259, section 7), from behind its opening quote to its closing
 * one: checked, compared, decoded. Refused are raw control characters, bad UTF-8, lone surrogates
 * and \u0000. */
#pragma once

#include <stddef.h>

/** How many bytes at the beginning of `text` are ASCII that stands for itself, in JSON and out of
 * it: no quote, no backslash, no control character. */
size_t json_string_plain_length(const char *text, size_t size);

/** *text is behind the opening quote; afterwards it is behind the closing one, or at the first
 * offence. Returns 0 (no escapes: the text is the value), 1 (there are escapes) or -EBADMSG. */
int json_string_check(const char **text, const char *end);

/** The two below take what json_string_check() has let pass, without the quotes. */
struct json_string {
    const char *start, *end;
};

/** Orders by the characters that are meant, so that "a" and "\u0061" are the same: < 0, 0, > 0. */
int json_string_compare(struct json_string left, struct json_string right);

/** Writes the characters that are meant, at most as many bytes as the text has, and no NUL. Returns
 * how many bytes they are. */
size_t json_string_decode(struct json_string string, char *ret);
