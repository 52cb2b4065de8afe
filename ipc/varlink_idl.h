/* Just enough of the Varlink interface language to list what an interface declares, so that the
 * method table and the published text cannot drift apart. Source: varlink.org, Interface
 * Definition. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum varlink_idl_kind { VARLINK_IDL_TYPE, VARLINK_IDL_METHOD, VARLINK_IDL_ERROR };

#define VARLINK_IDL_NAME_MAX 128 /* bytes of an interface's or a member's name */

/** One declaration. `name` is not NUL-terminated. Return a negative value to stop with it. */
typedef int (*varlink_idl_visit)(
    enum varlink_idl_kind kind, const char *name, size_t length, void *userdata);

/** Calls `visit` (may be NULL) for each declaration in order. `name`: what the text must say after
 * `interface`. Returns 0, -EINVAL where the text is not an interface of that name (bad declaration,
 * parentheses that do not match), or what `visit` returned. */
int varlink_idl_read(const char *text, const char *name, varlink_idl_visit visit, void *userdata);

/** Whether the text declares it. */
bool varlink_idl_has(
    const char *text, const char *interface, enum varlink_idl_kind kind, const char *name);
