/* Parameters as one line for people: `user=alice stores=[{kind=nss_chromium ok=true}]`. */
#pragma once

#include <json-c/json_object.h>
#include <stdio.h>

/** Writes the members of `object`, separated by spaces; texts are quoted where they need it, and
 * made safe for a terminal. Returns how many there were. */
int parameters_print(FILE *file, struct json_object *object);
