/* The queue of reports: files named by a growing number, so that their order survives a restart. */
#include "daemon/server_report.h"

#include "daemon/http_client.h"
#include "daemon/http_problem.h"
#include "daemon/server_address.h"

#include "common/atomic_file.h"
#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/state_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "/v1/report"
#define NAME_SIZE 22 /* 16 hex digits, ".json" and NUL */
#define MAX_KEY 256
#define MAX_ANSWER (16 * 1024)
#define DEADLINE_MS 30000
#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS (5 * 60 * 1000)

static const struct state_file_type file_type = {.format = "devtrust-report", .version = 1};

struct stored {
    struct json_object *report;
};

static const struct json_field stored_fields[] = {
    JSON_FIELD(struct stored, report, "report", JSON_FIELD_OBJECT, true, 0, 0),
};

struct identity {
    const char *user, *request_id, *outcome;
};

static const struct json_field identity_fields[] = {
    JSON_FIELD(struct identity, user, "user", JSON_FIELD_STRING, true, 1, 64),
    JSON_FIELD(struct identity, request_id, "request_id", JSON_FIELD_STRING, false, 0, 64),
    JSON_FIELD(struct identity, outcome, "outcome", JSON_FIELD_STRING, true, 1, 32),
};

struct entry {
    uint64_t number;
    char *key; /* user, request id (but for failures), outcome */
};

struct server_report {
    struct server_report_options options;
    uv_timer_t retry;
    void (*closed)(void *userdata);
    void *closed_userdata;

    struct http_client *client;
    const char *url;
    struct http_transfer *transfer;
    struct backoff backoff;
    enum reason reason;

    struct entry *entries; /* SERVER_REPORT_MAX of them; the first is sent first */
    size_t count;
    uint64_t next_number;
};

static void send_first(struct server_report *reports);

static void make_name(uint64_t number, char ret[NAME_SIZE]) {
    snprintf(ret, NAME_SIZE, "%016" PRIx64 ".json", number);
}

static int make_key(struct json_object *report, char **ret) {
    struct identity identity = {.request_id = ""};
    if (json_fields_read(report, identity_fields, ARRAY_LENGTH(identity_fields), &identity, NULL) <
        0)
        return -EINVAL;
    char key[MAX_KEY];
    /* One failure per user: the newest says it all, and a long time without the server must not
     * fill the queue with them. */
    const char *request_id = strcmp(identity.outcome, "failed") == 0 ? "" : identity.request_id;
    snprintf(key, sizeof(key), "%s %s %s", identity.user, request_id, identity.outcome);
    *ret = strdup(key);
    return *ret ? 0 : -ENOMEM;
}

/* --- the files --- */

static int read_report(
    const struct server_report *reports, uint64_t number, struct json_object **ret) {
    char name[NAME_SIZE];
    CLEANUP_JSON struct json_object *object = NULL;
    struct stored stored = {0};
    make_name(number, name);
    int r = state_file_read(reports->options.dir_fd, name, &file_type, &object);
    if (r < 0)
        return r;
    if (json_fields_read(object, stored_fields, ARRAY_LENGTH(stored_fields), &stored, NULL) < 0)
        return -EBADMSG;
    *ret = json_object_get(stored.report);
    return 0;
}

/* Owns `report`. */
static int write_report(
    const struct server_report *reports, uint64_t number, struct json_object *report) {
    char name[NAME_SIZE];
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    if (!object) {
        json_object_put(report);
        return -ENOMEM;
    }
    make_name(number, name);
    int r = json_fields_add(object, "report", report);
    return r < 0 ? r : state_file_write(reports->options.dir_fd, name, &file_type, object, 0600);
}

/* The file goes after the server has it; one that cannot be removed is sent once more after a
 * restart, which changes nothing. */
static void drop(struct server_report *reports, size_t index) {
    char name[NAME_SIZE];
    const char *file = name;
    make_name(reports->entries[index].number, name);
    int r = atomic_file_remove(reports->options.dir_fd, name);
    if (r < 0)
        log_event(
            LOG_LEVEL_WARNING, MSG_STORAGE, "A sent report cannot be removed.",
            LOG_TEXT("FILE", file), LOG_ERRNO(r));
    free(reports->entries[index].key);
    reports->count--;
    memmove(
        &reports->entries[index], &reports->entries[index + 1],
        (reports->count - index) * sizeof(reports->entries[0]));
}

static int compare_numbers(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Names that are not the queue's own are left alone. */
static bool parse_name(const char *name, uint64_t *ret) {
    char expected[NAME_SIZE];
    char *end;
    if (strlen(name) != NAME_SIZE - 1)
        return false;
    *ret = strtoull(name, &end, 16);
    make_name(*ret, expected);
    return strcmp(name, expected) == 0;
}

static int list_numbers(int dir_fd, uint64_t numbers[SERVER_REPORT_MAX], size_t *ret_count) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    CLEANUP_CLOSEDIR DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = -errno;
        close(fd);
        return r;
    }
    size_t count = 0;
    const struct dirent *item;
    while (count < SERVER_REPORT_MAX && (item = readdir(dir)))
        if (parse_name(item->d_name, &numbers[count]))
            count++;
    qsort(numbers, count, sizeof(numbers[0]), compare_numbers);
    *ret_count = count;
    return 0;
}

static void load_one(struct server_report *reports, uint64_t number) {
    CLEANUP_JSON struct json_object *report = NULL;
    char *key = NULL;
    int r = read_report(reports, number, &report);
    r = r < 0 ? r : make_key(report, &key);
    if (r == 0) {
        reports->entries[reports->count++] = (struct entry){.number = number, .key = key};
        return;
    }
    char name[NAME_SIZE];
    const char *file = name;
    make_name(number, name);
    log_event(
        LOG_LEVEL_WARNING, MSG_REPORT, "A stored report cannot be read; it is set aside.",
        LOG_TEXT("FILE", file), LOG_ERRNO(r));
    if (r == -EBADMSG || r == -EINVAL)
        state_file_set_aside(reports->options.dir_fd, name);
}

static int load(struct server_report *reports) {
    CLEANUP_FREE uint64_t *numbers = calloc(SERVER_REPORT_MAX, sizeof(*numbers));
    size_t count = 0;
    if (!numbers)
        return -ENOMEM;
    int r = list_numbers(reports->options.dir_fd, numbers, &count);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        load_one(reports, numbers[i]);
    reports->next_number = count > 0 ? numbers[count - 1] + 1 : 0;
    return atomic_file_sweep(reports->options.dir_fd);
}

/* --- sending --- */

static void on_retry(uv_timer_t *timer) {
    send_first(timer->data);
}

static void wait_and_retry(
    struct server_report *reports, enum reason reason, int64_t floor_ms, const char *detail) {
    if (reason != reports->reason) {
        char escaped[512];
        const char *shown = log_escape(detail, strlen(detail), escaped, sizeof(escaped));
        log_event(
            LOG_LEVEL_WARNING, MSG_REPORT, "A report was not sent; it is sent again.",
            LOG_TEXT("CODE", reason_code(reason)), LOG_TEXT("REMEDY", reason_remedy(reason)),
            LOG_TEXT("DETAIL", shown));
    }
    reports->reason = reason;
    int64_t delay = backoff_next(&reports->backoff, reports->options.random, floor_ms);
    uv_timer_start(&reports->retry, on_retry, (uint64_t)delay, 0);
}

/* The server will not have this one as it is. It goes behind the others, which are not to wait for
 * it. */
static void rotate(struct server_report *reports) {
    struct entry first = reports->entries[0];
    memmove(
        &reports->entries[0], &reports->entries[1],
        (reports->count - 1) * sizeof(reports->entries[0]));
    reports->entries[reports->count - 1] = first;
}

static void on_done(const struct http_answer *answer, void *userdata) {
    struct server_report *reports = userdata;
    reports->transfer = NULL;
    bool taken =
        answer->reason == REASON_NONE && (answer->status / 100 == 2 || answer->status == 409);
    if (taken) {
        if (answer->status == 409)
            log_event(
                LOG_LEVEL_NOTICE, MSG_REPORT,
                "The server does not know what a report was about; the report is dropped.",
                LOG_TEXT("REPORT", reports->entries[0].key));
        reports->reason = REASON_NONE;
        backoff_reset(&reports->backoff);
        drop(reports, 0);
        send_first(reports);
        return;
    }
    enum reason reason = http_problem_reason(answer);
    if (reason == REASON_NONE)
        reason = REASON_SERVER_ANSWER;
    if (answer->reason == REASON_NONE && answer->status / 100 == 4 &&
        !http_problem_is_transient(answer))
        rotate(reports);
    wait_and_retry(
        reports, reason, http_problem_retry_after_ms(answer, reports->options.clock),
        answer->detail);
}

static int put(struct server_report *reports, struct json_object *report) {
    char url[SERVER_ADDRESS_MAX_URL + sizeof(PATH)];
    size_t size;
    const char *text = json_object_to_json_string_length(
        report, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    if (!text)
        return -ENOMEM;
    snprintf(url, sizeof(url), "%s%s", reports->url, PATH);
    const struct http_request request = {
        .method = HTTP_PUT,
        .url = url,
        .accept = "application/problem+json",
        .content_type = "application/json",
        .body = text,
        .body_size = size,
        .maximum = MAX_ANSWER,
        .deadline_ms = DEADLINE_MS,
        .done = on_done,
        .userdata = reports,
    };
    return http_client_send(reports->client, &request, &reports->transfer);
}

static void send_first(struct server_report *reports) {
    while (reports->client && !reports->transfer && reports->count > 0) {
        CLEANUP_JSON struct json_object *report = NULL;
        uv_timer_stop(&reports->retry);
        int r = read_report(reports, reports->entries[0].number, &report);
        if (r == -ENOENT || r == -EBADMSG) {
            log_event(
                LOG_LEVEL_ERROR, MSG_REPORT, "A stored report is gone or broken.",
                LOG_TEXT("REPORT", reports->entries[0].key), LOG_ERRNO(r));
            drop(reports, 0);
            continue;
        }
        r = r < 0 ? r : put(reports, report);
        if (r < 0) {
            wait_and_retry(reports, REASON_STORAGE, 0, strerror(-r));
            return;
        }
    }
}

static void remove_same(struct server_report *reports, const char *key) {
    /* The first may be on its way: its answer is about what was sent. */
    for (size_t i = reports->transfer ? 1 : 0; i < reports->count; i++)
        if (strcmp(reports->entries[i].key, key) == 0) {
            drop(reports, i);
            return;
        }
}

int server_report_add(struct server_report *reports, struct json_object *report) {
    CLEANUP_FREE char *key = NULL;
    int r = make_key(report, &key);
    if (r == 0 && reports->count >= SERVER_REPORT_MAX)
        r = -ENOBUFS;
    if (r < 0) {
        json_object_put(report);
        return r;
    }
    r = write_report(reports, reports->next_number, report);
    if (r < 0)
        return r;
    remove_same(reports, key);
    reports->entries[reports->count++] =
        (struct entry){.number = reports->next_number++, .key = TAKE_PTR(key)};
    if (!uv_is_active((uv_handle_t *)&reports->retry))
        uv_timer_start(&reports->retry, on_retry, 0, 0);
    return 0;
}

void server_report_use(struct server_report *reports, struct http_client *client, const char *url) {
    http_transfer_cancel(TAKE_PTR(reports->transfer));
    uv_timer_stop(&reports->retry);
    backoff_reset(&reports->backoff);
    reports->client = client;
    reports->url = url;
    server_report_hurry(reports);
}

void server_report_hurry(struct server_report *reports) {
    if (reports->client && !reports->transfer && reports->count > 0)
        uv_timer_start(&reports->retry, on_retry, 0, 0);
}

size_t server_report_count(const struct server_report *reports) {
    return reports->count;
}

int server_report_new(const struct server_report_options *options, struct server_report **ret) {
    struct server_report *reports = calloc(1, sizeof(*reports));
    if (!reports)
        return -ENOMEM;
    reports->options = *options;
    reports->backoff = (struct backoff){
        .base_ms = options->retry_base_ms ? options->retry_base_ms : RETRY_BASE_MS,
        .cap_ms = RETRY_CAP_MS,
    };
    reports->entries = calloc(SERVER_REPORT_MAX, sizeof(*reports->entries));
    int r = reports->entries ? load(reports) : -ENOMEM;
    if (r < 0) {
        free(reports->entries);
        free(reports);
        return r;
    }
    uv_timer_init(options->loop, &reports->retry);
    reports->retry.data = reports;
    *ret = reports;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle) {
    struct server_report *reports = handle->data;
    for (size_t i = 0; i < reports->count; i++)
        free(reports->entries[i].key);
    free(reports->entries);
    reports->closed(reports->closed_userdata);
    free(reports);
}

void server_report_close(struct server_report *reports, void (*closed)(void *), void *userdata) {
    if (!reports) {
        closed(userdata);
        return;
    }
    http_transfer_cancel(TAKE_PTR(reports->transfer));
    reports->client = NULL;
    reports->closed = closed;
    reports->closed_userdata = userdata;
    uv_close((uv_handle_t *)&reports->retry, on_handle_closed);
}
