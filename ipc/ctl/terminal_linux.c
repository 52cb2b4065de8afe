/* See terminal.h. Sources: termios(3), console_codes(4), XTerm Control Sequences (alternate screen
 * 1049, cursor 25). */
#include "ipc/ctl/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static const char enter_sequence[] = "\033[?1049h\033[?25l\033[H\033[2J";
static const char leave_sequence[] = "\033[?25h\033[?1049l";

static struct {
    bool entered, has_attributes;
    struct termios attributes; /* as they were */
} saved;

int terminal_size(unsigned *ret_columns, unsigned *ret_rows) {
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        return -ENOTTY;
    /* a serial line does not know its size */
    *ret_columns = size.ws_col > 0 ? size.ws_col : 80;
    *ret_rows = size.ws_row > 0 ? size.ws_row : 24;
    return 0;
}

bool terminal_has_keys(void) {
    return isatty(STDIN_FILENO);
}

static int write_sequence(const char *sequence, size_t size) {
    ssize_t written = write(STDOUT_FILENO, sequence, size);
    return written == (ssize_t)size ? 0 : -EIO;
}

/* Ctrl-C stays; Ctrl-Z and Ctrl-\ would leave the screen as it is. */
static int take_keys(void) {
    struct termios attributes;
    if (!terminal_has_keys())
        return 0;
    if (tcgetattr(STDIN_FILENO, &saved.attributes) < 0)
        return -errno;
    attributes = saved.attributes;
    attributes.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    attributes.c_cc[VSUSP] = attributes.c_cc[VQUIT] = _POSIX_VDISABLE;
    attributes.c_cc[VMIN] = 1;
    attributes.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &attributes) < 0)
        return -errno;
    saved.has_attributes = true;
    return 0;
}

int terminal_enter(void) {
    static bool registered;
    if (saved.entered)
        return 0;
    if (!registered && atexit(terminal_leave) != 0)
        return -ENOMEM;
    registered = true;
    int r = take_keys();
    if (r == 0) {
        saved.entered = true;
        r = write_sequence(enter_sequence, strlen(enter_sequence));
    }
    if (r < 0)
        terminal_leave();
    return r;
}

void terminal_leave(void) {
    if (saved.has_attributes)
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &saved.attributes);
    if (saved.entered)
        (void)write_sequence(leave_sequence, strlen(leave_sequence));
    saved.entered = saved.has_attributes = false;
}
