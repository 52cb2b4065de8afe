/* Ties the parts of the server's side together: who the device is decides with whom the others
 * speak. */
#include "daemon/server_link.h"

#include "daemon/device_renewal.h"
#include "daemon/enrolment.h"
#include "daemon/http_client.h"
#include "daemon/push_stream.h"
#include "daemon/server_parts.h"
#include "daemon/server_report.h"
#include "daemon/server_signing.h"
#include "daemon/state_sync.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REPORTS_DIR "reports"
#define MAX_PATH 4096
#define PARTS 6 /* enrolment, renewal, push, sync, reports, probe */

static void tell_status(void *userdata) {
    struct server_link *link = userdata;
    if (!link->closing)
        link->options.status_changed(link->options.userdata);
}

static void on_date(int64_t server_s, void *userdata) {
    struct server_link *link = userdata;
    int64_t difference = clock_wall_s(link->options.clock) - server_s;
    bool wrong =
        difference > SERVER_MAX_CLOCK_DIFFERENCE_S || difference < -SERVER_MAX_CLOCK_DIFFERENCE_S;
    if (!link->closing)
        device_renewal_clock_differs(link->renewal, wrong ? difference : 0);
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

static struct http_client_options client_options(
    struct server_link *link, const struct device_identity *identity) {
    return (struct http_client_options){
        .loop = link->options.loop,
        .ca_pin = identity->server.has_pin ? identity->server.ca_pin : NULL,
        .certificate = identity->certificate,
        .issuer = identity->device_issuer,
        .key = identity->key,
        .date_seen = on_date,
        .userdata = link,
    };
}

int server_link_open_client(
    struct server_link *link, const struct device_identity *identity, struct http_client **ret) {
    const struct http_client_options options = client_options(link, identity);
    return http_client_new(&options, ret);
}

bool server_link_is_removed(const struct server_link *link) {
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

/* The two share their files, so no certificate is renewed while an enrolment is on its way: one
 * whose server does not answer gives way before the certificate that works expires for want of it.
 */
static void give_way_to_renewal(struct server_link *link) {
    int64_t end_s = 0, now_s = clock_wall_s(link->options.clock);
    if (!link->identity || enrolment_reason(link->enrolment) != REASON_SERVER_UNREACHABLE ||
        enrolment_is_awaited(link->enrolment))
        return;
    x509_not_after(link->identity->certificate, &end_s);
    if (now_s < device_identity_renew_at(link->identity) || now_s >= end_s ||
        enrolment_abandon(link->enrolment) < 0)
        return;
    log_event(
        LOG_LEVEL_WARNING, MSG_ENROL_FAILED,
        "The enrolment was given up: its server has not answered, and this device's certificate is "
        "to be renewed. Enrol again when it can be reached.",
        LOG_TEXT("CODE", reason_code(REASON_SERVER_UNREACHABLE)),
        LOG_TEXT("REMEDY", reason_remedy(REASON_SERVER_UNREACHABLE)));
}

static void on_enrolment_changed(void *userdata) {
    struct server_link *link = userdata;
    if (link->closing)
        return;
    if (enrolment_is_active(link->enrolment))
        give_way_to_renewal(link);
    bool active = enrolment_is_active(link->enrolment);
    if (link->identity && active == device_renewal_is_watching(link->renewal))
        watch_renewal(link, NULL);
    tell_status(link);
}

/* The one place where the identity changes. Everybody is told before the old one goes. */
void server_link_use_identity(
    struct server_link *link, struct device_identity *identity, struct http_client *client,
    struct pending_request *pending) {
    struct device_identity *old = link->identity;
    struct http_client *old_client = link->client;
    const char *url = identity->server.url;
    link->identity = identity;
    link->identity_reason = REASON_NONE;
    link->client = client;
    link->open++;
    const struct http_client_options options = client_options(link, identity);
    server_signing_identity_changed(link->signing);
    server_probe_identity_changed(link->probe, &options, url, identity->uuid);
    state_sync_use(link->sync, client, url, identity->uuid);
    push_stream_use(link->push, server_link_is_removed(link) ? NULL : client, url);
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
    if (server_link_open_client(link, identity, &client) < 0) {
        link->identity_reason = REASON_NO_MEMORY;
        device_identity_free(identity);
        return;
    }
    server_link_use_identity(link, identity, client, NULL);
}

static void on_renewed(
    struct device_identity *identity, struct http_client *client, void *userdata) {
    struct server_link *link = userdata;
    server_link_use_identity(link, identity, client, NULL);
    tell_status(link);
}

/* Whether it is right now shows in the Date of any answer. */
static void on_clock_set(void *userdata) {
    struct server_link *link = userdata;
    if (!link->closing && link->clock_wrong)
        state_sync_fetch(link->sync, NULL, 0);
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
        .clock_set = on_clock_set,
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
    r = r < 0 ? r : server_report_new(&reports, &link->reports);
    return r < 0 ? r : server_probe_new(link->options.loop, link->options.clock, 0, &link->probe);
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
    server_start(link);
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
    server_probe_close(link->probe, on_client_closed, link);
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
    if (server_start_read_binding(link) < 0) {
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

int server_link_probe(struct server_link *link, server_probe_done done, void *userdata) {
    if (!link->identity)
        return -ENOTCONN;
    const struct http_client_options options = client_options(link, link->identity);
    return server_probe_ask(
        link->probe, &options, link->identity->server.url, link->identity->uuid, done, userdata);
}

void server_link_probe_cancel(struct server_link *link, const void *userdata) {
    server_probe_cancel(link->probe, userdata);
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

bool server_link_repair(struct server_link *link) {
    int64_t now_ms = clock_monotonic_ms(link->options.clock);
    if (!link->has_refreshed || now_ms - link->refreshed_ms >= SERVER_LINK_REFRESH_REST_MS) {
        link->has_refreshed = true;
        link->refreshed_ms = now_ms;
        server_link_refresh(link);
    }
    if (link->has_repaired && now_ms - link->repaired_ms < SERVER_LINK_REPAIR_REST_MS)
        return false;
    if (!device_renewal_hurry(link->renewal))
        return false;
    link->has_repaired = true;
    link->repaired_ms = now_ms;
    return true;
}

void server_link_wake(struct server_link *link) {
    if (link->client)
        http_client_network_changed(link->client);
    device_renewal_recheck(link->renewal);
    enum reason said = push_stream_reason(link->push);
    if (said == REASON_SERVER_ERROR || said == REASON_RATE_LIMITED)
        return;
    push_stream_reopen(link->push);
    server_link_refresh(link);
}

void server_link_refresh(struct server_link *link) {
    enrolment_hurry(link->enrolment);
    push_stream_refresh(link->push);
    state_sync_fetch(link->sync, NULL, 0);
    server_report_hurry(link->reports);
}
