/* Text into HTML. */
#pragma once

#include "common/buffer.h"

/** Appends text with the five characters escaped that mean something in HTML's text and in quoted
 * attributes. Errors as buffer_append(). */
int html_append_escaped(struct buffer *buffer, const char *text);
