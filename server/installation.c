/* The state directory. */
#include "server/installation.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define PATH_SIZE 512

char *installation_path(const struct server_config *config, const char *name) {
    char *path;
    return asprintf(&path, "%s/%s", config->state_dir, name) < 0 ? NULL : path;
}

void installation_remove_database(const struct server_config *config) {
    static const char *const names[] = {
        INSTALLATION_DATABASE, INSTALLATION_DATABASE "-wal", INSTALLATION_DATABASE "-shm"};
    CLEANUP_CLOSE int dir = atomic_file_open_dir(config->state_dir);
    for (size_t i = 0; dir >= 0 && i < ARRAY_LENGTH(names); i++)
        (void)atomic_file_remove(dir, names[i]);
}

/* The account that shall own what root has made. Returns 1, or 0 if root keeps it. */
static int find_owner(const struct server_config *config, int dir, uid_t *ret_uid, gid_t *ret_gid) {
    struct stat info;
    if (fstat(dir, &info) < 0)
        return -errno;
    if (info.st_uid != 0) {
        *ret_uid = info.st_uid;
        *ret_gid = info.st_gid;
        return 1;
    }
    if (strcmp(config->state_dir, PATH_SERVER_STATE_DIR) != 0)
        return 0;
    const struct passwd *account = getpwnam(INSTALLATION_ACCOUNT);
    if (!account)
        return 0;
    *ret_uid = account->pw_uid;
    *ret_gid = account->pw_gid;
    return 1;
}

static int give_files(int dir, uid_t uid, gid_t gid) {
    int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    CLEANUP_CLOSEDIR DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream)
        return -errno;
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fchownat(dir, entry->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
    }
    return fchown(dir, uid, gid) < 0 ? -errno : 0;
}

int installation_hand_over(const struct server_config *config) {
    if (geteuid() != 0)
        return 0;
    CLEANUP_CLOSE int dir = atomic_file_open_dir(config->state_dir);
    if (dir < 0)
        return dir;
    uid_t uid = 0;
    gid_t gid = 0;
    int r = find_owner(config, dir, &uid, &gid);
    return r <= 0 ? r : give_files(dir, uid, gid);
}

int installation_open_ca(
    const struct server_config *config, const char *portal_url, int64_t now_s, struct ca **ret,
    char *ret_error, size_t error_size) {
    char trust[PATH_SIZE], device[PATH_SIZE];
    struct ca_options options = {.dir = config->state_dir};
    if (portal_url) {
        snprintf(trust, sizeof(trust), "%s/crl/trust.crl", portal_url);
        snprintf(device, sizeof(device), "%s/crl/device.crl", portal_url);
        options.crl_url[CA_TRUST] = trust;
        options.crl_url[CA_DEVICE] = device;
    }
    return ca_open(&options, now_s, ret, ret_error, error_size);
}

int installation_pin(
    const struct server_config *config, char ret[SHA256_HEX_SIZE], char *ret_error,
    size_t error_size) {
    struct ca *ca = NULL;
    int r = installation_open_ca(config, NULL, (int64_t)time(NULL), &ca, ret_error, error_size);
    if (r < 0)
        return r;
    snprintf(ret, SHA256_HEX_SIZE, "%s", ca_tls_pin(ca));
    ca_free(ca);
    return 0;
}

int installation_lock(const struct server_config *config) {
    CLEANUP_CLOSE int dir = atomic_file_open_dir(config->state_dir);
    if (dir < 0)
        return dir;
    CLEANUP_CLOSE int fd =
        openat(dir, INSTALLATION_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    return TAKE_FD(fd);
}
