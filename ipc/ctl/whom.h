/* Whom a command is about: the caller, or with --user, --console-user and --all-users others. */
#pragma once

#include "ipc/ctl/ctl.h"

/** Parameters `user` and `all` as io.devtrust.Device takes them. Returns CTL_GOOD and *ret
 * (json_object_put), or an exit status after having said why. */
int whom_parameters(
    struct ctl *ctl, const struct ctl_arguments *arguments, struct json_object **ret);
