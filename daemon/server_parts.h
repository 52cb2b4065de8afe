/* The insides of the server link, shared by server_link.c (who the device is, and its life),
 * server_start.c (what the last run left) and server_status.c (what people see of it). For these
 * three only. */
#pragma once

#include "daemon/device_identity.h"
#include "daemon/machine_binding.h"
#include "daemon/pending_request.h"
#include "daemon/server_link.h"

struct http_client;

struct server_link {
    struct server_link_options options;
    int dir_fd, reports_fd;
    char binding[MACHINE_BINDING_SIZE]; /* empty: unknown */
    bool closing, clock_wrong;
    bool has_repaired, has_refreshed;
    int64_t repaired_ms;  /* monotonic; when a renewal was hurried last */
    int64_t refreshed_ms; /* when a repair refreshed last */
    unsigned open;        /* parts and clients that the loop still holds */
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
    struct server_probe *probe;
    struct server_signing *signing;
};

/** The one place where the identity changes: takes `identity` and `client` (owned) and `pending` (a
 * renewal on its way, owned; may be NULL), and tells every part before the old ones go. */
void server_link_use_identity(
    struct server_link *link, struct device_identity *identity, struct http_client *client,
    struct pending_request *pending);

/** A client that presents `identity`. Returns 0 or a negative errno. */
int server_link_open_client(
    struct server_link *link, const struct device_identity *identity, struct http_client **ret);

/** Whether the last desired state is the tombstone. */
bool server_link_is_removed(const struct server_link *link);

/** Takes up what the last run left, in this order: the identity, a request on its way, the file of
 * an administrator. */
void server_start(struct server_link *link);

/** Fills link->binding unless it is known. Returns 0 or a negative errno, which has been logged. */
int server_start_read_binding(struct server_link *link);
