/* Scans /proc for this user's browsers: by the executable's name, or the kernel's 15 bytes of it
 * where the link cannot be read. */
#include "useragent/browser_check.h"

#include "common/browser_family.h"
#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MS_PER_S 1000

/* The families that read a policy while they run: an import waits for no other. */
static bool reads_policy(const struct browser_family *family) {
    return family && family->kind == BROWSER_CHROMIUM;
}

bool browser_check_name(const char *name) {
    return reads_policy(browser_family_of_executable(name));
}

static const struct browser_family *family_of(int pid_fd) {
    CLEANUP_CLOSE int comm_fd = -1;
    char text[512];
    ssize_t size = readlinkat(pid_fd, "exe", text, sizeof text - 1);

    if (size > 0) {
        text[size] = '\0';
        return browser_family_of_executable(text);
    }
    /* a process that has ended, and only waits for its parent to notice, has no executable */
    if (size < 0 && errno == ENOENT)
        return NULL;
    comm_fd = openat(pid_fd, "comm", O_RDONLY | O_CLOEXEC);
    if (comm_fd < 0)
        return NULL;
    size = read(comm_fd, text, sizeof text - 1);
    if (size <= 1)
        return NULL;
    text[size - 1] = '\0'; /* the line's end */
    return browser_family_of_comm(text);
}

/* The directory of a process of this user; negative: none. */
static int open_process(DIR *proc, const struct dirent *entry) {
    CLEANUP_CLOSE int pid_fd = -1;
    struct stat status;

    if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
        return -1;
    pid_fd = openat(dirfd(proc), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* the owner of /proc/PID is the process's effective uid, or root where it is not dumpable */
    if (pid_fd < 0 || fstat(pid_fd, &status) < 0 || status.st_uid != getuid())
        return -1;
    return TAKE_FD(pid_fd);
}

bool browser_check_running(void) {
    CLEANUP_CLOSEDIR DIR *proc = opendir("/proc");

    if (!proc)
        return true;
    for (struct dirent *entry = readdir(proc); entry; entry = readdir(proc)) {
        CLEANUP_CLOSE int pid_fd = open_process(proc, entry);

        if (pid_fd >= 0 && reads_policy(family_of(pid_fd)))
            return true;
    }
    return false;
}

static int64_t to_ms(const struct timespec *time) {
    return (int64_t)time->tv_sec * MS_PER_S + time->tv_nsec / 1000000;
}

/* When the machine started, in milliseconds since 1970: in whole seconds the two clocks would
 * disagree by one, now and then. Negative: it cannot be told. */
static int64_t boot_ms(void) {
    struct timespec since_boot, wall;

    if (clock_gettime(CLOCK_BOOTTIME, &since_boot) < 0 || clock_gettime(CLOCK_REALTIME, &wall) < 0)
        return -errno;
    return to_ms(&wall) - to_ms(&since_boot);
}

/* Field 22 of stat: clock ticks since the machine's start. The second field is the name in
 * parentheses, which may hold any. Returns 0 where it cannot be told. */
static int64_t started_at(int pid_fd, int64_t boot) {
    CLEANUP_CLOSE int fd = openat(pid_fd, "stat", O_RDONLY | O_CLOEXEC);
    char text[1024];
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    const char *at;
    long ticks = sysconf(_SC_CLK_TCK);

    if (size <= 0 || ticks <= 0 || boot < 0)
        return 0;
    text[size] = '\0';
    at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return 0;
    return (boot + strtoll(at, NULL, 10) * MS_PER_S / ticks) / MS_PER_S;
}

static void note_run(
    struct browser_run *runs, int *count, const struct browser_family *family, int64_t started_s) {
    for (int i = 0; i < *count; i++) {
        if (runs[i].family != family)
            continue;
        if (started_s > 0 && (runs[i].started_s == 0 || started_s < runs[i].started_s))
            runs[i].started_s = started_s;
        return;
    }
    if (*count < BROWSER_RUNS_MAX)
        runs[(*count)++] = (struct browser_run){.family = family, .started_s = started_s};
}

int browser_check_list(struct browser_run ret[BROWSER_RUNS_MAX]) {
    CLEANUP_CLOSEDIR DIR *proc = opendir("/proc");
    int64_t boot = boot_ms();
    int count = 0;

    if (!proc)
        return -errno;
    for (struct dirent *entry = readdir(proc); entry; entry = readdir(proc)) {
        CLEANUP_CLOSE int pid_fd = open_process(proc, entry);
        const struct browser_family *family = pid_fd < 0 ? NULL : family_of(pid_fd);

        if (family)
            note_run(ret, &count, family, started_at(pid_fd, boot));
    }
    return count;
}
