/* devtrustctl: shows and steers devtrust on this device. What it does is in ctl.c and the commands.
 */
#include "ipc/ctl/ctl.h"

#include "ipc/ctl/terminal.h"

#include "common/secret.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* https://no-color.org */
static bool wants_colour(void) {
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_color && *no_color) && terminal &&
           strcmp(terminal, "dumb") != 0;
}

/* Only what characters are is the user's choice: numbers in JSON stay what they are. */
static bool shows_unicode(void) {
    return setlocale(LC_CTYPE, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

int main(int argc, char **argv) {
    (void)secret_harden_process(); /* a token passes through; without it things work as well */
    struct ctl ctl = {
        .in = stdin,
        .out = stdout,
        .err = stderr,
        .colour = wants_colour(),
        .err_is_screen = isatty(STDERR_FILENO) == 1,
        .unicode = shows_unicode(),
        .daemon_uid = 0,
        .own_uid = geteuid(),
        .console_user = ctl_console_user,
        .now = ctl_system_now,
        .now_us = ctl_system_now_us,
        .run_as = ctl_run_as,
        .screen = terminal_size,
        .user_name = ctl_user_name,
        .browser_installed = browser_family_is_installed,
        .runtime_directory = getenv("XDG_RUNTIME_DIR"),
        .open_file = ctl_open_file,
    };
    int status = ctl_main(&ctl, argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("devtrustctl: standard output");
        return status == CTL_GOOD ? CTL_NO : status;
    }
    return status;
}
