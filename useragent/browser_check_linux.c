/* Scans /proc for this user's browsers: by the executable's name, or the kernel's 15 bytes of it
 * where the link cannot be read. */
#include "useragent/browser_check.h"

#include "common/browser_family.h"
#include "common/cleanup.h"

#include <fcntl.h>
#include <sys/stat.h>

/* The families that read a policy while they run: an import waits for no other. */
static bool reads_policy(const struct browser_family *family) {
    return family && family->kind == BROWSER_CHROMIUM;
}

bool browser_check_name(const char *name) {
    return reads_policy(browser_family_of_executable(name));
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
    size = read(comm_fd, text, sizeof text - 1);
    if (size <= 1)
        return false;
    text[size - 1] = '\0'; /* the line's end */
    return reads_policy(browser_family_of_comm(text));
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
