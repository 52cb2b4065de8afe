/* What machine this is, as far as it helps to understand a report: no name of it, no address. */
#pragma once

#include <json-c/json_object.h>

/** {os, os_id, os_version, kernel, machine}; what is not known is left out. `path`: an
 * os-release(5). NULL when memory is out. The caller owns it. */
struct json_object *system_info(const char *path);
