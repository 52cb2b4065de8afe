/* What the device tells the server: a durable queue. One file per report, fsynced before the call
 * returns; sent in order, until the server has taken it. */
#pragma once

#include "common/clock.h"
#include "common/random.h"
#include "common/reason.h"

#include <json-c/json_object.h>
#include <uv.h>

#define SERVER_REPORT_MAX 1024 /* waiting */

struct server_report;
struct http_client;

struct server_report_options {
    uv_loop_t *loop;
    const struct clock_source *clock;
    const struct random_source *random;
    int dir_fd;            /* the directory of the queue; borrowed */
    int64_t retry_base_ms; /* 0: 1 s */
};

/** Reads the queue of the last run. Returns 0 or a negative errno. */
int server_report_new(const struct server_report_options *options, struct server_report **ret);
void server_report_close(struct server_report *reports, void (*closed)(void *), void *userdata);

/** Sends with `client` to `url` (borrowed until the next call); NULL: waits. */
void server_report_use(struct server_report *reports, struct http_client *client, const char *url);

/** Appends; an older report of the same user, request id and outcome that still waits is replaced;
 * of failures, the older one of the same user.
 * Owns `report`. Returns 0, -ENOBUFS past SERVER_REPORT_MAX, -EINVAL (no user or outcome), or a
 * negative errno of the file. */
int server_report_add(struct server_report *reports, struct json_object *report);

/** Tries now what waits for its next attempt. */
void server_report_hurry(struct server_report *reports);

size_t server_report_count(const struct server_report *reports);
