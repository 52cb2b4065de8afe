/* `status --page`: the same in the browser, for whoever has no terminal open; the desktop's entry
 * runs it (systemd/devtrust-status.desktop).
 *
 * Why a file and the browser: a toolkit's window would be a dependency of its own, a terminal needs
 * one that every desktop calls otherwise and closes it at once, and a server on loopback would be
 * open to everybody on the machine. The file is in the user's runtime directory, which is his alone
 * and goes with his session; it has a fixed name, so that there is one, not many. */
#include "ipc/ctl/call.h"
#include "ipc/ctl/person_page.h"

#include "common/atomic_file.h"
#include "common/json_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE_NAME "devtrust-status.html"
#define PATH_SIZE 4096

/* What ctl_fail() writes, "devtrustctl status: TEXT\nREMEDY\n", becomes the page's words. */
static void fill_from_failure(struct person *person, char *said) {
    char *text = strstr(said, ": "), *end, *remedy;
    text = text ? text + 2 : said;
    end = strchr(text, '\n');
    remedy = end ? end + 1 : text + strlen(text);
    if (end)
        *end = '\0';
    remedy[strcspn(remedy, "\n")] = '\0';
    person_fill_unknown(person, text, remedy);
}

/* Asks the daemon; what cannot be learned is what the page says. Returns the exit status, or
 * -ENOMEM.
 */
static int fill(struct ctl *ctl, struct person *person) {
    struct json_object CLEANUP_JSON *answer = NULL;
    char CLEANUP_FREE *said = NULL;
    size_t size;
    FILE *err = ctl->err, *memory = open_memstream(&said, &size);
    bool err_is_screen = ctl->err_is_screen;
    if (!memory)
        return -ENOMEM;
    ctl->err = memory;
    ctl->err_is_screen = false;
    int status = ctl_call(ctl, "io.devtrust.Device.GetStatus", NULL, &answer);
    if (status == CTL_GOOD && person_fill_answer(person, ctl, answer, &status) < 0)
        status = ctl_fail(ctl, REASON_OTHER);
    ctl->err = err;
    ctl->err_is_screen = err_is_screen;
    if (fclose(memory) != 0 || !said)
        return -ENOMEM;
    if (!*person->headline)
        fill_from_failure(person, said);
    return status;
}

/* The directory must be the user's alone (XDG Base Directory Specification 0.8). */
static int open_runtime_directory(const struct ctl *ctl, int *ret) {
    struct stat status;
    if (!ctl->runtime_directory || ctl->runtime_directory[0] != '/')
        return -ENOENT;
    int CLEANUP_CLOSE fd = atomic_file_open_dir(ctl->runtime_directory);
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_uid != ctl->own_uid || (status.st_mode & 077) != 0)
        return -EPERM;
    *ret = fd;
    fd = -1;
    return 0;
}

static int write_page(const struct ctl *ctl, const struct person *person, char path[PATH_SIZE]) {
    struct buffer CLEANUP_BUFFER page = BUFFER_INIT(PERSON_PAGE_MAX);
    char when[TEXT_TIME_SIZE];
    int CLEANUP_CLOSE directory = -1;
    int r = open_runtime_directory(ctl, &directory);
    if (r == 0)
        r = person_page_render(person, text_time(ctl->now(), when), &page);
    if (r == 0)
        r = atomic_file_write(directory, PAGE_NAME, page.data, page.size, 0600);
    if (r == 0 && snprintf(path, PATH_SIZE, "%s/" PAGE_NAME, ctl->runtime_directory) >= PATH_SIZE)
        r = -ENAMETOOLONG;
    return r;
}

int ctl_status_page(struct ctl *ctl) {
    char path[PATH_SIZE];
    if (ctl->own_uid == 0)
        return ctl_usage(ctl, "--page is for the person who is signed in, not for root.", NULL);
    if (ctl->json)
        return ctl_usage(ctl, "--page and --json exclude each other.", NULL);
    struct person CLEANUP_FREE *person = person_new();
    int status = person ? fill(ctl, person) : -ENOMEM;
    if (status < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    int r = write_page(ctl, person, path);
    if (r < 0)
        return ctl_fail_with(
            ctl, CTL_NO, reason_code(REASON_STORAGE),
            "The page cannot be written into the runtime directory:", strerror(-r),
            "It is XDG_RUNTIME_DIR of a desktop session, its user's alone; devtrustctl status says "
            "the same.");
    r = ctl->open_file(path);
    if (r < 0)
        return ctl_fail_with(
            ctl, CTL_NO, reason_code(REASON_OTHER), "No program opens the page:", strerror(-r),
            "Install xdg-utils, or open the page in a browser yourself; devtrustctl status says "
            "the same.");
    fprintf(ctl->out, "%s\n", path);
    return status;
}
