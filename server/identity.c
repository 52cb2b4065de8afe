/* Judges device certificates. */
#include "server/identity.h"

#include "server/ca.h"
#include "server/device.h"
#include "server/server.h"

#include <errno.h>

enum reason identity_judge(
    const struct certificate_status *status, enum http_identity identity, int64_t now_s,
    int64_t expired_grace_s) {
    if (!status->known || status->kind != CERTIFICATE_DEVICE)
        return REASON_SERVER_REFUSED;
    if (status->device_removed) {
        /* the certificate that was good when its device was removed may fetch the news */
        bool tombstone = identity == HTTP_IDENTITY_DEVICE_REMOVED && status->revoked_with_device &&
                         now_s < status->device_removed_at + DEVICE_TOMBSTONE_S;
        return tombstone ? REASON_NONE : REASON_DEVICE_REMOVED;
    }
    if (status->state == CERTIFICATE_REVOKED)
        return REASON_REVOKED;
    if (status->not_after > now_s)
        return REASON_NONE;
    bool renewal =
        identity == HTTP_IDENTITY_DEVICE_EXPIRED && now_s < status->not_after + expired_grace_s;
    return renewal ? REASON_NONE : REASON_EXPIRED;
}

struct confirmation {
    int64_t id;
    int64_t now_s;
};

static int run_confirm(struct db *db, void *data) {
    const struct confirmation *confirmation = data;
    return certificate_confirm(db, confirmation->id, false, confirmation->now_s);
}

static void confirm_done(int result, void *data) {
    (void)result; /* the database has logged a fault; the next use tries again */
    free(data);
}

static void confirm_first_use(
    struct server *server, const struct certificate_status *status, int64_t now_s) {
    struct confirmation *confirmation = malloc(sizeof(*confirmation));
    if (!confirmation)
        return;
    *confirmation = (struct confirmation){.id = status->id, .now_s = now_s};
    const struct db_job job = {.run = run_confirm, .done = confirm_done, .data = confirmation};
    if (db_writer_submit(server->writer, &job) < 0)
        free(confirmation);
}

static int refuse(struct http_request *request, enum reason reason, const char *detail) {
    http_send_problem(request, 403, reason, detail);
    return -EACCES;
}

int identity_authorise(
    struct http_request *request, enum http_identity identity, struct server *server) {
    X509 *peer = http_request_peer(request);
    if (!peer)
        return refuse(
            request, REASON_SERVER_REFUSED,
            "This path needs a device certificate; enrol the device first.");
    if (ca_leaf_kind(server->ca, peer) != CA_LEAF_DEVICE)
        return refuse(
            request, REASON_SERVER_REFUSED,
            "This certificate is not a device certificate of this server.");
    int64_t now_s = clock_wall_s(server->clock);
    struct certificate_status status;
    int r =
        certificate_status_of(server->db, peer, now_s, server->config.superseded_grace_s, &status);
    if (r < 0) {
        http_send_error(request, r);
        return -EACCES;
    }
    enum reason reason =
        identity_judge(&status, identity, now_s, server->config.expired_device_grace_s);
    if (reason != REASON_NONE)
        return refuse(request, reason, NULL);
    if (status.state == CERTIFICATE_ISSUED)
        confirm_first_use(server, &status, now_s);
    http_request_set_device(request, status.device);
    return 0;
}
