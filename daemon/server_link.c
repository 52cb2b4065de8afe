/* Ties the parts of the server's side together: who the device is decides with whom the others
 * speak. */
#include "daemon/server_link.h"

#include "daemon/device_identity.h"
#include "daemon/device_renewal.h"
#include "daemon/enroll_config.h"
#include "daemon/enrolment.h"
#include "daemon/file_wipe.h"
#include "daemon/http_client.h"
#include "daemon/machine_binding.h"
#include "daemon/push_stream.h"
#include "daemon/server_report.h"
#include "daemon/server_signing.h"
#include "daemon/server_status.h"
#include "daemon/state_sync.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/state_file.h"
#include "common/x509_profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_FILE "device.json"
#define REPORTS_DIR "reports"
#define MAX_CLOCK_DIFFERENCE_S 300
#define MAX_PATH 4096
#define PARTS 5 /* enrolment, renewal, push, sync, reports */

struct server_link {
    struct server_link_options options;
    int dir_fd, reports_fd;
    char binding[MACHINE_BINDING_SIZE]; /* empty: unknown */
    bool closing, clock_wrong;
    unsigned open; /* parts and clients that the loop still holds */
    void (*closed)(void *userdata);
    void *closed_userdata;

    struct device_identity *identity;
    enum reason identity_reason; /* why there is none */
    struct http_client *client;  /* presents the identity */

    struct enrolment *enrolment;
    struct device_renewal *renewal;
    struct push_stream *push;
    struct state_sync *sync;
    struct server_report *reports;
    struct server_signing *signing;
};

static void tell_status(void *userdata) {
    struct server_link *link = userdata;
    if (!link->closing)
        link->options.status_changed(link->options.userdata);
}

static void on_date(int64_t server_s, void *userdata) {
    struct server_link *link = userdata;
    int64_t difference = clock_wall_s(link->options.clock) - server_s;
    bool wrong = difference > MAX_CLOCK_DIFFERENCE_S || difference < -MAX_CLOCK_DIFFERENCE_S;
    if (wrong == link->clock_wrong)
        return;
    link->clock_wrong = wrong;
    log_event(
        wrong ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, MSG_CLOCK,
        wrong ? "This device's clock and the server's disagree; set it (timedatectl)."
              : "This device's clock and the server's agree again.",
        LOG_NUMBER("DIFFERENCE_S", difference));
    tell_status(link);
}

/* --- who the device is --- */

static void on_client_closed(void *userdata);

static int open_client(
    struct server_link *link, const struct device_identity *identity, struct http_client **ret) {
    const struct http_client_options options = {
        .loop = link->options.loop,
        .ca_pin = identity->server.has_pin ? identity->server.ca_pin : NULL,
        .certificate = identity->certificate,
        .issuer = identity->device_issuer,
        .key = identity->key,
        .date_seen = on_date,
        .userdata = link,
    };
    return http_client_new(&options, ret);
}

static bool is_removed(const struct server_link *link) {
    const struct desired_state *state = state_sync_current(link->sync);
    return state && !state->enrolled;
}

/* A first enrolment and a renewal share the pending files; the enrolment goes first. Owns
 * `pending`. */
static void watch_renewal(struct server_link *link, struct pending_request *pending) {
    if (link->identity && !enrolment_is_active(link->enrolment)) {
        device_renewal_watch(link->renewal, link->identity, link->client, pending);
        return;
    }
    pending_request_free(pending);
    device_renewal_watch(link->renewal, NULL, NULL, NULL);
}

static void on_enrolment_changed(void *userdata) {
    struct server_link *link = userdata;
    if (link->closing)
        return;
    bool active = enrolment_is_active(link->enrolment);
    if (link->identity && active == device_renewal_is_watching(link->renewal))
        watch_renewal(link, NULL);
    tell_status(link);
}

/* The one place where the identity changes. Everybody is told before the old one goes. */
static void use_identity(
    struct server_link *link, struct device_identity *identity, struct http_client *client,
    struct pending_request *pending) {
    struct device_identity *old = link->identity;
    struct http_client *old_client = link->client;
    const char *url = identity->server.url;
    link->identity = identity;
    link->identity_reason = REASON_NONE;
    link->client = client;
    link->open++;
    server_signing_identity_changed(link->signing);
    state_sync_use(link->sync, client, url, identity->uuid);
    push_stream_use(link->push, is_removed(link) ? NULL : client, url);
    server_report_use(link->reports, client, url);
    watch_renewal(link, pending);
    if (old_client)
        http_client_retire(old_client, on_client_closed, link);
    device_identity_free(old);
}

/* Owns the identity. Without memory for a client the next start finds it on disk. */
static void on_enrolled(struct device_identity *identity, void *userdata) {
    struct server_link *link = userdata;
    struct http_client *client;
    if (open_client(link, identity, &client) < 0) {
        link->identity_reason = REASON_NO_MEMORY;
        device_identity_free(identity);
        return;
    }
    use_identity(link, identity, client, NULL);
}

static void on_renewed(
    struct device_identity *identity, struct http_client *client, void *userdata) {
    struct server_link *link = userdata;
    use_identity(link, identity, client, NULL);
    tell_status(link);
}

static void on_hint(const char *epoch, int64_t generation, void *userdata) {
    struct server_link *link = userdata;
    if (link->closing)
        return;
    state_sync_fetch(link->sync, epoch, generation);
    tell_status(link); /* last_event_s */
}

static void on_state(const struct desired_state *state, void *userdata) {
    struct server_link *link = userdata;
    if (link->closing)
        return;
    /* A removed device has nothing to be pushed; it still asks now and then whether that has
     * changed. */
    if (!state->enrolled)
        push_stream_use(link->push, NULL, NULL);
    else if (!push_stream_is_used(link->push))
        push_stream_use(link->push, link->client, link->identity->server.url);
    link->options.state_changed(state, link->options.userdata);
    tell_status(link);
}

/* --- start --- */

static int read_binding(struct server_link *link) {
    if (link->binding[0] != '\0')
        return 0;
    int r = machine_binding_read(link->options.machine_id_path, link->binding);
    if (r < 0)
        log_event(
            LOG_LEVEL_ERROR, MSG_IDENTITY, reason_text(REASON_MACHINE_ID),
            LOG_TEXT("FILE", link->options.machine_id_path), LOG_ERRNO(r),
            LOG_TEXT("REMEDY", reason_remedy(REASON_MACHINE_ID)));
    return r;
}

static void note_no_identity(struct server_link *link, int error, enum reason reason) {
    if (error == -ENOENT)
        return;
    link->identity_reason = reason;
    log_event(
        LOG_LEVEL_ERROR, MSG_IDENTITY, "The device's identity cannot be used.",
        LOG_TEXT("CODE", reason_code(reason)), LOG_TEXT("REMEDY", reason_remedy(reason)),
        LOG_ERRNO(error));
    if (reason == REASON_BROKEN_STATE)
        state_file_set_aside(link->dir_fd, IDENTITY_FILE);
}

static bool is_same_token(
    const struct server_link *link, const struct pending_request *pending, struct secret *token) {
    uint8_t hash[SHA256_SIZE];
    if (pending && pending->token && secret_size(pending->token) == secret_size(token) &&
        memcmp(secret_data(pending->token), secret_data(token), secret_size(token)) == 0)
        return true;
    return link->identity && pending_request_token_hash(token, hash) == 0 &&
           memcmp(hash, link->identity->token_sha256, SHA256_SIZE) == 0;
}

static void wipe_config(const struct server_link *link) {
    const char *path = link->options.enroll_config_path;
    int r = file_wipe_path(path);
    if (r < 0)
        log_event(
            LOG_LEVEL_WARNING, MSG_STORAGE,
            "The enrolment file was taken over but cannot be wiped; remove it.",
            LOG_TEXT("FILE", path), LOG_ERRNO(r));
}

/* True if an enrolment of the file's was begun. The file goes only once what it says is on disk in
 * the state directory. */
static bool take_config(struct server_link *link, const struct pending_request *pending) {
    const char *path = link->options.enroll_config_path;
    struct enroll_config config = {0};
    char error[512] = "";
    if (!path)
        return false;
    int r = enroll_config_read(path, &config, error, sizeof(error));
    if (r == -ENOENT)
        return false;
    if (r < 0) {
        const char *text = error;
        log_event(
            LOG_LEVEL_ERROR, MSG_CONFIG, "The enrolment file cannot be used.",
            LOG_TEXT("DETAIL", text), LOG_ERRNO(r));
        if (!link->identity && link->identity_reason == REASON_NONE)
            link->identity_reason = REASON_CONFIG;
        return false;
    }
    bool begun = false;
    if (is_same_token(link, pending, config.token)) {
        wipe_config(link);
    } else {
        r = enrolment_start(
            link->enrolment, config.url, config.ca_pin, TAKE_PTR(config.token), NULL, NULL);
        begun = r == 0 && enrolment_is_active(link->enrolment);
        if (begun)
            wipe_config(link);
    }
    enroll_config_deinit(&config);
    return begun;
}

static void load_identity(struct server_link *link) {
    struct device_identity *identity = NULL;
    struct http_client *client = NULL;
    enum reason reason = REASON_STORAGE;
    if (read_binding(link) < 0) {
        link->identity_reason = REASON_MACHINE_ID;
        return;
    }
    int r = device_identity_load(link->dir_fd, link->binding, &identity, &reason);
    if (r < 0) {
        note_no_identity(link, r, reason);
        return;
    }
    r = open_client(link, identity, &client);
    if (r < 0) {
        note_no_identity(link, r, REASON_NO_MEMORY);
        device_identity_free(identity);
        return;
    }
    link->identity = identity;
    link->client = client;
}

/* Where the identity cannot be read, or is a newer version's, its files are left as they are. */
static bool may_enrol(const struct server_link *link) {
    switch (link->identity_reason) {
    case REASON_NONE:
    case REASON_BROKEN_STATE:
    case REASON_CLONED:
        return link->binding[0] != '\0';
    default:
        return false;
    }
}

static struct pending_request *load_pending(const struct server_link *link) {
    struct pending_request *pending = NULL;
    if (!may_enrol(link) || link->identity_reason == REASON_CLONED)
        return NULL;
    int r = pending_request_load(link->dir_fd, link->binding, link->identity, &pending);
    if (r < 0 && r != -ENOENT)
        log_event(
            LOG_LEVEL_ERROR, MSG_STORAGE, "A pending enrolment cannot be read.", LOG_ERRNO(r));
    return pending;
}

/* What the last run left, in this order: the identity, a request on its way, the file of an
 * administrator. */
static void start(struct server_link *link) {
    load_identity(link);
    CLEANUP_PENDING struct pending_request *pending = load_pending(link);
    bool begun = may_enrol(link) && take_config(link, pending);
    struct pending_request *renewal = NULL;
    if (pending && !begun && pending->renew)
        renewal = TAKE_PTR(pending);
    else if (pending && !begun)
        enrolment_resume(link->enrolment, TAKE_PTR(pending));
    if (link->identity)
        use_identity(link, TAKE_PTR(link->identity), TAKE_PTR(link->client), renewal);
    else
        state_sync_use(link->sync, NULL, NULL, NULL);
}

static int open_directories(struct server_link *link) {
    char path[MAX_PATH];
    int size = snprintf(path, sizeof(path), "%s/" REPORTS_DIR, link->options.state_dir);
    if (size < 0 || (size_t)size >= sizeof(path))
        return -ENAMETOOLONG;
    int r = atomic_file_make_dirs(path, 0700);
    if (r < 0)
        return r;
    link->dir_fd = atomic_file_open_dir(link->options.state_dir);
    if (link->dir_fd < 0)
        return link->dir_fd;
    link->reports_fd = atomic_file_open_dir(path);
    if (link->reports_fd < 0)
        return link->reports_fd;
    return atomic_file_sweep(link->dir_fd);
}

static int make_enrolment_parts(struct server_link *link) {
    const struct enrolment_options enrolment = {
        .loop = link->options.loop,
        .clock = link->options.clock,
        .random = link->options.random,
        .dir_fd = link->dir_fd,
        .binding = link->binding,
        .enrolled = on_enrolled,
        .changed = on_enrolment_changed,
        .date_seen = on_date,
        .userdata = link,
    };
    const struct device_renewal_options renewal = {
        .loop = link->options.loop,
        .clock = link->options.clock,
        .random = link->options.random,
        .dir_fd = link->dir_fd,
        .binding = link->binding,
        .renewed = on_renewed,
        .changed = tell_status,
        .date_seen = on_date,
        .userdata = link,
    };
    int r = enrolment_new(&enrolment, &link->enrolment);
    return r < 0 ? r : device_renewal_new(&renewal, &link->renewal);
}

static int make_parts(struct server_link *link) {
    const struct push_stream_options push = {
        .loop = link->options.loop,
        .clock = link->options.clock,
        .random = link->options.random,
        .hint = on_hint,
        .changed = tell_status,
        .userdata = link,
    };
    const struct state_sync_options sync = {
        .loop = link->options.loop,
        .clock = link->options.clock,
        .random = link->options.random,
        .dir_fd = link->dir_fd,
        .poll_s = link->options.state_poll_s,
        .taken = on_state,
        .changed = tell_status,
        .userdata = link,
    };
    const struct server_report_options reports = {
        .loop = link->options.loop,
        .clock = link->options.clock,
        .random = link->options.random,
        .dir_fd = link->reports_fd,
    };
    int r = server_signing_new(&link->signing);
    r = r < 0 ? r : make_enrolment_parts(link);
    r = r < 0 ? r : push_stream_new(&push, &link->push);
    r = r < 0 ? r : state_sync_new(&sync, &link->sync);
    return r < 0 ? r : server_report_new(&reports, &link->reports);
}

int server_link_new(const struct server_link_options *options, struct server_link **ret) {
    struct server_link *link = calloc(1, sizeof(*link));
    if (!link)
        return -ENOMEM;
    link->options = *options;
    link->dir_fd = -1;
    link->reports_fd = -1;
    int r = open_directories(link);
    r = r < 0 ? r : make_parts(link);
    if (r < 0) {
        server_link_close(link, NULL, NULL);
        return r;
    }
    start(link);
    *ret = link;
    return 0;
}

/* --- end --- */

static void one_closed(struct server_link *link) {
    link->open--;
    if (!link->closing || link->open > 0)
        return;
    device_identity_free(link->identity);
    if (link->dir_fd >= 0)
        close(link->dir_fd);
    if (link->reports_fd >= 0)
        close(link->reports_fd);
    if (link->closed)
        link->closed(link->closed_userdata);
    free(link);
}

static void on_client_closed(void *userdata) {
    one_closed(userdata);
}

/* Each part cancels its transfers, so that clients which were retired for them close as well. */
void server_link_close(struct server_link *link, void (*closed)(void *), void *userdata) {
    link->closing = true;
    link->closed = closed;
    link->closed_userdata = userdata;
    link->open += PARTS;
    link->signing = server_signing_free(link->signing);
    push_stream_close(link->push, on_client_closed, link);
    state_sync_close(link->sync, on_client_closed, link);
    server_report_close(link->reports, on_client_closed, link);
    device_renewal_close(link->renewal, on_client_closed, link);
    struct http_client *client = TAKE_PTR(link->client);
    struct enrolment *enrolment = link->enrolment;
    if (client)
        http_client_close(client, on_client_closed, link);
    enrolment_close(enrolment, on_client_closed, link); /* last: without parts it frees the link */
}

/* --- what the rest of the daemon asks --- */

int server_link_enroll(
    struct server_link *link, const char *url, struct secret *token, const char *ca_pin,
    server_link_enrolled done, void *userdata) {
    if (read_binding(link) < 0) {
        secret_free(token);
        return enrolment_refuse(link->enrolment, REASON_MACHINE_ID, done, userdata);
    }
    device_renewal_watch(
        link->renewal, NULL, NULL, NULL); /* the pending files are the enrolment's now */
    return enrolment_start(link->enrolment, url, ca_pin, token, done, userdata);
}

int server_link_hold(struct server_link *link, bool hold) {
    bool pending = enrolment_is_active(link->enrolment);
    int r = hold ? enrolment_abandon(link->enrolment) : 0;
    if (r < 0)
        return r;
    if (!link->identity)
        return pending ? 0 : -ENOTCONN;
    if (link->identity->held == hold)
        return 0;
    link->identity->held = hold;
    r = device_identity_save(link->dir_fd, link->binding, link->identity);
    if (r < 0)
        link->identity->held = !hold;
    return r;
}

bool server_link_is_held(struct server_link *link) {
    return link->identity && link->identity->held;
}

int server_link_sign(
    struct server_link *link, const uint8_t *csr, size_t size, server_link_signed done,
    void *userdata) {
    const struct desired_state *state = state_sync_current(link->sync);
    if (!link->identity || link->identity->held || !state || !state->enrolled)
        return -ENOTCONN;
    const struct est_target target = {
        .client = link->client,
        .clock = link->options.clock,
        .url = link->identity->server.url,
        .label = state->est_label,
    };
    return server_signing_post(link->signing, &target, csr, size, done, userdata);
}

void server_link_cancel(struct server_link *link, void *userdata) {
    server_signing_cancel(link->signing, userdata);
}

int server_link_report(struct server_link *link, struct json_object *report) {
    return server_report_add(link->reports, report);
}

X509 *server_link_trust_root(struct server_link *link) {
    return link->identity ? link->identity->trust_root : NULL;
}

X509 *server_link_trust_issuer(struct server_link *link) {
    return link->identity ? link->identity->trust_issuer : NULL;
}

const char *server_link_device_uuid(struct server_link *link) {
    return link->identity ? link->identity->uuid : NULL;
}

const char *server_link_url(struct server_link *link) {
    return link->identity ? link->identity->server.url : NULL;
}

const struct desired_state *server_link_state(struct server_link *link) {
    return state_sync_current(link->sync);
}

void server_link_refresh(struct server_link *link) {
    enrolment_hurry(link->enrolment);
    push_stream_refresh(link->push);
    state_sync_fetch(link->sync, NULL, 0);
    server_report_hurry(link->reports);
}

static enum reason first_reason(const enum reason *reasons, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (reasons[i] != REASON_NONE)
            return reasons[i];
    return REASON_NONE;
}

static void judge_enrolled(struct server_link *link, struct enrolment_status *status) {
    x509_not_after(link->identity->certificate, &status->not_after);
    bool expired = status->not_after <= clock_wall_s(link->options.clock);
    const enum reason reasons[] = {
        link->clock_wrong ? REASON_CLOCK : REASON_NONE,
        expired ? REASON_EXPIRED : REASON_NONE,
        enrolment_reason(link->enrolment),
        device_renewal_reason(link->renewal),
    };
    status->url = link->identity->server.url;
    status->device_uuid = link->identity->uuid;
    status->reason = first_reason(reasons, ARRAY_LENGTH(reasons));
    status->state = ENROLMENT_ENROLLED;
    if (link->identity->held) {
        status->state = ENROLMENT_HELD;
        status->reason = REASON_HELD;
    } else if (is_removed(link)) {
        status->state = ENROLMENT_REMOVED;
        status->reason = REASON_DEVICE_REMOVED;
    }
}

static void judge_not_enrolled(struct server_link *link, struct enrolment_status *status) {
    const enum reason reasons[] = {
        enrolment_reason(link->enrolment),
        link->identity_reason,
        REASON_NOT_ENROLLED,
    };
    status->state = link->identity_reason == REASON_CLONED ? ENROLMENT_CLONED : ENROLMENT_NONE;
    status->reason = first_reason(reasons, ARRAY_LENGTH(reasons));
}

int server_link_status(
    struct server_link *link, struct json_object **ret_enrolment, struct json_object **ret_push) {
    struct enrolment_status status = {0};
    if (link->identity)
        judge_enrolled(link, &status);
    else
        judge_not_enrolled(link, &status);
    if (enrolment_is_active(link->enrolment)) {
        status.state = ENROLMENT_ENROLLING;
        status.url = enrolment_url(link->enrolment);
        status.reason = enrolment_reason(link->enrolment);
    }
    enum reason push_reason = push_stream_reason(link->push);
    const struct push_status push = {
        .connected = push_stream_is_connected(link->push),
        .last_event_s = push_stream_last_event_s(link->push),
        .reason = push_reason != REASON_NONE ? push_reason : state_sync_reason(link->sync),
    };
    struct json_object *enrolment = NULL;
    int r = server_status_enrolment(&status, &enrolment);
    if (r < 0)
        return r;
    r = server_status_push(&push, ret_push);
    if (r < 0) {
        json_object_put(enrolment);
        return r;
    }
    *ret_enrolment = enrolment;
    return 0;
}
