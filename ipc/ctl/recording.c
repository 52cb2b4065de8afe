/* Writing; see recording.h. */
#include "ipc/ctl/recording.h"

#include "ipc/ctl/text.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct recording {
    FILE *file;
    char *path;
};

static struct json_object *header_object(const struct ctl *ctl, const struct event_filter *filter) {
    struct json_object CLEANUP_JSON *header = json_object_new_object();
    char host[256] = "";
    if (!ctl->bridge) /* behind it is another, whose name nobody here knows */
        (void)gethostname(host, sizeof host - 1);
    if (json_fields_add_string(header, "format", RECORDING_FORMAT) < 0 ||
        json_fields_add_int(header, "version", RECORDING_VERSION) < 0 ||
        json_fields_add_int(header, "time_us", ctl->now() * 1000000) < 0 ||
        json_fields_add_string(header, "host", *host ? host : NULL) < 0 ||
        json_fields_add_string(header, "user", filter->user) < 0 ||
        json_fields_add_string(header, "method", filter->method) < 0)
        return NULL;
    return TAKE_PTR(header);
}

static int explain_create(struct ctl *ctl, const char *path, int error) {
    if (error == EEXIST)
        return ctl_usage(ctl, "This file exists, and a recording never replaces one:", path);
    return ctl_fail_with(
        ctl, CTL_USAGE, "usage", "The recording cannot be made:", strerror(error),
        "Check the name and the permissions of its directory.");
}

static int write_header(
    struct ctl *ctl, struct recording *recording, const struct event_filter *filter) {
    struct json_object CLEANUP_JSON *header = header_object(ctl, filter);
    const char *text = header ? json_object_to_json_string_ext(
                                    header, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                              : NULL;
    if (!text)
        return -ENOMEM;
    recording_add(recording, text);
    return recording_flush(recording);
}

int recording_new(
    struct ctl *ctl, const char *path, const struct event_filter *filter, struct recording **ret) {
    int CLEANUP_CLOSE fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return explain_create(ctl, path, errno);
    struct recording *recording = calloc(1, sizeof *recording);
    if (recording && (recording->path = strdup(path)))
        recording->file = fdopen(fd, "w");
    if (!recording || !recording->file) {
        (void)unlink(path);
        if (recording)
            free(recording->path);
        free(recording);
        return ctl_fail(ctl, REASON_NO_MEMORY);
    }
    (void)TAKE_FD(fd);
    int r = write_header(ctl, recording, filter);
    if (r < 0) {
        (void)recording_close(recording, false);
        return explain_create(ctl, path, -r);
    }
    *ret = recording;
    return CTL_GOOD;
}

void recording_add(struct recording *recording, const char *line) {
    text_json(recording->file, line);
}

int recording_flush(struct recording *recording) {
    errno = 0;
    if (fflush(recording->file) == 0 && !ferror(recording->file))
        return 0;
    return errno > 0 ? -errno : -EIO;
}

int recording_close(struct recording *recording, bool keep) {
    if (!recording)
        return 0;
    int r = recording_flush(recording);
    if (fclose(recording->file) != 0 && r == 0)
        r = -errno;
    if (!keep)
        (void)unlink(recording->path);
    free(recording->path);
    free(recording);
    return r;
}
