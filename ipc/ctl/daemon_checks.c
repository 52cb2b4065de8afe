/* See daemon_checks.h. */
#include "ipc/ctl/daemon_checks.h"

#include "ipc/transport.h"

#include "common/cleanup.h"
#include "common/version.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#define WRITABLE_BY_OTHERS (S_IWGRP | S_IWOTH)
#define MAX_TEXT 512

/* ---- what is there ---- */

/* The kernel's name of a process has 15 bytes: "devtrustd" fits. */
static bool is_daemon(const char *pid) {
    char path[64], name[32] = "";
    struct stat status;
    snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    FILE CLEANUP_FCLOSE *file = fopen(path, "re");
    return file && fgets(name, sizeof name, file) && strcmp(name, "devtrustd\n") == 0 &&
           fstat(fileno(file), &status) == 0 && status.st_uid == 0;
}

static int find_process(void) {
    DIR CLEANUP_CLOSEDIR *directory = opendir("/proc");
    const struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        if (isdigit((unsigned char)entry->d_name[0]) && is_daemon(entry->d_name))
            return (int)strtol(entry->d_name, NULL, 10);
    return 0;
}

static void look_at_peer(struct socket_facts *facts) {
    pid_t pid;
    int CLEANUP_CLOSE fd = transport_connect(facts->path);
    facts->has_peer = fd >= 0 && transport_peer(fd, &facts->peer, &pid) == 0;
}

static void look(struct socket_facts *facts) {
    struct stat status;
    facts->directory_error = lstat(facts->directory, &status) < 0 ? -errno : 0;
    if (facts->directory_error == 0) {
        facts->directory_is_link = S_ISLNK(status.st_mode);
        facts->directory_mode = status.st_mode;
        facts->directory_owner = status.st_uid;
    }
    facts->socket_error = lstat(facts->path, &status) < 0 ? -errno : 0;
    if (facts->socket_error == 0)
        facts->socket_mode = status.st_mode;
    look_at_peer(facts);
    facts->process = find_process();
}

/* ---- what it means ---- */

/* "bob (uid 1001)" */
static const char *name_of(uid_t uid, char ret[64]) {
    const struct passwd *entry = getpwuid(uid);
    if (entry)
        snprintf(ret, 64, "%.32s (uid %ju)", entry->pw_name, (uintmax_t)uid);
    else
        snprintf(ret, 64, "uid %ju", (uintmax_t)uid);
    return ret;
}

static enum reason judge_directory(
    const struct socket_facts *facts, uid_t daemon_uid, char *ret_text, size_t size) {
    char name[64];
    if (facts->directory_is_link)
        snprintf(ret_text, size, "%.256s is a symbolic link.", facts->directory);
    else if (facts->directory_owner != daemon_uid)
        snprintf(
            ret_text, size, "%.256s belongs to %s, not to root.", facts->directory,
            name_of(facts->directory_owner, name));
    else if (facts->directory_mode & WRITABLE_BY_OTHERS)
        snprintf(
            ret_text, size, "Others may write in %.256s: its mode is %04o.", facts->directory,
            (unsigned)facts->directory_mode & 07777);
    else
        return REASON_NONE;
    return REASON_SOCKET_DIRECTORY;
}

static void tell_of_process(const struct socket_facts *facts, char *text, size_t size) {
    size_t used = strlen(text);
    if (facts->process > 0)
        snprintf(
            text + used, size - used,
            " A devtrustd runs (pid %d), but not on this socket: check --socket, and [paths] "
            "socket in its configuration.",
            facts->process);
}

static enum reason judge_silence(const struct socket_facts *facts, char *ret_text, size_t size) {
    switch (facts->error) {
    case -ECONNREFUSED:
        snprintf(ret_text, size, "Nobody listens on it: devtrustd has ended.");
        break;
    case -EACCES:
        snprintf(ret_text, size, "This user may not reach it.");
        break;
    case -EAGAIN:
        snprintf(ret_text, size, "More ask than devtrustd can take in.");
        break;
    case -ETIMEDOUT:
        snprintf(ret_text, size, "Somebody listens, but did not answer in time.");
        break;
    case -EBADMSG:
        snprintf(ret_text, size, "What answers does not speak Varlink.");
        break;
    default:
        snprintf(ret_text, size, "It cannot be spoken with: %s.", strerror(-facts->error));
        break;
    }
    return REASON_DAEMON_UNREACHABLE;
}

enum reason daemon_checks_judge(
    const struct socket_facts *facts, uid_t daemon_uid, char *ret_text, size_t size) {
    char name[64];
    if (facts->error == 0)
        return REASON_NONE;
    if (facts->has_peer && facts->peer != daemon_uid) {
        snprintf(ret_text, size, "It is %s who listens, not root.", name_of(facts->peer, name));
        return REASON_DAEMON_NOT_ROOT;
    }
    if (facts->directory_error < 0) {
        snprintf(
            ret_text, size, "%.256s: %s. devtrustd has not been started.", facts->directory,
            strerror(-facts->directory_error));
        return REASON_DAEMON_UNREACHABLE;
    }
    enum reason reason = judge_directory(facts, daemon_uid, ret_text, size);
    if (reason != REASON_NONE)
        return reason;
    if (facts->socket_error < 0) {
        snprintf(
            ret_text, size,
            facts->socket_error == -ENOENT ? "There is no such socket."
                                           : "It cannot be looked at.");
        tell_of_process(facts, ret_text, size);
        return REASON_DAEMON_UNREACHABLE;
    }
    if (!S_ISSOCK(facts->socket_mode)) {
        snprintf(ret_text, size, "It is no socket.");
        return REASON_DAEMON_UNREACHABLE;
    }
    return judge_silence(facts, ret_text, size);
}

int daemon_checks_failed(struct ctl *ctl, int error, struct findings *findings) {
    char text[MAX_TEXT], copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", ctl->socket_path);
    struct socket_facts facts = {
        .path = ctl->socket_path, .directory = dirname(copy), .error = error};
    look(&facts);
    enum reason reason = daemon_checks_judge(&facts, ctl->daemon_uid, text, sizeof text);
    findings->status = reason_exit_status(reason);
    return findings_add(findings, "daemon", ctl->socket_path, FINDING_FAILURE, reason, text);
}

/* ---- one that answers ---- */

int daemon_checks_answered(struct ctl *ctl, const char *version, struct findings *findings) {
    char text[MAX_TEXT];
    bool same = strcmp(version, DEVTRUST_VERSION) == 0;
    snprintf(text, sizeof text, "devtrustd %.64s answers, and runs as root.", version);
    (void)ctl;
    int r = findings_add(findings, "daemon", NULL, FINDING_OK, REASON_NONE, text);
    if (r < 0)
        return r;
    if (same)
        snprintf(text, sizeof text, "devtrustctl and devtrustd are both %s.", DEVTRUST_VERSION);
    else
        snprintf(
            text, sizeof text, "%s (devtrustctl %s, devtrustd %.64s)",
            reason_text(REASON_VERSION_MISMATCH), DEVTRUST_VERSION, version);
    return findings_add(
        findings, "versions", NULL, same ? FINDING_OK : FINDING_WARNING,
        same ? REASON_NONE : REASON_VERSION_MISMATCH, text);
}
