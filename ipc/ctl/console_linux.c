/* Who sits at the machine, as logind says. */
#include "ipc/ctl/ctl.h"

#include <errno.h>
#include <systemd/sd-login.h>

int ctl_console_user(uid_t *ret) {
    int r = sd_seat_get_active("seat0", NULL, ret);
    /* no session in front, no such seat, or no logind at all: for the asker it is the same */
    return r == -ENXIO || r == -ENOENT ? -ENODATA : r < 0 ? r : 0;
}
