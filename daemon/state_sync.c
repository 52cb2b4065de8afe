/* Fetches, judges, stores and tells the desired state. */
#include "daemon/state_sync.h"

#include "daemon/http_client.h"
#include "daemon/http_problem.h"
#include "daemon/server_address.h"

#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/state_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "/v1/state"
#define MAX_STORED (STATE_FILE_MAX_SIZE - 4096) /* what fits into the file with its head */
#define DEADLINE_MS 30000
#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS (5 * 60 * 1000)
#define POLL_JITTER_PART 10
#define HANDLES 2

static const char *const state_file = "desired.json";
static const struct state_file_type file_type = {.format = "devtrust-desired", .version = 1};

struct stored {
    const char *device, *etag;
    struct json_object *state;
};

static const struct json_field fields[] = {
    JSON_FIELD(struct stored, device, "device", JSON_FIELD_STRING, true, 36, 36),
    JSON_FIELD(struct stored, etag, "etag", JSON_FIELD_STRING, false, 0, HTTP_MAX_HEADER - 1),
    JSON_FIELD(struct stored, state, "state", JSON_FIELD_OBJECT, true, 0, 0),
};

struct state_sync {
    struct state_sync_options options;
    uv_timer_t next;     /* the next poll or retry */
    uv_timer_t announce; /* tells the stored state from the loop */
    unsigned open;
    void (*closed)(void *userdata);
    void *closed_userdata;

    struct http_client *client;
    const char *url, *device;
    struct http_transfer *transfer;
    struct backoff backoff;
    enum reason reason;
    bool again; /* a hint came while a fetch ran */
    char hint_epoch[37];
    int64_t hint_generation;

    struct desired_state *current;
    char current_device[37]; /* whose it is */
    char etag[HTTP_MAX_HEADER];
    bool newer; /* the file is a newer version's: it is left alone */
};

static void fetch(struct state_sync *sync);

/* --- the file --- */

static int parse_object(struct json_object *object, struct desired_state **ret) {
    size_t size;
    const char *text = json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &size);
    return text ? desired_state_parse(text, size, ret, NULL) : -ENOMEM;
}

static int load(struct state_sync *sync) {
    CLEANUP_JSON struct json_object *object = NULL;
    struct stored stored = {.etag = ""};
    int r = state_file_read(sync->options.dir_fd, state_file, &file_type, &object);
    if (r < 0)
        return r;
    if (json_fields_read(object, fields, ARRAY_LENGTH(fields), &stored, NULL) < 0)
        return -EBADMSG;
    r = parse_object(stored.state, &sync->current);
    if (r < 0)
        return r;
    snprintf(sync->current_device, sizeof(sync->current_device), "%s", stored.device);
    snprintf(sync->etag, sizeof(sync->etag), "%s", stored.etag);
    return 0;
}

/* A broken file is only a copy of what the server says; it is fetched again. */
static void load_or_set_aside(struct state_sync *sync) {
    int r = load(sync);
    if (r == 0 || r == -ENOENT)
        return;
    log_event(
        LOG_LEVEL_WARNING, MSG_STORAGE,
        "The stored desired state cannot be used; it is fetched again from the server.",
        LOG_TEXT("FILE", state_file), LOG_ERRNO(r));
    sync->newer = r == -EPROTO;
    if (r == -EBADMSG || r == -EINVAL)
        state_file_set_aside(sync->options.dir_fd, state_file);
}

static int store(struct state_sync *sync, const char *text, size_t size) {
    if (sync->newer)
        return -EPROTO;
    CLEANUP_JSON struct json_object *object = json_object_new_object();
    struct json_object *state = NULL;
    if (!object)
        return -ENOMEM;
    int r = json_gate_parse(text, size, &state);
    r = r < 0 ? r : json_fields_add(object, "state", state);
    r = r < 0 ? r : json_fields_add_string(object, "device", sync->device);
    r = r < 0 ? r : json_fields_add_string(object, "etag", sync->etag);
    return r < 0 ? r : state_file_write(sync->options.dir_fd, state_file, &file_type, object, 0600);
}

/* --- fetching --- */

static void set_reason(struct state_sync *sync, enum reason reason, const char *detail) {
    if (reason == sync->reason)
        return;
    sync->reason = reason;
    if (reason != REASON_NONE) {
        char escaped[512];
        const char *shown = log_escape(detail, strlen(detail), escaped, sizeof(escaped));
        log_event(
            LOG_LEVEL_WARNING, MSG_STATE_REFUSED,
            "The desired state was not taken; the last good one stays.",
            LOG_TEXT("CODE", reason_code(reason)), LOG_TEXT("REMEDY", reason_remedy(reason)),
            LOG_TEXT("DETAIL", shown));
    }
    sync->options.changed(sync->options.userdata);
}

static void on_next(uv_timer_t *timer) {
    fetch(timer->data);
}

static void schedule_poll(struct state_sync *sync) {
    uint64_t poll_ms = (uint64_t)sync->options.poll_s * 1000;
    uint64_t jitter = random_below(sync->options.random, poll_ms / POLL_JITTER_PART + 1);
    uv_timer_start(&sync->next, on_next, poll_ms - jitter, 0);
}

static void schedule_retry(struct state_sync *sync, int64_t floor_ms) {
    int64_t delay = backoff_next(&sync->backoff, sync->options.random, floor_ms);
    uv_timer_start(&sync->next, on_next, (uint64_t)delay, 0);
}

static bool is_hinted(const struct state_sync *sync) {
    return sync->current && sync->hint_epoch[0] != '\0' &&
           strcmp(sync->current->epoch, sync->hint_epoch) == 0 &&
           sync->current->generation == sync->hint_generation;
}

/* The state stands whatever becomes of its copy on disk: it is fetched again after a restart. */
static void take(
    struct state_sync *sync, struct desired_state *state, const struct http_answer *answer) {
    memcpy(sync->etag, answer->etag, sizeof(sync->etag));
    int r = store(sync, answer->body, answer->size);
    if (r < 0)
        log_event(
            LOG_LEVEL_ERROR, MSG_STORAGE, "The desired state cannot be stored.",
            LOG_TEXT("FILE", state_file), LOG_ERRNO(r));
    struct desired_state *old = sync->current;
    sync->current = state;
    snprintf(sync->current_device, sizeof(sync->current_device), "%s", sync->device);
    uv_timer_stop(&sync->announce);
    log_event(
        LOG_LEVEL_INFO, MSG_STATE_TAKEN, "A desired state was taken.",
        LOG_NUMBER("GENERATION", state->generation),
        LOG_TEXT(
            "DISTRIBUTION", state->enrolled ? distribution_name(state->distribution) : "removed"));
    enum reason stored = r == -EPROTO ? REASON_NEWER_STATE : r < 0 ? REASON_STORAGE : REASON_NONE;
    set_reason(sync, stored, r < 0 ? state_file : "");
    sync->options.taken(state, sync->options.userdata);
    desired_state_free(old);
}

static void judge(struct state_sync *sync, const struct http_answer *answer) {
    struct desired_state *state = NULL;
    const char *field = "not valid JSON";
    int r = desired_state_parse(answer->body, answer->size, &state, &field);
    if (r == 0 && state->enrolled && strcmp(state->device, sync->device) != 0) {
        field = "device";
        r = -EINVAL;
    }
    if (r < 0) {
        desired_state_free(state);
        set_reason(sync, r == -ENOMEM ? REASON_NO_MEMORY : REASON_STATE_INVALID, field);
        return;
    }
    if (!desired_state_is_newer(sync->current, state)) {
        log_event(
            LOG_LEVEL_DEBUG, MSG_STATE_REFUSED, "An older desired state was passed over.",
            LOG_NUMBER("GENERATION", state->generation));
        desired_state_free(state);
        set_reason(sync, REASON_NONE, "");
        return;
    }
    take(sync, state, answer);
}

static void on_done(const struct http_answer *answer, void *userdata) {
    struct state_sync *sync = userdata;
    sync->transfer = NULL;
    enum reason reason = http_problem_reason(answer);
    if (reason != REASON_NONE || (answer->status != 200 && answer->status != 304)) {
        schedule_retry(sync, http_problem_retry_after_ms(answer, sync->options.clock));
        set_reason(sync, reason == REASON_NONE ? REASON_SERVER_ANSWER : reason, answer->detail);
        return;
    }
    backoff_reset(&sync->backoff);
    schedule_poll(sync);
    bool again = sync->again;
    sync->again = false;
    if (answer->status == 200)
        judge(sync, answer);
    else if (sync->reason != REASON_STORAGE && sync->reason != REASON_NEWER_STATE)
        set_reason(sync, REASON_NONE, "");
    if (again && !is_hinted(sync))
        fetch(sync);
}

static void fetch(struct state_sync *sync) {
    if (!sync->client || sync->transfer)
        return;
    char url[SERVER_ADDRESS_MAX_URL + sizeof(PATH)];
    snprintf(url, sizeof(url), "%s%s", sync->url, PATH);
    const struct http_request request = {
        .method = HTTP_GET,
        .url = url,
        .accept = "application/json",
        .if_none_match = sync->current && sync->etag[0] ? sync->etag : NULL,
        .maximum = MAX_STORED,
        .deadline_ms = DEADLINE_MS,
        .done = on_done,
        .userdata = sync,
    };
    uv_timer_stop(&sync->next);
    int r = http_client_send(sync->client, &request, &sync->transfer);
    if (r < 0) {
        schedule_retry(sync, 0);
        set_reason(sync, REASON_NO_MEMORY, strerror(-r));
    }
}

void state_sync_fetch(struct state_sync *sync, const char *epoch, int64_t generation) {
    if (!sync->transfer) {
        fetch(sync);
        return;
    }
    sync->again = true;
    snprintf(sync->hint_epoch, sizeof(sync->hint_epoch), "%s", epoch ? epoch : "");
    sync->hint_generation = generation;
}

static void on_announce(uv_timer_t *timer) {
    struct state_sync *sync = timer->data;
    sync->options.taken(sync->current, sync->options.userdata);
}

void state_sync_use(
    struct state_sync *sync, struct http_client *client, const char *url, const char *device) {
    http_transfer_cancel(TAKE_PTR(sync->transfer));
    uv_timer_stop(&sync->next);
    sync->again = false;
    sync->client = client;
    sync->url = url;
    sync->device = device;
    backoff_reset(&sync->backoff);
    if (!device) {
        uv_timer_stop(&sync->announce);
        return;
    }
    if (sync->current && strcmp(sync->current_device, device) != 0) {
        /* Another device's: the next one that comes is taken, whatever its generation. */
        uv_timer_stop(&sync->announce);
        sync->current = desired_state_free(sync->current);
        sync->etag[0] = '\0';
    }
    if (client)
        uv_timer_start(&sync->next, on_next, 0, 0);
}

const struct desired_state *state_sync_current(const struct state_sync *sync) {
    return sync->device ? sync->current : NULL;
}

enum reason state_sync_reason(const struct state_sync *sync) {
    return sync->reason;
}

int state_sync_new(const struct state_sync_options *options, struct state_sync **ret) {
    struct state_sync *sync = calloc(1, sizeof(*sync));
    if (!sync)
        return -ENOMEM;
    sync->options = *options;
    sync->backoff = (struct backoff){
        .base_ms = options->retry_base_ms ? options->retry_base_ms : RETRY_BASE_MS,
        .cap_ms = RETRY_CAP_MS,
    };
    load_or_set_aside(sync);
    uv_timer_init(options->loop, &sync->next);
    uv_timer_init(options->loop, &sync->announce);
    sync->next.data = sync;
    sync->announce.data = sync;
    sync->open = HANDLES;
    if (sync->current)
        uv_timer_start(&sync->announce, on_announce, 0, 0);
    *ret = sync;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle) {
    struct state_sync *sync = handle->data;
    if (--sync->open > 0)
        return;
    desired_state_free(sync->current);
    sync->closed(sync->closed_userdata);
    free(sync);
}

void state_sync_close(struct state_sync *sync, void (*closed)(void *), void *userdata) {
    if (!sync) {
        closed(userdata);
        return;
    }
    http_transfer_cancel(TAKE_PTR(sync->transfer));
    sync->client = NULL;
    sync->closed = closed;
    sync->closed_userdata = userdata;
    uv_close((uv_handle_t *)&sync->next, on_handle_closed);
    uv_close((uv_handle_t *)&sync->announce, on_handle_closed);
}
