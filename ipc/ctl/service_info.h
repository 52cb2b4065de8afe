/* What a service says of itself: org.varlink.service, as commands and completion read it. */
#pragma once

#include "ipc/ctl/call.h"

struct service_info {
    const char *vendor, *product, *version, *url; /* borrowed from the answer */
    struct json_object *interfaces;               /* array of strings, borrowed too */
};

/** Calls GetInfo. Returns CTL_GOOD with *ret_answer (the caller's) and *ret, which borrows from it;
 * or an exit status after having said why. */
int service_info_get(
    struct ctl *ctl, struct varlink_stream *stream, struct json_object **ret_answer,
    struct service_info *ret);

size_t service_info_interface_count(const struct service_info *info);
const char *service_info_interface(const struct service_info *info, size_t i);

/** Calls GetInterfaceDescription. Returns CTL_GOOD with a JSON string (the caller's), or an exit
 * status after having said why. */
int service_info_describe(
    struct ctl *ctl, struct varlink_stream *stream, const char *interface,
    struct json_object **ret);
