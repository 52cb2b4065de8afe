/* Scans /proc for this user's browsers: by the executable's name, or the kernel's 15 bytes of it
 * where the link cannot be read. */
#include "useragent/browser_check.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define COMM_MAX 15 /* TASK_COMM_LEN without its NUL (proc(5)) */

static const char *const family[] = {
    "chromium",
    "chromium-browser",
    "chrome",
    "google-chrome",
    "brave",
    "brave-browser",
    "msedge",
    "microsoft-edge",
    "vivaldi",
    "vivaldi-bin",
    "opera",
    "headless_shell",
    "chromium-headless-shell",
};

bool browser_check_name(const char *name) {
    const char *slash = strrchr(name, '/');
    size_t length;

    if (slash)
        name = slash + 1;
    length =
        strcspn(name, " "); /* "chromium (deleted)" after an upgrade under the running browser */
    for (size_t i = 0; i < ARRAY_LENGTH(family); i++)
        if (strlen(family[i]) == length && memcmp(family[i], name, length) == 0)
            return true;
    return false;
}

static bool comm_matches(const char *comm, size_t length) {
    for (size_t i = 0; i < ARRAY_LENGTH(family); i++) {
        size_t known = strlen(family[i]);

        if (known > COMM_MAX)
            known = COMM_MAX;
        if (known == length && memcmp(family[i], comm, length) == 0)
            return true;
    }
    return false;
}

static bool is_browser(int proc_fd, const char *pid) {
    CLEANUP_CLOSE int pid_fd = -1;
    CLEANUP_CLOSE int comm_fd = -1;
    char text[512];
    struct stat status;
    ssize_t size;

    pid_fd = openat(proc_fd, pid, O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* the owner of /proc/PID is the process's effective uid, or root where it is not dumpable */
    if (pid_fd < 0 || fstat(pid_fd, &status) < 0 || status.st_uid != getuid())
        return false;
    size = readlinkat(pid_fd, "exe", text, sizeof text - 1);
    if (size > 0) {
        text[size] = '\0';
        return browser_check_name(text);
    }
    comm_fd = openat(pid_fd, "comm", O_RDONLY | O_CLOEXEC);
    if (comm_fd < 0)
        return false;
    size = read(comm_fd, text, sizeof text);
    return size > 1 && comm_matches(text, (size_t)size - 1);
}

bool browser_check_running(void) {
    CLEANUP_CLOSEDIR DIR *proc = opendir("/proc");

    if (!proc)
        return true;
    for (struct dirent *entry = readdir(proc); entry; entry = readdir(proc))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            is_browser(dirfd(proc), entry->d_name))
            return true;
    return false;
}
