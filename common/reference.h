/* A reference that a person reads to a help desk: "DT-01-7K3QX9F". Two characters are the number
 * of the reason, so that devtrustctl explains it anywhere, without the server; six are random, so
 * that the server finds the visit; the last one checks the others.
 *
 * Characters are Crockford's base 32 (0-9, A-Z without I, L, O, U), the check Luhn's algorithm
 * modulo 32 over the eight before it: every single wrong character is noticed, and nearly every
 * swap of neighbours. */
#pragma once

#include "common/random.h"
#include "common/reason.h"

#include <stdbool.h>

#define REFERENCE_SIZE 14 /* with NUL */

/** A new one. A reason that has no number of its own is written as "other". Returns 0 or -EIO. */
int reference_make(
    const struct random_source *random, enum reason reason, char ret[REFERENCE_SIZE]);

/** True for what is meant as a reference: it begins with "DT" and a dash or a blank, in any case.
 */
bool reference_is_meant(const char *text);

/** Reads what a person typed: any case, dashes and blanks anywhere or nowhere, O for 0, I and L for
 * 1. `ret` is as reference_make() wrote it. Returns 0; -EINVAL (no reference); -EBADMSG (a
 * character is wrong); -EPROTO (a reason that this version does not know; `ret` is set). */
int reference_parse(const char *text, char ret[REFERENCE_SIZE], enum reason *ret_reason);
