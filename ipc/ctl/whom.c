/* See whom.h. */
#include "ipc/ctl/whom.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

static int console_user_name(struct ctl *ctl, char **ret) {
    uid_t uid;
    if (ctl->own_uid != 0)
        return ctl_fail(ctl, REASON_NOT_PERMITTED);
    int r = ctl->console_user(&uid);
    if (r == -ENODATA)
        return ctl_fail(ctl, REASON_NO_CONSOLE_USER);
    if (r < 0)
        return ctl_fail_with(
            ctl, CTL_NO, reason_code(REASON_NO_CONSOLE_USER),
            "logind does not say who is active at seat0:", strerror(-r),
            reason_remedy(REASON_NO_CONSOLE_USER));
    const struct passwd *entry = getpwuid(uid);
    if (!entry)
        return ctl_fail(ctl, REASON_NO_SUCH_USER);
    *ret = strdup(entry->pw_name);
    return *ret ? CTL_GOOD : ctl_fail(ctl, REASON_NO_MEMORY);
}

int whom_parameters(
    struct ctl *ctl, const struct ctl_arguments *arguments, struct json_object **ret) {
    bool console = arguments->options[CTL_OPTION_CONSOLE_USER] != NULL;
    bool all = arguments->options[CTL_OPTION_ALL_USERS] != NULL;
    const char *user = arguments->options[CTL_OPTION_USER];
    if ((user != NULL) + console + all > 1)
        return ctl_usage(ctl, "--user, --console-user and --all-users exclude each other.", NULL);
    char CLEANUP_FREE *console_name = NULL;
    if (console) {
        int status = console_user_name(ctl, &console_name);
        if (status != CTL_GOOD)
            return status;
        user = console_name;
    }
    struct json_object CLEANUP_JSON *parameters = json_object_new_object();
    if (!parameters || json_fields_add_string(parameters, "user", user) < 0 ||
        (all && json_fields_add_bool(parameters, "all", true) < 0))
        return ctl_fail(ctl, REASON_NO_MEMORY);
    *ret = TAKE_PTR(parameters);
    return CTL_GOOD;
}
