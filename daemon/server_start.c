/* The start of the server link: identity, pending request and enrolment file are read, and the
 * parts set going. */
#include "daemon/server_parts.h"

#include "daemon/enroll_config.h"
#include "daemon/enrolment.h"
#include "daemon/file_wipe.h"
#include "daemon/http_client.h"
#include "daemon/state_sync.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/state_file.h"

#include <errno.h>
#include <string.h>

#define IDENTITY_FILE "device.json"

int server_start_read_binding(struct server_link *link) {
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
    if (server_start_read_binding(link) < 0) {
        link->identity_reason = REASON_MACHINE_ID;
        return;
    }
    int r = device_identity_load(link->dir_fd, link->binding, &identity, &reason);
    if (r < 0) {
        note_no_identity(link, r, reason);
        return;
    }
    r = server_link_open_client(link, identity, &client);
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
void server_start(struct server_link *link) {
    load_identity(link);
    CLEANUP_PENDING struct pending_request *pending = load_pending(link);
    bool begun = may_enrol(link) && take_config(link, pending);
    struct pending_request *renewal = NULL;
    if (pending && !begun && pending->renew)
        renewal = TAKE_PTR(pending);
    else if (pending && !begun)
        enrolment_resume(link->enrolment, TAKE_PTR(pending));
    if (link->identity)
        server_link_use_identity(link, TAKE_PTR(link->identity), TAKE_PTR(link->client), renewal);
    else
        state_sync_use(link->sync, NULL, NULL, NULL);
}
