/* The files of the managed users. */
#include "daemon/user_store.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/state_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DIRECTORY "users"
#define SUFFIX ".json"

static const struct state_file_type file_type = {.format = "devtrust-user", .version = 1};

struct user_store {
    int dir_fd;
};

int user_store_open(int state_dir_fd, struct user_store **ret) {
    if (mkdirat(state_dir_fd, DIRECTORY, 0700) < 0) {
        if (errno != EEXIST)
            return -errno;
    } else if (fsync(state_dir_fd) < 0) {
        return -errno;
    }
    int fd CLEANUP_CLOSE =
        openat(state_dir_fd, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = atomic_file_sweep(fd);
    if (r < 0)
        return r;
    struct user_store *store = malloc(sizeof(*store));
    if (!store)
        return -ENOMEM;
    store->dir_fd = TAKE_FD(fd);
    *ret = store;
    return 0;
}

struct user_store *user_store_free(struct user_store *store) {
    if (!store)
        return NULL;
    close(store->dir_fd);
    free(store);
    return NULL;
}

/* The user id of a file name; false for other files. */
static bool id_of_name(const char *name, char ret[USER_ID_SIZE]) {
    size_t length = strlen(name);
    if (length <= strlen(SUFFIX) || strcmp(name + length - strlen(SUFFIX), SUFFIX) != 0)
        return false;
    length -= strlen(SUFFIX);
    if (length >= USER_ID_SIZE)
        return false;
    memcpy(ret, name, length);
    ret[length] = '\0';
    return user_record_id_is_valid(ret);
}

static int read_record(
    struct user_store *store, const char *name, const char *id, struct user_record *ret) {
    struct json_object *root CLEANUP_JSON = NULL;
    struct user_record record CLEANUP_USER_RECORD = {0};

    int r = state_file_read(store->dir_fd, name, &file_type, &root);
    if (r == 0)
        r = user_record_from_json(root, &record);
    if (r < 0)
        return r;
    if (strcmp(record.id, id) != 0)
        return -EBADMSG;
    *ret = record;
    record = (struct user_record){0};
    return 0;
}

static int load_one(
    struct user_store *store, const char *name, const char *id, user_store_loaded loaded,
    void *userdata) {
    struct user_record record CLEANUP_USER_RECORD = {0};
    enum reason problem = REASON_NONE;

    int r = read_record(store, name, id, &record);
    if (r == -ENOENT)
        return 0;
    if (r == -EPROTO) {
        problem = REASON_NEWER_STATE;
        user_record_init(&record, id);
    } else if (r == -EBADMSG || r == -EMSGSIZE) {
        problem = REASON_BROKEN_STATE;
        r = state_file_set_aside(store->dir_fd, name);
        user_record_init(&record, id);
        record.state = USER_WAITING;
        record.delivered = true;
        record.reason = REASON_BROKEN_STATE;
        record.next_reason = REQUEST_LOST;
    }
    if (problem != REASON_NONE)
        log_event(
            LOG_LEVEL_WARNING, MSG_STORAGE, reason_text(problem), LOG_TEXT("USER_ID", id),
            LOG_TEXT("REMEDY", reason_remedy(problem)));
    if (r < 0 && r != -EPROTO)
        return r;
    loaded(&record, problem, userdata);
    return 0;
}

int user_store_load(struct user_store *store, user_store_loaded loaded, void *userdata) {
    int fd = openat(store->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *dir CLEANUP_CLOSEDIR = fdopendir(fd);
    if (!dir) {
        int error = errno;
        close(fd);
        return -error;
    }
    for (size_t count = 0;;) {
        char id[USER_ID_SIZE];
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            return -errno;
        if (!id_of_name(entry->d_name, id))
            continue;
        if (count++ == USER_STORE_MAX)
            return -E2BIG;
        int r = load_one(store, entry->d_name, id, loaded, userdata);
        if (r < 0)
            return r;
    }
}

static void file_name(const char *id, char ret[USER_ID_SIZE + sizeof(SUFFIX)]) {
    snprintf(ret, USER_ID_SIZE + sizeof(SUFFIX), "%s" SUFFIX, id);
}

int user_store_write(struct user_store *store, const struct user_record *record) {
    char name[USER_ID_SIZE + sizeof(SUFFIX)];
    struct json_object *root CLEANUP_JSON = user_record_to_json(record);
    if (!root)
        return -ENOMEM;
    file_name(record->id, name);
    return state_file_write(store->dir_fd, name, &file_type, root, 0600);
}

int user_store_remove(struct user_store *store, const char *id) {
    char name[USER_ID_SIZE + sizeof(SUFFIX)];
    file_name(id, name);
    return atomic_file_remove(store->dir_fd, name);
}

bool user_store_is_writable(const struct user_store *store) {
    return faccessat(store->dir_fd, ".", W_OK, AT_EACCESS) == 0;
}
