/* Keeps the agent's record, and its file. */
#include "useragent/agent_record.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/json_gate.h"
#include "common/paths.h"
#include "common/state_file.h"
#include "useragent/agent_record_json.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const struct state_file_type record_type = {.format = "devtrust-agent", .version = 1};

void agent_record_init(struct agent_record *record) {
    *record = (struct agent_record){0};
}

void agent_record_deinit(struct agent_record *record) {
    agent_record_keep_issuers(record, 0);
}

void agent_record_keep_issuers(struct agent_record *record, size_t count) {
    while (record->issuer_count > count) {
        record->issuer_count--;
        free(record->issuers[record->issuer_count]);
        record->issuers[record->issuer_count] = NULL;
    }
}

int agent_record_copy(const struct agent_record *from, struct agent_record *ret) {
    struct agent_record copy = *from;

    copy.issuer_count = 0;
    for (size_t i = 0; i < from->issuer_count; i++) {
        copy.issuers[i] = strdup(from->issuers[i]);
        if (!copy.issuers[i]) {
            agent_record_deinit(&copy);
            return -ENOMEM;
        }
        copy.issuer_count++;
    }
    *ret = copy;
    return 0;
}

int agent_record_add_issuer(struct agent_record *record, X509 *issuer) {
    CLEANUP_FREE char *text = NULL;
    int r;

    r = x509_cert_to_base64(issuer, &text);
    if (r < 0)
        return r;
    for (size_t i = 0; i < record->issuer_count; i++) {
        if (strcmp(record->issuers[i], text) == 0) {
            char *known = record->issuers[i];

            memmove(&record->issuers[1], &record->issuers[0], i * sizeof record->issuers[0]);
            record->issuers[0] = known;
            return 1;
        }
    }
    agent_record_keep_issuers(record, OURS_MAX_ISSUERS - 1);
    memmove(
        &record->issuers[1], &record->issuers[0], record->issuer_count * sizeof record->issuers[0]);
    record->issuers[0] = TAKE_PTR(text);
    record->issuer_count++;
    return 0;
}

int agent_record_add_to(const struct agent_record *record, struct ours *ours) {
    int r = 0;

    if (record->device_uuid[0] != '\0')
        r = ours_add_device(ours, record->device_uuid);
    for (size_t i = 0; r >= 0 && i < record->issuer_count; i++) {
        CLEANUP_X509 X509 *issuer = NULL;

        r = x509_cert_from_base64(record->issuers[i], &issuer);
        if (r >= 0)
            r = ours_add_issuer(ours, issuer);
    }
    if (r >= 0 && agent_record_has_current(record))
        r = ours_add_key(ours, record->spki);
    if (r >= 0 && record->intent == AGENT_INTENT_IMPORT)
        r = ours_add_key(ours, record->intent_spki);
    for (size_t i = 0; r >= 0 && i < record->old_count; i++)
        r = ours_add_key(ours, record->old[i]);
    return r;
}

static int open_state_dir(const struct user_dirs *dirs, bool create) {
    char path[USER_DIRS_PATH_MAX];
    struct stat status;
    int r;

    r = user_dirs_join(dirs->state, PATH_AGENT_STATE_DIR, path);
    if (r < 0)
        return r;
    if (create) {
        /* a home that is not mounted must not be made anew in its mount point */
        if (stat(dirs->home, &status) < 0)
            return -errno;
        if (!S_ISDIR(status.st_mode))
            return -ENOTDIR;
        r = atomic_file_make_dirs(path, 0700);
        if (r < 0)
            return r;
    }
    return atomic_file_open_dir(path);
}

static int read_file(int dir_fd, struct agent_record *ret) {
    CLEANUP_AGENT_RECORD struct agent_record record = {0};
    CLEANUP_JSON struct json_object *object = NULL;
    int r = state_file_read(dir_fd, PATH_AGENT_RECORD, &record_type, &object);

    if (r < 0)
        return r;
    if (agent_record_from_json(object, &record) < 0)
        return -EBADMSG;
    *ret = record;
    record = (struct agent_record){0};
    return 0;
}

int agent_record_read(const struct user_dirs *dirs, struct agent_record *ret) {
    CLEANUP_CLOSE int dir_fd = -1;
    int r;

    dir_fd = open_state_dir(dirs, false);
    if (dir_fd < 0)
        return dir_fd;
    (void)atomic_file_sweep(dir_fd);
    r = read_file(dir_fd, ret);
    if (r == -EBADMSG) {
        int aside = state_file_set_aside(dir_fd, PATH_AGENT_RECORD);

        return aside < 0 ? aside : -EBADMSG;
    }
    return r;
}

int agent_record_probe(const struct user_dirs *dirs) {
    CLEANUP_AGENT_RECORD struct agent_record record = {0};
    CLEANUP_CLOSE int dir_fd = open_state_dir(dirs, false);

    return dir_fd < 0 ? dir_fd : read_file(dir_fd, &record);
}

/* ---- writing ---- */

int agent_record_write(const struct user_dirs *dirs, const struct agent_record *record) {
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    CLEANUP_CLOSE int dir_fd = -1;
    int r;

    if (!object)
        return -ENOMEM;
    r = agent_record_to_json(record, object);
    if (r < 0)
        return r;
    dir_fd = open_state_dir(dirs, true);
    if (dir_fd < 0)
        return dir_fd;
    return state_file_write(dir_fd, PATH_AGENT_RECORD, &record_type, object, 0600);
}

int agent_record_remove(const struct user_dirs *dirs) {
    CLEANUP_CLOSE int dir_fd = -1;
    char path[USER_DIRS_PATH_MAX];
    int r;

    dir_fd = open_state_dir(dirs, false);
    if (dir_fd == -ENOENT)
        return 0;
    if (dir_fd < 0)
        return dir_fd;
    r = atomic_file_remove(dir_fd, PATH_AGENT_RECORD);
    if (r < 0)
        return r;
    /* the directory goes with its last file; one that holds something else stays */
    if (user_dirs_join(dirs->state, PATH_AGENT_STATE_DIR, path) >= 0)
        (void)rmdir(path);
    return 0;
}
